# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a plate frame by frame, from any frame on, in constant memory.

Movies are converted by FFmpeg's default conversion, so 8-bit frames equal those of the ffmpeg command bit for bit. A stream
that does not name its matrix is taken as BT.601, as FFmpeg does; the writer mirrors that, so nothing shifts between plate and edit.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import av.container
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ...mesh.errors import MienError
from ...mesh.shot import Plate
from .kept import KeptFrames, frames_kept
from .movie import NO_TIMES, FrameIndex, formats, index_frames, open_movie, origin_seconds, pixel_kind, truncated, turns, upright, video_stream
from .probe import fingerprint
from .stills import parse_pattern, read_still

READ_AHEAD = 3
SEEK_FROM = 40
"""Frames of a movie between two chosen ones beyond which seeking is cheaper than decoding on."""


@dataclass(frozen=True)
class Frame:
    """One picture of a plate."""

    index: int
    """Counted from 0."""
    time: float
    """Presentation time in seconds; the sound of the plate has the same zero."""
    pixels: np.ndarray
    """(H, W, 3|4) uint8 | uint16 | float32, RGB(A), upright, contiguous."""


class PlateReader:
    """Frames of a plate. One reader may serve several iterators at once; each opens the file for itself."""

    def __init__(self, path: Path | str, plate: Plate) -> None:
        """`path` is absolute (`Shot.plate_path`). Raises MienError when the footage is not what `plate` describes."""
        self.path, self.plate = Path(path), plate
        self._index: FrameIndex | None = None
        self._origin = 0.0
        self._kept: KeptFrames = frames_kept(plate)
        if plate.fingerprint and fingerprint(self.path, plate) != plate.fingerprint:
            raise MienError(f"{self.path} has changed since it was tracked; track the plate again.")

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames [start, stop). Raises MienError that names the frame when one cannot be read."""
        stop = self.plate.frame_count if stop is None else min(stop, self.plate.frame_count)
        if start < 0:
            raise ValueError(f"start must not be negative, is {start}")
        if start >= stop:
            return iter(())
        return self._sequence(start, stop) if self.plate.kind == "sequence" else self._movie(start, stop)

    def chosen(self, indices: Iterable[int]) -> Iterator[Frame]:
        """Frames at rising indices. A movie is decoded once through what lies close together; only the chosen pictures are converted."""
        rising = [int(i) for i in indices]
        near = SEEK_FROM if self.plate.kind == "movie" else 1
        run: list[int] = []
        for index in [*rising, None]:
            if run and (index is None or index - run[-1] > near):
                frames = self._sequence if self.plate.kind == "sequence" else self._movie
                yield from frames(run[0], min(run[-1] + 1, self.plate.frame_count), frozenset(run))
                run = []
            if index is not None:
                run.append(index)

    def frame(self, index: int) -> Frame:
        """One frame. Raises IndexError outside the plate."""
        if not 0 <= index < self.plate.frame_count:
            raise IndexError(f"the plate has {self.plate.frame_count} frames, not {index + 1}")
        with contextlib.closing(self.frames(index, index + 1)) as frames:
            return next(frames)

    def _sequence(self, start: int, stop: int, only: frozenset[int] | None = None) -> Iterator[Frame]:
        pattern = parse_pattern(self.path, guess=False)
        rate = float(self.plate.rate)
        with ThreadPoolExecutor(2, "mien-read") as pool:
            numbers = (i for i in range(start, stop) if only is None or i in only)
            ahead = deque((i, pool.submit(read_still, pattern.file(self.plate.first_frame + i))) for i in islice(numbers, READ_AHEAD))
            try:
                while ahead:
                    index, future = ahead.popleft()
                    pixels = future.result()
                    for i in islice(numbers, 1):
                        ahead.append((i, pool.submit(read_still, pattern.file(self.plate.first_frame + i))))
                    yield Frame(index, index / rate, self._checked(pixels, index))
            finally:
                for _, future in ahead:
                    future.cancel()

    def _movie(self, start: int, stop: int, only: frozenset[int] | None = None) -> Iterator[Frame]:
        """`only`: frames that are handed out; the others are decoded, not converted."""
        turn, converter = None, VideoReformatter()  # one for all frames: setting it up costs as much as a conversion
        following = start
        with contextlib.closing(self._shown(start)) as shown:
            try:
                for position, time, frame in shown:
                    if position < following:
                        continue
                    if position > following:
                        break
                    if only is None or position in only:
                        turn = turns(frame) if turn is None else turn
                        pixels = upright(converter.reformat(frame, format=pixel_kind(frame.format.name)[0]).to_ndarray(), turn)
                        yield Frame(position, time, self._checked(pixels, position))
                    following += 1
                    if following >= stop:
                        return
            except (av.error.FFmpegError, OSError) as error:
                raise truncated(self.path, following, self.plate.frame_count) from error
            raise truncated(self.path, following, self.plate.frame_count)

    def _shown(self, start: int) -> Iterator[tuple[int, float, VideoFrame]]:
        """(position, seconds, frame) from `start` or a frame before it on: those in memory, then those of the file."""
        position = start
        while (known := self._kept.get(position)) is not None:
            yield position, *known
            position += 1
        index = self._frame_index()
        with open_movie(self.path) as container:
            stream = video_stream(self.path, container)
            tick, rate = float(stream.time_base), float(self.plate.rate)
            guessed = bool(formats(container) & NO_TIMES)
            for place, frame in self._decoded(container, stream, index, position):
                time = place / rate if guessed or frame.pts is None else frame.pts * tick - self._origin
                self._kept.offer(place, time, frame)
                yield place, time, frame

    def _decoded(self, container: av.container.InputContainer, stream: VideoStream, index: FrameIndex,
                 start: int) -> Iterator[tuple[int, VideoFrame]]:
        """(position, frame) from some frame at or before `start` on."""
        if not index.exact:
            yield from enumerate(container.decode(stream))
            return
        target = index.pts[start]
        for key in reversed(np.flatnonzero(index.keys[:, 0] <= target)) if start else ():
            if key == 0:
                break
            for stamp in index.keys[key].tolist():  # formats seek by presentation or by decoding time: look where it lands
                container.seek(stamp, stream=stream, backward=True)
                frames = container.decode(stream)
                first = next((f for f in frames if f.pts is not None), None)
                if first is not None and first.pts <= target:
                    yield from self._placed(first, frames, index)
                    return
        if start:
            container.seek(int(min(index.pts[0], index.keys[0].min())), stream=stream, backward=True)
        yield from enumerate(container.decode(stream))

    @staticmethod
    def _placed(first: VideoFrame, rest: Iterator[VideoFrame], index: FrameIndex) -> Iterator[tuple[int, VideoFrame]]:
        yield int(np.searchsorted(index.pts, first.pts)), first
        for frame in rest:
            yield int(np.searchsorted(index.pts, frame.pts)), frame

    def _frame_index(self) -> FrameIndex:
        if self._index is None:
            with open_movie(self.path) as container:
                stream = video_stream(self.path, container)
                self._origin = origin_seconds(container)
                self._index = index_frames(self.path, container, stream)
            if self._index.exact and len(self._index.pts) != self.plate.frame_count:
                raise MienError(f"{self.path} has {len(self._index.pts)} frames, the shot was made from {self.plate.frame_count}; "
                                "track the plate again.")
        return self._index

    def _checked(self, pixels: np.ndarray, index: int) -> np.ndarray:
        plate = self.plate
        if pixels.shape[:2] != (plate.height, plate.width):
            raise MienError(f"{self.path}: frame {plate.first_frame + index} is {pixels.shape[1]} x {pixels.shape[0]}, "
                            f"the plate {plate.width} x {plate.height}; give footage of one size.")
        if pixels.dtype.itemsize * 8 != plate.bits or pixels.shape[2] != (4 if plate.alpha else 3):
            raise MienError(f"{self.path}: frame {plate.first_frame + index} has {pixels.shape[2]} channels of {pixels.dtype}, "
                            f"the plate {4 if plate.alpha else 3} of {plate.bits} bits; give footage of one format.")
        return pixels
