# SPDX-License-Identifier: GPL-3.0-or-later
"""The skin's own signs of expression, without weights: how strong its fine lines are, and how bright it is, in eleven places.

It stands in for the appearance that an emotion network sees (FED), and is named as what it is. Movement alone changes it little,
lines and shading (level 2 of Sun et al. 2023) change it much. Hair, brows, glasses' rims and background that come into a place are left out of
it: a strand that hangs over the forehead in one take and not in the next is no emotion. Pictures are faces of 256 x 256, landmarks MediaPipe's
478 in their pixels.
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
NAMES = tuple(f"{place}, {what}" for what in ("lines", "shade", "seen") for place in PLACES)
SURELY_SKIN = (50, 280, 205, 425, 4, 5, 195)
"""Landmarks on cheeks and nose, whose luma is the skin's."""
DARK = (0.3, 0.5)
"""Parts of the skin's luma at which a pixel is no skin and all skin: furrows are lighter than most hair."""
RIM = 3
"""Pixels around such ones that are left out too: they are blended with them."""
FEW = 20
"""Pixels of skin below which a place is looked at whole; it hardly counts as seen then."""


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


def bare_skin(grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How far each pixel of a face's luma (H, W) float32 is skin, (H, W) float32 in 0..1; landmarks (478, 2+)."""
    p = np.asarray(landmarks, np.float64)[:, :2]
    reach = max(round(0.06 * float(np.linalg.norm(p[LEFT_EYE[1]] - p[RIGHT_EYE[0]]))), 1)
    own = float(np.median(np.concatenate([_part(grey, x, y, reach).ravel() for x, y in p[list(SURELY_SKIN)]])))
    light = np.clip((cv2.GaussianBlur(grey, (0, 0), FINE) / max(own, 1.0) - DARK[0]) / (DARK[1] - DARK[0]), 0, 1)
    return cv2.erode(light, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RIM + 1, 2 * RIM + 1)))


def _blurred(grey: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian mean (H, W) by weight; 0 far from any."""
    return cv2.GaussianBlur(grey * weight, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3)


def _part(picture: np.ndarray, x: float, y: float, reach: float) -> np.ndarray:
    """A view of a picture around a point, at least 2 x 2 pixels of it wherever that is."""
    h, w = picture.shape[:2]
    x0, y0 = int(np.clip(round(x - reach), 0, w - 2)), int(np.clip(round(y - reach), 0, h - 2))
    return picture[y0:int(np.clip(round(y + reach), y0 + 1, h)), x0:int(np.clip(round(x + reach), x0 + 1, w))]


def skin(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(33,) float64 in the order of NAMES, levels of 0..255.

    Lines: RMS of a difference of Gaussians of the luma over the place's skin. Shade: mean luma of its skin. Seen: part of the place that is skin.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    bare, (centres, half) = bare_skin(grey, landmarks), places(landmarks)
    band = _blurred(grey, bare, FINE) - _blurred(grey, bare, COARSE)
    out = np.zeros((3, len(PLACES)))
    for i, (x, y) in enumerate(centres):
        there = _part(bare, x, y, half)
        out[2, i] = there.mean()
        weight = (there if there.sum() > FEW else np.ones_like(there)).astype(np.float64)
        out[0, i] = np.sqrt(np.average(_part(band, x, y, half).astype(np.float64) ** 2, weights=weight))
        out[1, i] = np.average(_part(grey, x, y, half), weights=weight)
    return out.ravel()
