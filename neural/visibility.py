# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a face is seen on a frame: turned away, or hidden behind what the artist has masked.

A mask is a picture sequence or movie, white where something stands before the face: the one given to `mien solve --mask`, or pictures in the shot
folder's `occlusion/`. A sequence's frames belong to the plate's frames of the same number; frames without a picture are unmasked.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from ..mesh.camera import place
from ..mesh.errors import MienError
from ..mesh.model import FaceModel
from ..mesh.shot import Shot, Solve, Track
from .media import PlateReader, display8, probe_plate

FACING = (-0.1, 0.25)
"""Cosine between a surface and the view: below the first it is hidden, above the second fully seen."""
LEAST = 0.1
"""Belief in a landmark on a hidden surface: the tracker guesses it, from what it sees of the rest."""
PICTURES = (".png", ".exr", ".jpg", ".jpeg", ".tif", ".tiff")


class OcclusionMask:
    """The artist's mask of a shot; `frame` reads one picture at a time."""

    def __init__(self, path: Path, shot: Shot):
        self.path, self._shot = path, shot
        facts = probe_plate(path)
        self._reader, self._facts = PlateReader(path, facts), facts

    def frame(self, index: int) -> np.ndarray | None:
        """(H, W) float32 in 0..1 of the plate's size, 1 = hidden; None where the mask has no frame. Raises MienError for an unreadable one."""
        first = self._facts.first_frame if self._facts.kind == "sequence" else self._shot.plate.first_frame
        at = self._shot.frame_number(index) - first
        if not 0 <= at < self._facts.frame_count:
            return None
        pixels = display8(self._reader.frame(at).pixels, False)
        mask = pixels[..., :3].max(2).astype(np.float32) / 255
        size = (self._shot.plate.width, self._shot.plate.height)
        return mask if mask.shape[::-1] == size else cv2.resize(mask, size, interpolation=cv2.INTER_AREA)


def occlusion_mask(shot: Shot) -> OcclusionMask | None:
    """The shot's mask, or None. Raises MienError for a mask that cannot be read."""
    given = shot.settings.get("mask")
    if given:
        path = Path(given)
        return OcclusionMask(path if path.is_absolute() else Path(os.path.normpath(shot.folder / path)), shot)
    folder = shot.folder / "occlusion"
    pictures = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURES and p.stem[-1:].isdigit()) if folder.is_dir() else []
    if not pictures:
        return None
    stem = pictures[0].stem.rstrip("0123456789")
    patterns = {(p.stem.rstrip("0123456789"), p.suffix, len(p.stem) - len(p.stem.rstrip("0123456789"))) for p in pictures}
    if len(patterns) > 1:
        raise MienError(f"{folder} holds pictures of more than one sequence; leave the occlusion mask alone in it.")
    digits = len(pictures[0].stem) - len(stem)
    return OcclusionMask(folder / f"{stem}{'#' * digits}{pictures[0].suffix}", shot)


def landmarks_seen(shot: Shot, track: Track) -> np.ndarray | None:
    """(T, 478) in 0..1 by the artist's mask: how far each tracked landmark is uncovered; None for a shot without a mask."""
    mask = occlusion_mask(shot)
    if mask is None:
        return None
    seen = np.ones(track.landmarks.shape[:2], np.float32)
    for index in np.flatnonzero(track.found):
        picture = mask.frame(int(index))
        if picture is not None:
            seen[index] = 1 - _at(picture, track.landmarks[index, :, :2])
    return seen


def frame_visibility(model: FaceModel, solve: Solve, index: int, mask: np.ndarray | None = None) -> np.ndarray:
    """(V,) in 0..1: how far each vertex is seen on a solved frame; mask (H, W) from `OcclusionMask.frame`."""
    points = place(model.shape(solve.alpha, solve.beta[index]).astype(np.float64), solve.rotation[index].astype(np.float64),
                   solve.translation[index].astype(np.float64))
    seen = facing(points, model.triangles)
    return seen if mask is None else seen * (1 - _at(mask, solve.camera.project(points)))


def region_visibility(model: FaceModel, seen: np.ndarray) -> dict[str, float]:
    """Region -> confidence in 0..1: the mean of what is seen (V,), by the region's weights."""
    return {name: float((weight * seen).sum() / max(float(weight.sum()), 1e-9)) for name, weight in model.regions.items()}


def facing(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) in 0..1: how far surfaces at (V, 3), metres in camera axes, are turned to the camera. Parts that hide each other are not told."""
    normals = np.zeros_like(points)
    face = np.cross(points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]])
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], face)
    view = -points / np.linalg.norm(points, axis=1, keepdims=True)
    cosine = (normals * view).sum(1) / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    cosine *= np.sign(np.median(cosine))  # whichever way the model's triangles turn, most of a face looks at the camera
    return np.clip((cosine - FACING[0]) / (FACING[1] - FACING[0]), 0, 1)


def turned_to_camera(model: FaceModel, rotation: np.ndarray) -> np.ndarray:
    """(n, L) belief in the model's landmarks by rotations (n, 3, 3) alone: the mean face's normals against the line of sight."""
    normals = np.zeros((model.vertex_count, 3))
    t, p = model.triangles, model.mean.astype(np.float64)
    face = np.cross(p[t[:, 1]] - p[t[:, 0]], p[t[:, 2]] - p[t[:, 0]])
    for corner in range(3):
        np.add.at(normals, t[:, corner], face)
    normals = normals[model.landmark_vertices]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals *= -np.sign(np.median(normals[:, 2]))
    cosine = -(normals @ np.swapaxes(rotation, 1, 2))[..., 2]
    return np.clip((cosine - FACING[0]) / (FACING[1] - FACING[0]), LEAST, 1)


def _at(picture: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(H, W) at pixels (n, 2), blended between neighbours; beyond the border its last pixel."""
    x, y = (xy.astype(np.float32) - 0.5).T
    return cv2.remap(picture, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
