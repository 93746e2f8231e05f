# SPDX-License-Identifier: GPL-3.0-or-later
"""Shut eyes: how far the lids are apart on the plate, told to the solve as such.

Where a lid lies is told by landmarks that err together by more than a lid's gap; how far two lids are apart is not. So a shut eye would stay a slit.
"""

from __future__ import annotations

import numpy as np

from ...mesh.model import FaceModel
from .gaze import CORNERS, LIDS
from .problem import Observed, State

SHUT = (0.4, 0.6)
"""Aperture over the usual one: below the first the gap counts in full, above the second not at all. An open lid has its landmarks."""


class Lids:
    """The gap between the lids over the eye's width, as `gaze.lid_aperture`; linear in beta once the pose is known (weak perspective)."""

    def __init__(self, model: FaceModel, alpha: np.ndarray, usual: np.ndarray, sigma: float):
        """alpha (A,); usual (2,): median aperture of the right and the left eye on the plate; sigma: of a gap, as a part of the eye's width."""
        self.usual, self.sigma = np.maximum(usual, 1e-6), sigma
        column = {int(i): k for k, i in enumerate(model.landmark_ids)}
        self.there = all(i in column for eye in (*CORNERS, *LIDS) for i in eye)
        if not self.there:
            return
        self.columns = np.array([[column[i] for i in (*lids, *corners)] for lids, corners in zip(LIDS, CORNERS)])
        rest = model.mean[model.landmark_vertices].astype(np.float64)
        rest = rest + np.tensordot(np.asarray(alpha, np.float64), model.identity[:, model.landmark_vertices], 1)
        moves = model.expression[:, model.landmark_vertices].astype(np.float64)
        upper, lower, outer, inner = self.columns.T
        # (2, 3) metres, from the upper to the lower lid of either eye, and what beta adds, (2, 3, B).
        self.gap, self.moves = rest[lower] - rest[upper], np.moveaxis(moves[:, lower] - moves[:, upper], 0, -1)
        self.width = rest[inner] - rest[outer]
        self.width[1] *= -1  # from the picture's left to its right for both

    def add(self, H: np.ndarray, g: np.ndarray, state: State, seen: Observed) -> None:
        """Add the gaps of shut eyes to normal equations of beta (n, B, B) and (n, B), in place."""
        if not self.there:
            return
        upper, lower, outer, inner = (seen.y[:, column, :2] for column in self.columns.T)
        want = np.linalg.norm(lower - upper, axis=-1) / np.maximum(np.linalg.norm(inner - outer, axis=-1), 1e-6)
        open_, closed = SHUT[1], SHUT[0]
        weight = np.clip((open_ - want / self.usual) / (open_ - closed), 0, 1) * seen.weight[:, self.columns].min(-1) / self.sigma**2
        across = np.einsum("nij,ej->nei", state.rotation[:, :2], self.width)
        length = np.linalg.norm(across, axis=-1, keepdims=True)
        down = np.stack([-across[..., 1], across[..., 0]], -1) / length**2  # square to the eye on the picture, over its width there
        axis = np.einsum("nei,nij->nej", down, state.rotation[:, :2])
        rows = np.einsum("nej,ejk->nek", axis, self.moves)
        error = np.einsum("nej,ej->ne", axis, self.gap) + np.einsum("nek,nk->ne", rows, state.beta) - want
        H += np.einsum("nei,ne,nej->nij", rows, weight, rows, optimize=True)
        g += np.einsum("ne,nei->ni", weight * error, rows)
