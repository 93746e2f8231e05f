# SPDX-License-Identifier: GPL-3.0-or-later
"""ID: is it still the same person? (Sun et al. 2023, section 4.2: cosine similarity of the average ArcFace features)"""

from __future__ import annotations

import numpy as np


def cosine_of_means(mean_a: np.ndarray, mean_b: np.ndarray) -> float:
    """ID = <m_a, m_b> / (|m_a| |m_b|) of the mean features (D,) of two clips; 1 is the same. Raises ValueError for a zero vector."""
    a, b = np.asarray(mean_a, np.float64).ravel(), np.asarray(mean_b, np.float64).ravel()
    scale = np.linalg.norm(a) * np.linalg.norm(b)
    if not scale > 0:
        raise ValueError("a mean feature is zero")
    return float(a @ b / scale)
