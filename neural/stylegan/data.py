# SPDX-License-Identifier: GPL-3.0-or-later
"""What a StyleGAN of textures is trained on: the unwrapped frames of solved shots, holes filled from the shot's other frames."""

from __future__ import annotations

import cv2
import numpy as np

from ...mesh.errors import MienError
from ..appearance import ShotFaces
from ..media import Frame, display8
from ..parallel import ordered_map
from ..progress import Reporter, reported
from ..texture import Unwrapper, fill_outwards

FRAMES = 2000
"""Frames of a shot that are used at most, evenly chosen, so that memory does not grow with the clip."""
HELD_OUT = 5
"""Every so many-th texture is kept out of the training and only measured against."""


def shot_textures(faces: ShotFaces, size: int, report: Reporter) -> np.ndarray:
    """The textures (N, size, size, 3) uint8 RGB of the solved frames of a shot; what the artist's mask covers counts as not seen. Raises MienError
    for a shot of too few frames.
    """
    linear, unwrap = faces.shot.plate.linear, Unwrapper(faces.renderer.model, max(size, 256))
    chosen = faces.samples(FRAMES)
    if len(chosen) < 2 * HELD_OUT:
        raise MienError(f"{faces.shot.folder} has only {len(chosen)} solved frames; a StyleGAN needs at least {2 * HELD_OUT}, better hundreds.")

    def texture_of(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        xy, points = faces.vertices(frame.index)
        return _shrunk(*unwrap(display8(frame.pixels, linear), xy, points, faces.trust.hidden(frame.index)), size)

    made = reported(ordered_map(texture_of, faces.frames(chosen)), report, f"textures of {faces.shot.folder.name}", len(chosen))
    textures, seen = zip(*made)
    return completed(np.stack(textures), np.stack(seen))


def _shrunk(texture: np.ndarray, visible: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """To (size, size, 3) uint8 and (size, size) 0..1; what is not seen does not bleed into what is."""
    weight = visible.astype(np.float32)
    share = cv2.resize(weight, (size, size), interpolation=cv2.INTER_AREA)
    total = cv2.resize(weight[..., None] * texture, (size, size), interpolation=cv2.INTER_AREA)
    return (total / np.maximum(share, 1e-6)[..., None]).round().clip(0, 255).astype(np.uint8), share


def completed(textures: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Where a frame does not show the face, the mean of the frames that do: textures (N, H, W, 3) uint8, seen (N, H, W) 0..1 -> uint8."""
    weight = seen.sum(0)[..., None]
    total = np.zeros(textures.shape[1:], np.float32)
    for texture, visible in zip(textures, seen):
        total += visible[..., None] * texture
    mean = fill_outwards((total / np.maximum(weight, 1e-6)).round().astype(np.uint8), weight[..., 0] > 0.5)
    return np.stack([(v[..., None] * t + (1 - v[..., None]) * mean).round().astype(np.uint8) for t, v in zip(textures, seen)])


def split(textures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(to train on, held out): every fifth is held out."""
    out = np.arange(len(textures)) % HELD_OUT == HELD_OUT - 1
    return textures[~out], textures[out]
