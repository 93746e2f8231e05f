# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow the faces of a plate, frame by frame, in constant memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from ...mesh.errors import MienError
from ...mesh.frames import frame_ranges, ranges_text
from ...mesh.shot import Plate, Track
from ..media import Frame, display8
from ..parallel import ahead
from ..progress import Reporter
from .cuts import CutDetector
from .faces import Faces
from .lips import inner_lips
from .mediapipe_tracker import LANDMARKS, Face, MediaPipeTracker

LEAST = 5
"""Frames on which a face must be seen to count as one, on a longer plate; fewer are a poster, a mirror, a mistake."""
WAITING = 48 << 20
"""Bytes of decoded frames that may wait to be looked at: there are many when the networks have been loaded."""
MOST_AHEAD = 32

BACKENDS = ("mediapipe", "face-alignment")
"""Who finds the landmarks."""


def track_faces(frames: Iterable[Frame], plate: Plate, report: Reporter, *, backend: str = "mediapipe") -> dict[int, Track]:
    """Landmarks of every face of a plate: its number -> its track. Frames without it are NaN, never bridged.

    Faces are numbered by size on the first frame that shows any, the largest is 0; who comes later has the next number. Raises MienError
    when no frame shows a face, and for a backend that is unknown or lacks its weights.
    """
    refine = _refinement(backend)
    T = plate.frame_count
    tracks: dict[int, np.ndarray] = {}
    seen, times = np.zeros(T, np.int32), np.zeros(T)
    cuts: list[int] = []
    faces = Faces()
    try:
        report.step("track", 0, T)
        with contextlib.closing(ahead(_followed(frames, plate, faces))) as followed:
            for frame, rgb, cut, found, count in followed:
                if cut:
                    cuts.append(frame.index)
                for number, landmarks in found.items():
                    tracks.setdefault(number, np.full((T, LANDMARKS, 3), np.nan, np.float32))[frame.index] = inner_lips(rgb, refine(rgb, landmarks))
                seen[frame.index], times[frame.index] = count, frame.time
                report.step("track", frame.index + 1, T)
    finally:
        faces.close()
    if not tracks:
        raise MienError(f"No face was found on any of the {T} frames of {plate.path}; choose a plate with a face of at least about 60 pixels.")

    def track(landmarks: np.ndarray) -> Track:
        return Track(MediaPipeTracker.scheme, landmarks, np.isfinite(landmarks[:, 0, 0]).astype(np.float32), np.array(cuts, np.int32), seen, times,
                     plate.fingerprint)

    return {number: track(landmarks) for number, landmarks in sorted(tracks.items())}


def _followed(frames: Iterable[Frame], plate: Plate, faces: Faces) -> Iterator[tuple[Frame, np.ndarray, bool, dict[int, Face], int]]:
    """Each frame, its picture, whether a take starts there, its faces by number, and how many are seen; MediaPipe is at the next frame while
    somebody looks closer at these."""
    for frame, rgb, cut, count in ahead(_looked_at(frames, plate, faces)):
        yield frame, rgb, cut, faces.follow(rgb, frame.index, cut, count), faces.seen


def _looked_at(frames: Iterable[Frame], plate: Plate, faces: Faces) -> Iterator[tuple[Frame, np.ndarray, bool, int | None]]:
    """Each frame, its picture (H, W, 3) uint8 sRGB, whether a take starts there and how many faces it has, where that is wanted: all that can be
    told before the frame's turn, while the face is followed on the frames before it."""
    detector = CutDetector()
    size = plate.width * plate.height * plate.bits // 8 * (4 if plate.alpha else 3)
    for frame in ahead(frames, min(max(WAITING // size, 2), MOST_AHEAD)):
        rgb = display8(frame.pixels, plate.linear)
        yield frame, rgb, detector.starts_take(rgb), faces.count(rgb) if faces.looks_around(frame.index) else None


def _refinement(backend: str) -> Callable[[np.ndarray, Face], Face]:
    if backend not in BACKENDS:
        raise MienError(f"There is no landmark backend '{backend}'; use {' or '.join(BACKENDS)}.")
    if backend == "mediapipe":
        return lambda rgb, face: face
    from .fan import FaceAlignmentPoints  # brings torch
    return FaceAlignmentPoints().refine


def chosen_face(tracks: Mapping[int, Track], face: int, plate: Plate, report: Reporter) -> Track:
    """The track of face number `face`, with what is to be said of it. Raises MienError when there is no such number."""
    if face not in tracks:
        raise MienError(f"{plate.path} shows {len(tracks)} face(s), there is no face number {face}; choose one of {', '.join(map(str, tracks))}.")
    _tell(tracks[face], plate, report)
    return tracks[face]


def other_faces(tracks: Mapping[int, Track], face: int) -> dict[int, Track]:
    """The tracks besides that of `face` that are long enough to be a person's."""
    return {n: t for n, t in tracks.items() if n != face and t.found.sum() >= min(LEAST, len(t.found))}


def _tell(track: Track, plate: Plate, report: Reporter) -> None:
    found = track.found
    if not found.all():
        report.warn(f"The face is lost on {int((~found).sum())} of {len(found)} frames ({_frames(np.flatnonzero(~found) + plate.first_frame)}); "
                    "they stay as the plate.")
    if len(track.cuts):
        report.warn(f"The plate has {len(track.cuts)} cut(s), at frame {_frames(track.cuts + plate.first_frame)}; each take is solved on its own.")


def _frames(numbers: np.ndarray) -> str:
    return ranges_text(frame_ranges(numbers), most=8)
