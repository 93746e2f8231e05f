# SPDX-License-Identifier: GPL-3.0-or-later
"""One pinhole camera per shot, rotations, and the single conversion to Blender's axes.

mesh/ and neural/ use OpenCV axes: x right, y down, z forward, metres, camera at the origin. Pixel coordinates: x right and y
down from the upper left corner of the picture, so the centre of the first pixel is (0.5, 0.5).
Blender uses x right, y forward (away from its front view), z up; `TO_BLENDER` turns one into the other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

TO_BLENDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""(3, 3): p_blender = TO_BLENDER @ p_opencv. A proper rotation: the scene is turned, not mirrored."""
UNDISTORT_STEPS = 8
"""Newton steps to take a distortion off; it converges in three or four for any real lens."""


@dataclass(frozen=True)
class Camera:
    """Square pixels; the lens may bend the picture radially, by OpenCV's and Blender's polynomial."""

    width: int
    height: int
    focal: float
    """Focal length, pixels."""
    cx: float
    """Principal point, pixels; the middle of the picture unless a lens is given."""
    cy: float
    k1: float = 0.0
    """Distortion: a point at distance r from the axis, in focal lengths, is seen at r (1 + k1 r^2 + k2 r^4)."""
    k2: float = 0.0

    @classmethod
    def centred(cls, width: int, height: int, focal: float, distortion: tuple[float, float] = (0.0, 0.0)) -> Camera:
        """A camera whose optical axis meets the middle of the picture."""
        return cls(width, height, float(focal), width / 2, height / 2, *map(float, distortion))

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) metres in camera axes -> (..., 2) pixels."""
        xy = points[..., :2] / points[..., 2:3]
        if self.k1 or self.k2:
            r2 = (xy**2).sum(-1, keepdims=True)
            xy = xy * (1 + self.k1 * r2 + self.k2 * r2 * r2)
        return xy * self.focal + np.array([self.cx, self.cy], points.dtype)

    def undistorted(self, pixels: np.ndarray) -> np.ndarray:
        """Where a lens without distortion would show (..., 2) pixels; the very same pixels for one that has none.

        Newton's method on the radius; beyond the radius at which the polynomial turns back there is no answer, and the last step stays.
        """
        if not (self.k1 or self.k2):
            return pixels
        middle = np.array([self.cx, self.cy])
        bent = (pixels - middle) / self.focal
        seen = np.linalg.norm(bent, axis=-1, keepdims=True)
        r = seen.copy()
        for _ in range(UNDISTORT_STEPS):
            slope = 1 + 3 * self.k1 * r**2 + 5 * self.k2 * r**4
            r -= (r * (1 + self.k1 * r**2 + self.k2 * r**4) - seen) / np.where(np.abs(slope) < 0.1, 0.1, slope)
        return bent * np.where(seen > 0, r / np.maximum(seen, 1e-12), 1.0) * self.focal + middle

    def bent(self, xy: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """A gradient (..., 2) by distorted pixels as one by the pixels of a lens without distortion, at directions xy = X / Z, Y / Z (..., 2).

        The distortion's derivative, L I + (2 k1 + 4 k2 r^2) x x^T with L = 1 + k1 r^2 + k2 r^4, is symmetric.
        """
        if not (self.k1 or self.k2):
            return gradient
        r2 = (xy**2).sum(-1, keepdims=True)
        along = (xy * gradient).sum(-1, keepdims=True)
        return (1 + self.k1 * r2 + self.k2 * r2 * r2) * gradient + (2 * self.k1 + 4 * self.k2 * r2) * along * xy

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> Camera:
        return cls(int(data["width"]), int(data["height"]), *(float(data.get(key, 0.0)) if key in ("k1", "k2") else float(data[key])
                                                              for key in ("focal", "cx", "cy", "k1", "k2")))

    def blender_lens(self, sensor_width: float = 36.0) -> tuple[float, float, float]:
        """(lens in mm, shift_x, shift_y) of the Blender camera with `sensor_fit = 'HORIZONTAL'` and this sensor width in mm.

        Blender's shift is in units of the picture's longer fitted side (here the width), x right, y up, of the picture
        against the optical axis.
        """
        lens = self.focal * sensor_width / self.width
        return lens, (self.width / 2 - self.cx) / self.width, (self.cy - self.height / 2) / self.width


def rotation_matrix(rotation: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3), radians -> matrices (..., 3, 3), by Rodrigues' formula, exact at zero."""
    r = np.asarray(rotation, np.float64)
    angle = np.linalg.norm(r, axis=-1)[..., None, None]
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    k = np.zeros(r.shape[:-1] + (3, 3))
    k[..., 0, 1], k[..., 0, 2], k[..., 1, 2] = -r[..., 2], r[..., 1], -r[..., 0]
    k[..., 1, 0], k[..., 2, 0], k[..., 2, 1] = r[..., 2], -r[..., 1], r[..., 0]
    a = np.where(small, 1.0, np.sin(safe) / safe)
    b = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + a * k + b * (k @ k)


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Matrices (..., 3, 3) -> rotation vectors (..., 3), for angles below pi."""
    m = np.asarray(matrix, np.float64)
    v = np.stack([m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1) / 2
    s = np.linalg.norm(v, axis=-1, keepdims=True)
    angle = np.arctan2(s, (np.trace(m, axis1=-2, axis2=-1)[..., None] - 1) / 2)
    return v * np.where(s < 1e-8, 1.0, angle / np.where(s < 1e-8, 1.0, s))


def place(vertices: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Head frame (..., V, 3) to camera axes by a pose: rotation vectors (..., 3) and translations (..., 3), metres."""
    matrix = rotation_matrix(rotation).astype(vertices.dtype)
    return vertices @ np.swapaxes(matrix, -1, -2) + np.asarray(translation, vertices.dtype)[..., None, :]
