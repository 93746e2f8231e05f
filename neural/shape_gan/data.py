# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled coefficients: what level 1 is trained on, whoever makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...mesh.errors import MienError

FIELDS = ("alpha", "beta", "emotion", "actor", "take")


@dataclass(frozen=True, eq=False)
class Coefficients:
    """N frames with their labels."""

    alpha: np.ndarray
    """(N, A) float32"""
    beta: np.ndarray
    """(N, B) float32"""
    emotion: np.ndarray
    """(N, 7) float32 in 0..1; zero is neutral."""
    actor: np.ndarray
    """(N,) int: who."""
    take: np.ndarray
    """(N,) int: which take; frames of one follow each other in time."""

    def __len__(self) -> int:
        return len(self.beta)

    @property
    def c(self) -> np.ndarray:
        """(N, A + B): the paper's c."""
        return np.concatenate((self.alpha, self.beta), 1)

    @property
    def neutral(self) -> np.ndarray:
        """(N,) bool."""
        return ~self.emotion.any(1)

    @classmethod
    def joined(cls, parts: Sequence[Coefficients]) -> Coefficients:
        """All frames of several; their actors and takes keep their numbers."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in FIELDS))

    @classmethod
    def mixed(cls, takes: Coefficients, cast: Coefficients, share: float) -> Coefficients:
        """Both, with the takes' frames repeated until they make up about `share` of the neutral frames and of the others, where they have any."""
        parts = [cast]
        for kind in (True, False):
            own = np.flatnonzero(takes.neutral == kind)
            wanted = share / max(1 - share, 1e-3) * int((cast.neutral == kind).sum())
            if len(own):
                rows = np.tile(own, max(1, round(wanted / len(own))))
                parts.append(cls(*(getattr(takes, name)[rows] for name in FIELDS)))
        return cls.joined(parts)

    def check(self) -> None:
        """Raises MienError when there is nothing to train on."""
        neutral = int(self.neutral.sum())
        if neutral == 0 or neutral == len(self):
            raise MienError(f"The takes have {neutral} neutral frames out of {len(self)}; training needs neutral takes and takes with an emotion.")
