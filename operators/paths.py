# SPDX-License-Identifier: GPL-3.0-or-later
"""Mien's own paths keep their meaning when the .blend is saved elsewhere, as Blender's relative paths do.

Blender knows nothing of paths in an extension's properties. So each scene notes the folder that Mien's relative paths are meant from; when the
file is saved into another one, or undo brings back paths from before that, they are written anew. Opened from another folder, the file was
moved together with what lies beside it: then its paths stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from . import shots

TAG = "mien_shot"
"""Custom property of composite and delivery scenes: their shot folder."""


def path_names(settings: bpy.types.PropertyGroup) -> list[str]:
    """The properties of a group that hold paths; a face model may be a name or a path."""
    kinds = ("FILE_PATH", "DIR_PATH")
    return [p.identifier for p in settings.bl_rna.properties if p.type == "STRING" and (p.subtype in kinds or p.identifier == "model")]


def rewrite(change: Callable[[str], str]) -> None:
    """Give every path of Mien in this file to `change`; linked data is left alone."""
    groups = [face.mien for face in bpy.data.objects if face.library is None and face.mien.shot_folder]
    for scene in bpy.data.scenes:
        if scene.library is not None:
            continue
        if scene.get(TAG):
            scene[TAG] = change(scene[TAG])
        groups += [scene.mien, scene.mien.training, *scene.mien.shots]
    for group in groups:
        for name in path_names(group):
            if getattr(group, name):
                setattr(group, name, change(getattr(group, name)))


def moved(stored: str, before: str, after: str) -> str:
    """The same place, told from the folder `after` instead of `before` ("": the file has no place on disk)."""
    if stored.startswith("//"):
        if not before:
            return stored
        path = os.path.normpath(os.path.join(before, stored[2:]))
    elif before or not os.path.isabs(stored):
        return stored  # in a file that has a place, an absolute path was chosen on purpose
    else:
        path = stored
    try:
        return bpy.path.relpath(path, start=after) if after else path
    except ValueError:  # another drive
        return path


def find_again(folder: Path, solve: str) -> list[bpy.types.Object]:
    """A shot folder that was moved or renamed by hand: faces whose folder is gone and whose solve is this one's belong to `folder` from now on."""
    lost = [face for face in bpy.data.objects if face.library is None and shots.is_face(face) and face.mien.solve_hash == solve
            and not (shots.absolute(face.mien.shot_folder) / "shot.json").exists()]
    gone = {shots.absolute(face.mien.shot_folder) for face in lost}

    def change(stored: str) -> str:
        path = shots.absolute(stored)
        old = next((old for old in gone if path.is_relative_to(old)), None)  # the folder itself, or the actor in it
        return stored if old is None else shots.stored_path(folder / path.relative_to(old))

    rewrite(change)
    return lost


def base() -> str:
    """The folder that the relative paths in this file are meant from; "" where none is noted."""
    return next((scene.mien.path_base for scene in bpy.data.scenes if scene.library is None and scene.mien.path_base), "")


def settle(folder: str) -> None:
    """Let all paths be told from `folder`."""
    before = base()
    if before != folder:
        rewrite(lambda stored: moved(stored, before, folder))
    note(folder)


def note(folder: str) -> None:
    for scene in bpy.data.scenes:
        if scene.library is None and scene.mien.path_base != folder:
            scene.mien.path_base = folder


def _folder(path: str) -> str:
    return str(Path(path).absolute().parent) if path else ""


@persistent
def _save_pre(path: str = "", *_: object) -> None:
    if path:
        if not base():
            note(_folder(bpy.data.filepath))
        settle(_folder(path))


@persistent
def _save_post(path: str = "", *_: object) -> None:
    """A copy was saved elsewhere, or nothing: back to the paths of the file that is open."""
    if base():
        settle(_folder(bpy.data.filepath))


@persistent
def _undo_post(*_: object) -> None:
    if base():
        settle(_folder(bpy.data.filepath))


@persistent
def _load_post(*_: object) -> None:
    note(_folder(bpy.data.filepath))


HANDLERS = (("save_pre", _save_pre), ("save_post", _save_post), ("save_post_fail", _save_post), ("undo_post", _undo_post), ("redo_post", _undo_post),
            ("load_post", _load_post))


def register() -> None:
    for name, function in HANDLERS:
        getattr(bpy.app.handlers, name).append(function)


def unregister() -> None:
    for name, function in HANDLERS:
        getattr(bpy.app.handlers, name).remove(function)


CLASSES = ()
