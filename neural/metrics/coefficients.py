# SPDX-License-Identifier: GPL-3.0-or-later
"""Distances of solved coefficients: AED of expressions, APD of poses (as FG-EmoTalk 2024 and the talking-head papers before it report).

The papers solve both clips with one regressor and take the mean over frames of the mean absolute difference of the coefficients. Scales
depend on the face model, so values compare only within one model.
"""

from __future__ import annotations

import numpy as np


def average_coefficient_distance(a: np.ndarray, b: np.ndarray) -> float | None:
    """mean_t mean_k |a_tk - b_tk| over frames solved in both, for (T, K); None when there is none.

    With expression coefficients it is AED, with pose (rotation, radians) APD. Raises ValueError when the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"coefficients of {a.shape} and {b.shape} cannot be compared")
    both = np.isfinite(a).all(1) & np.isfinite(b).all(1)
    return float(np.abs(a[both].astype(np.float64) - b[both]).mean()) if both.any() else None
