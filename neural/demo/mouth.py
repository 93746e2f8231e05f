# SPDX-License-Identifier: GPL-3.0-or-later
"""The inside of the demo head's mouth: the portrait's own upper teeth, fixed to the skull, before a dark cavity."""

from __future__ import annotations

import cv2
import numpy as np

from ...mesh.model import FaceModel

CAVITY = np.array([52.0, 22.0, 22.0], np.float32)
"""sRGB, 8-bit levels: what is seen of an unlit mouth."""
FEATHER = 1.6
"""Pixels: softness of the lips' inner edge and of the teeth's cut."""
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
        opened = _filled(picture.shape[:2], lips[self._loop], FEATHER)
        if not opened.any():
            return picture
        matrix, _ = cv2.estimateAffinePartial2D(self._before.astype(np.float32), skull[self._loop].astype(np.float32), method=cv2.LMEDS)
        if matrix is None:
            return picture
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts pixels from their centres, we from their corners
        size = (picture.shape[1], picture.shape[0])
        teeth = cv2.warpAffine(self._picture, matrix, size, flags=cv2.INTER_LANCZOS4).astype(np.float32)
        seen = cv2.warpAffine(self._teeth, matrix, size)[..., None]
        depth = cv2.distanceTransform((opened > 0.5).astype(np.uint8), cv2.DIST_L2, 3)[..., None]
        light = 1 - SHADE * np.exp(-depth / 4)
        inside = (teeth * seen + CAVITY * (1 - seen)) * light
        weight = opened[..., None]
        return np.rint(picture * (1 - weight) + inside * weight).clip(0, 255).astype(np.uint8)


def _filled(shape: tuple[int, int], polygon: np.ndarray, feather: float) -> np.ndarray:
    """(H, W) float32 in 0..1: inside a polygon (n, 2) in pixels, soft towards its inside."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round((polygon - 0.5) * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8))
    return cv2.GaussianBlur(inside, (0, 0), feather).astype(np.float32) / 255
