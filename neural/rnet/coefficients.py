# SPDX-License-Identifier: GPL-3.0-or-later
"""The 257 values of R-Net, and the camera that they mean.

R-Net's axes: x to the image's right, y up, z towards the viewer; decimetres, the origin in the centre of the face model's vertices. A vertex p
lies at R p + t, R = Rz Ry Rx; the camera stands at z = 10 and looks down z, focal length 1015 pixels, its axis through the middle of 224 x 224.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .network import HEADS

COUNT = sum(HEADS.values())
FOCAL = 1015.0
DISTANCE = 10.0
"""Decimetres from the camera to the origin."""
CENTRE = (112.5, 111.5)
"""Where the axis meets the crop, pixels, with the first pixel's centre at (0.5, 0.5): R-Net counts pixels from their centres, and rows from below."""
FLIP = np.array([1.0, -1.0, -1.0])
"""From R-Net's axes to OpenCV's and back."""


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Of N pictures, unpacked; in R-Net's own axes and units."""

    identity: np.ndarray
    """(N, 80) standard deviations."""
    expression: np.ndarray
    """(N, 64)"""
    texture: np.ndarray
    """(N, 80)"""
    angles: np.ndarray
    """(N, 3) radians about x, y, z."""
    lighting: np.ndarray
    """(N, 27): nine spherical harmonics for each of red, green and blue; 0.8 is to be added to the first of each."""
    translation: np.ndarray
    """(N, 3) decimetres."""


def unpack(values: np.ndarray) -> Coefficients:
    """(N, 257) -> their parts. Raises ValueError for another width."""
    if values.ndim != 2 or values.shape[1] != COUNT:
        raise ValueError(f"R-Net gives {COUNT} values a picture, not {values.shape}")
    parts = np.split(values.astype(np.float64), np.cumsum(list(HEADS.values()))[:-1], axis=1)
    return Coefficients(*parts[:5], np.concatenate(parts[5:], 1))


def rotations(angles: np.ndarray) -> np.ndarray:
    """(N, 3) radians -> (N, 3, 3), R = Rz Ry Rx, for column vectors."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles).T, np.sin(angles).T
    o, i = np.zeros_like(cx), np.ones_like(cx)
    Rx = np.array([[i, o, o], [o, cx, -sx], [o, sx, cx]])
    Ry = np.array([[cy, o, sy], [o, i, o], [-sy, o, cy]])
    Rz = np.array([[cz, -sz, o], [sz, cz, o], [o, o, i]])
    return np.einsum("ijn,jkn,kln->nil", Rz, Ry, Rx)


def on_crop(points: np.ndarray, c: Coefficients) -> np.ndarray:
    """Points (N, L, 3) of the face, OpenCV axes, metres from the centre of the face model's vertices -> (N, L, 2) pixels of the crop."""
    R = FLIP[:, None] * rotations(c.angles) * FLIP
    placed = points * 10 @ np.swapaxes(R, 1, 2) + (c.translation * FLIP)[:, None] + (0, 0, DISTANCE)
    return placed[..., :2] / placed[..., 2:] * FOCAL + CENTRE
