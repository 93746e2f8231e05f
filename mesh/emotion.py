# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's controls over time: emotion vector, master, neutralise, mouth. One row a frame.

The emotion vector e (Sun et al. 2023, section 3.1) has one intensity in 0..1 for each non-neutral emotion; zero is no edit.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import MienError
from .files import check_arrays, read_npz, write_npz

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
"""The seven emotions in the order of the emotion vector (MEAD's labels)."""

CONTROLS = (*EMOTIONS, "master", "neutralise", "mouth")
"""Columns of a curves table, and the names of the properties in Blender."""

DEFAULTS: Mapping[str, float] = {"master": 1.0, "neutralise": 0.0, "mouth": 0.5}
"""Values at rest; every emotion rests at 0."""


@dataclass(eq=False)
class EmotionCurves:
    """The controls of T frames. All values 0..1."""

    emotions: np.ndarray
    """(T, 7) float32, order of EMOTIONS."""
    master: np.ndarray
    """(T,) float32: multiplies all seven."""
    neutralise: np.ndarray
    """(T,) float32: 1 takes the acted emotion away."""
    mouth: np.ndarray
    """(T,) float32: 1 holds the gap between the lips, and the height of the mouth, as spoken."""

    def __len__(self) -> int:
        return len(self.emotions)

    @property
    def effective(self) -> np.ndarray:
        """(T, 7): the emotion vector that the editors see, emotions x master."""
        return self.emotions * self.master[:, None]

    @property
    def at_rest(self) -> np.ndarray:
        """(T,) bool: frames on which nothing is asked, so the plate stays as it is."""
        return (self.effective == 0).all(1) & (self.neutralise == 0)

    @classmethod
    def constant(cls, frames: int, **values: float) -> EmotionCurves:
        """The same values on every frame: `constant(90, happy=0.8, mouth=1)`.

        Raises MienError for an unknown name or a value outside 0..1.
        """
        return cls.from_columns({k: np.full(frames, v, np.float32) for k, v in values.items()}, frames)

    @classmethod
    def from_columns(cls, columns: Mapping[str, np.ndarray], frames: int) -> EmotionCurves:
        """name -> (T,) values; names that are missing rest. Raises MienError as `constant` does."""
        for name, column in columns.items():
            if name not in CONTROLS:
                raise MienError(f"There is no emotion or control '{name}'; use one of {', '.join(CONTROLS)}.")
            column = np.asarray(column)
            if column.shape != (frames,):
                raise MienError(f"The curve of '{name}' has {len(column)} values, the shot has {frames} frames.")
            if not np.isfinite(column).all() or column.min(initial=0) < 0 or column.max(initial=0) > 1:
                raise MienError(f"'{name}' must stay within 0 and 1, it reaches from {column.min():g} to {column.max():g}.")

        def get(name: str) -> np.ndarray:
            return np.asarray(columns.get(name, np.full(frames, DEFAULTS.get(name, 0.0))), np.float32)

        emotions = np.stack([get(name) for name in EMOTIONS], 1)
        return cls(emotions, get("master"), get("neutralise"), get("mouth"))

    def save(self, path: Path | str) -> None:
        """Write emotion.npz."""
        write_npz(path, {"emotions": self.emotions.astype(np.float32), "master": self.master.astype(np.float32),
                         "neutralise": self.neutralise.astype(np.float32), "mouth": self.mouth.astype(np.float32)})

    @classmethod
    def load(cls, path: Path | str) -> EmotionCurves:
        """Read emotion.npz. Raises MienError when it does not fit itself."""
        a = read_npz(path)
        frames = len(a.get("emotions", ()))
        check_arrays(path, a, {"emotions": (frames, len(EMOTIONS)), "master": (frames,), "neutralise": (frames,), "mouth": (frames,)})
        return cls(a["emotions"], a["master"], a["neutralise"], a["mouth"])

    @classmethod
    def from_csv(cls, path: Path | str, first_frame: int, frames: int) -> EmotionCurves:
        """Read a table with a `frame` column and any of CONTROLS; between its rows values go linearly, outside they hold.

        Raises MienError that names the line or column that is wrong.
        """
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise MienError(f"The curves table {path} cannot be read ({error}).") from error
        if not rows or "frame" not in rows[0]:
            raise MienError(f"The curves table {path} needs a header with 'frame' and at least one row.")
        names = [n for n in rows[0] if n not in (None, "frame")]
        try:
            table = np.array([[float(row[n]) for n in ("frame", *names)] for row in rows])
        except (TypeError, ValueError) as error:
            raise MienError(f"The curves table {path} has a cell that is no number ({error}).") from error
        table = table[np.argsort(table[:, 0], kind="stable")]
        wanted = first_frame + np.arange(frames)
        return cls.from_columns({n: np.interp(wanted, table[:, 0], table[:, i + 1]) for i, n in enumerate(names)}, frames)
