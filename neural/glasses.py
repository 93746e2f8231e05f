# SPDX-License-Identifier: GPL-3.0-or-later
"""Glasses: found on the shot's texture, and held still with the head so that their rims stay straight."""

from __future__ import annotations

import cv2
import numpy as np

from ..mesh.model import FaceModel
from ..mesh.shot import Shot
from .progress import Reporter

GLASSES_CHOICES = ("auto", "on", "off")

RIGHT_ZONE = (225, 224, 223, 222, 221, 193, 168, 6, 197, 188, 128, 126, 100, 101, 50, 123, 116, 143, 35, 34, 127, 156, 113, 33, 133)
"""Landmarks under the right lens, its rim and the bridge, out to the temple arm and down to where large lenses end."""
FADE_BELOW, FADE_ABOVE = 0.012, 0.0055
"""Metres over which skin below and above the glasses comes free; brows sit close above a rim, so there it is short."""
HOLD_VERSION = 2
"""Raise it when other skin is held, so that bakes and models of the skin from before are known to be out of date."""
UPWARD, DOWNWARD = 0.65, 0.55
"""Part of a brow's way up and down that is left above glasses: the skin between brow and rim has little to give."""


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


class GlassesHold:
    """Keeps the skin under glasses where it was filmed, so that their rims stay straight.

    It holds points of the skin, not pixels: what is held never shows twice. Brows move as a whole or not at all, so that they keep
    their thickness; the skin between them and the rim takes up the difference. Below the pads the nose is free.
    """

    def __init__(self, model: FaceModel):
        landmarks = model.mean[model.vertices_of_landmarks(RIGHT_ZONE), :2]
        sides = landmarks, landmarks * np.array([-1, 1], landmarks.dtype)
        self._above = model.mean[:, 1] < np.median(landmarks[:, 1])
        below = np.minimum(*(outside_hull(side, model.mean[:, :2]) for side in sides))  # the nose below its bridge lies between the lenses
        outside = np.where(self._above, outside_hull(np.concatenate(sides), model.mean[:, :2]), below)
        free = np.clip(outside / np.where(self._above, FADE_ABOVE, FADE_BELOW), 0, 1)
        self.free = free * free * (3 - 2 * free)
        """(V,) in 0..1: 0 where glasses sit on the face, smoothly to 1 at the brows, cheeks and nose."""

    def __call__(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Vertices on the picture as filmed and as edited, (V, 2) pixels -> as edited with glasses on."""
        move = (after - before) * self.free[:, None]
        move[self._above] *= np.where(move[self._above, 1:] > 0, DOWNWARD, UPWARD)
        return before + move


def outside_hull(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Corners (n, 2) and points (V, 2), metres -> (V,) metres: how far the points lie outside of the corners' convex hull, negative within."""
    hull = cv2.convexHull((corners * 1e4).astype(np.float32))
    return -np.array([cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y in points * 1e4]) / 1e4


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
