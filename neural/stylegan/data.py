# SPDX-License-Identifier: GPL-3.0-or-later
"""What a StyleGAN of textures is trained on: the unwrapped frames of solved shots, holes filled from the shot's other frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ...mesh.camera import place
from ...mesh.errors import MienError
from ...mesh.model import load_model
from ...mesh.shot import Shot, Solve, Track
from ..media import PlateReader, display8
from ..progress import Reporter, reported
from ..rendering import PlateRenderer
from ..texture import Unwrapper, fill_outwards

FRAMES = 2000
"""Frames of a shot that are used at most, evenly chosen, so that memory does not grow with the clip."""
HELD_OUT = 5
"""Every so many-th texture is kept out of the training and only measured against."""


def shot_textures(folder: Path, size: int, report: Reporter) -> np.ndarray:
    """The textures (N, size, size, 3) uint8 RGB of the solved frames of a shot. Raises MienError when it is not solved."""
    shot = Shot.load(folder)
    if not shot.solve_path.exists():
        raise MienError(f"{folder} is tracked but not solved yet; solve the shot first ('mien solve').")
    track, solve, model = Track.load(shot), Solve.load(shot), load_model(shot.model)
    renderer, unwrap = PlateRenderer(model, solve.camera), Unwrapper(model, max(size, 256))
    solved = np.flatnonzero(solve.solved)
    if len(solved) < 2 * HELD_OUT:
        raise MienError(f"{folder} has only {len(solved)} solved frames; a StyleGAN needs at least {2 * HELD_OUT}, better hundreds.")
    chosen = frozenset(solved[np.unique(np.linspace(0, len(solved) - 1, FRAMES).round().astype(int))].tolist())
    frames = (f for f in PlateReader(shot.plate_path, shot.plate).frames(min(chosen), max(chosen) + 1) if f.index in chosen)
    textures, seen = [], []
    for frame in reported(frames, report, f"textures of {folder.name}", len(chosen)):
        rgb = display8(frame.pixels, shot.plate.linear)
        pose = solve.rotation[frame.index].astype(np.float64), solve.translation[frame.index].astype(np.float64)
        points = place(model.shape(solve.alpha, solve.beta[frame.index]).astype(np.float64), *pose)
        xy = solve.camera.project(points)
        texture, visible = unwrap(rgb, xy + renderer.lock(xy, track.landmarks[frame.index].astype(np.float64)), points)
        part, weight = _shrunk(texture, visible, size)
        textures.append(part)
        seen.append(weight)
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
