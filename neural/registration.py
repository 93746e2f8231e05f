# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes of one actor laid over one another in UV, before their textures are compared.

A solve follows raised brows or a wide smile only in part. What it leaves is a shift in UV: between two takes brows, hairline and moles then differ
by an edge of light and dark, and a direction of an emotion would paint a second brow and a second fringe beside those that level 1 moves. What has
moved is level 1's; d_y (Sun et al. 2023, section 3.4) is of what has changed where it is.

The shift is optical flow, believed only where both takes then show the same skin over some way: pores, brows and moles do, a new fold or
another light does not, and flow would draw one fold into another.
"""

from __future__ import annotations

import cv2
import numpy as np

SPAN = 0.047
"""Way over which light and contrast are evened out before takes are compared, a part of the texture's size: takes differ in both."""
CONTRAST = 60
"""Levels of 8 bits that a standard deviation becomes."""
NOISE = 10
"""Levels that differ without meaning anything."""
NEAR = 0.012
"""Way over which two takes are compared after the shift."""
SAME = (0.5, 0.9)
"""Correlation there, from not the same to the same."""
BACK = (1.0, 2.0)
"""Texels by which the way there and back misses its start, from believed to not."""
STIFF = 0.023
"""Way over which shifts are smoothed: skin takes its surroundings with it."""
WIDE, MOST_OF_IT = 0.06, (0.3, 0.5)
"""Way over which, and part of the skin there of which, shifts must be believed to be used at all: some places always agree by chance."""


def shift_between(texture: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where in `texture` each texel of `reference` lies, less its own place: (S, S, 2) float32, texels; smooth, 0 where too little is alike.

    texture, reference (S, S, 3) float32 in the working space, mask (S, S) bool: the skin, by which alone the shift is found.
    """
    size, skin = len(mask), mask.astype(np.float32)
    a, b = _evened(reference, skin), _evened(texture, skin)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = flow.calc(a, b, None), flow.calc(b, a, None)
    missed = np.linalg.norm(there + shifted(back, there), axis=2)
    alike = _correlation(a.astype(np.float32), shifted(b.astype(np.float32), there), skin, NEAR * size)
    believed = skin * np.clip((alike - SAME[0]) / (SAME[1] - SAME[0]), 0, 1) * np.clip((BACK[1] - missed) / (BACK[1] - BACK[0]), 0, 1)
    part = np.clip((_mean(believed, skin, WIDE * size) - MOST_OF_IT[0]) / (MOST_OF_IT[1] - MOST_OF_IT[0]), 0, 1)
    smooth = np.stack([_mean(there[..., k], believed, STIFF * size) for k in (0, 1)], 2)
    return smooth * (part * part * (3 - 2 * part))[..., None]


def shifted(texture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A texture (S, S) or (S, S, C) float32 laid over the reference of `shift_between`."""
    height, width = shift.shape[:2]
    at = shift + np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), 2)
    return cv2.remap(texture, at, None, cv2.INTER_CUBIC if texture.ndim == 3 else cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _mean(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean (S, S) by weight; towards 0 far from any."""
    return cv2.GaussianBlur(values * weight, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3)


def _correlation(a: np.ndarray, b: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Of two pictures (S, S), levels, around each texel: (S, S) in -1..1; small where there is nothing but noise."""
    mean_a, mean_b = _mean(a, weight, sigma), _mean(b, weight, sigma)
    spread = (np.maximum(_mean(x * x, weight, sigma) - m * m, 0) for x, m in ((a, mean_a), (b, mean_b)))
    return (_mean(a * b, weight, sigma) - mean_a * mean_b) / np.sqrt(np.prod(list(spread), 0) + NOISE**2)


def _evened(texture: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """(S, S) uint8: the brightness of the skin, its light and contrast evened out; flat elsewhere."""
    grey, sigma = cv2.cvtColor(texture, cv2.COLOR_RGB2GRAY), SPAN * len(skin)
    detail = grey - _mean(grey, skin, sigma)
    spread = np.sqrt(_mean(detail * detail, skin, sigma) + 1e-4)
    return np.clip(127 + CONTRAST * detail / spread * skin, 0, 255).astype(np.uint8)
