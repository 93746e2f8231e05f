# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of the files: did every frame and all of the sound arrive?"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from ...mesh.errors import MienError
from ...mesh.shot import Plate

SOUND_RATE = 16000


def sound_seconds(plate: Plate) -> float | None:
    """Length of the first sound track; None where there is none. Raises MienError."""
    if not plate.audio or plate.kind != "movie":
        return None
    try:
        with av.open(plate.path) as container:
            track = container.streams.audio[0]
            if track.duration:
                return float(track.duration * track.time_base)
            end = start = None
            for packet in container.demux(track):  # Matroska says no durations of single tracks
                if packet.pts is not None:
                    start = packet.pts if start is None else min(start, packet.pts)
                    end = max(end or 0, packet.pts + (packet.duration or 0))
            return float((end - start) * track.time_base) if end is not None and start is not None else None
    except (av.error.FFmpegError, OSError) as error:
        raise MienError(f"The sound of {plate.path} cannot be read ({error.strerror}); convert the file again.") from error


def read_sound(path: Path | str) -> np.ndarray:
    """The first sound track as mono int16 at 16 kHz, (n,). Raises MienError when there is none or it is damaged."""
    parts: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MienError(f"{path} has no sound; lip-sync cannot be measured on it.")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SOUND_RATE)
            for frame in container.decode(container.streams.audio[0]):
                frame.pts = None  # small gaps in the stamps are not silence
                parts += [f.to_ndarray().ravel() for f in resampler.resample(frame)]
            parts += [f.to_ndarray().ravel() for f in resampler.resample(None)]
    except (av.error.FFmpegError, OSError) as error:
        raise MienError(f"The sound of {path} cannot be read ({error.strerror}); convert the file again.") from error
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def same_rate(a: Plate, b: Plate) -> bool:
    """Equal frame rates, as fractions; a file format that keeps whole milliseconds is forgiven."""
    return abs(Fraction(*a.fps) / Fraction(*b.fps) - 1) < Fraction(1, 1000)
