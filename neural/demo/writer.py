# SPDX-License-Identifier: GPL-3.0-or-later
"""Write pictures and a voice as one H.264 + AAC movie."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ...mesh.errors import MienError
from ...mesh.files import atomic_path

QUALITY = 14
"""x264's constant rate factor: near lossless, so that the demo edits a plate and not its artefacts."""


def write_movie(path: Path, pictures: Iterable[np.ndarray], rate: Fraction, sound: np.ndarray, sound_rate: int) -> None:
    """Encode pictures (H, W, 3) uint8, all of one even size, and mono sound (n,) float32 in -1..1. Replaces `path` once complete.

    Raises MienError when the folder cannot be written.
    """
    with atomic_path(path) as temporary:
        try:
            with av.open(str(temporary), "w") as container:
                video = audio = None
                for picture in pictures:
                    if video is None:
                        video = container.add_stream("libx264", rate=rate, options={"crf": str(QUALITY), "preset": "medium"})
                        video.height, video.width = picture.shape[:2]
                        video.pix_fmt = "yuv420p"
                        audio = container.add_stream("aac", rate=sound_rate, layout="mono")
                    container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                if video is None or audio is None:
                    raise ValueError("a movie needs at least one picture")
                container.mux(video.encode(None))
                for start in range(0, len(sound), 1024):
                    block = av.AudioFrame.from_ndarray(sound[None, start:start + 1024].astype(np.float32), format="fltp", layout="mono")
                    block.sample_rate, block.pts, block.time_base = sound_rate, start, Fraction(1, sound_rate)
                    container.mux(audio.encode(block))
                container.mux(audio.encode(None))
        except av.FFmpegError as error:
            raise MienError(f"Cannot write {path} ({error.strerror}); check the folder's permissions and free space.") from error
