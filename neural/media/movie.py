# SPDX-License-Identifier: GPL-3.0-or-later
"""What probing and reading movies share: opening with clear errors, the list of frames, orientation, pixel types."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av
import av.container
import av.stream
import av.video
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...mesh.errors import MienError

# In these containers, and with these codecs, every packet that is not to be discarded becomes exactly one frame.
COUNTED_CONTAINERS = {"mov", "mp4", "matroska", "webm"}
COUNTED_CODECS = {"h264", "hevc", "prores", "ffv1", "mjpeg", "png", "dnxhd", "qtrle", "rawvideo", "vp9", "av1", "cfhd", "v210", "mpeg4",
                  "utvideo", "magicyuv"}
NO_TIMES = {"avi", "h264", "hevc", "m4v", "mpegvideo", "mjpeg"}
"""Formats whose presentation times are guessed by the demuxer: frames follow at the nominal rate there."""
LISTS = {"concat", "hls", "dash", "imf", "tty"}
"""Text that points to other files, or is drawn as a picture."""
MOVIE_MARKS = (b"ftyp", b"moov", b"mdat", b"RIFF", b"\x1a\x45\xdf\xa3", b"wide", b"free", b"OggS", b"FLV")


def check_file(path: Path) -> None:
    """Raise MienError unless `path` is a readable file with something in it."""
    if path.is_dir():
        raise MienError(f"{path} is a folder; give a movie file, or a sequence such as {path / 'name.####.exr'}.")
    if not path.exists():
        raise MienError(f"{path} does not exist; check the path.")
    if not os.access(path, os.R_OK):
        raise MienError(f"{path} cannot be read; check the file's permissions.")
    if path.stat().st_size == 0:
        raise MienError(f"{path} is empty (0 bytes); copy it again from the camera or export it again.")


def open_movie(path: Path) -> av.container.InputContainer:
    """Open a movie for reading. Raises MienError in one sentence for everything that is no playable movie."""
    check_file(path)
    try:
        # Only local files: nothing inside a file may reach the network.
        container = av.open(str(path), options={"protocol_whitelist": "file"}, metadata_errors="replace")
        if formats(container) & LISTS:
            container.close()
            raise ValueError("a list of files")
        return container
    except (av.error.FFmpegError, OSError, ValueError) as error:
        with path.open("rb") as file:
            head = file.read(64)
        if any(mark in head for mark in MOVIE_MARKS):
            raise MienError(f"{path} is cut short or damaged (its index cannot be read); "
                            "copy it again from the camera or export it again.") from error
        raise MienError(f"{path} is not a movie that can be read; give a movie file such as .mp4 or .mov, or an image sequence.") from error


def formats(container: av.container.InputContainer) -> set[str]:
    """The names FFmpeg has for the file's format."""
    return set(container.format.name.split(","))


def video_stream(path: Path, container: av.container.InputContainer) -> VideoStream:
    """The first picture stream that is not cover art, ready to decode on all threads. Raises MienError when there is none."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None or not stream.codec_context.width:
                raise MienError(f"{path} holds video that cannot be decoded; convert it to H.264, ProRes or FFV1 first.")
            stream.thread_type = "AUTO"
            return stream
    sound = "only sound" if container.streams.audio else "no video"
    raise MienError(f"{path} has {sound}, no picture; give a movie with a video track.")


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a movie, in order of presentation. F frames."""

    pts: np.ndarray
    """(F,) int64 presentation times in the stream's time base."""
    keys: np.ndarray
    """(K, 2) int64: pts and dts of the packets at which decoding can start."""
    exact: bool
    """True: one entry for one decoded frame. False: only decoding tells."""


def index_frames(path: Path, container: av.container.InputContainer, stream: VideoStream) -> FrameIndex:
    """List the frames by reading the packets, decoding nothing. Raises MienError when the file ends before its own index says."""
    pts, keys, samples, clean, first = [], [], 0, True, True
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_corrupt:
                clean = False
                break
            samples += 1
            if packet.pts is None:
                clean = False
                continue
            if packet.is_keyframe:
                keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
            elif first:
                clean = False
            first = False
            if not packet.is_discard:
                pts.append(packet.pts)
    except (av.error.FFmpegError, OSError):
        clean = False  # a container that says how many frames it has is judged below, others by decoding
    if stream.frames and samples < stream.frames:
        raise truncated(path, samples, stream.frames)
    exact = (clean and bool(formats(container) & COUNTED_CONTAINERS) and stream.codec_context.name in COUNTED_CODECS and len(set(pts)) == len(pts))
    return FrameIndex(np.sort(np.array(pts, np.int64)), np.array(sorted(keys), np.int64).reshape(-1, 2), exact)


def truncated(path: Path, have: int, promised: int) -> MienError:
    """The error for a movie that breaks off: `have` frames can be read of `promised`."""
    return MienError(f"{path} breaks off after frame {have} of {promised}: the file is truncated or damaged; "
                     "copy it again from the camera or export it again.")


def pixel_kind(name: str) -> tuple[str, int, bool]:
    """(format to convert to, bits of the plate, alpha) for a pixel format."""
    layout = av.VideoFormat(name)
    alpha = any(c.is_alpha for c in layout.components)
    deep = max(c.bits for c in layout.components) > 8
    if deep:
        return ("rgba64le" if alpha else "rgb48le"), 16, alpha
    return ("rgba" if alpha else "rgb24"), 8, alpha


def turns(frame: VideoFrame) -> tuple[int, bool]:
    """(quarter turns anticlockwise for np.rot90, mirror first?) that stand a frame upright, after its display matrix."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return 0, False
    a, b, c, d = matrix
    mirrored = a * d - b * c < 0
    if mirrored:  # take a left-right flip of the stored picture out first; what is left is a pure rotation
        a, b = -a, -b
    return round(np.degrees(np.arctan2(-b, a)) / 90) % 4, mirrored


def upright(pixels: np.ndarray, turn: tuple[int, bool]) -> np.ndarray:
    """Apply `turns` to (h, w, C) pixels; contiguous."""
    quarter, mirrored = turn
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, quarter) if quarter else pixels)


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    """The rotation part (a, b, c, d) of the display matrix, signs as stored; None when there is none or it is the identity."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            m = np.frombuffer(data, np.int32)
            a, b, c, d = int(m[0]), int(m[1]), int(m[3]), int(m[4])
            return None if (a > 0 and d > 0 and not b and not c) else (a, b, c, d)
    return None


def origin_seconds(container: av.container.InputContainer) -> float:
    """What to subtract from presentation times: transport streams start anywhere, other files at 0 or, by an edit list, a little later."""
    start = container.start_time
    return start / av.time_base if start and start > 0 else 0.0
