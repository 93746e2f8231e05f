# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake: the face layer of every frame as EXR, only where something changed, so that it can stop and go on at any frame."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ..mesh.emotion import EmotionCurves
from ..mesh.files import atomic_path, read_json, write_json
from ..mesh.shot import Shot
from .edit import EditSettings, ShotEditor
from .media import Frame, PlateReader, srgb_to_linear, write_face_layer, write_matte, write_png
from .parallel import ordered_map
from .progress import Reporter
from .rendering import FaceLayer

COVER = 24
"""Pixels by which the patch reaches beyond the matte, so that the matte can be blurred or grown in the compositor."""


class Manifest:
    """manifest.json of a baked version: one content hash per frame number, and the settings and pictures of a mask that they were baked with."""

    def __init__(self, folder: Path):
        self.path = folder / "manifest.json"
        data = read_json(self.path) if self.path.exists() else {}
        self.frames: dict[str, str] = data.get("frames", {})
        self.settings: dict = data.get("settings", {})
        self.masks: dict[str, str] = data.get("masks", {})

    def save(self) -> None:
        write_json(self.path, {"schema": 1, "settings": self.settings, "masks": self.masks, "frames": self.frames})


def stale_frames(shot: Shot, editor: ShotEditor, manifest: Manifest) -> dict[int, str]:
    """Frames whose face layer is missing or out of date: index -> the content hash that it is to have."""
    hashes = {i: editor.content_hash(i) for i in range(shot.plate.frame_count)}
    return {i: wanted for i, wanted in hashes.items()
            if manifest.frames.get(str(shot.frame_number(i))) != wanted or not shot.face_path(i).exists() or not shot.matte_path(i).exists()}


def bake(folder: Path, *, settings: dict | None = None, frames: Sequence[Sequence[int]] | None = None, report: Reporter) -> dict:
    """Bring the shot's current version (and plate/ for a movie) up to date with emotion.npz.

    frames: [first, last] ranges of frame numbers to bake, all by default. What another version holds with the same content is taken over.
    Returns {"baked": frames that were out of date and are not any more, "total": frames, "rest": frames that stay the plate, "jitter": edited
    over original mesh, "version": number of the version}. Raises MienError when a file of the shot is missing or does not fit.
    """
    shot = Shot.load(folder)
    editor = ShotEditor(shot, EmotionCurves.load(shot.emotion_path), EditSettings.from_dict(settings), report)
    manifest = Manifest(shot.bake_folder)
    changed = stale_frames(shot, editor, manifest)
    # What is about to be written over is struck off first: a bake that dies half-way must never pass an old hash off on a new file.
    for i in changed:
        manifest.frames.pop(str(shot.frame_number(i)), None)
    manifest.settings, mask = settings or {}, editor.trust.mask
    manifest.masks = {str(shot.frame_number(i)): mask.frame_key(i) for i in range(shot.plate.frame_count)} if mask is not None else {}
    manifest.save()
    with atomic_path(shot.bake_folder / "emotion.npz") as temporary:  # the manifest's frames belong to these curves from here on
        shutil.copyfile(shot.emotion_path, temporary)
    wanted = [i for i in range(shot.plate.frame_count) if frames is None or any(a <= shot.frame_number(i) <= b for a, b in frames)]
    changed = {i: changed[i] for i in wanted if i in changed}
    paint = changed.keys() - take_over(shot, changed, manifest)
    renew_plate_folder(shot)
    movie = shot.plate.kind == "movie"
    decode = set(paint) | {i for i in wanted if movie and not shot.plate_frame_path(i).exists()}
    blank = _Blank(shot)

    def make(frame: Frame) -> int:
        i = frame.index
        if movie and not shot.plate_frame_path(i).exists():
            write_png(shot.plate_frame_path(i), frame.pixels)
        if i in paint:
            layer = editor.layer(i, frame.pixels)
            if layer is None:
                blank.copy_to(i)
            else:
                write_layer(shot, i, layer)
        return i

    report.step("bake", 0, len(decode))
    footage = PlateReader(shot.plate_path, shot.plate).chosen(sorted(decode))
    for done, i in enumerate(ordered_map(make, footage), 1):
        if i in paint:
            manifest.frames[str(shot.frame_number(i))] = changed[i]
            manifest.save()
        report.step("bake", done, len(decode))
    rest = int(sum(not a for a in editor.edit.active))
    return {"baked": len(changed), "total": shot.plate.frame_count, "rest": rest, "jitter": round(editor.jitter(), 4), "version": shot.bake_version}


