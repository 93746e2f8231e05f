# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a frown fade when an edit lets the brows go.

Level 2 learns the skin's lines from a shot in which they come and go. A frown that is held all the way shows nothing of that, so its lines would
stay on brows that no longer make them. Creases between the brows are dark, narrow and deeper than pores: that part of the picture is taken away
there, by as much as brow lowering (AU 4) is; grain and broad shading stay.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..mesh import facs
from ..mesh.anatomy import directions, vertices
from ..mesh.model import FaceModel
from .latent.working import from_working, to_working
from .rendering import FaceLayer

RING = (9, 107, 55, 193, 122, 6, 351, 417, 285, 336)
"""Landmarks around the skin between the brows, down to the root of the nose."""
INNER = 0.8
"""Part of the ring's width that is worked on: the brows' own hair is dark and narrow too."""
EDGE = 0.03
"""Softness of its edge, in face widths."""
NARROW, BROAD = 0.003, 0.035
"""Widths of a crease, in face widths, as standard deviations of the blurs between which it lies."""
PORES = 0.008
"""Depth, working space, up to which skin is left alone."""
RIDGES = 0.5
"""How much of the light ridges beside the creases goes with them."""
FROM, FULL = 0.035, 0.35
"""AU 4 that an edit takes away before lines begin to go, so that a mere smile costs no time, and for them to go wholly."""


class Furrows:
    """Fades frown lines on the frames of one shot. Does nothing on a model without AU 4 or the landmarks."""

    def __init__(self, model: FaceModel, strength: float, linear: bool):
        """strength in 0..1; linear: the plate's pixels are scene-linear."""
        self.strength = strength
        self._ring, self._linear = vertices(model, RING), linear
        weights = directions(model, facs.directions(4))
        self._lowering = weights / max(float(weights @ weights), 1e-9) if len(self._ring) == len(RING) else weights * 0

    def over(self, layer: FaceLayer, beta: np.ndarray, after: np.ndarray) -> FaceLayer:
        """The layer with its frown lines faded; beta (B,) the edit's change of expression, after (V, 2) pixels, the edited vertices."""
        amount = self.strength * float(np.clip((-(beta @ self._lowering) - FROM) / (FULL - FROM), 0, 1))
        ring, width = after[self._ring] - layer.box[:2], float(np.ptp(after[:, 0]))
        reach = int(np.ceil(3 * BROAD * width))
        left, top = np.maximum(np.floor(ring.min(0)).astype(int) - reach, 0)
        right, bottom = np.minimum(np.ceil(ring.max(0)).astype(int) + reach, layer.matte.shape[::-1])
        if amount < 1e-3 or right - left < 8 or bottom - top < 8:
            return layer
        region = to_working(np.ascontiguousarray(layer.patch[top:bottom, left:right, :3]), self._linear)
        share = amount * self._between(ring - (left, top), region.shape[:2], width)[..., None]
        band = cv2.GaussianBlur(region, (0, 0), max(NARROW * width, 0.5)) - cv2.GaussianBlur(region, (0, 0), BROAD * width)
        crease = np.minimum(band + PORES, 0) + RIDGES * np.maximum(band - PORES, 0)
        patch = layer.patch.copy()
        faded = from_working(region - share * crease, patch.dtype, self._linear)
        np.copyto(patch[top:bottom, left:right, :3], faded, where=share > 0)
        return replace(layer, patch=patch)

    @staticmethod
    def _between(ring: np.ndarray, size: tuple[int, int], width: float) -> np.ndarray:
        """(h, w) in 0..1: the skin between the brows, ring (n, 2) pixels, with a soft edge that lies inside."""
        middle = ring.mean(0)
        mask = np.zeros(size, np.float32)
        cv2.fillConvexPoly(mask, cv2.convexHull((middle + (ring - middle) * (INNER, 1)).round().astype(np.int32)), (1.0,))
        return np.clip(2 * cv2.GaussianBlur(mask, (0, 0), EDGE * width) - 1, 0, 1) * mask
