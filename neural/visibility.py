# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a face is seen on a frame: turned away, or hidden behind what the artist has masked.

A mask is a picture sequence or movie, white where something stands before the face: the one given to `mien solve --mask`, or pictures in the shot
folder's `occlusion/`. A sequence's frames belong to the plate's frames of the same number; frames without a picture are unmasked.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np

from ..mesh.camera import place
from ..mesh.errors import MienError
from ..mesh.masks import PICTURES, picture_key
from ..mesh.model import FaceModel
from ..mesh.pins import correct
from ..mesh.shot import Shot, Solve, Track
from .media import PlateReader, display8, probe_plate
from .media.stills import parse_pattern

FACING = (-0.1, 0.25)
"""Cosine between a surface and the view: below the first it is hidden, above the second fully seen."""
LEAST = 0.1
"""Belief in a landmark on a hidden surface: the tracker guesses it, from what it sees of the rest."""
KEPT = 8
"""Pictures of a mask that stay in memory."""


class OcclusionMask:
    """The artist's mask of a shot; `frame` reads one picture at a time, from any thread."""

    def __init__(self, path: Path, shot: Shot):
        self.path, self._shot = path, shot
        self._facts = probe_plate(path)
        self._reader = PlateReader(path, self._facts)
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        """The last pictures of a sequence, uint8: one frame of an edit asks for its own more than once."""
        self._packed: list[bytes] = []
        """A movie's pictures so far: it is decoded once, in order, as seeking at every frame would take for ever."""
        self._movie = self._reader.frames() if self._facts.kind == "movie" else None

    def frame(self, index: int) -> np.ndarray | None:
        """(H, W) float32 in 0..1 of the plate's size, 1 = hidden; None where the mask has no frame. Raises MienError for an unreadable one."""
        at = self._position(index)
        return None if at is None else self._picture(at).astype(np.float32) / 255

    def frame_key(self, index: int) -> str:
        """Changes when the mask does on a frame; "" where it has none."""
        at = self._position(index)
        if at is None:
            return ""
        if self._facts.kind == "movie":
            return f"{self._facts.fingerprint} {at}"
        path = parse_pattern(self.path, guess=False).file(self._facts.first_frame + at)
        try:
            return picture_key(path)
        except OSError as error:
            raise MienError(f"The occlusion mask {path} cannot be read ({error.strerror or error}); put it back, or solve with "
                            "--mask none.") from error

    def _position(self, index: int) -> int | None:
        first = self._facts.first_frame if self._facts.kind == "sequence" else self._shot.plate.first_frame
        at = self._shot.frame_number(index) - first
        return at if 0 <= at < self._facts.frame_count else None

    def _picture(self, at: int) -> np.ndarray:
        """(H, W) uint8 of the plate's size."""
        size = (self._shot.plate.width, self._shot.plate.height)
        with self._lock:
            if self._movie is not None:
                while len(self._packed) <= at:
                    self._packed.append(zlib.compress(_grey(next(self._movie).pixels, size).tobytes(), 1))
                return np.frombuffer(zlib.decompress(self._packed[at]), np.uint8).reshape(size[::-1])
            if at not in self._kept:
                self._kept[at] = _grey(self._reader.frame(at).pixels, size)
            self._kept.move_to_end(at)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[at]


