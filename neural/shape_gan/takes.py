# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled takes on disk: MEAD and RAVDESS in their own layouts, and a plain table. Only names are read here, never footage.

MEAD (Wang et al. 2020): `M003/video/front/happy/level_2/017.mp4`.
RAVDESS (Livingstone & Russo 2018): `Actor_05/01-01-03-02-01-01-05.mp4`; the fields are modality, channel, emotion, intensity,
statement, repetition, actor.
Table: CSV with the columns clip, actor, emotion, level; clips relative to the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...mesh.emotion import EMOTIONS
from ...mesh.errors import MienError
from ..tables import table_rows

NEUTRAL = "neutral"
LEVELS = 3
"""Levels 1..3 are intensities 1/3, 2/3 and 1."""
RAVDESS_EMOTIONS = {"01": NEUTRAL, "03": "happy", "04": "sad", "05": "angry", "06": "fear", "07": "disgusted", "08": "surprised"}
"""02, calm, is no emotion of the vector and is left out."""
RAVDESS_LEVELS = {"01": 2, "02": 3}
"""Normal and strong."""
MEAD_VIEW = "front"
COLUMNS = ("clip", "actor", "emotion", "level")


@dataclass(frozen=True)
class Take:
    """One clip of one actor in one emotion."""

    clip: Path
    actor: str
    emotion: str
    """Of EMOTIONS, or "neutral"."""
    level: int
    """1..3; of no meaning for a neutral take."""

    @property
    def intensity(self) -> float:
        return 0.0 if self.emotion == NEUTRAL else self.level / LEVELS

    @property
    def label(self) -> np.ndarray:
        """(7,) float32: the emotion vector."""
        e = np.zeros(len(EMOTIONS), np.float32)
        if self.emotion != NEUTRAL:
            e[EMOTIONS.index(self.emotion)] = self.intensity
        return e


def read_takes(source: Path) -> list[Take]:
    """Takes of a table, or of a folder in MEAD's or RAVDESS' layout. Raises MienError when it is none of them or holds none."""
    if source.is_file():
        return read_table(source)
    if not source.is_dir():
        raise MienError(f"{source} does not exist; give a table of takes (columns {', '.join(COLUMNS)}), or a folder of MEAD or RAVDESS.")
    takes = mead_takes(source) or ravdess_takes(source)
    if not takes:
        raise MienError(f"{source} holds no takes as MEAD (M003/video/{MEAD_VIEW}/happy/level_1/001.mp4) or RAVDESS "
                        "(Actor_01/01-01-03-01-01-01-01.mp4) name them; write a table instead.")
    return takes


def mead_takes(root: Path, actors: Sequence[str] = (), view: str = MEAD_VIEW) -> list[Take]:
    """The frontal takes below `root`, which holds actors or is one; sorted. Names that are not MEAD's are passed over."""
    takes = []
    for clip in sorted([*root.glob(f"video/{view}/*/level_*/*.mp4"), *root.glob(f"*/video/{view}/*/level_*/*.mp4")]):
        emotion, level, actor = clip.parts[-3], clip.parts[-2][6:], clip.parents[4].resolve().name
        known = emotion in (*EMOTIONS, NEUTRAL) and level in ("1", "2", "3") and actor[:1] in ("M", "W") and actor[1:].isdecimal()
        if known and (not actors or actor in actors):
            takes.append(Take(clip, actor, emotion, int(level)))
    return takes


def ravdess_takes(root: Path, actors: Sequence[str] = ()) -> list[Take]:
    """Spoken takes with a picture below `root`, which holds actors or is one; sorted. Where a take has a version with sound, that one."""
    found: dict[tuple[str, ...], Take] = {}
    for clip in sorted([*root.glob("*.mp4"), *root.glob("Actor_*/*.mp4")]):
        fields = tuple(clip.stem.split("-"))
        if len(fields) != 7 or not all(len(f) == 2 and f.isdecimal() for f in fields):
            continue
        modality, channel, emotion, intensity = fields[:4]
        actor = f"Actor_{fields[6]}"
        if modality in ("01", "02") and channel == "01" and emotion in RAVDESS_EMOTIONS and intensity in RAVDESS_LEVELS and \
                (not actors or actor in actors):
            found.setdefault(fields[1:], Take(clip, actor, RAVDESS_EMOTIONS[emotion], RAVDESS_LEVELS[intensity]))
    return sorted(found.values(), key=lambda t: str(t.clip))


def read_table(path: Path) -> list[Take]:
    """An artist's own takes. Raises MienError that names the row and what is wrong with it."""
    takes = []
    for number, row in enumerate(table_rows(path), 2):
        values = {name: (row.get(name) or "").strip() for name in COLUMNS}
        missing = [name for name in COLUMNS if not values[name] and not (name == "level" and values["emotion"] == NEUTRAL)]
        if missing:
            raise MienError(f"{path}, line {number}: '{missing[0]}' is missing; the columns are {', '.join(COLUMNS)}.")
        if values["emotion"] not in (*EMOTIONS, NEUTRAL):
            raise MienError(f"{path}, line {number}: there is no emotion '{values['emotion']}'; use {NEUTRAL}, {', '.join(EMOTIONS)}.")
        if (values["level"] or "1") not in ("1", "2", "3"):
            raise MienError(f"{path}, line {number}: the level is '{values['level']}'; use 1, 2 or 3.")
        takes.append(Take(path.parent / values["clip"], values["actor"], values["emotion"], int(values["level"] or "1")))
    if not takes:
        raise MienError(f"{path} lists no takes; its columns are {', '.join(COLUMNS)}.")
    return takes
