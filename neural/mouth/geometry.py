# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the mouth is: a frontal crop that the head's motion has been taken out of, by the projective transform of section 3.5.2.

Its points are the lips' as they are at rest, carried by the head: teeth are fixed to it, and moved lips would take them along.

An atlas shows the mouth twice, one above the other: as seen from the skull, where upper teeth stand still, and as seen from the
jaw, where lower teeth do. Crop coordinates are pixels of one such half, x right, y down, the first pixel's centre at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...mesh.camera import place
from ...mesh.model import FaceModel
from ...mesh.shot import Solve
from ..rendering.mesh import MOUTH_ROWS, RenderMesh
from ..rendering.raster import rasterise

WIDTH, HEIGHT = 256, 128
"""Pixels of one half of the atlas."""
SPAN = 0.72
"""Width of the crop, in distances of the outer eye corners."""
ABOVE = 0.35
"""Part of the crop that lies above the middle of the closed mouth."""
CHIN = (152, 148, 377, 175, 199, 200)
"""Landmarks that go with the jaw."""
EDGE = 0.06
"""Part of the way between the lips that is left to them on each side: a tracked contour is never exact."""
UPPER_FADE, LOWER_FADE = (0.35, 0.85), (0.15, 0.65)
"""Way from the upper lip to the lower over which the upper half ends, and over which the lower half begins."""
RIM = 7
"""Texels, across, of the brush with which what is seen of the inside grows over the lips: where exactly they end is for the model to tell."""
FRAME_STEP = 3
"""Of the lips' vertices every how many hold the crop: there are hundreds, and neighbours say the same."""
LIP_SHARE = 0.5
"""How much the lower lip's middle tells of where the jaw is, the rest being told by the coefficients: the one is soft, the others are noisy."""
BESIDE = 40
"""Pixels of the picture beside the lips that belong to it."""
AROUND = 64, 32
"""Width and height at which what lies around the inside is looked at."""


