# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene's list of shots in the window: another row is another shot to work on."""

from __future__ import annotations

import contextlib

import bpy

from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import shots
from .face import select_face, use_face
from .shot_items import PER_SHOT, faces_of, let_go, take


def chosen(settings: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """Another row of the list was pressed: the scene takes over that shot."""
    if not 0 <= settings.shot_index < len(settings.shots):
        return
    item = settings.shots[settings.shot_index]
    if settings.shot_folder and shots.absolute(item.shot_folder) == shots.absolute(settings.shot_folder):
        return
    take(settings.id_data, item.shot_folder, item.plate)
    settings.face = None
    faces = faces_of(settings.id_data, item)
    if faces:
        take_up(context, settings.id_data, faces[0])
    else:
        let_go(context)
    shots.forget()


def take_up(context: bpy.types.Context, scene: bpy.types.Scene, face: bpy.types.Object) -> None:
    """Work on an imported face; where its shot folder cannot be read, the panel says so."""
    scene.mien.face = face
    with contextlib.suppress(MienError):
        use_face(scene, face, Shot.load(shots.absolute(face.mien.shot_folder)))
    if context.scene == scene:
        select_face(context, face)


class MIEN_OT_remove_shot(bpy.types.Operator):
    """Take the shot off this list; its folder on disk and an imported face stay"""

    bl_idname = "mien.remove_shot"
    bl_label = "Remove from List"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not context.scene.mien.shots:
            cls.poll_message_set("No shot is listed; choose a plate first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.mien
        index = min(settings.shot_index, len(settings.shots) - 1)
        name = settings.shots[index].name
        settings.shots.remove(index)
        settings.plate = settings.shot_folder = ""
        settings.face = None
        for kept in PER_SHOT:
            settings.property_unset(kept)
        if settings.shots:
            settings.shot_index = max(0, index - 1)
        self.report({"INFO"}, f"{name} is off the list; Open Shot Folder brings it back.")
        return {"FINISHED"}


CLASSES = (MIEN_OT_remove_shot,)
