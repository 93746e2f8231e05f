# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing deliveries: H.264, ProRes and FFV1 movies with the plate's sound, PNG and EXR sequences.

Everything goes to temporary names beside the output and is renamed when the last frame is in; a failure leaves nothing behind.
The frame rate is the plate's exact fraction, time stamps of a variable-rate plate are kept, and Y'CbCr is tagged as the plate is
(BT.709 for plates that are RGB), so that any player shows both alike.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.container
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...mesh.errors import MienError
from ...mesh.files import atomic_path
from ...mesh.shot import Plate
from .audio import END, AudioFeed
from .colour import to_display, to_half
from .exr import exr_info, save_exr
from .movie import open_movie, turns, video_stream
from .stills import Pattern, encode_png, is_pattern, parse_pattern
from .yuv import decode_bias, to_yuv

MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".avi": "avi", ".mkv": "matroska"}
CODECS = {"mp4": ("h264",), "mov": ("prores", "h264", "ffv1"), "avi": ("ffv1",), "matroska": ("ffv1", "h264")}
"""What each container may hold, its default first."""
QUEUE = 3
"""Frames that may wait for the encoder."""
H264_THREADS = 4
"""x264 writes their number into its stream: the same on every machine, so that the same edit is the same file."""
BT709, UNSPECIFIED = 1, 2


@dataclass(frozen=True)
class Source:
    """What a delivery takes over from the plate's file beyond `Plate`."""

    pix_fmt: str = "rgb24"
    colour: tuple[int, int, int] = (BT709, BT709, BT709)
    """Matrix, primaries and transfer by their numbers in H.273."""
    full_range: bool = False
    time_base: Fraction | None = None
    aspect: Fraction | None = None
    """Of a pixel, in the upright picture."""


