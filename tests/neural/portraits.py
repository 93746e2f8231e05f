# SPDX-License-Identifier: GPL-3.0-or-later
"""A small real plate: the portrait that ships inside scikit-image, moving a little."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from mien.mesh.shot import Plate
from mien.neural.media import open_writer

FRAMES, WIDTH, HEIGHT = 10, 322, 300


def portrait(shift: float = 0.0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """The portrait's head, shifted by some pixels: (H, W, 3) uint8 RGB."""
    return cv2.warpAffine(skimage.data.astronaut(), np.float32([[1, 0, shift - 70], [0, 1, shift / 2]]), size, flags=cv2.INTER_CUBIC)


def write_movie(path: Path, frames: list[np.ndarray], fps: Fraction = Fraction(25)) -> Path:
    """Frames (H, W, 3) uint8 as lossless FFV1."""
    height, width = frames[0].shape[:2]
    plate = Plate("made-up", "movie", width, height, (fps.numerator, fps.denominator), 1, len(frames))
    with open_writer(path, plate, "ffv1") as writer:
        for i, frame in enumerate(frames):
            writer.write(np.ascontiguousarray(frame), float(i / fps))
    return path
