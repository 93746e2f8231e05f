# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 1 for one frame at a time, as the viewport needs it: what mesh.editor.edit_shape gives on that frame, without the rest of the shot.

A frame's edit depends on the curves of the frame and its two neighbours (the Hann window), and on its take as a whole only through
what Neutralise does, which is computed once, when Neutralise is first used.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .anatomy import Anatomy
from .editor import HANN, ShapeEditor, level1, neutral_change
from .emotion import EmotionCurves
from .model import FaceModel
from .shot import Solve


class LiveEditor:
    """The edit of single frames of a solved shot with A identity and B expression directions."""

    def __init__(self, model: FaceModel, solve: Solve, editor: ShapeEditor):
        self.solve, self.editor, self.anatomy = solve, editor, Anatomy(model)
        frames = len(solve.beta)
        self._first, self._last = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
        for start, end in solve.segments:
            self._first[start:end], self._last[start:end] = start, end - 1
        solved = np.flatnonzero(solve.solved)
        before = np.searchsorted(solved, np.arange(frames), side="right") - 1
        self._held = solved[np.maximum(before, 0)] if len(solved) else np.zeros(frames, np.int64)

    def window(self, index: int) -> np.ndarray:
        """(3,) indices of the frames that the edit of frame `index` is made of.

        Frames before and after the shot, and frames without a face, hold the last solved frame, as the mesh in the viewport does.
        """
        centre = self._held[min(max(index, 0), len(self._held) - 1)]
        return np.array([max(centre - 1, self._first[centre]), centre, min(centre + 1, self._last[centre])])

    def edit(self, window: np.ndarray, curves: EmotionCurves) -> tuple[np.ndarray, np.ndarray]:
        """The change of alpha (A,) and beta (B,) on the window's middle frame; `curves` has the window's three rows."""
        solve = self.solve
        unacted = (self._unacted[0][window], self._unacted[1][window]) if curves.neutralise.any() else None
        da, db = level1(self.anatomy, self.editor, solve.alpha, solve.beta[window], curves, unacted=unacted)
        hann = np.float32(HANN)
        return hann @ da, hann @ db

    @cached_property
    def _unacted(self) -> tuple[np.ndarray, np.ndarray]:
        """`neutral_change` of every frame, (T, A) and (T, B), take by take, as edit_shape has it; zero where not solved."""
        solve = self.solve
        alpha, beta = np.zeros((len(solve.beta), len(solve.alpha)), np.float32), np.zeros_like(solve.beta)
        for start, end in solve.segments:
            alpha[start:end], beta[start:end] = neutral_change(self.anatomy, self.editor, solve.alpha, solve.beta[start:end])
        return alpha, beta