class PlateWriter:
    """Context manager; `write` takes the frames in order. Rename on success, nothing left on an exception."""

    warnings: list[str]
    """Sentences for the user, known once opened."""

    def __init__(self, output: Path, plate: Plate) -> None:
        self.output, self.plate, self.warnings, self.count = output, plate, [], 0
        self._pending: deque[Future] = deque()
        self._pool: ThreadPoolExecutor | None = None

    def write(self, pixels: np.ndarray, time: float | None = None) -> None:
        """Add one frame: (H, W, 3|4) of the plate's size and type. `time` in seconds matters for variable-rate plates. Raises MienError."""
        plate = self.plate
        if pixels.shape != (plate.height, plate.width, 4 if plate.alpha else 3) or pixels.dtype.itemsize * 8 != plate.bits:
            raise ValueError(f"frame {self.count} is {pixels.shape} {pixels.dtype}, the plate is {plate.width} x {plate.height}, "
                             f"{plate.bits} bits, alpha {plate.alpha}")
        self._add(self.count, pixels, time)
        self.count += 1

    def __enter__(self) -> PlateWriter:
        try:
            with self._explained():
                self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            with self._explained():
                self._drain(0)
                self._finish()
        except BaseException:
            self._discard()
            raise
        finally:
            self._stop_pool()

    def _add(self, index: int, pixels: np.ndarray, time: float | None) -> None:
        raise NotImplementedError

    def _open(self) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _abort(self) -> None:
        raise NotImplementedError

    def _submit(self, workers: int, job, *args) -> None:
        """Run `job` on the pool and wait while too much is queued."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(workers, "mien-write")
        self._pending.append(self._pool.submit(job, *args))
        with self._explained():
            self._drain(QUEUE)

    def _drain(self, left: int) -> None:
        while len(self._pending) > left:
            self._pending.popleft().result()

    def _stop_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _discard(self) -> None:
        self._stop_pool()
        with contextlib.suppress(av.error.FFmpegError, OSError, MienError):
            self._abort()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            if error.errno == errno.EINVAL or isinstance(error, av.error.ExternalError):
                raise MienError(f"Cannot write {self.output}: the encoder refuses {self.plate.width} x {self.plate.height} frames "
                                f"({error.strerror or error}); write FFV1 or a PNG sequence instead.") from error
            raise MienError(f"Cannot write {self.output}: {error.strerror or error}; check the folder's permissions and free space.") from error


class SequenceWriter(PlateWriter):
    """PNG or EXR files, collected in a hidden folder beside the first and moved when all are there."""

    def __init__(self, output: Path, plate: Plate, pattern: Pattern, source: Path | None) -> None:
        super().__init__(output, plate)
        self.pattern, self.source, self.exr = pattern, source, output.suffix.lower() == ".exr"
        self._folder: Path | None = None
        self._full = False

    def _open(self) -> None:
        folder = self.pattern.folder
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{self.output.stem.replace('#', '')}{os.getpid()}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        self._folder = temporary
        if self.exr and self.plate.linear and self.plate.kind == "sequence" and self.source is not None and self.source.suffix.lower() == ".exr":
            first = parse_pattern(self.source, guess=False).file(self.plate.first_frame)
            self._full = first.is_file() and exr_info(first)[3]  # a plate of full floats stays exact only as full floats

    def _add(self, index: int, pixels: np.ndarray, time: float | None) -> None:
        name = self.pattern.file(self.plate.first_frame + index).name
        self._submit(2, self._save, self._folder / name, pixels.copy())

    def _save(self, path: Path, pixels: np.ndarray) -> None:
        if self.exr:
            save_exr(path, pixels if self._full else to_half(pixels))
        else:
            path.write_bytes(encode_png(to_display(pixels) if pixels.dtype == np.float32 else pixels))

    def _finish(self) -> None:
        for path in sorted(self._folder.iterdir()):
            os.replace(path, self.pattern.folder / path.name)
        self._folder.rmdir()

    def _abort(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class MovieWriter(PlateWriter):
    """One movie file, with the plate's sound."""

    def __init__(self, output: Path, plate: Plate, codec: str, source: Source, audio_from: Path | None) -> None:
        super().__init__(output, plate)
        self.codec, self.source, self.audio_from = codec, source, audio_from
        self.muxer = MUXERS[output.suffix.lower()]
        if (self.muxer, codec) == ("mov", "ffv1"):
            self.muxer = "mp4"  # the same boxes; FFmpeg registers FFV1 there, under the tag that every reader of .mov knows
        self._atomic = None
        self._container: av.container.OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._audio: AudioFeed | None = None
        self._bias = (0.0, 0.0, 0.0)
        self._tick = Fraction(1)
        self._start = 0
        self._end = 0.0

    def _open(self) -> None:
        self._atomic = atomic_path(self.output)
        temporary = self._atomic.__enter__()
        options = {"movflags": "+faststart+write_colr"} if self.muxer in ("mp4", "mov") else {}
        self._container = av.open(str(temporary), "w", format=self.muxer, options=options)
        name, pix_fmt, settings = self._settings()
        plate, source = self.plate, self.source
        stream = self._container.add_stream(name, rate=plate.rate, options=settings)
        stream.width, stream.height, stream.pix_fmt = plate.width, plate.height, pix_fmt
        stream.thread_type = "AUTO"
        context = stream.codec_context
        if name == "libx264":
            context.thread_count = H264_THREADS
        self._tick = (source.time_base or Fraction(1, 1_000_000)) if plate.variable_rate else 1 / plate.rate
        if source.aspect and source.aspect > 0:
            context.sample_aspect_ratio = source.aspect
        context.flags |= Flags.frame_duration  # otherwise the last frame's length is guessed
        context.color_primaries, context.color_trc = source.colour[1:]
        if pix_fmt.startswith("yuv"):
            context.colorspace, context.color_range = source.colour[0], 1
            self._bias = decode_bias(source.pix_fmt, source.colour[0], source.full_range)
        self._stream = stream
        if self.audio_from is not None and plate.audio:
            self._audio = AudioFeed(self.audio_from, self._container, self.muxer)

    def _settings(self) -> tuple[str, str, dict[str, str]]:
        """(encoder, pixel format, options); notes what the codec cannot keep."""
        plate = self.plate
        deep, odd = plate.bits > 8, bool(plate.width % 2 or plate.height % 2)
        if self.codec == "ffv1":
            settings = {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"} | ({} if deep else {"coder": "rice"})
            deep_format = "gbrap16le" if plate.alpha else "gbrp16le"
            if plate.linear:
                self.warnings.append(f"{self.output.name} holds 16-bit sRGB, not the plate's linear float; write an EXR sequence to keep that.")
            return "ffv1", (deep_format if deep else "bgra" if plate.alpha else "bgr0"), settings
        if self.codec == "prores":
            rich = plate.alpha or deep or odd
            pix_fmt = "yuva444p10le" if plate.alpha else "yuv444p10le" if rich else "yuv422p10le"
            # prores_ks searches each slice for its quantiser and takes four times as long for the same size and error, but takes odd sizes
            return ("prores_ks" if odd else "prores_aw"), pix_fmt, {"profile": "4" if rich else "3", "vendor": "apl0"}
        if plate.alpha:
            self.warnings.append(f"{self.output.name} has no alpha channel, H.264 cannot hold one; write ProRes (.mov), PNG or EXR to keep it.")
        pix_fmt = "yuv420p"
        if odd:
            pix_fmt = "yuv444p"
            self.warnings.append(f"{self.output.name} is written as H.264 4:4:4, because {plate.width} x {plate.height} is odd; "
                                 "some players show only even sizes.")
        # x264's macroblock tree is not repeatable on CPUs with AVX-512: the same frames came out as different files.
        # Faster than "veryfast", larger files; in 4:4:4 its colours would be coarser. Without weighing B frames: the same size, an eighth less time.
        fast = {"preset": "veryfast"} if odd else {"preset": "superfast", "b_strategy": "0"}
        return "libx264", pix_fmt, {"crf": "14", "mbtree": "0", **fast}

    def _add(self, index: int, pixels: np.ndarray, time: float | None) -> None:
        frame = self._frame(to_display(pixels) if pixels.dtype == np.float32 else pixels)
        if index == 0:
            self._set_clock(time or 0.0)
        frame.time_base = self._tick
        frame.pts, frame.duration = self._stamp(index, time)
        self._end = float((frame.pts + frame.duration) * self._tick)
        self._submit(1, self._encode, frame, float(frame.pts * self._tick))

    def _set_clock(self, first: float) -> None:
        """Choose the time base: a picture that starts later than its sound (`first` > 0) keeps that delay."""
        rate = self.plate.rate
        if not self.plate.variable_rate and first > 0 and self.muxer in ("mp4", "mov"):
            self._tick = Fraction(1, rate.numerator * -(-10_000 // rate.numerator))
        if self.plate.variable_rate or self.muxer in ("mp4", "mov"):
            self._start = max(round(Fraction(first) / self._tick), 0)
        self._stream.codec_context.time_base = self._stream.time_base = self._tick

    def _stamp(self, index: int, time: float | None) -> tuple[int, int]:
        """(pts, duration) of a frame, in ticks."""
        step = 1 / self.plate.rate / self._tick
        if not self.plate.variable_rate:
            return self._start + round(index * step), round(step)
        if time is None:
            raise ValueError("a variable-rate plate needs the time of each frame")
        pts = round(Fraction(time) / self._tick)
        # The nominal rate is the mean: it tells how long the last frame stands.
        last = self._start + round(self.plate.frame_count * step) - pts if index == self.plate.frame_count - 1 else 0
        return pts, last if last > 0 else max(round(step), 1)

    def _frame(self, pixels: np.ndarray) -> VideoFrame:
        pix_fmt = self._stream.pix_fmt
        if pix_fmt.startswith("yuv"):
            frame = to_yuv(pixels, pix_fmt, self.source.colour[0], self._bias)
            frame.colorspace, frame.color_range = self.source.colour[0], 1
        else:
            names = {(1, 3): "rgb24", (1, 4): "rgba", (2, 3): "rgb48le", (2, 4): "rgba64le"}
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), names[pixels.dtype.itemsize, pixels.shape[2]]).reformat(format=pix_fmt)
        frame.color_primaries, frame.color_trc = self.source.colour[1:]
        return frame

    def _encode(self, frame: VideoFrame, now: float) -> None:
        self._container.mux(self._stream.encode(frame))
        if self._audio is not None:
            self._audio.feed(now)

    def _finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        if self._audio is not None:
            # All frames of the plate are in: so is all of its sound, to the sample. Part of the plate: the sound ends with the picture.
            self._audio.finish(END if self.count == self.plate.frame_count else self._end)
            self._audio.close()
        self._container.close()
        self._atomic.__exit__(None, None, None)

    def _abort(self) -> None:
        for part in (self._audio, self._container):
            if part is not None:
                with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                    part.close()
        if self._atomic is not None:
            with contextlib.suppress(_Abandoned):
                self._atomic.__exit__(_Abandoned, _Abandoned(), None)


class _Abandoned(Exception):
    """Thrown into `atomic_path` to make it remove the temporary file."""


def open_writer(output: Path | str, plate: Plate, codec: str | None = None, audio_from: Path | str | None = None) -> PlateWriter:
    """A writer for `output`: .mp4, .mov, .avi, .mkv, name.####.png or name.####.exr; frames must be of the plate's size and type.

    codec: h264, prores or ffv1; None takes the container's default (h264 in mp4, prores in mov, ffv1 in avi and mkv).
    audio_from: the plate's file; its sound goes along and its colour tags, time base and pixel aspect are taken over.
    Raises MienError when the output cannot be what is asked for.
    """
    output = Path(os.path.abspath(Path(output).expanduser()))
    suffix = output.suffix.lower()
    if output.is_dir():
        raise MienError(f"{output} is a folder; give a file such as {output / 'out.mp4'}.")
    source_path = Path(audio_from) if audio_from is not None else Path(plate.path) if Path(plate.path).is_absolute() else None
    if source_path is not None and _same_footage(output, source_path):
        raise MienError(f"{output} is the plate itself; give the output another name.")
    if suffix in (".png", ".exr"):
        if codec is not None:
            raise MienError(f"{output.name} is a sequence of pictures and takes no codec; leave out '{codec}' or write a .mov.")
        if not is_pattern(output) and plate.frame_count > 1:
            raise MienError(f"{output} names one picture for {plate.frame_count} frames; write {output.stem}.####{suffix} instead.")
        return SequenceWriter(output, plate, parse_pattern(output, guess=False), source_path)
    if suffix not in MUXERS:
        raise MienError(f"{output} has an ending that cannot be written; use .mp4, .mov, .avi, .mkv, .####.png or .####.exr.")
    allowed = CODECS[MUXERS[suffix]]
    if codec is not None and codec not in allowed:
        raise MienError(f"{output.name} cannot hold '{codec}'; {suffix} takes {', '.join(allowed)}.")
    movie = source_path if plate.kind == "movie" else None
    source = _read_source(movie) if movie is not None and movie.is_file() else Source()
    return MovieWriter(output, plate, codec or allowed[0], source, Path(audio_from) if audio_from is not None and plate.kind == "movie" else None)


def _same_footage(output: Path, plate: Path) -> bool:
    """Would writing `output` replace the plate?"""
    if is_pattern(output) and is_pattern(plate):
        return parse_pattern(output).path == parse_pattern(plate).path
    return output.exists() and plate.exists() and output.samefile(plate)


def _read_source(path: Path) -> Source:
    with open_movie(path) as container:
        stream = video_stream(path, container)
        context = stream.codec_context
        try:
            frame = next(container.decode(stream))
        except (av.error.FFmpegError, OSError, StopIteration):
            return Source()
        pix_fmt = context.pix_fmt or "rgb24"
        aspect = stream.sample_aspect_ratio
        if aspect and turns(frame)[0] % 2:
            aspect = 1 / aspect
        if not pix_fmt.startswith("yuv"):
            return Source(pix_fmt, time_base=stream.time_base, aspect=aspect)
        full = pix_fmt.startswith("yuvj") or context.color_range == 2
        return Source(pix_fmt, (context.colorspace, context.color_primaries, context.color_trc), full, stream.time_base, aspect)
