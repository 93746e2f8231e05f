# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks that the artist has put right by hand: SHOT/pins.json, and what they change around them.

    {"schema": 1, "frames": {"1012": {"61": [512.5, 300.0, 1.0]}}}     frame number -> landmark -> x, y in plate pixels, weight

A pin says where a point of the face is on one frame. The tracker rarely errs on one frame alone, so its error there is taken off the frames
around too, fading out over REACH frames within the take; between two pins of one landmark it goes over from one to the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .errors import MienError
from .files import read_json, write_json
from .shot import Shot

SCHEMA = 1
LANDMARKS = 468
"""Of the tracker's 478: the irises cannot be pinned."""
REACH = 12
"""Frames on either side of a pin over which what it says fades."""
NEAR = 0.08
"""Eye distances (standard deviation) around a pin within which the tracker is not to be believed either."""
LONGEST = 20
"""Digits of a frame number or landmark that are looked at."""


@dataclass(frozen=True)
class Pin:
    """Where a landmark is, plate pixels (the centre of the first is 0.5, 0.5)."""

    x: float
    y: float
    weight: float = 1.0
    """1: it holds against the tracker; less gives way."""


@dataclass(eq=False)
class Pins:
    """The pins of a shot: frame number -> landmark -> Pin."""

    frames: dict[int, dict[int, Pin]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(map(len, self.frames.values()))

    def put(self, number: int, landmark: int, pin: Pin) -> None:
        self.frames.setdefault(number, {})[landmark] = pin

    def remove(self, number: int, landmark: int) -> bool:
        """Whether there was one."""
        pins = self.frames.get(number, {})
        found = pins.pop(landmark, None) is not None
        if not pins:
            self.frames.pop(number, None)
        return found

    def rows(self, shot: Shot) -> np.ndarray:
        """(P, 5) float64: frame index, landmark, x, y, weight; in order. Pins outside the shot's frames are left out."""
        first, count = shot.plate.first_frame, shot.plate.frame_count
        rows = [(number - first, landmark, pin.x, pin.y, pin.weight) for number, pins in sorted(self.frames.items())
                for landmark, pin in sorted(pins.items()) if 0 <= number - first < count]
        return np.array(rows, np.float64).reshape(-1, 5)

    def save(self, shot: Shot) -> None:
        """Write SHOT/pins.json; without pins there is none."""
        if not self.frames:
            pins_path(shot).unlink(missing_ok=True)
            return
        frames = {str(n): {str(k): [p.x, p.y, p.weight] for k, p in sorted(pins.items())} for n, pins in sorted(self.frames.items())}
        write_json(pins_path(shot), {"schema": SCHEMA, "frames": frames})

    @classmethod
    def load(cls, shot: Shot) -> Pins:
        """No pins where there is no file. Raises MienError that names the frame for anything but numbers in their place."""
        path = pins_path(shot)
        if not path.exists():
            return cls()
        data = read_json(path)
        if data.get("schema") != SCHEMA or not isinstance(data.get("frames"), dict):
            raise MienError(f"{path} is no file of pins with schema {SCHEMA}; delete it and pin again.")
        pins = cls()
        for number, found in data["frames"].items():
            if not _whole(number) or not isinstance(found, Mapping):
                raise MienError(f"{path} has no pins at frame {number!r:.40}; delete that entry.")
            for landmark, value in found.items():
                pins.put(int(number), _landmark(path, number, landmark), _pin(path, number, value))
        return pins


def pins_path(shot: Shot) -> Path:
    return shot.folder / "pins.json"


def _whole(text: str) -> bool:
    return len(text) <= LONGEST and text.removeprefix("-").isdecimal()


def _landmark(path: Path, number: str, text: str) -> int:
    if not _whole(text) or not 0 <= int(text) < LANDMARKS:
        raise MienError(f"{path} pins landmark {text!r:.40} on frame {number}; there are 0 to {LANDMARKS - 1}.")
    return int(text)


def _pin(path: Path, number: str, value: object) -> Pin:
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)
                                                                 for v in value) or not 0 < value[2] <= 1:
        raise MienError(f"{path} has a pin on frame {number} that is not x, y and a weight above 0 and up to 1; delete that entry.")
    return Pin(*map(float, value))


