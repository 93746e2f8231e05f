# SPDX-License-Identifier: GPL-3.0-or-later
"""Glasses: found on the shot's texture, and held still with the head so that their rims stay straight."""

from __future__ import annotations

import cv2
import numpy as np

from ..mesh.model import FaceModel
from ..mesh.shot import Shot
from .progress import Reporter

GLASSES_CHOICES = ("auto", "on", "off")

RIGHT_ZONE = (33, 133, 159, 145, 65, 52, 53, 46, 226, 31, 228, 229, 230, 231, 232, 233, 193, 168, 6, 197, 221, 222, 223, 224, 225, 113, 111, 117,
              118, 119, 120, 121, 128, 245, 188, 35, 143, 34, 127)
"""Landmarks under the right lens, its rim and the bridge, out to the temple arm; the left follows by symmetry of the model."""


def wears_glasses(choice: str, shot: Shot, report: Reporter) -> bool:
    """The artist's choice, or what was seen when the shot was solved (shot.settings["glasses_seen"])."""
    if choice != "auto":
        return choice == "on"
    seen = bool(shot.settings.get("glasses_seen", False))
    if seen:
        report.warn("Glasses were found on this face: the region behind them is held still, so lids and lower brows move less "
                    "(set glasses to 'off' to move them).")
    return seen


GLASSES_THRESHOLD = 0.08
"""glasses_score above this means glasses."""


def glasses_hold(model: FaceModel) -> np.ndarray:
    """(V,) float32 in 0..1: 1 where glasses sit on the face, smoothly to 0 at the upper brow, cheek and nose."""
    landmarks = model.mean[model.vertices_of_landmarks(RIGHT_ZONE)]
    both = np.concatenate([landmarks, landmarks * np.array([-1, 1, 1])])
    hull = cv2.convexHull((both[:, :2] * 1e4).astype(np.float32))
    inside = np.array([cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y in model.mean[:, :2] * 1e4]) / 1e4
    ramp = np.clip((inside + 0.006) / 0.008, 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def glasses_score(texture: np.ndarray, model: FaceModel) -> float:
    """How much the bridge of the nose looks like it carries a frame: contrast across it against that of the bare skin below.

    texture (S, S, 3) uint8 RGB in the model's UV. Skin is smooth down the bridge between the eyes; a bridge of glasses is one
    strong edge pair across it.
    """
    size = len(texture)
    grey = cv2.GaussianBlur(cv2.cvtColor(texture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), size / 500)
    uv = np.zeros((model.vertex_count, 2), np.float32)
    uv[model.triangles.ravel()] = model.uv[model.uv_triangles.ravel()]

    def profile(a: int, b: int) -> np.ndarray:
        p, q = uv[model.vertices_of_landmarks([a, b])]
        way = np.linspace(0, 1, 64)[:, None]
        line = (p + way * (q - p)) * (size, -size) + (0, size)
        spread = np.linspace(-0.006, 0.006, 5) * size
        x = (line[:, :1] + spread).astype(np.float32)
        return cv2.remap(grey, x, np.repeat(line[:, 1:], 5, 1).astype(np.float32), cv2.INTER_LINEAR).mean(1)

    bridge = profile(9, 195)
    return float(np.abs(np.diff(bridge)).max() / 255)
