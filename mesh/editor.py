# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 1: from the emotion curves to a change of the expression coefficients, whichever editor makes it.

An editor is G of Sun et al. 2023, section 3.3: it turns coefficients c = (alpha, beta) and an emotion vector e into new
coefficients. Mien applies the residual G(c, e) - G(c, 0), so that e = 0 is exactly no edit and the acted performance,
emotional or not, is kept; `neutralise` adds n (G(c, 0) - c). See `edit`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class ShapeEditor(Protocol):
    """Level 1's interface: the FACS recipes ("analytic") and the shape GAN ("gan") both implement it."""

    name: str

    def generate(self, alpha: np.ndarray, beta: np.ndarray, emotion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """G(c, e): alpha (A,), beta (T, B), emotion (T, 7) -> new alpha (T, A) and beta (T, B)."""
        ...
