# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture that R-Net sees: a face brought to one size and place by five points (Deng et al. 2019, as in Deep3DFaceRecon_pytorch)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .network import INPUT

STANDARD = np.array([[-0.31148657, 0.29036078, 0.13377953], [0.30979887, 0.28972036, 0.13179526], [0.0032535, -0.04617932, 0.55244243],
                     [-0.25216928, -0.38133916, 0.22405732], [0.2484662, -0.38128236, 0.22235769]])
"""(5, 3) both eyes' middles, tip of the nose, both corners of the mouth, those on the image's left first, of a standard face; R-Net's axes."""
LANDMARKS = ((33, 133), (362, 263), (4,), (61,), (291,))
"""The MediaPipe landmarks whose mean each of the five points is."""
SCALE = 102.0
"""Pixels of the crop for a unit of STANDARD."""


@dataclass(frozen=True)
class Crop:
    """Where a crop lies: the plate is scaled to (width, height), then cut at (left, top)."""

    width: int
    height: int
    left: int
    top: int
    plate: tuple[int, int]
    """Width and height of the plate."""

    def to_plate(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the crop -> pixels of the plate."""
        return (points + (self.left, self.top)) * (self.plate[0] / self.width, self.plate[1] / self.height)


def crop_of(landmarks: np.ndarray, width: int, height: int) -> Crop:
    """The crop of a face: landmarks (478, 2+) in pixels of a plate of this size.

    Scale and place come from the affine map of the five standard points to those of the face (least squares); its two rows' mean length is the scale.
    Sizes and places are cut to whole pixels as the reference does.
    """
    five = np.array([landmarks[list(ids), :2].mean(0) for ids in LANDMARKS], np.float64)
    x, y = five[:, 0] - 0.5, height - 0.5 - five[:, 1]  # pixels from their centres, rows from below
    A = np.concatenate([STANDARD, np.ones((5, 1))], 1)
    rows = np.linalg.lstsq(A, np.stack([x, y], 1), rcond=None)[0]
    scale = SCALE / np.linalg.norm(rows[:3], axis=0).mean()
    across, up = rows[3]
    w, h = int(width * scale), int(height * scale)
    left = int(w / 2 - INPUT / 2 + (across - width / 2) * scale)
    top = int(h / 2 - INPUT / 2 + (height / 2 - up) * scale)
    return Crop(w, h, left, top, (width, height))


def cut(rgb: np.ndarray, crop: Crop) -> np.ndarray:
    """(H, W, 3) uint8 sRGB -> (224, 224, 3) uint8; black outside of the plate."""
    small = Image.fromarray(rgb).resize((crop.width, crop.height), Image.Resampling.BICUBIC)
    return np.asarray(small.crop((crop.left, crop.top, crop.left + INPUT, crop.top + INPUT)))
