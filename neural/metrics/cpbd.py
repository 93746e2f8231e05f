# SPDX-License-Identifier: GPL-3.0-or-later
"""CPBD, sharpness without a reference (Narvekar and Karam 2011, IEEE TIP 20(9): "A no-reference image blur metric based on CPBD").

Written from the paper's description. The authors' own program finds its edges with MATLAB's detectors, whose details differ, so
compare values of this module with values of this module.
"""

from __future__ import annotations

import cv2
import numpy as np

BLOCK = 64
EDGE_SHARE = 0.002
"""A block with a larger share of edge pixels than this is an edge block; only those are looked at."""
BETA = 3.6
WIDTH_LOW, WIDTH_HIGH, CONTRAST = 5.0, 3.0, 50
"""Just noticeable blur: an edge 5 px wide where a block's contrast is at most 50 levels, 3 px where it is higher."""
NOTICED = 1 - np.exp(-1.0)
"""P_JNB = 63 %: the blur of an edge exactly as wide as the just noticeable one."""


def _canny(grey: np.ndarray) -> np.ndarray:
    """Canny edges (H, W) bool; thresholds from the picture's own gradients: their 70 % quantile, and 0.4 of it."""
    smooth = cv2.GaussianBlur(grey, (0, 0), np.sqrt(2))
    gx, gy = (cv2.Sobel(smooth, cv2.CV_32F, i, 1 - i) for i in (1, 0))
    magnitude = np.hypot(gx, gy)
    high = float(np.quantile(magnitude, 0.7))
    if high <= 0:
        high = float(magnitude.max()) / 2
    if high <= 0:
        return np.zeros(grey.shape, bool)
    scale = 8.0  # OpenCV takes 16-bit gradients
    edges = cv2.Canny(*((g * scale).clip(-32767, 32767).astype(np.int16) for g in (gx, gy)), 0.4 * high * scale, high * scale, L2gradient=True)
    return edges > 0


def _upright_edges(grey: np.ndarray) -> np.ndarray:
    """Sobel edges (H, W) bool that run within 22.5 degrees of upright, thinned along the row."""
    gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    power = gx * gx
    strong = power > 4 * power.mean()
    peak = np.zeros(grey.shape, bool)
    peak[:, 1:-1] = (power[:, 1:-1] >= power[:, :-2]) & (power[:, 1:-1] > power[:, 2:])
    return strong & peak & (np.abs(gy) <= np.tan(np.pi / 8) * np.abs(gx))


def _runs(rising: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """rising (H, W - 1) bool: whether a step along the row continues. -> how many steps on end lie left and right of each pixel, (H, W) each."""
    h, w = rising.shape[0], rising.shape[1] + 1
    left, right = np.zeros((h, w), np.int32), np.zeros((h, w), np.int32)
    for x in range(1, w):
        left[:, x] = (left[:, x - 1] + 1) * rising[:, x - 1]
        right[:, w - 1 - x] = (right[:, w - x] + 1) * rising[:, w - 1 - x]
    return left, right


def edge_widths(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upright edges of a picture (H, W) float32 and their widths: (H, W) bool, (H, W) int32 in pixels.

    An edge's width is the way along the row between the local extremes on its two sides (Marziliano et al. 2002).
    """
    edges = _upright_edges(grey)
    step = np.diff(grey, axis=1)
    up, down = _runs(step > 0), _runs(step < 0)
    rises = cv2.Sobel(grey, cv2.CV_32F, 1, 0) > 0
    return edges, np.where(rises, up[0] + up[1], down[0] + down[1])


def cpbd(picture: np.ndarray) -> float | None:
    """CPBD = P(P_blur <= P_JNB), P_blur = 1 - exp(-(w / w_JNB)^beta) over the edges of all edge blocks; 0..1, higher is sharper.

    picture: (H, W) or (H, W, 3) uint8 sRGB, at least 64 x 64. None when it has no edge at all.
    """
    grey = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture).astype(np.float32)
    if min(grey.shape) < BLOCK:
        raise ValueError(f"CPBD needs a picture of at least {BLOCK} x {BLOCK} pixels")
    canny = _canny(grey)
    edges, widths = edge_widths(grey)
    seen = sharp = 0
    for y in range(0, grey.shape[0] - BLOCK + 1, BLOCK):
        for x in range(0, grey.shape[1] - BLOCK + 1, BLOCK):
            block = np.s_[y:y + BLOCK, x:x + BLOCK]
            if canny[block].mean() <= EDGE_SHARE:
                continue
            w = widths[block][edges[block]]
            w = w[w > 0]
            just = WIDTH_LOW if np.ptp(grey[block]) <= CONTRAST else WIDTH_HIGH
            blur = 1 - np.exp(-((w / just) ** BETA))
            seen, sharp = seen + len(w), sharp + int((blur <= NOTICED).sum())
    return sharp / seen if seen else None
