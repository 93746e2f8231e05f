# SPDX-License-Identifier: GPL-3.0-or-later
"""One frame: where each point of the edited face lies on the plate, and the plate's own pixel from there.

Displacements are interpolated, never positions, so that no displacement is exactly no change. The plate is sampled once,
by Lanczos. Outside the face the displacement fades over a band; the matte's soft edge lies outside the band, where patch and
plate are equal, so that no blend ever shows two contours.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...mesh.camera import Camera, place
from ...mesh.model import FaceModel
from .band import extend
from .mesh import RenderMesh
from .raster import Surface, visible
from .sampling import sample
from .sharpness import blur_of, match_sharpness

MOUTH_SHADE = (0.42, 0.3, 0.3)
"""An open mouth's dark red against the lips (R, G, B), in the plate's own values."""
MOUTH_SOFT = 0.006
"""Softness of its edge, as a part of the face's width: lips are round, their inner edge is never a drawn line."""


@dataclass(frozen=True)
class RenderSettings:
    """Sizes are parts of the face's width on the picture."""

    band: float = 0.17
    """How far the displacement fades outside the face."""
    softness: float = 0.03
    """Width of the matte's soft edge, outside the band."""


@dataclass(frozen=True)
class FaceLayer:
    """What lies over the plate on one frame, within a box; outside it nothing changes."""

    box: tuple[int, int, int, int]
    """left, top, right, bottom in pixels, half open."""
    patch: np.ndarray
    """(h, w, 3 or 4), the plate's dtype and colour space."""
    matte: np.ndarray
    """(h, w) float32 in 0..1."""
    displacement: np.ndarray
    """(h, w, 2) float32: from a pixel of the patch to its source on the plate, pixels."""
    surface: Surface
    """What of the edited face each pixel shows; the model's triangles come first."""

    def over(self, plate: np.ndarray) -> np.ndarray:
        """The patch laid over a copy of the plate. Where the matte is zero the plate's pixels are untouched.

        In the matte's soft edge patch and plate are equal by construction, so laying it over needs no arithmetic.
        """
        out = plate.copy()
        l, t, r, b = self.box
        cv2.copyTo(self.patch, (self.matte > 0).view(np.uint8), out[t:b, l:r])
        return out


class PlateRenderer:
    """Renders edited frames of one shot."""

    def __init__(self, model: FaceModel, camera: Camera, settings: RenderSettings = RenderSettings()):
        self.mesh, self.camera, self.settings = RenderMesh(model), camera, settings
        self.model = model
        self._neutral: tuple[bytes, np.ndarray] = b"", model.mean

    def shape(self, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """FaceModel.shape of one frame, (V, 3); the last neutral face is kept, as a shot has but one."""
        key, neutral = self._neutral
        if key != alpha.tobytes():
            neutral = self.model.neutral(alpha)
            self._neutral = alpha.tobytes(), neutral
        return neutral + self.model.displacement(beta)

    def project(self, alpha: np.ndarray, beta: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Model vertices on the picture: (V, 2) float64 pixels and (V,) depths, metres."""
        return self.project_shape(self.shape(alpha, beta), rotation, translation)

    def project_shape(self, shape: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of vertices (V, 3) in the head frame."""
        p = place(shape.astype(np.float64), rotation, translation)
        return self.camera.project(p), p[:, 2]

    def lock(self, xy: np.ndarray, landmarks: np.ndarray, trust: np.ndarray | None = None) -> np.ndarray:
        """(V, 2) offset that brings the projected mesh onto the tracked landmarks (478, 2+), smoothly between them.

        trust (478,) in 0..1: where it is 0 the mesh stays where the solve has it.
        """
        error = landmarks[self.model.landmark_ids, :2] - xy[self.model.landmark_vertices]
        if trust is not None:
            error = error * trust[self.model.landmark_ids, None]
        return (self.mesh.lock @ error.astype(np.float32)).astype(np.float64)

    def render(self, plate: np.ndarray, before: np.ndarray, after: np.ndarray, depth: np.ndarray, *,
               always: bool = False) -> FaceLayer | None:
        """Move the plate's pixels from the face as filmed to the face as edited.

        plate (H, W, C); before, after (V, 2) pixels, the same vertices; depth (V,) of the edited face. None when nothing moves,
        unless `always` (something will be added to a layer that is the plate), or when the face is outside the picture.
        """
        move = self.mesh.moves(before, after)
        if not np.any(move) and not always:
            return None
        xy = self.mesh.points(after)
        box = self._box(xy, plate.shape)
        if box is None:
            return None
        l, t, r, b = box
        size, face_width = (b - t, r - l), float(np.ptp(xy[:, 0]))
        dark = self.mesh.darkness(before, after)
        surface = visible(xy - np.array([l, t]), self.mesh.points(depth[:, None])[:, 0], self.mesh.triangles, size, self.mesh.facing)
        field, away = extend(surface.carry(-move, self.mesh.triangles), surface.mask, face_width, self.settings.band)
        patch = match_sharpness(sample(plate, box, field), field, blur_of(plate[t:b, l:r]))
        if dark is not None:
            shade = surface.carry(dark, self.mesh.triangles)[..., 0]
            soft = cv2.GaussianBlur(shade, (0, 0), max(0.8, MOUTH_SOFT * face_width))
            patch = darken(patch, np.where(soft > 0.01, soft, 0), self._lip_colour(plate, before))
        s = self.settings
        matte = np.clip((s.band + s.softness - away) / s.softness, 0, 1).astype(np.float32)
        return FaceLayer(box, patch, matte * matte * (3 - 2 * matte), field, surface)

    def _lip_colour(self, plate: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Mean colour (C,) of the inner lips on the plate, float32."""
        lips = np.concatenate([self.model.lip_upper, self.model.lip_lower])
        x, y = np.floor(before[lips]).astype(int).T
        return plate[y.clip(0, plate.shape[0] - 1), x.clip(0, plate.shape[1] - 1)].astype(np.float32).mean(0)

    def _box(self, xy: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
        margin = (self.settings.band + self.settings.softness) * np.ptp(xy[:, 0]) + 8
        left, top = np.floor(xy.min(0) - margin).astype(int)
        right, bottom = np.ceil(xy.max(0) + margin).astype(int)
        box = max(0, int(left)), max(0, int(top)), min(shape[1], int(right)), min(shape[0], int(bottom))
        return box if box[2] - box[0] > 2 and box[3] - box[1] > 2 else None


def darken(patch: np.ndarray, amount: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Lay the dark of a newly opened mouth, a shade of the lips' colour, over a patch; amount (h, w) in 0..1."""
    where = amount > 0
    if not where.any():
        return patch
    out = patch.copy()
    shade = lips.copy()
    shade[:3] *= MOUTH_SHADE
    mixed = patch[where] + amount[where, None] * (shade - patch[where])
    out[where] = mixed if patch.dtype == np.float32 else np.round(mixed).astype(patch.dtype)
    return out