@dataclass(frozen=True, eq=False)
class MouthPose:
    """The mouth of one frame, as filmed or as edited."""

    homography: np.ndarray
    """(3, 3): picture pixels -> crop pixels of the skull."""
    lips: np.ndarray
    """(V + extra, 2): the render mesh's points in crop pixels of the skull."""
    jaw: np.ndarray
    """(2,): how far the jaw is from where it rests, crop pixels."""
    shape: np.ndarray
    """(D,): lips and jaw in hundredths of the distance of the outer eye corners, what a mouth is told by."""


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at low to 1 at high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class MouthGeometry:
    """The crop of one solved shot. Raises nothing; `available` is False for a model without a mouth opening."""

    def __init__(self, mesh: RenderMesh, solve: Solve):
        model: FaceModel = mesh.model
        self.available = mesh.mouth is not None and all(int(i) in set(map(int, model.landmark_ids)) for i in CHIN) and "lips" in model.regions
        if not self.available or mesh.mouth is None:
            return
        upper, lower, rows = mesh.mouth
        self.model, self._mesh, self._solve = model, mesh, solve
        self.upper, self.lower = upper, lower
        self.ring = np.flatnonzero(model.regions["lips"] > 0.3)
        self._frame = self.ring[::FRAME_STEP]
        self._chin = model.vertices_of_landmarks(list(CHIN))
        third = len(lower) // 3
        self.upper_middle = upper[third : len(upper) - third]
        self.lower_middle = lower[third : len(lower) - third]
        self._neutral = model.neutral(solve.alpha).astype(np.float64)
        self._frame_moves = model.expression[:, self._frame].astype(np.float64).reshape(model.expression_count, -1)
        self._chin_moves = model.expression[:, self._chin, :2].astype(np.float64).mean(1)
        inside = set(map(int, rows.ravel()))
        self.triangles = np.array([t for t in mesh.triangles[mesh.face_count :] if inside & set(map(int, t))], np.int32)
        way = np.zeros((model.vertex_count + mesh.extra, 1), np.float32)
        way[lower] = 1
        for row, (share, _) in zip(rows, MOUTH_ROWS):
            way[row, 0] = share
        way[np.intersect1d(upper, lower)] = 0.5
        self.way = way
        """(V + extra, 1): 0 on the upper inner lip, 1 on the lower."""
        self.scale = WIDTH / (SPAN * model.eye_distance)
        """Crop pixels a metre."""
        centre = self._neutral[np.concatenate([upper, lower]), :2].mean(0)
        self._origin = centre - np.array([WIDTH / 2, ABOVE * HEIGHT]) / self.scale
        self._lip_at_rest = (self._neutral[self.lower_middle, :2].mean(0) - self._origin) * self.scale
        self._frontal = (self._neutral[self._frame, :2] - self._origin) * self.scale
        """(n, 2) crop pixels of the frame of lips on the face that looks straight ahead: l' of section 3.5.2."""

    def mesh_points(self, xy: np.ndarray) -> np.ndarray:
        """(V, 2) -> (V + extra, 2): with the points between the lips."""
        return self._mesh.points(xy)

    def _jaw(self, homography: np.ndarray, beta: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """(2,) crop pixels by which the jaw left its rest: chin of the coefficients and middle of the filmed lower lip."""
        chin = beta @ self._chin_moves * self.scale
        lip = carry(homography, xy[self.lower_middle]).mean(0) - self._lip_at_rest
        return chin + LIP_SHARE * (lip - chin)

    def pose(self, index: int, xy: np.ndarray) -> MouthPose | None:
        """The mouth of a frame as filmed; xy (V, 2) the vertices on the picture. None where they fit no projective transform."""
        s, rest = self._solve, self._neutral[self._frame]
        beta = s.beta[index].astype(np.float64)
        both = np.stack([rest, rest + (beta @ self._frame_moves).reshape(-1, 3)])
        at_rest, moved = s.camera.project(place(both, s.rotation[index].astype(np.float64), s.translation[index].astype(np.float64)))
        locked = (xy[self._frame] - moved).mean(0)  # onto the landmarks: the same for all, as single ones err
        homography, _ = cv2.findHomography(at_rest + locked, self._frontal, 0)
        if homography is None or not np.isfinite(homography).all():
            return None
        return self._described(homography, xy, self._jaw(homography, beta, xy))

    def edited(self, filmed: MouthPose, before: np.ndarray, after: np.ndarray) -> MouthPose:
        """The same frame with its vertices (V, 2) moved: an edit moves lips and jaw, not the head."""
        start = self.middle_of_jaw(before)
        move = carry(filmed.homography, np.stack([start, start + self.jaw_move(before, after)]))
        return self._described(filmed.homography, after, filmed.jaw + move[1] - move[0])

    def middle_of_jaw(self, xy: np.ndarray) -> np.ndarray:
        """(2,) pixels: the middle of the lower lip, with which lower teeth go in an edit, rigidly, so that no rim opens between lip and teeth."""
        return xy[self.lower_middle].mean(0)

    def jaw_move(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """(2,) pixels by which an edit moves the lower teeth."""
        return self.middle_of_jaw(after) - self.middle_of_jaw(before)

    def heights(self, xy: np.ndarray) -> tuple[float, float]:
        """Heights of the middles of the upper and of the lower inner lip on a picture, pixels; xy (V, 2)."""
        return float(xy[self.upper_middle, 1].mean()), float(xy[self.lower_middle, 1].mean())

    def upper_lip(self, shape: np.ndarray) -> np.ndarray:
        """MouthPose.shape (..., D) -> (...): height of the middle of the upper inner lip, y down, hundredths of the eye distance."""
        n = len(self.upper)
        third = n // 3
        return shape[..., 2 * third + 1 : 2 * (n - third) : 2].mean(-1)

    def across(self, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(H, W): 0 half-way between the corners of the mouth, 1 at them; points (V, 2) on that picture."""
        right, left = points[self.upper[0]], points[self.upper[-1]]
        axis = (left - right) / max(float(((left - right) ** 2).sum()), 1e-6)
        y, x = np.mgrid[: size[0], : size[1]] + 0.5
        return np.abs(2 * ((x - right[0]) * axis[0] + (y - right[1]) * axis[1]) - 1)

    def _described(self, homography: np.ndarray, xy: np.ndarray, jaw: np.ndarray) -> MouthPose:
        lips = carry(homography, self._mesh.points(xy))
        chain = lips[np.concatenate([self.upper, self.lower])].ravel()
        unit = 100 / (self.scale * self.model.eye_distance)
        return MouthPose(homography, lips, jaw, (np.concatenate([chain, jaw]) * unit).astype(np.float32))

    def between(self, points: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Points (V + extra, 2) on a picture (H, W) -> the way from the upper lip to the lower (H, W), and the opening (H, W) bool."""
        out, z = np.zeros((*size, 1), np.float32), np.full(size, np.inf, np.float32)
        rasterise(points.astype(np.float32), np.zeros(len(points), np.float32), self.triangles, self.way, out, z, 0.0)
        return out[..., 0], np.isfinite(z)

    def crop(self, working: np.ndarray, pose: MouthPose, origin: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, np.ndarray, float]:
        """A part of a frame (h, w, 3) float32 that begins at `origin` (left, top), as an atlas (2 HEIGHT, WIDTH, 3).

        With it how far each texel is seen, (2 HEIGHT, WIDTH) in 0..1, inside the mouth and on a rim of its lips, and the texels of the inside alone.
        """
        halves, seen, opened = [], [], 0.0
        placed = pose.homography @ _moved(-np.array(origin))
        for offset, fade, sign in ((np.zeros(2), UPPER_FADE, -1.0), (pose.jaw, LOWER_FADE, 1.0)):
            halves.append(cv2.warpPerspective(working, _centred(_moved(offset) @ placed), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE))
            way, opening = self.between(pose.lips - offset, (HEIGHT, WIDTH))
            inner = cv2.erode(opening.astype(np.uint8), np.ones((3, 3), np.uint8)) * (way > EDGE) * (way < 1 - EDGE)
            inner = (inner * (ramp(way, *fade) if sign > 0 else 1 - ramp(way, *fade))).astype(np.float32)
            seen.append(cv2.dilate(inner, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (RIM, RIM))))
            opened += float(inner.sum())
        return np.concatenate(halves), np.concatenate(seen), opened

    def on_picture(self, half: np.ndarray, pose: MouthPose, offset: np.ndarray, size: tuple[int, int], origin: np.ndarray) -> np.ndarray:
        """The inverse transform: a half of an atlas (HEIGHT, WIDTH, C) float32, moved by `offset` (2,) texels, on the picture.

        size (height, width) and origin (2,), left and top, of the part of the picture that is wanted.
        """
        texels = _centred(_moved(offset) @ pose.homography @ _moved(-origin))
        return cv2.warpPerspective(half, texels, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)

    def window(self, xy: np.ndarray) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the part of a picture in which the crop lies; xy (V, 2)."""
        left, top = np.maximum(np.floor(xy[self.ring].min(0)).astype(int) - BESIDE, 0)
        right, bottom = np.ceil(xy[self.ring].max(0)).astype(int) + BESIDE
        return int(left), int(top), int(right), int(bottom)

    def around(self, working: np.ndarray, pose: MouthPose, xy: np.ndarray, origin: tuple[int, int] = (0, 0)) -> np.ndarray:
        """The crop without teeth, which the encoder sees: small, (3 AROUND,) float32, every pixel between the lips put out and filled from around it.

        working (h, w, 3) and origin as for `crop`; xy (V, 2) the vertices on the picture.
        """
        opening = self.between(self.mesh_points(xy) - np.array(origin), working.shape[:2])[1]
        kept = (~opening).astype(np.float32)[..., None]
        w, h = 2 * AROUND[0], 2 * AROUND[1]
        placed = np.diag([w / WIDTH, h / HEIGHT, 1.0]) @ pose.homography @ _moved(-np.array(origin))
        crop = cv2.warpPerspective(np.concatenate([working * kept, kept], 2), _centred(placed), (w, h), borderMode=cv2.BORDER_REPLICATE)
        levels = [cv2.resize(crop, AROUND, interpolation=cv2.INTER_AREA)]
        while min(levels[-1].shape[:2]) > 2:
            levels.append(cv2.pyrDown(levels[-1]))
        filled = levels[-1][..., :3] / np.maximum(levels[-1][..., 3:], 1e-3)
        for level in reversed(levels[:-1]):
            filled = level[..., :3] + (1 - level[..., 3:]) * cv2.pyrUp(filled, dstsize=level.shape[1::-1])
        return filled.ravel()


def carry(homography: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(n, 2) points through a projective transform."""
    return cv2.perspectiveTransform(xy[None].astype(np.float64), homography)[0]


def _moved(by: np.ndarray) -> np.ndarray:
    """The transform that takes `by` (2,) off every point."""
    return np.array([[1, 0, -by[0]], [0, 1, -by[1]], [0, 0, 1.0]])


def _centred(homography: np.ndarray) -> np.ndarray:
    """OpenCV counts pixels from their centres, we from their corners."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.linalg.inv(half) @ homography @ half