def _grey(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture of a mask of any depth -> (H, W) uint8 of (width, height)."""
    mask = np.ascontiguousarray(display8(pixels, False)[..., :3].max(2))
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
    trust = LandmarkTrust(track, mask)
    seen = np.ones(track.landmarks.shape[:2], np.float32)
    for index in map(int, np.flatnonzero(track.found)):
        known = trust(index)
        if known is not None:
            seen[index] = known
    return seen


class LandmarkTrust:
    """How far the tracker's landmarks tell where the face is on a frame: not at all under the artist's mask, where it guesses them, nor beside
    a pin, which says that it errs there."""

    def __init__(self, track: Track, mask: OcclusionMask | None, pins: np.ndarray | None = None):
        """pins (P, 5) as `Pins.rows`: those that the solve was made with."""
        self._track, self.mask = track, mask
        self._beside_pins = correct(track.landmarks, track.segments, pins).trust

    def __call__(self, index: int) -> np.ndarray | None:
        """(478,) float32 in 0..1; None where all are to be believed."""
        picture, beside = self.hidden(index), self._beside_pins.get(index)
        if picture is None:
            return beside
        seen = 1 - _at(picture, self._track.landmarks[index, :, :2])
        return seen if beside is None else seen * beside

    def hidden(self, index: int) -> np.ndarray | None:
        """(H, W) float32 in 0..1: what the mask covers of a frame; None where it covers nothing."""
        picture = None if self.mask is None else self.mask.frame(index)
        return None if picture is None or not picture.any() else picture

    def key(self, index: int) -> tuple[str, ...]:
        """Changes when anything does that this tells of a frame; empty for a frame without a mask."""
        known = "" if self.mask is None else self.mask.frame_key(index)
        beside = self._beside_pins.get(index)
        return (*([known] if known else []), *([] if beside is None else [hashlib.sha256(beside.tobytes()).hexdigest()[:24]]))


def shot_trust(shot: Shot, track: Track, solve: Solve) -> LandmarkTrust:
    """What every stage after the solve knows of a shot's landmarks. Raises MienError for a mask that cannot be read."""
    return LandmarkTrust(track, occlusion_mask(shot), solve.pins)


def frame_visibility(model: FaceModel, solve: Solve, index: int, mask: np.ndarray | None = None) -> np.ndarray:
    """(V,) in 0..1: how far each vertex is seen on a solved frame; mask (H, W) from `OcclusionMask.frame`."""
    points = place(model.shape(solve.alpha, solve.beta[index]).astype(np.float64), solve.rotation[index].astype(np.float64),
                   solve.translation[index].astype(np.float64))
    seen = facing(points, model.triangles)
    return seen if mask is None else seen * (1 - _at(mask, solve.camera.project(points)))


def region_visibility(model: FaceModel, seen: np.ndarray) -> dict[str, float]:
    """Region -> confidence in 0..1: the mean of what is seen (V,), by the region's weights."""
    return {name: float((weight * seen).sum() / max(float(weight.sum()), 1e-9)) for name, weight in model.regions.items()}


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals of a mesh at (V, 3), to whichever side its triangles turn; 0 for a vertex without a triangle."""
    face = np.cross(points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]])
    corners = triangles.ravel()
    normals = np.stack([np.bincount(corners, np.repeat(face[:, k], 3), len(points)) for k in range(3)], 1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def view_cosine(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) cosine between surfaces at (V, 3), metres in camera axes, and the line of sight: 1 looks at the camera."""
    cosine = -(vertex_normals(points, triangles) * points).sum(1) / np.linalg.norm(points, axis=1)
    return cosine * np.sign(np.median(cosine))  # whichever way the model's triangles turn, most of a face looks at the camera


def facing(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) in 0..1: how far surfaces at (V, 3), metres in camera axes, are turned to the camera. Parts that hide each other are not told."""
    cosine = view_cosine(points, triangles)
    return np.clip((cosine - FACING[0]) / (FACING[1] - FACING[0]), 0, 1)


def turned_to_camera(model: FaceModel, rotation: np.ndarray) -> np.ndarray:
    """(n, L) belief in the model's landmarks by rotations (n, 3, 3) alone: the mean face's normals against the line of sight."""
    normals = vertex_normals(model.mean.astype(np.float64), model.triangles)[model.landmark_vertices]
    normals *= -np.sign(np.median(normals[:, 2]))
    cosine = -(normals @ np.swapaxes(rotation, 1, 2))[..., 2]
    return np.clip((cosine - FACING[0]) / (FACING[1] - FACING[0]), LEAST, 1)


def _at(picture: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(H, W) at pixels (n, 2), blended between neighbours; beyond the border its last pixel."""
    x, y = (xy.astype(np.float32) - 0.5).T
    return cv2.remap(picture, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
