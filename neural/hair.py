# SPDX-License-Identifier: GPL-3.0-or-later
"""Hair and background in the directions of emotions: another take of the actor has them elsewhere, and they are no emotion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from .level2 import TextureModel

HAIR, REACH = 0.1, 0.049
"""Change of a texel, working space, from which a direction may bring hair, and how far from the face's outline that begins, a part of the texture's
size."""
LIGHT = 0.6
"""Part of the skin's brightness below which what hangs together with the outline is hair or background."""


def skin_alone(model: TextureModel, mask: np.ndarray) -> np.ndarray:
    """(S, S) float32: 0 where a direction brings in hair or background: strong changes, and what is dark before or after the change, that hang
    together with the outline of the face. mask (S, S) bool: the face.
    """
    whole, reach = np.zeros(mask.shape, np.uint8), 2 * max(1, round(REACH * len(mask) / 2)) - 1
    cv2.drawContours(whole, cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], -1, 1, -1)

    def within(width: int) -> np.ndarray:
        return cv2.erode(whole, np.ones((width, width), np.uint8), borderValue=0) > 0

    ring, middle = mask & ~within(reach), mask & within(4 * reach)

    def outer(found: np.ndarray) -> np.ndarray:
        parts = cv2.connectedComponents((found & mask).astype(np.uint8))[1]
        return np.isin(parts, np.setdiff1d(parts[ring], 0))

    foreign = np.zeros(mask.shape, bool)
    zero = np.zeros((1, *model.images.latent_shape), np.float32)
    rest = model.images.decode(zero)[0].mean(2)
    for direction in model.emotions[model.emotions.any(1)]:
        change = model.images.delta(zero, direction.reshape(zero.shape))[0]
        foreign |= outer(cv2.GaussianBlur(np.abs(change).max(2), (0, 0), 2) > HAIR)
        for way in (-0.5, 0.5):
            light = cv2.GaussianBlur(rest + way * change.mean(2), (0, 0), 2)
            foreign |= outer(light < LIGHT * np.median(light[middle if middle.any() else mask]))
    further = 3 * reach // 2
    grown = cv2.dilate(foreign.astype(np.uint8), np.ones((further, further), np.uint8)).astype(np.float32)
    return 1 - cv2.GaussianBlur(grown, (0, 0), reach / 3)
