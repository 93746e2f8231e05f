# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoded frames that wait in memory for the stages after the one that decoded them: a plate edited in one go is read four times."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from av.video.frame import VideoFrame

from ...mesh.shot import Plate

MOST = 416 << 20
"""Bytes of decoded frames, as the codec made them: about 300 of 1280 x 720, so that memory does not grow with the clip."""


class KeptFrames:
    """The first frames of a movie, with their times in seconds, as far as there is room for them."""

    def __init__(self, most: int) -> None:
        self._room, self._lock = most, threading.Lock()
        self._frames: list[tuple[float, VideoFrame]] = []

    def get(self, position: int) -> tuple[float, VideoFrame] | None:
        return self._frames[position] if position < len(self._frames) else None

    def offer(self, position: int, time: float, frame: VideoFrame) -> None:
        """Keeps the frame if it is the next one and there is room."""
        size = sum(plane.buffer_size for plane in frame.planes)
        with self._lock:
            if position == len(self._frames) and size <= self._room:
                self._frames.append((time, frame))
                self._room -= size


_NONE = KeptFrames(0)
_kept: dict[str, KeptFrames] | None = None


@contextlib.contextmanager
def keep_frames() -> Iterator[None]:
    """Within it, whoever reads the movie that was read first gets frames that were decoded already."""
    global _kept
    _kept = {}
    try:
        yield
    finally:
        _kept = None


def frames_kept(plate: Plate) -> KeptFrames:
    """Of that movie, where frames are kept; of any other there are none, so that memory has one bound."""
    if _kept is None or plate.kind != "movie" or not plate.fingerprint or (_kept and plate.fingerprint not in _kept):
        return _NONE
    return _kept.setdefault(plate.fingerprint, KeptFrames(MOST))
