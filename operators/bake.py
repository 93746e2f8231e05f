# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake: sample the emotion curves, then let the engine make the face layer of every frame that changed. A shot has versions of its bake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import composite, shots
from .appearance import appearance_settings
from .editors import editor_settings
from .emotion import poll_face, write_emotion
from .engine import STATE, JobOperator, poll_engine, poll_idle
from .face import ImportResult, show_plate


def bake_params(face: bpy.types.Object, frames: Sequence[Sequence[int]] | None = None) -> dict[str, Any]:
    """Parameters of the job 'bake' for this face; frames: [first, last] ranges of frame numbers, all by default."""
    settings = {**editor_settings(face), "glasses": face.mien.glasses, **appearance_settings(face)}
    params: dict[str, Any] = {"folder": str(shots.absolute(face.mien.shot_folder)), "settings": settings}
    return {**params, "frames": [list(r) for r in frames]} if frames else params


def after_bake(face: bpy.types.Object, controls_hash: str) -> None:
    """Note what was baked, show the frames that the engine decoded, and read baked pictures again that Blender has in memory."""
    face.mien.bake_hash = controls_hash
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    if face.mien.camera is not None:
        show_plate(ImportResult(face, face.mien.camera), shots.shot_name(shot.folder), shot)
    for image in bpy.data.images:
        if image.filepath and shots.absolute(image.filepath).is_relative_to(shot.bake_folder.absolute()):
            image.reload()


def use_version(face: bpy.types.Object | None, shot: Shot, version: int) -> None:
    """Make a version of the bake the current one; the shot's composite, where there is one, shows it from now on. Raises MienError."""
    shot.use_bake_version(version)
    shots.forget()
    if face is not None:
        face.mien.bake_hash = ""
    for scene in bpy.data.scenes:
        if scene.get(composite.STAGE_TAG) == composite.COMPOSITE and shots.absolute(scene.get(composite.SHOT_TAG, "")) == shot.folder.absolute():
            composite.build_composite(scene, shot)


def current_shot(context: bpy.types.Context) -> Shot:
    """The shot in use. Raises MienError."""
    folder = shots.shot_folder(context)
    if folder is None:
        raise MienError("There is no shot; choose a plate and press Track and Solve.")
    return Shot.load(folder)


class MIEN_OT_bake(JobOperator, bpy.types.Operator):
    """Make the edited face of every frame whose emotion, settings or plate changed since the last bake"""

    bl_idname = "mien.bake"
    bl_label = "Bake"
    bl_options = {"REGISTER"}
    title = "Bake"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_face(cls, context) and poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        face = shots.active_face(context)
        self._warnings = write_emotion(face)
        self._face, self._hash = face.name, shots.controls_hash(face)
        return [("bake", bake_params(face))]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        STATE.warnings.extend(self._warnings)
        face = bpy.data.objects.get(self._face)
        if shots.is_face(face):
            after_bake(face, self._hash)
        result = results[-1]
        return f"Baked {result['baked']} of {result['total']} frames ({result['total'] - result['rest']} edited); press Build Composite next."


class VersionOperator:
    """Mix-in of operators that change which version is current. The choice is kept in the shot folder, so undo does not reach it."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        folder = shots.shot_folder(context)
        if folder is None or not shots.shot_info(folder).baked:
            cls.poll_message_set("Nothing is baked yet: press Bake")
            return False
        return poll_idle(cls)

    def switch(self, context: bpy.types.Context, version: int | None) -> set[str]:
        try:
            shot = current_shot(context)
            version = version or shot.bake_versions()[-1] + 1
            use_version(shots.active_face(context), shot, version)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Version v{version:03d} is baked and composited from now on.")
        return {"FINISHED"}


class MIEN_OT_new_bake_version(VersionOperator, bpy.types.Operator):
    """Keep this version as it is and bake into a new one; frames that stay the same are not baked again"""

    bl_idname = "mien.new_bake_version"
    bl_label = "New Version"

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.switch(context, None)


_items: list[tuple[str, str, str]] = []
"""Blender needs the texts of a dynamic enum to stay alive."""


def _versions(_self: bpy.types.OperatorProperties, context: bpy.types.Context | None) -> list[tuple[str, str, str]]:
    folder = shots.shot_folder(context) if context is not None else None
    numbers = shots.shot_info(folder).versions if folder else []
    _items[:] = [(f"{n}", f"v{n:03d}", f"Composite and bake the version in bake/v{n:03d}") for n in reversed(numbers)]
    return _items


class MIEN_OT_use_bake_version(VersionOperator, bpy.types.Operator):
    """Choose the version that is baked and composited; the composite follows"""

    bl_idname = "mien.use_bake_version"
    bl_label = "Bake Version"

    version: bpy.props.EnumProperty(name="Version", description="Version of the bake", items=_versions)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.switch(context, int(self.version))


CLASSES = (MIEN_OT_bake, MIEN_OT_new_bake_version, MIEN_OT_use_bake_version)
