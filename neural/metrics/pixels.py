# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences of pictures: PSNR, SSIM, NED's average pixel distances, and what changed outside the face.

Pictures are (H, W, 3) uint8 sRGB, of one size; masks (H, W) bool.
"""

from __future__ import annotations

import cv2
import numpy as np
from skimage.metrics import structural_similarity

MOUTH_SIDE = 72
"""Side of MAPD's square in a face picture of 256 x 256 (Papantoniou et al. 2022, section 4.4)."""


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """10 log10(255^2 / MSE), dB; infinite for equal pictures."""
    error = cv2.norm(a, b, cv2.NORM_L2SQR) / a.size
    return float(10 * np.log10(255**2 / error)) if error > 0 else float("inf")


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity of the luma (Wang et al. 2004: Gaussian window, sigma 1.5), by scikit-image; 1 for equal pictures."""
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (a, b)]
    return float(structural_similarity(*grey, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False))


def average_pixel_distance(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean over pixels of |rgb_a - rgb_b|_2, in levels of 0..255 (Papantoniou et al. 2022, section 4.2).

    Over the whole picture APD, over the face FAPD, over the mouth's square MAPD. NaN for an empty mask.
    """
    if mask is not None:
        if not mask.any():
            return float("nan")
        a, b = a[mask], b[mask]
    d = cv2.absdiff(a, b).astype(np.float32)
    return float(np.sqrt((d * d).sum(-1)).mean(dtype=np.float64))


def mouth_square(centre: np.ndarray, shape: tuple[int, ...], side: int = MOUTH_SIDE) -> np.ndarray:
    """(H, W) bool: the square of `side` pixels around the mouth's centre (2,), cut at the picture's edges."""
    mask = np.zeros(shape[:2], bool)
    x, y = (round(float(c) - side / 2) for c in centre)
    mask[max(y, 0):max(y + side, 0), max(x, 0):max(x + side, 0)] = True
    return mask


def outside_difference(a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> tuple[int, float]:
    """(largest, 99th percentile of the) absolute difference of a channel where `inside` (H, W) bool is False; levels of 0..255."""
    d = cv2.absdiff(a, b).max(-1)
    d[inside] = 0
    count = d.size - int(np.count_nonzero(inside))
    if count == 0:
        return 0, 0.0
    histogram = np.bincount(d.ravel(), minlength=256)
    histogram[0] -= d.size - count
    return int(d.max()), float(np.searchsorted(np.cumsum(histogram), 0.99 * count))
