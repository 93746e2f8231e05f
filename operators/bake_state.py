# SPDX-License-Identifier: GPL-3.0-or-later
"""Which frames of the current version are baked, out of date, missing: told without the engine, quick enough to draw with.

The engine keeps beside each version the curves that it was baked with. A frame is out of date when the controls differ from those on it or on a
neighbour, which is as far as the smoothing of an edit reaches, or when the mask's picture is another one; other settings, or another solve, put every
frame out of date.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from ..mesh.emotion import EmotionCurves
from ..mesh.errors import MienError
from ..mesh.frames import frame_ranges, ranges_text
from ..mesh.shot import Shot
from . import sampling, shots
from .bake import bake_params

MISSING, STALE, FRESH = 0, 1, 2


@dataclass(frozen=True)
class BakeState:
    """Of each frame of a shot."""

    first_frame: int
    frames: bytes
    """MISSING, STALE or FRESH, one a frame."""
    reason: str = ""
    """Why frames are STALE, as the end of a sentence."""

    @property
    def runs(self) -> list[tuple[int, int, int]]:
        """(state, first, last frame number) of neighbours in one state."""
        edges = np.flatnonzero(np.diff(np.frombuffer(self.frames, np.uint8))) + 1
        bounds = [0, *edges.tolist(), len(self.frames)]
        return [(self.frames[a], self.first_frame + a, self.first_frame + b - 1) for a, b in zip(bounds, bounds[1:]) if b > a]

    def count(self, state: int) -> int:
        return self.frames.count(state)

    def where(self, state: int) -> str:
        """Such as "101-120, 131"."""
        return ranges_text(frame_ranges(self.first_frame + i for i, s in enumerate(self.frames) if s == state), 4)

    @property
    def text(self) -> str:
        """Such as "280 of 300 frames baked; 20 out of date (101-120): an emotion changed since"."""
        fresh, stale, missing = (self.count(state) for state in (FRESH, STALE, MISSING))
        parts = [f"{fresh} of {len(self.frames)} frames baked"]
        if stale:
            parts.append(f"{stale} out of date ({self.where(STALE)}): {self.reason}")
        if missing and missing < len(self.frames):
            parts.append(f"{missing} missing ({self.where(MISSING)})")
        return "; ".join(parts)


_known: dict[int, tuple[tuple, BakeState]] = {}
"""Face's session uid -> what its state was computed from, and the state."""


def bake_state(face: bpy.types.Object | None, info: shots.ShotInfo | None) -> BakeState | None:
    """Of the current version of a shot; None when there is no shot. Without a face all that is baked counts as FRESH."""
    if info is None or info.shot is None:
        return None
    key = (info.folder, info.shot.bake_version, info.baked_frames, repr(info.baked_settings), repr(info.baked_masks), repr(info.masks),
           info.solve_hash, info.shot.plate.frame_count,
           face and (face.mien.solve_hash, shots.controls_hash(face), face.mien.bake_hash, repr(bake_params(face)["settings"])))
    uid = face.session_uid if face else 0
    if uid not in _known or _known[uid][0] != key:
        _known[uid] = key, _compute(face, info, info.shot)
    return _known[uid][1]


def _compute(face: bpy.types.Object | None, info: shots.ShotInfo, shot: Shot) -> BakeState:
    frames, first = shot.plate.frame_count, shot.plate.first_frame
    states = np.array([FRESH if first + i in info.baked_frames else MISSING for i in range(frames)], np.uint8)
    reason = ""
    if face is not None and states.any():
        changed, reason = _changed(face, info, shot)
        states[changed & (states == FRESH)] = STALE
    return BakeState(first, states.tobytes(), reason)


def _changed(face: bpy.types.Object, info: shots.ShotInfo, shot: Shot) -> tuple[np.ndarray, str]:
    """(T,) bool: frames that a bake would make anew, and why."""
    everything = np.ones(shot.plate.frame_count, bool)
    if shots.face_stale(face, info):
        return everything, "the shot was solved again since"
    same_settings = info.baked_settings == bake_params(face)["settings"]
    numbers = range(shot.plate.first_frame, shot.plate.first_frame + shot.plate.frame_count)
    masked = np.array([info.masks.get(n) != info.baked_masks.get(n) for n in numbers])
    if same_settings and face.mien.bake_hash == shots.controls_hash(face) and not masked.any():
        return ~everything, ""
    if shots.layered(face):  # NLA strips and drivers are too slow to evaluate here
        return everything, "an emotion or setting may have changed since"
    try:
        baked = EmotionCurves.load(shot.bake_folder / "emotion.npz")
    except MienError:
        return everything, "its curves are not known"
    now, _ = sampling.sample(face, shot)
    if len(baked) != len(now):
        return everything, "the shot has another length"
    edited = ~(now.at_rest & baked.at_rest)
    if not same_settings:
        return with_neighbours(edited), "a setting changed since"
    moved = with_neighbours(edited & differing(now, baked))
    masked &= with_neighbours(edited)
    return moved | masked, "an emotion changed since" if moved.any() else "the mask changed since"


def differing(a: EmotionCurves, b: EmotionCurves) -> np.ndarray:
    """(T,) bool: frames on which the editors would see something else."""
    pairs = ((a.effective, b.effective), (a.neutralise[:, None], b.neutralise[:, None]), (a.mouth[:, None], b.mouth[:, None]))
    return np.concatenate([np.abs(x - y) > 1e-6 for x, y in pairs], 1).any(1)


def with_neighbours(frames: np.ndarray) -> np.ndarray:
    """(T,) bool, and one frame further on each side."""
    wide = np.pad(frames, 1)
    return wide[:-2] | wide[1:-1] | wide[2:]


CLASSES = ()
