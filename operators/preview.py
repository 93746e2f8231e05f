# SPDX-License-Identifier: GPL-3.0-or-later
"""Preview: the edited mesh in the viewport. Level 1 runs in numpy here, without the engine, and replaces the shape keys' curves.

Only the mesh is edited: the head pose stays, and what the renderer does with glasses is not shown.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..mesh.editor import edit_shape, make_editor
from ..mesh.errors import MienError
from ..mesh.shot import Shot, Solve
from . import shots
from .bake import EDITOR
from .emotion import FaceOperator, sample
from .face import check_fit, model_of, performance_keys, write_performance


def show(face: bpy.types.Object, edited: bool) -> list[str]:
    """Put the performance as filmed, or as edited by the controls, on the face's shape keys; returns warnings. Raises MienError."""
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    model, solve = model_of(shot), Solve.load(shot)
    check_fit(shot, model, solve)
    if face.mien.solve_hash != shots.solve_hash(solve):
        raise MienError(f"The shot {shots.shot_name(shot.folder)} was solved again since this face was imported; press Import Again.")
    beta, warnings = solve.beta, []
    if edited:
        curves, warnings = sample(face, shot)
        beta = beta + edit_shape(model, solve, curves, make_editor(EDITOR, model)).beta
    frames, holds = performance_keys(shot, solve)
    write_performance(face, frames, beta[np.flatnonzero(solve.solved)], holds, model)
    face.mien.shown_hash = shots.controls_hash(face) if edited else ""
    return warnings


class MIEN_OT_show_performance(FaceOperator, bpy.types.Operator):
    """Show the mesh as filmed, or as the emotion curves change it; press again after a change of the curves"""

    bl_idname = "mien.show_performance"
    bl_label = "Show Performance"
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


CLASSES = (MIEN_OT_show_performance,)