def take_over(shot: Shot, changed: dict[int, str], manifest: Manifest) -> set[int]:
    """Link (or copy) what other versions hold with the wanted content hash, newest first; returns the indices that are done."""
    done: set[int] = set()
    for version in reversed(shot.bake_versions()):
        if version == shot.bake_version:
            continue
        other = replace(shot, bake_version=version)
        hashes = Manifest(other.bake_folder).frames
        for i, wanted in changed.items():
            files = [(other.face_path(i), shot.face_path(i)), (other.matte_path(i), shot.matte_path(i))]
            if i in done or hashes.get(str(shot.frame_number(i))) != wanted or not all(source.exists() for source, _ in files):
                continue
            for source, target in files:
                with atomic_path(target) as temporary:
                    _link(source, temporary)
            manifest.frames[str(shot.frame_number(i))] = wanted
            done.add(i)
    manifest.save()
    return done


def _link(source: Path, target: Path) -> None:
    """One file under two names, which every write under a temporary name ends; a copy where the disk knows no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def renew_plate_folder(shot: Shot) -> None:
    """Empty plate/ when it was decoded from other footage."""
    note = shot.plate_folder / "source.json"
    if not note.exists() or read_json(note).get("fingerprint") != shot.plate.fingerprint:
        shutil.rmtree(shot.plate_folder, ignore_errors=True)
        write_json(note, {"schema": 1, "fingerprint": shot.plate.fingerprint})


def write_layer(shot: Shot, index: int, layer: FaceLayer | None) -> None:
    """The layer of one frame as face and matte EXR of the plate's size; an empty one where the frame stays the plate."""
    size = shot.plate.width, shot.plate.height
    if layer is None:
        write_face_layer(shot.face_path(index), np.zeros((1, 1, 4), np.float32), size=size)
        write_matte(shot.matte_path(index), np.zeros((1, 1), np.float32), size=size)
        return
    reach = np.ones((2 * COVER + 1, 2 * COVER + 1), np.uint8)
    cover = cv2.dilate((layer.matte > 0).astype(np.uint8), reach).astype(np.float32)[..., None]
    face = np.concatenate([scene_linear(layer.patch[..., :3], shot.plate.linear) * cover, cover], 2)
    write_face_layer(shot.face_path(index), face, origin=layer.box[:2], size=size)
    write_matte(shot.matte_path(index), layer.matte, origin=layer.box[:2], size=size)


def scene_linear(pixels: np.ndarray, linear: bool) -> np.ndarray:
    """Plate pixels of any depth -> float32 scene-linear."""
    if linear:
        return pixels.astype(np.float32)
    return srgb_to_linear(pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 65535)).astype(np.float32)


class _Blank:
    """The empty face and matte, made once: every frame that stays the plate has a copy."""

    def __init__(self, shot: Shot):
        self._shot, self._lock = shot, threading.Lock()
        self._first: int | None = None

    def copy_to(self, index: int) -> None:
        shot = self._shot
        with self._lock:
            if self._first is None:
                write_layer(shot, index, None)
                self._first = index
                return
        for path in (shot.face_path, shot.matte_path):
            with atomic_path(path(index)) as temporary:
                shutil.copyfile(path(self._first), temporary)
