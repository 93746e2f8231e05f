# SPDX-License-Identifier: GPL-3.0-or-later
"""The Frechet distance of two sets of features (Heusel et al. 2017): FID with Inception or a face network, FED with an emotion network.

Sun et al. 2023, section 4.2: FED replaces FID's network by one for emotion recognition trained on AffectNet.
"""

from __future__ import annotations

import numpy as np


class Moments:
    """Mean and covariance of features that come one by one; memory does not grow with their number."""

    def __init__(self) -> None:
        self.count = 0
        self._shift = self._sum = self._outer = np.zeros(0)

    def add(self, feature: np.ndarray) -> None:
        """One feature (D,). Raises ValueError when D changes or a value is not finite."""
        x = np.asarray(feature, np.float64).ravel()
        if not np.isfinite(x).all():
            raise ValueError("a feature is not finite")
        if self.count == 0:
            self._shift, self._sum, self._outer = x, np.zeros(len(x)), np.zeros((len(x), len(x)))
        elif len(x) != len(self._shift):
            raise ValueError(f"features have {len(self._shift)} and {len(x)} numbers")
        d = x - self._shift  # near zero, so that no digits are lost in the squares
        self.count += 1
        self._sum = self._sum + d
        self._outer += np.outer(d, d)

    @property
    def mean(self) -> np.ndarray:
        """(D,) float64."""
        if self.count == 0:
            raise ValueError("no features yet")
        return self._shift + self._sum / self.count

    @property
    def covariance(self) -> np.ndarray:
        """(D, D) float64, with divisor n - 1."""
        if self.count < 2:
            raise ValueError("a covariance needs two features")
        return (self._outer - np.outer(self._sum, self._sum) / self.count) / (self.count - 1)

    def mapped(self, matrix: np.ndarray) -> Moments:
        """The moments of `matrix` (E, D) times the features."""
        out = Moments()
        out.count, out._shift, out._sum, out._outer = self.count, matrix @ self._shift, matrix @ self._sum, matrix @ self._outer @ matrix.T
        return out


def _root(matrix: np.ndarray) -> np.ndarray:
    """Square root of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def frechet_distance(mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), for means (D,) and covariances (D, D).

    The trace of the root is taken from the symmetric C_a^(1/2) C_b C_a^(1/2), which has the same eigenvalues and needs no complex numbers.
    """
    root = _root(covariance_a)
    cross = np.sqrt(np.linalg.eigvalsh(root @ covariance_b @ root).clip(0)).sum()
    value = ((mean_a - mean_b) ** 2).sum() + np.trace(covariance_a) + np.trace(covariance_b) - 2 * cross
    return float(max(value, 0.0))


def frechet(a: Moments, b: Moments) -> float:
    """The distance of two sets. Raises ValueError when one has fewer than two features."""
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
