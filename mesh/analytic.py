# SPDX-License-Identifier: GPL-3.0-or-later
"""The analytic editor: FACS recipes over the model's named directions, with the interface of the shape GAN.

It knows what an actor does on the frame: lids that are closing are left alone, a smile yields to rounded lips, muscles that
contradict the emotion relax. Its edit is linear in every intensity.
"""

from __future__ import annotations

import numpy as np

from . import facs
from .emotion import EMOTIONS
from .model import FaceModel

LID_STILL, LID_FREE = 0.25, 0.75
"""Lids open less than the first part of their rest opening are not moved, above the second freely."""
LID_LEAST = 0.4
"""Narrow eyes take lid moves in proportion to their opening, but no less than this part of them."""
DROOP, DROOP_FROM = {"surprised": 0.8}, 0.15
"""Emotion -> how much of a drooping lid (what is more than the second of a blink) it lifts at intensity 1, as far as lids may be moved at all: blinks
close as filmed, and lids that are merely unsteady are left alone."""
ROUND_FROM, ROUND_FULL, ROUND_LEAVES = 1.0, 0.6, 0.6
"""A mouth narrower than this part of its rest width starts to weaken the corners' pull, down to what is left at the second."""


class AnalyticEditor:
    """Implements mesh.editor.ShapeEditor."""

    name = "analytic"

    def __init__(self, model: FaceModel):
        self.model = model
        names = model.expression_names
        self.recipes = np.zeros((len(EMOTIONS), len(names)), np.float32)
        """(7, B): beta added at intensity 1."""
        self.relax = np.zeros_like(self.recipes)
        """(7, B) in 0..1: part of the actor's own action that goes at intensity 1."""
        for e, emotion in enumerate(EMOTIONS):
            for action, amount in facs.PROTOTYPES[emotion].items():
                for name, weight in facs.directions(action).items():
                    if name in model.expression_index:
                        self.recipes[e, model.expression_index[name]] += amount * weight
            for stem, amount in facs.ANTAGONISTS[emotion].items():
                for name in facs.sided(stem):
                    if name in model.expression_index:
                        self.relax[e, model.expression_index[name]] = amount
        self.acted = np.array([any(n in facs.sided(stem) for stem in facs.ACTED) for n in names])
        self._lifted = np.zeros_like(self.recipes)
        """(7, B): part of the frame's own direction that goes where its gain is 1."""
        for emotion, amount in DROOP.items():
            self._lifted[EMOTIONS.index(emotion), [i for i, n in enumerate(names) if n.startswith("eyeBlink")]] = amount
        self._lids = {side: np.array([n.startswith(("eyeWide", "eyeSquint", "eyeBlink")) and n.endswith(side) for n in names])
                      for side in ("Left", "Right")}
        self._corners = np.array([n.startswith(("mouthSmile", "mouthStretch", "cornerPullSharp")) for n in names])

    def generate(self, alpha: np.ndarray, beta: np.ndarray, emotion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """G(c, e): alpha (A,) or (T, A), beta (T, B), emotion (T, 7) -> alpha (T, A), unchanged, and beta (T, B).

        G(c, 0) is the performance without its lasting emotional part (the median of the run of the directions in facs.ACTED).
        """
        base = beta.copy()
        base[:, self.acted] -= np.median(beta[:, self.acted], axis=0)
        relaxed = base - beta * np.clip(emotion @ self.relax, 0, 1)
        out = relaxed + (emotion @ self.recipes - (emotion @ self._lifted) * np.maximum(beta - DROOP_FROM, 0)) * self.gains(alpha, beta)
        return np.broadcast_to(alpha, (len(beta), alpha.shape[-1])), out

    def gains(self, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """(T, B) in 0..1: how much of each direction the frame's own lids and lips allow."""
        gain = np.ones_like(beta)
        for side, (upper, lower) in {"Right": (159, 145), "Left": (386, 374)}.items():
            opening, size = self._relative(alpha, beta, upper, lower)
            gain[:, self._lids[side]] = (_ramp(opening, LID_STILL, LID_FREE) * np.clip(opening * size, LID_LEAST, 1))[:, None]
        width, _ = self._relative(alpha, beta, 61, 291)
        gain[:, self._corners] = (ROUND_LEAVES + (1 - ROUND_LEAVES) * _ramp(width, ROUND_FULL, ROUND_FROM))[:, None]
        return gain

    def _relative(self, alpha: np.ndarray, beta: np.ndarray, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        """(T,) distance of two landmarks over what it is on the person's resting face, and that, () or (T,), over the mean face's."""
        va, vb = self.model.vertices_of_landmarks([a, b])
        mean = self.model.mean[va] - self.model.mean[vb]
        rest = mean + np.tensordot(alpha, self.model.identity[:, va] - self.model.identity[:, vb], 1)
        moved = rest + beta @ (self.model.expression[:, va] - self.model.expression[:, vb])
        length = np.maximum(np.linalg.norm(rest, axis=-1), 1e-6)
        return np.linalg.norm(moved, axis=1) / length, length / max(float(np.linalg.norm(mean)), 1e-6)


def _ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at low to 1 at high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)
