# SPDX-License-Identifier: GPL-3.0-or-later
"""The inside of the demo head's mouth: the portrait's own upper teeth, fixed to the skull, before a dark cavity."""

from __future__ import annotations

import cv2
import numpy as np

from ...mesh.model import FaceModel

CAVITY = np.array([46.0, 20.0, 20.0], np.float32)
"""sRGB, 8-bit levels: what is seen of an unlit mouth."""
TONGUE = np.array([128.0, 62.0, 60.0], np.float32)
"""Its floor, towards the lower lip."""
TONGUE_RISE = 0.11
"""How far up the tongue's light reaches, in mouth widths."""
FEATHER = 1.6
"""Pixels: softness of the lips' inner edge and of the teeth's cut."""
MARGIN = 12
"""Pixels around the lips that are worked on."""
SHADE = 0.35
"""How much darker the teeth get at the mouth's corners and under the lip."""


class MouthLayer:
    """Made once from the portrait; `over` paints the cavity of one frame."""

    def __init__(self, picture: np.ndarray, model: FaceModel, before: np.ndarray):
        """picture (H, W, 3) uint8; before (V, 2): the model's vertices on it, pixels."""
        self._picture = picture
        self._loop = model.loops["mouth"].astype(int)
        self._before = before[self._loop]
        self._teeth = _filled(picture.shape[:2], self._before, 1.0)

    def over(self, picture: np.ndarray, skull: np.ndarray, lips: np.ndarray) -> np.ndarray:
        """Paint the mouth of a frame.

        picture (H, W, 3) uint8, the head already moved; skull (V, 2): where the vertices would be had only the head moved, not
        the face: teeth go with it; lips (V, 2): where they are. Pixels.
        """
        left, top = np.maximum(np.floor(lips[self._loop].min(0)).astype(int) - MARGIN, 0)
        right, bottom = np.minimum(np.ceil(lips[self._loop].max(0)).astype(int) + MARGIN, (picture.shape[1], picture.shape[0]))
        origin = np.array([left, top])
        loop, size = lips[self._loop] - origin, (int(right - left), int(bottom - top))
        matrix, _ = cv2.estimateAffinePartial2D(self._before.astype(np.float32), (skull[self._loop] - origin).astype(np.float32), method=cv2.LMEDS)
        if matrix is None or min(size) < 2 * MARGIN:
            return picture
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts pixels from their centres, we from their corners
        opened = _filled(size[::-1], loop, FEATHER)
        teeth = cv2.warpAffine(self._picture, matrix, size, flags=cv2.INTER_LANCZOS4).astype(np.float32)
        seen = cv2.warpAffine(self._teeth, matrix, size)[..., None]
        depth = cv2.distanceTransform((opened > 0.5).astype(np.uint8), cv2.DIST_L2, 3)[..., None]
        light = 1 - SHADE * np.exp(-depth / 4)
        inside = (teeth * seen + _floor(loop, opened.shape) * (1 - seen)) * light
        weight = opened[..., None]
        out = picture.copy()
        region = out[top:bottom, left:right]
        region[:] = np.rint(region * (1 - weight) + inside * weight).clip(0, 255).astype(np.uint8)
        return out


def _floor(loop: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) cavity and, rising from the middle of the lower lip, the tongue; loop (n, 2) pixels."""
    left, right = loop[:, 0].min(), loop[:, 0].max()
    width = max(right - left, 1.0)
    across = (np.arange(shape[1], dtype=np.float32) + 0.5 - (left + right) / 2) / (0.32 * width)
    up = (loop[:, 1].max() - np.arange(shape[0], dtype=np.float32) - 0.5) / (TONGUE_RISE * width)
    tongue = np.exp(-0.5 * across**4)[None] * np.clip(1.2 - up, 0, 1)[:, None] ** 2
    return CAVITY + (TONGUE - CAVITY) * tongue[..., None]


def _filled(shape: tuple[int, int], polygon: np.ndarray, feather: float) -> np.ndarray:
    """(H, W) float32 in 0..1: inside a polygon (n, 2) in pixels, soft towards its inside."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round((polygon - 0.5) * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8))
    return cv2.GaussianBlur(inside, (0, 0), feather).astype(np.float32) / 255
