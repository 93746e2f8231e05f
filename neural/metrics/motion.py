# SPDX-License-Identifier: GPL-3.0-or-later
"""Over time: do the lips still say the words, and is the face as steady as the plate's?"""

from __future__ import annotations

import numpy as np


def correlation(plate: np.ndarray, output: np.ndarray) -> float | None:
    """Pearson's r of two apertures over time (T,); None where one of them does not move."""
    a, b = np.asarray(plate, np.float64), np.asarray(output, np.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 1e-12 else None


def gain(plate: np.ndarray, output: np.ndarray) -> float | None:
    """Slope of the least-squares line output = gain plate + offset over (T,): 1 keeps the lips' travel. None where the plate does not move."""
    a, b = np.asarray(plate, np.float64), np.asarray(output, np.float64)
    a = a - a.mean()
    power = a @ a
    return float(a @ (b - b.mean()) / power) if power > 1e-12 else None


class Jitter:
    """Sum of |second differences over time| of points that come frame by frame, in constant memory."""

    def __init__(self) -> None:
        self._last: list[np.ndarray] = []
        self.total, self.count = 0.0, 0

    def add(self, points: np.ndarray | None) -> None:
        """Points (N, 2) of the next frame, None where there are none: nothing is measured across the gap."""
        if points is None:
            self._last = []
            return
        if len(self._last) == 2:
            self.total += float(np.abs(points - 2 * self._last[1] + self._last[0]).mean())
            self.count += 1
        self._last = [*self._last[-1:], np.asarray(points, np.float64)]

    @property
    def mean(self) -> float:
        """Mean |p(t+1) - 2 p(t) + p(t-1)|, in the points' unit."""
        return self.total / self.count if self.count else 0.0


def jitter_ratio(plate: Jitter, output: Jitter) -> float | None:
    """High-frequency motion of the output over that of the plate: 1 is as steady. None where the plate stands still."""
    return output.mean / plate.mean if plate.mean > 1e-12 else None
