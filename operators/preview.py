# SPDX-License-Identifier: GPL-3.0-or-later
"""Preview: what the mesh in the viewport shows: the performance as filmed, a live edit, or an edit written into the shape keys' curves.

Level 1 runs in numpy here, without the engine. Only the mesh is edited: the head pose stays, and what the renderer does with glasses is not
shown.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..mesh.editor import as_expression, edit_shape
from ..mesh.errors import MienError
from ..mesh.shot import Shot, Solve
from . import live, shots
from .editors import face_editor
from .emotion import FaceOperator
from .face import check_fit, model_of, performance_keys, write_performance
from .sampling import broken, sample


def show(face: bpy.types.Object, edited: bool) -> list[str]:
    """Put the performance as filmed, or as edited by the controls, on the face's shape keys, and switch the live edit off.

    Returns warnings. Raises MienError.
    """
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    model, solve = model_of(shot), Solve.load(shot)
    check_fit(shot, model, solve)
    if face.mien.solve_hash != shots.solve_hash(solve):
        raise MienError(f"The shot {shots.shot_name(shot.folder)} was solved again since this face was imported; press Import Again.")
    beta, warnings = solve.beta, []
    if edited:
        curves, warnings = sample(face, shot)
        edit = edit_shape(model, solve, curves, face_editor(face, model, shot))
        beta = beta + edit.beta + as_expression(model, edit.alpha)
    frames, holds = performance_keys(shot, solve)
    write_performance(face, frames, beta[np.flatnonzero(solve.solved)], holds, model)
    face.mien.shown_hash = shots.controls_hash(face) if edited else ""
    live.set_live(face, False, 0)
    return warnings


def show_live(face: bpy.types.Object, frame: int) -> None:
    """The performance as filmed on the curves, and the edit on top of it, following the controls. Raises MienError."""
    live.forget()
    problem = live.live_shot(face)
    if isinstance(problem, str):
        raise MienError(problem)
    if face.mien.shown_hash:
        show(face, False)
    live.set_live(face, True, frame)


class MIEN_OT_live_edit(FaceOperator, bpy.types.Operator):
    """Let the mesh follow the emotion controls at once, while sliders and keys are moved and while the timeline plays"""

    bl_idname = "mien.live_edit"
    bl_label = "Live Edit"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        face = shots.active_face(context)
        try:
            show_live(face, context.scene.frame_current)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for warning in broken(face):
            self.report({"WARNING"}, warning)
        return {"FINISHED"}


class MIEN_OT_show_performance(FaceOperator, bpy.types.Operator):
    """Write the performance into the shape keys' F-curves: as filmed, or as the emotion curves change it, for other programs and add-ons"""

    bl_idname = "mien.show_performance"
    bl_label = "Bake to Curves"
    bl_options = {"REGISTER", "UNDO"}

    edited: bpy.props.BoolProperty(name="Edited", description="On: as the emotion curves change it; off: as filmed", default=True)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            warnings = show(shots.active_face(context), self.edited)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for warning in warnings:
            self.report({"WARNING"}, warning)
        context.scene.frame_set(context.scene.frame_current)
        return {"FINISHED"}


CLASSES = (MIEN_OT_live_edit, MIEN_OT_show_performance)
