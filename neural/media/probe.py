# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plate is: size, exact frame rate and frame count, bits, alpha, rotation, sound, fingerprint."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
from av.video.stream import VideoStream

from ...mesh.errors import MienError
from ...mesh.shot import Plate
from .movie import NO_TIMES, check_file, formats, index_frames, open_movie, pixel_kind, truncated, turns, video_stream
from .stills import STILLS, Pattern, is_pattern, parse_pattern, read_still

PART = 1 << 20
"""Bytes at each end of a file that go into its fingerprint."""
SEQUENCE_RATE = (24, 1)


def probe_plate(path: str | Path, first_frame: int | None = None, fps: tuple[int, int] | None = None) -> Plate:
    """Look at the footage: a movie, a pattern (`name.####.exr`, `name.%04d.png`) or one picture of a numbered sequence.

    `first_frame`: the number of a movie's first frame (1 when None); of a sequence, the number of the file to start with (the lowest when None).
    `fps`: rate of a sequence, as a fraction (24/1 when None); refused for a movie that says another. Frames are counted exactly.
    Raises MienError that names the file and what to do.
    """
    path = Path(os.path.abspath(Path(path).expanduser()))
    if is_sequence(path):
        return _probe_sequence(path, first_frame, fps or SEQUENCE_RATE)
    return _probe_movie(path, 1 if first_frame is None else first_frame, fps)


def is_sequence(path: Path) -> bool:
    """True for pictures and patterns; a movie may have # in its name."""
    return path.suffix.lower() in STILLS or (is_pattern(path) and not path.exists())


def fingerprint(path: Path, plate: Plate | None = None) -> str:
    """Hash of the footage: of a movie its size and both ends; of a sequence (`plate` given) names, sizes and the first and last file's ends."""
    digest = hashlib.sha256()
    try:
        if plate is not None and plate.kind == "sequence":
            pattern = parse_pattern(path, guess=False)
            files = [pattern.file(plate.first_frame + i) for i in range(plate.frame_count)]
            for file in files:
                digest.update(f"{file.name}\0{file.stat().st_size}\n".encode())
            for file in dict.fromkeys((files[0], files[-1])):
                _hash_ends(file, digest)
        else:
            _hash_ends(path, digest)
    except FileNotFoundError as error:
        raise MienError(f"{error.filename} is missing; put it back or track the plate again.") from error
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror or error}); check the file's permissions.") from error
    return digest.hexdigest()


def _hash_ends(path: Path, digest) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(f"{size}\n".encode())
        digest.update(file.read(PART))
        if size > PART:
            file.seek(max(size - PART, PART))
            digest.update(file.read(PART))


def _probe_movie(path: Path, first_frame: int, fps: tuple[int, int] | None) -> Plate:
    with open_movie(path) as container:
        stream = video_stream(path, container)
        index = index_frames(path, container, stream)
        if index.exact and not len(index.pts):
            raise MienError(f"{path} holds no frame; export it again.")
        if not index.exact:
            index_pts, count = _count_by_decoding(path)
        else:
            index_pts, count = index.pts, len(index.pts)
        rate, variable = frame_rate(stream, index_pts[:0] if formats(container) & NO_TIMES else index_pts)
        audio = bool(container.streams.audio)
    with open_movie(path) as container:
        stream = video_stream(path, container)
        try:
            frame = next(container.decode(stream))
        except (av.error.FFmpegError, OSError, StopIteration) as error:
            raise truncated(path, 0, count) from error
        quarter, _ = turns(frame)
        _, bits, alpha = pixel_kind(frame.format.name)
        width, height = (frame.height, frame.width) if quarter % 2 else (frame.width, frame.height)
    if fps is not None and Fraction(*fps) != rate:
        raise MienError(f"{path} runs at {rate} frames a second, not {Fraction(*fps)}; leave the frame rate out for movies.")
    return Plate(path=path.as_posix(), kind="movie", width=width, height=height, fps=(rate.numerator, rate.denominator), first_frame=first_frame,
                 frame_count=count, bits=bits, alpha=alpha, rotation=(4 - quarter) % 4 * 90, variable_rate=variable, audio=audio,
                 fingerprint=fingerprint(path))


