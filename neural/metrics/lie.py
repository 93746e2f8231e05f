# SPDX-License-Identifier: GPL-3.0-or-later
"""LIE: how linear an edit is in its intensity (Sun et al. 2023, section 4.2, eq. 8).

The paper's distance is LPIPS on 256 x 256 pictures. It needs weights, so there are three others, each named as what it is:
pixels (RMS of sRGB values), texture (the same in UV space, blind to movement) and mesh (mean way of the vertices).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def neighbour_distances(samples: Sequence[T], distance: Callable[[T, T], float]) -> np.ndarray:
    """d_i between neighbours of n + 1 samples whose intensities rise evenly from 0 to 1: (n,) float64."""
    return np.array([distance(a, b) for a, b in zip(samples, samples[1:])], np.float64)


def lie(distances: np.ndarray | Sequence[float]) -> float:
    """LIE = CV(d_i) = sigma(d_i) / mu(d_i) (eq. 8); sigma with divisor n. 0: linear. It does not depend on the distance's scale.

    Raises ValueError for fewer than two distances, for negative ones, and when all are 0 (nothing was edited).
    """
    d = np.asarray(distances, np.float64)
    if d.ndim != 1 or len(d) < 2 or not np.isfinite(d).all() or d.min() < 0:
        raise ValueError("LIE needs at least two distances, none negative")
    mean = d.mean()
    if mean == 0:
        raise ValueError("LIE is undefined where nothing changes with the intensity")
    return float(d.std() / mean)


def pixel_distance(a: np.ndarray, b: np.ndarray, weight: np.ndarray | None = None) -> float:
    """RMS difference of two pictures or textures (H, W, 3) of 0..255; `weight` (H, W) >= 0 says where it counts."""
    squared = ((np.asarray(a, np.float64) - b) ** 2).mean(-1)
    if weight is None:
        return float(np.sqrt(squared.mean()))
    total = float(weight.sum())
    return float(np.sqrt((squared * weight).sum() / total)) if total > 0 else 0.0


def mesh_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean Euclidean distance of corresponding vertices (V, 3), in their unit."""
    return float(np.linalg.norm(np.asarray(a, np.float64) - b, axis=-1).mean())
