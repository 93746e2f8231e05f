# SPDX-License-Identifier: GPL-3.0-or-later
"""The skin's own signs of expression, without weights: how strong its fine lines are, and how bright it is, in eleven places.

It stands in for the appearance that an emotion network sees (FED), and is named as what it is. Movement alone changes it little,
lines and shading (level 2 of Sun et al. 2023) change it much. Pictures are faces of 256 x 256, landmarks MediaPipe's 478 in their pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from .face import LEFT_EYE, RIGHT_EYE

FINE, COARSE = 1.0, 4.0
"""Sigmas of the two Gaussians whose difference holds lines of about 2 to 12 pixels."""
SIDE = 0.13
"""Half a place's side, in distances of the outer eye corners."""

PLACES = ("forehead", "forehead right", "forehead left", "between the brows", "crow's feet right", "crow's feet left", "under the eye right",
          "under the eye left", "nose-mouth fold right", "nose-mouth fold left", "chin")
"""Right and left are the subject's."""
NAMES = tuple(f"{place}, {what}" for what in ("lines", "shade") for place in PLACES)


def places(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """(478, 2+) pixels -> the places' centres (11, 2) and half their side, pixels."""
    p = np.asarray(landmarks, np.float64)[:, :2]
    right, left = p[RIGHT_EYE[0]], p[LEFT_EYE[1]]
    unit = float(np.linalg.norm(left - right))
    x = (left - right) / unit
    up = np.array([x[1], -x[0]])

    def at(*ids: int, along: float = 0.0, above: float = 0.0) -> np.ndarray:
        return p[list(ids)].mean(0) + unit * (along * x + above * up)

    return np.stack([at(10, 151), at(105, above=0.24), at(334, above=0.24), at(55, 107, 285, 336), at(33, along=-0.12, above=-0.05),
                     at(263, along=0.12, above=-0.05), at(145, above=-0.17), at(374, above=-0.17), at(129, 61, along=-0.08), at(358, 291, along=0.08),
                     at(17, 152)]), SIDE * unit


def skin(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(22,) float64 in the order of NAMES, levels of 0..255.

    Lines: RMS of a difference of Gaussians of the luma in the place. Shade: mean luma of the place minus the mean of all places, so
    that an exposure that drifts is no sign.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    band = cv2.GaussianBlur(grey, (0, 0), FINE) - cv2.GaussianBlur(grey, (0, 0), COARSE)
    centres, half = places(landmarks)
    lines, shade = np.zeros(len(PLACES)), np.zeros(len(PLACES))
    h, w = grey.shape
    for i, (cx, cy) in enumerate(centres):
        x0, y0 = int(np.clip(round(cx - half), 0, w - 2)), int(np.clip(round(cy - half), 0, h - 2))
        x1, y1 = int(np.clip(round(cx + half), x0 + 1, w)), int(np.clip(round(cy + half), y0 + 1, h))
        lines[i] = np.sqrt(np.mean(band[y0:y1, x0:x1].astype(np.float64) ** 2))
        shade[i] = grey[y0:y1, x0:x1].mean()
    return np.concatenate([lines, shade - shade.mean()])
