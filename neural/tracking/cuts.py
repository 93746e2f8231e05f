# SPDX-License-Identifier: GPL-3.0-or-later
"""Hard cuts, told from the change of the picture's colours and layout between neighbours."""

from __future__ import annotations

import cv2
import numpy as np

CELLS = (48, 27)
FINE = 4
"""Pixels looked at along each side of a cell: enough for its mean, in a fraction of the time that all of them take."""
CHANGE = 0.10
"""A cut changes the picture by more than this (mean absolute difference of small pictures, 0..1) ..."""
AGAINST = 5.0
"""... and by this many times what neighbouring frames change."""
CORRELATION = 0.75
"""... and leaves its brightness layout less alike than this."""


class CutDetector:
    """Feed it every frame in order; it says whether a new take starts there."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def starts_take(self, rgb: np.ndarray) -> bool:
        """(H, W, 3) uint8. The first frame starts none."""
        sides = rgb.shape[1] // (FINE * CELLS[0]), rgb.shape[0] // (FINE * CELLS[1])
        step = max(1, min(sides))
        small = cv2.resize(rgb[::step, ::step], CELLS, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        last, self._last = self._last, small
        if last is None:
            return False
        change = float(np.abs(small - last).mean())
        a, b = small.mean(2).ravel(), last.mean(2).ravel()
        spread = float(a.std() * b.std())
        alike = float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 1e-6 else 1.0
        cut = change > CHANGE and change > AGAINST * self._usual and alike < CORRELATION
        if not cut:
            self._usual = change if self._usual == 0 else 0.8 * self._usual + 0.2 * change
        return cut