def _count_by_decoding(path: Path) -> tuple[np.ndarray, int]:
    """(pts of the frames, how many) by decoding all of them: for files whose packets do not tell."""
    pts, count = [], 0
    with open_movie(path) as container:
        stream = video_stream(path, container)
        try:
            for frame in container.decode(stream):
                count += 1
                if frame.pts is not None:
                    pts.append(frame.pts)
        except (av.error.FFmpegError, OSError) as error:
            if stream.frames or not count:
                raise truncated(path, count, stream.frames or count) from error
        if not count:
            raise MienError(f"{path} holds no frame that can be decoded; export it again.")
        if stream.frames and count < stream.frames and not _discards(path):
            raise truncated(path, count, stream.frames)
    return np.array(pts if len(pts) == count else [], np.int64), count


def _discards(path: Path) -> bool:
    """Does an edit list hide some of the frames?"""
    with open_movie(path) as container:
        return any(packet.is_discard for packet in container.demux(video_stream(path, container)) if packet.size)


def frame_rate(stream: VideoStream, pts: np.ndarray) -> tuple[Fraction, bool]:
    """(rate, variable?) of frames at `pts`, sorted, in the stream's time base.

    Constant when one of the stream's own fractions fits every time stamp within its rounding.
    """
    candidates = [Fraction(r) for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r]
    if not candidates:
        candidates = [Fraction(*SEQUENCE_RATE)]
    if len(pts) < 2 or not stream.time_base:
        return candidates[0], False
    times = (pts - pts[0]).astype(np.float64) * float(stream.time_base)
    tick = float(stream.time_base)
    for rate in candidates:
        if np.abs(times - np.arange(len(pts)) / float(rate)).max() <= 1.01 * tick:
            return rate, False
    # Variable: the mean rate over the length of the track, from which the writer tells how long the last frame stands.
    if stream.duration and stream.duration > pts[-1] - pts[0]:
        return Fraction(len(pts)) / (stream.duration * Fraction(stream.time_base)), True
    return Fraction(len(pts) - 1) / (int(pts[-1] - pts[0]) * Fraction(stream.time_base)), True


def _probe_sequence(path: Path, first_frame: int | None, fps: tuple[int, int]) -> Plate:
    if path.suffix.lower() not in STILLS:
        raise MienError(f"{path} is no sequence that can be read; use {', '.join(sorted(STILLS))}.")
    if not is_pattern(path):
        check_file(path)
    pattern = parse_pattern(path)
    numbers = _numbers(path, pattern, first_frame)
    pixels = read_still(pattern.file(numbers[0]))
    if len(numbers) > 1 and (last := read_still(pattern.file(numbers[-1]))).shape != pixels.shape:
        raise MienError(f"{pattern.file(numbers[-1])} is {last.shape[1]} x {last.shape[0]} with {last.shape[2]} channels, the first frame "
                        f"{pixels.shape[1]} x {pixels.shape[0]} with {pixels.shape[2]}; give a sequence of one format.")
    linear = pixels.dtype == np.float32
    height, width, channels = pixels.shape
    rate = Fraction(*fps)
    plate = Plate(path=pattern.path.as_posix(), kind="sequence", width=width, height=height, fps=(rate.numerator, rate.denominator),
                  first_frame=numbers[0], frame_count=len(numbers), bits=8 * pixels.dtype.itemsize, alpha=channels == 4, linear=linear)
    return replace(plate, fingerprint=fingerprint(pattern.path, plate))


def _numbers(path: Path, pattern: Pattern, first_frame: int | None) -> list[int]:
    """The frame numbers of a sequence without holes, from `first_frame` on."""
    if not pattern.digits:
        return [1 if first_frame is None else first_frame]
    numbers = pattern.numbers()
    if not numbers:
        raise MienError(f"{path} names no file in {pattern.folder}; check the path and the number of digits.")
    if first_frame is not None:
        if first_frame not in numbers:
            raise MienError(f"{pattern.file(first_frame)} is missing; the sequence has frames {numbers[0]} to {numbers[-1]}.")
        numbers = numbers[numbers.index(first_frame):]
    for expected, number in enumerate(numbers, numbers[0]):
        if number != expected:
            raise MienError(f"{pattern.path} lacks frame {expected} (it runs from {numbers[0]} to {numbers[-1]}); render or copy that frame.")
    return numbers
