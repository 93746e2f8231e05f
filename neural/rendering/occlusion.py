# SPDX-License-Identifier: GPL-3.0-or-later
"""A face layer behind what stands before the face: where the artist's mask covers it, the plate stays, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from .renderer import FaceLayer

COVERED = 0.5
"""Of the mask: from here on the plate stays whole."""
EDGE = 3.0
"""Pixels at least for each of the two soft edges around a mask: first the matte's, then the patch's."""
EDGE_SHARE = 0.006
"""The same as a part of the picture's height."""


def behind_mask(layer: FaceLayer, plate: np.ndarray, mask: np.ndarray | None) -> FaceLayer:
    """The layer with what the mask (H, W) float32, 1 = hidden, covers taken out; plate (H, W, C).

    A pixel whose source on the plate lies under the mask counts as covered too: a moved cheek must not bring a piece of the hand along. Around
    the mask the patch becomes the plate first, and the matte fades where the two are equal, as at the layer's outer edge: growing or blurring
    the matte in the compositor shows nothing but the plate there.
    """
    if mask is None:
        return layer
    l, t, r, b = layer.box
    here = np.ascontiguousarray(mask[t:b, l:r])
    y, x = np.mgrid[t:b, l:r].astype(np.float32)
    source = cv2.remap(mask, x + layer.displacement[..., 0], y + layer.displacement[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    hidden = np.maximum(here, source)
    if not hidden.any():
        return layer
    edge = max(EDGE, EDGE_SHARE * len(plate))
    away = cv2.distanceTransform((hidden < COVERED).astype(np.uint8), cv2.DIST_L2, 5) if (hidden >= COVERED).any() else np.full_like(hidden, np.inf)
    matte = layer.matte * _ramp(away / edge)
    amount = (_ramp(away / edge - 1) * (1 - hidden))[..., None]
    own = plate[t:b, l:r]
    mixed = own + amount * (layer.patch.astype(np.float32) - own)
    mixed = mixed if own.dtype == np.float32 else np.rint(mixed).astype(own.dtype)
    patch = np.where(amount == 0, own, np.where(amount == 1, layer.patch, mixed))
    return replace(layer, patch=patch, matte=matte.astype(np.float32), displacement=layer.displacement * amount)


def _ramp(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0, 1).astype(np.float32)
    return x * x * (3 - 2 * x)
