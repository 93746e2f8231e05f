# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the scene's list of shots, kept up to date by whatever gives the scene a shot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bpy

from . import shots

PER_SHOT = ("face_number", "focal_mm", "model", "landmarks", "rnet", "photometric", "actor_name")
"""Settings of MienScene that each shot has for itself; those of the shots that are not in work are kept in their rows."""


def find(scene: bpy.types.Scene, folder: str) -> int:
    """Index of the shot with that folder (as stored), -1 when it is not listed."""
    wanted = shots.absolute(folder) if folder else None
    return next((i for i, item in enumerate(scene.mien.shots) if wanted and shots.absolute(item.shot_folder) == wanted), -1)


def take(scene: bpy.types.Scene, folder: str, plate: str) -> None:
    """Make another shot (folder and plate as stored) the one in work. The settings of the last one stay with its row; its own come back, and a
    new shot has the defaults, but for the first one, for which they were set while there was none."""
    settings, index = scene.mien, find(scene, folder)
    before = find(scene, settings.shot_folder)
    if before != index or index < 0:
        for name in PER_SHOT:
            if before >= 0:
                setattr(settings.shots[before], name, getattr(settings, name))
            if index >= 0:
                setattr(settings, name, getattr(settings.shots[index], name))
            elif settings.shot_folder:
                settings.property_unset(name)
    settings.shot_folder, settings.plate = folder, plate


def enlist(scene: bpy.types.Scene) -> None:
    """List the scene's shot where it is not, and mark it as the one in work. A new one brings the further faces of its plate."""
    settings = scene.mien
    if not settings.shot_folder:
        return
    index = find(scene, settings.shot_folder)
    if index < 0:
        item = settings.shots.add()
        index = len(settings.shots) - 1
        for name in PER_SHOT:
            setattr(item, name, getattr(settings, name))
        shot = shots.shot_info(shots.absolute(settings.shot_folder)).shot
        if shot is not None:
            enlist_others(scene, [folder for number, folder in shot.face_folders().items() if number != shot.face])
    item = settings.shots[index]
    item.shot_folder, item.plate, item.name = settings.shot_folder, settings.plate, shots.shot_name(shots.absolute(settings.shot_folder))
    if settings.shot_index != index:
        settings.shot_index = index


def enlist_others(scene: bpy.types.Scene, folders: Sequence[Path]) -> None:
    """List the shot folders of the further faces of the shot in work, each a row of its own. The shot in work stays."""
    settings = scene.mien
    for folder in folders:
        stored = shots.stored_path(folder)
        if find(scene, stored) < 0:
            item = settings.shots.add()
            item.shot_folder, item.plate, item.name = stored, settings.plate, shots.shot_name(folder)
            for name in PER_SHOT:
                setattr(item, name, getattr(settings, name))
            item.face_number, item.actor_name = int(folder.stem), ""


def faces_of(scene: bpy.types.Scene, item: bpy.types.PropertyGroup) -> list[bpy.types.Object]:
    """The imported faces of a listed shot."""
    folder = shots.absolute(item.shot_folder)
    return [face for face in shots.faces(scene) if shots.absolute(face.mien.shot_folder) == folder]


def let_go(context: bpy.types.Context) -> None:
    """The panels follow the active face: a face of another shot than the scene's is not active any more."""
    view_layer, folder = context.view_layer, context.scene.mien.shot_folder
    active = view_layer.objects.active if view_layer else None
    if shots.is_face(active) and shots.absolute(active.mien.shot_folder) != shots.absolute(folder):
        view_layer.objects.active = None


CLASSES = ()