@dataclass(eq=False)
class Correction:
    """What pins make of a track."""

    landmarks: np.ndarray
    """(T, N, 3) as Track.landmarks, moved."""
    sure: dict[int, np.ndarray]
    """Frame index -> (N,) float32 in 0..1: how far the artist vouches for each landmark; only frames that a pin reaches."""
    trust: dict[int, np.ndarray]
    """The same frames: (N,) float32 in 0..1, how far the tracker's other landmarks are believed; 0 beside a pin."""


def correct(landmarks: np.ndarray, segments: list[tuple[int, int]], rows: np.ndarray | None) -> Correction:
    """Landmarks (T, N, 3) of a track, its takes and `Pins.rows` -> what is to be believed. Pins on frames without a face do nothing."""
    if rows is None or not len(rows):
        return Correction(landmarks, {}, {})
    result = Correction(landmarks.copy(), {}, {})
    for landmark in np.unique(rows[:, 1]).astype(int):
        own = rows[rows[:, 1] == landmark]
        for start, end in segments:
            here = own[(own[:, 0] >= start) & (own[:, 0] < end)]
            if len(here):
                _spread(result, landmarks, landmark, here, start, end)
    return result


def _spread(result: Correction, tracked: np.ndarray, landmark: int, pins: np.ndarray, start: int, end: int) -> None:
    """Pins (n, 5) of one landmark in one take."""
    at = pins[:, 0].astype(int)
    wrong = pins[:, 2:4] - tracked[at, landmark, :2]
    for index in range(max(start, at[0] - REACH), min(end, at[-1] + REACH + 1)):
        after = int(np.searchsorted(at, index))
        before = max(after - 1, 0) if after == len(at) or at[after] != index else after
        after = min(after, len(at) - 1)
        gap, since, until = at[after] - at[before], index - at[before], at[after] - index
        if before == after or gap > 2 * REACH:  # beside the outer pins, or between two that do not know of each other
            nearest = before if abs(since) <= abs(until) else after
            sure, move = fade(abs(index - at[nearest])), wrong[nearest]
        else:
            part = since / gap
            sure, move = 1.0, (1 - part) * wrong[before] + part * wrong[after]
            nearest = before if part < 0.5 else after
        if sure <= 0:
            continue
        frame = tracked[index]
        result.landmarks[index, landmark, :2] = frame[landmark, :2] + sure * move
        vouched = result.sure.setdefault(index, np.zeros(len(frame), np.float32))
        vouched[landmark] = sure * pins[nearest, 4]
        eye = max(float(np.linalg.norm(frame[33, :2] - frame[263, :2])), 1e-6)
        distance = np.linalg.norm(frame[:, :2] - frame[landmark, :2], axis=1) / eye
        trust = result.trust.setdefault(index, np.ones(len(frame), np.float32))
        np.minimum(trust, 1 - sure * np.exp(-((distance / NEAR) ** 2) / 2), out=trust)


def fade(frames: float) -> float:
    """1 on a pin's frame, smoothly to 0 beyond REACH frames from it."""
    return 0.5 + 0.5 * math.cos(math.pi * min(frames / (REACH + 1), 1.0))


def changed_frames(landmarks: np.ndarray, segments: list[tuple[int, int]], old: np.ndarray | None, new: np.ndarray | None) -> np.ndarray:
    """(T,) bool: frames on which two sets of pins (rows) say different things."""
    a, b = correct(landmarks, segments, old), correct(landmarks, segments, new)
    changed = np.zeros(len(landmarks), bool)
    for index in sorted({*a.sure, *b.sure}):
        both = [c.sure.get(index) for c in (a, b)]
        changed[index] = any(v is None for v in both) or not np.array_equal(*both) or not np.array_equal(a.landmarks[index], b.landmarks[index])
    return changed
