# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake: sample the emotion curves, then let the engine make the face layer of every frame that changed."""

from __future__ import annotations

from typing import Any

import bpy

from ..mesh.shot import Shot
from . import shots
from .emotion import poll_face, write_emotion
from .engine import STATE, JobOperator, poll_engine
from .face import ImportResult, show_plate

EDITOR = "analytic"


def bake_params(face: bpy.types.Object) -> dict[str, Any]:
    """Parameters of the job 'bake' for this face."""
    return {"folder": str(shots.absolute(face.mien.shot_folder)), "settings": {"editor": EDITOR, "glasses": face.mien.glasses}}


def after_bake(face: bpy.types.Object, controls_hash: str) -> None:
    """Note what was baked, show the frames that the engine decoded, and read baked pictures again that Blender has in memory."""
    face.mien.bake_hash = controls_hash
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    if face.mien.camera is not None:
        show_plate(ImportResult(face, face.mien.camera), shots.shot_name(shot.folder), shot)
    for image in bpy.data.images:
        if image.filepath and shots.absolute(image.filepath).is_relative_to(shot.bake_folder.absolute()):
            image.reload()


class MIEN_OT_bake(JobOperator, bpy.types.Operator):
    """Make the edited face of every frame whose emotion, settings or plate changed since the last bake"""

    bl_idname = "mien.bake"
    bl_label = "Bake"
    bl_options = {"REGISTER", "UNDO"}
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


CLASSES = (MIEN_OT_bake,)
