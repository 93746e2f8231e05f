# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow one face through a plate, frame by frame, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...mesh.errors import MienError
from ...mesh.frames import frame_ranges, ranges_text
from ...mesh.shot import Plate, Track
from ..media import Frame, display8
from ..progress import Reporter
from .cuts import CutDetector
from .mediapipe_tracker import LANDMARKS, MAX_FACES, Face, MediaPipeTracker

LOOK_AROUND = 12
"""Frames between two looks for further faces."""
JUMP = 0.6
"""A face whose centre moved by more than this many of its own widths in a frame is another face."""


def track_plate(frames: Iterable[Frame], plate: Plate, report: Reporter, *, face: int = 0) -> Track:
    """Landmarks of face number `face` on every frame; frames without it are NaN, never bridged.

    Faces are numbered by size on the first frame that shows any, the largest first. Raises MienError when no frame shows a
    face, or when there is no such number.
    """
    T = plate.frame_count
    landmarks = np.full((T, LANDMARKS, 3), np.nan, np.float32)
    faces, times = np.zeros(T, np.int32), np.zeros(T)
    cuts: list[int] = []
    follower = _Follower(face, plate)
    try:
        detector = CutDetector()
        report.step("track", 0, T)
        for frame in frames:
            rgb = display8(frame.pixels, plate.linear)
            cut = detector.starts_take(rgb)
            if cut:
                cuts.append(frame.index)
            found = follower.follow(rgb, frame.index, cut)
            if found is not None:
                landmarks[frame.index] = found
            faces[frame.index], times[frame.index] = follower.seen, frame.time
            report.step("track", frame.index + 1, T)
    finally:
        follower.close()
    track = Track(MediaPipeTracker.scheme, landmarks, np.isfinite(landmarks[:, 0, 0]).astype(np.float32), np.array(cuts, np.int32), faces, times,
                  plate.fingerprint)
    _tell(track, plate, report)
    return track


class _Follower:
    """One face out of those on the picture. Follows a single face while there is one, several once there are more."""

    def __init__(self, face: int, plate: Plate):
        self._number, self._plate = face, plate
        self._tracker = MediaPipeTracker(1)
        self._many = False
        self._last: Face | None = None
        self.seen = 0

    def close(self) -> None:
        self._tracker.__exit__()

    def follow(self, rgb: np.ndarray, index: int, cut: bool) -> Face | None:
        if cut:
            self._restart(self._many)
        if not self._many and (self._last is None or cut or index % LOOK_AROUND == 0):
            around = self._tracker.detect(rgb)
            if len(around) > 1:
                self._restart(True)
        found = self._tracker.process(rgb)
        self.seen = len(found)
        if not found:
            return None
        chosen = self._choose(found, index)
        if chosen is not None:
            self._last = chosen
        return chosen

    def _restart(self, many: bool) -> None:
        self.close()
        self._tracker, self._many = MediaPipeTracker(MAX_FACES if many else 1), many

    def _choose(self, found: list[Face], index: int) -> Face | None:
        if self._last is None:
            found = sorted(found, key=_width, reverse=True)
            if self._number >= len(found):
                raise MienError(f"Frame {self._plate.first_frame + index} of {self._plate.path} shows {len(found)} face(s), there is no face "
                                f"number {self._number}; choose 0 to {len(found) - 1}.")
            return found[self._number]
        last = self._last
        near = min(found, key=lambda f: float(np.linalg.norm(_centre(f) - _centre(last))))
        # After a cut or a gap the nearest face may be a stranger's; with one face on the picture we follow it all the same.
        if len(found) > 1 and np.linalg.norm(_centre(near) - _centre(last)) > JUMP * _width(last):
            return None
        return near


def _centre(face: Face) -> np.ndarray:
    return face[:468, :2].mean(0)


def _width(face: Face) -> float:
    return float(np.ptp(face[:468, 0]))


def _tell(track: Track, plate: Plate, report: Reporter) -> None:
    found = track.found
    if not found.any():
        raise MienError(f"No face was found on any of the {len(found)} frames of {plate.path}; choose a plate with a face of at least about "
                        "60 pixels.")
    if not found.all():
        report.warn(f"The face is lost on {int((~found).sum())} of {len(found)} frames ({_frames(np.flatnonzero(~found) + plate.first_frame)}); "
                    "they stay as the plate.")
    if len(track.cuts):
        report.warn(f"The plate has {len(track.cuts)} cut(s), at frame {_frames(track.cuts + plate.first_frame)}; each take is solved on its own.")
    if (track.faces > 1).any():
        first = int(np.argmax(track.faces > 1)) + plate.first_frame
        report.warn(f"Up to {int(track.faces.max())} faces are on the plate (from frame {first}); the chosen one is followed, the others stay "
                    "as they are.")


def _frames(numbers: np.ndarray) -> str:
    return ranges_text(frame_ranges(numbers), most=8)
