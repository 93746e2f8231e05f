# SPDX-License-Identifier: GPL-3.0-or-later
"""What single frames show of the mouth: the pairs with and without teeth of section 3.5.2, and how they wait in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO

import numpy as np

LIP_SHADE = (0.42, 0.30, 0.30)
"""The dark of a mouth against its lips (R, G, B), working space."""
CAVITY = (0.16, 0.08, 0.08)
"""Working-space colour of an unlit mouth, where no frame shows anything else; scaled to the lips of the shot."""


@dataclass(frozen=True, eq=False)
class MouthCrop:
    """What one frame shows of the mouth."""

    index: int
    atlas: np.ndarray
    """(2 HEIGHT, WIDTH, 3) float16, working space."""
    seen: np.ndarray
    """(2 HEIGHT, WIDTH) float32 in 0..1: the inside, and a thin rim of the lips."""
    opened: float
    """Texels of the inside alone."""
    shape: np.ndarray
    """(D,): MouthPose.shape."""
    around: np.ndarray
    """(A,) float16: MouthGeometry.around, the crop without teeth."""
    lips: np.ndarray
    """(3,): the colour around the mouth, working space."""

    def moved_by(self, frames: int) -> MouthCrop:
        """The same at another time."""
        return replace(self, index=self.index + frames)

    def put(self, file: IO[bytes]) -> None:
        """Append what is seen of it to a file, in half precision."""
        where = np.flatnonzero(self.seen)
        values = np.concatenate([self.atlas.reshape(-1, 3)[where], self.seen.reshape(-1, 1)[where]], 1).astype(np.float16)
        for array in (np.array([self.index, *self.seen.shape]), where.astype(np.int32), values, np.float64(self.opened), self.shape, self.around,
                      self.lips):
            np.save(file, array, allow_pickle=False)

    @classmethod
    def all_in(cls, file: IO[bytes]) -> Iterator[MouthCrop]:
        """Those that were put into a file, from where it stands on; what was not seen is black."""
        while True:
            try:
                head, where, values, opened, shape, around, lips = (np.load(file, allow_pickle=False) for _ in range(7))
            except EOFError:
                return
            full = np.zeros((int(head[1] * head[2]), 4), np.float16)
            full[where] = values
            full = full.reshape(*head[1:], 4)
            yield cls(int(head[0]), full[..., :3], full[..., 3].astype(np.float32), float(opened), shape, around, lips)


def lip_shade(crops: Sequence[MouthCrop]) -> np.ndarray:
    """(3,): the colour of the dark inside the mouth, working space."""
    return np.minimum(np.median([c.lips for c in crops], 0) * LIP_SHADE, CAVITY)
