# SPDX-License-Identifier: GPL-3.0-or-later
"""The working space of latent models: display-like sRGB, 0 to 1, in which equal steps look alike; plates of any depth go there and back."""

from __future__ import annotations

import numpy as np

from ..media import linear_to_srgb, srgb_to_linear


def to_working(pixels: np.ndarray, linear: bool) -> np.ndarray:
    """Plate pixels (..., C) uint8, uint16 or float -> float32; scene-linear values go through the sRGB curve, which goes on above 1."""
    if pixels.dtype == np.float32:
        return linear_to_srgb(pixels) if linear else pixels
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def from_working(values: np.ndarray, dtype: np.dtype | type, linear: bool) -> np.ndarray:
    """The inverse, to the plate's own type: rounded and clipped for integers, scene-linear where the plate is."""
    if np.issubdtype(dtype, np.floating):
        return (srgb_to_linear(values) if linear else values).astype(dtype)
    top = np.iinfo(dtype).max
    return np.clip(np.rint(values * top), 0, top).astype(dtype)
