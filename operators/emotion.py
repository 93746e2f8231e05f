# SPDX-License-Identifier: GPL-3.0-or-later
"""Emotion: keys for all controls at once, each emotion's curve in its colour, and the curves written for a bake."""

from __future__ import annotations

import bpy

from .. import compat
from ..mesh.emotion import CONTROLS, DEFAULTS, EMOTIONS
from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import shots
from .curves import group_of
from .sampling import sample

GROUP = "Mien Emotion"
NO_FACE = "Select a face that Mien imported, or press Import Face"


def group_curves(face: bpy.types.Object) -> None:
    """Put the controls' F-curves into their own channel group, each emotion in its colour; keys set over a slider come without."""
    bag = compat.channelbag(face)
    if bag is None:
        return
    for curve in bag.fcurves:
        name = curve.data_path.removeprefix("mien.")
        if not curve.data_path.startswith("mien.") or name not in CONTROLS:
            continue
        if curve.group is None or curve.group.name != GROUP:
            curve.group = group_of(bag, GROUP, "THEME04")
        if name in COLOURS:
            curve.color_mode, curve.color = "CUSTOM", COLOURS[name]


COLOURS = {"angry": (0.86, 0.20, 0.18), "contempt": (0.62, 0.45, 0.80), "disgusted": (0.47, 0.68, 0.22), "fear": (0.55, 0.40, 0.28),
           "happy": (0.98, 0.80, 0.20), "sad": (0.28, 0.50, 0.90), "surprised": (0.98, 0.55, 0.18)}


def key_controls(face: bpy.types.Object, frame: float) -> None:
    """Key all controls at a frame."""
    for name in CONTROLS:
        face.keyframe_insert(f"mien.{name}", frame=frame, group=GROUP)
    group_curves(face)


def poll_face(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """For polls: False, with the reason, when there is no face."""
    if shots.active_face(context) is None:
        cls.poll_message_set(NO_FACE)
        return False
    return True


class FaceOperator:
    """Mix-in of operators on the active face."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_face(cls, context)


class LiveOperator(FaceOperator):
    """Mix-in of operators that show the live edit in another way."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        face = shots.active_face(context)
        if face is not None and not face.mien.live:
            cls.poll_message_set("Switch Live Edit on: this shows what the live edit does")
            return False
        return super().poll(context)


class MIEN_OT_key_emotion(FaceOperator, bpy.types.Operator):
    """Key all seven emotions, Master, Neutralise and Keep Speech at the current frame"""

    bl_idname = "mien.key_emotion"
    bl_label = "Key All"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        key_controls(shots.active_face(context), context.scene.frame_current)
        return {"FINISHED"}


class MIEN_OT_reset_emotion(FaceOperator, bpy.types.Operator):
    """Put all controls to rest: no edit. Keys stay unless asked for"""

    bl_idname = "mien.reset_emotion"
    bl_label = "Reset"
    bl_options = {"REGISTER", "UNDO"}

    keys: bpy.props.BoolProperty(name="Remove Keys", description="Also remove every key of the emotion controls", default=False)

    def execute(self, context: bpy.types.Context) -> set[str]:
        face = shots.active_face(context)
        bag = compat.channelbag(face)
        if self.keys and bag is not None:
            for curve in [c for c in bag.fcurves if c.data_path.removeprefix("mien.") in CONTROLS and c.data_path.startswith("mien.")]:
                bag.fcurves.remove(curve)
        for name in CONTROLS:
            setattr(face.mien, name, DEFAULTS.get(name, 0.0))
        return {"FINISHED"}


class MIEN_OT_write_emotion(FaceOperator, bpy.types.Operator):
    """Sample the emotion curves into the shot folder without baking, for the command line or a farm"""

    bl_idname = "mien.write_emotion"
    bl_label = "Write Curves"

    def execute(self, context: bpy.types.Context) -> set[str]:
        face = shots.active_face(context)
        try:
            warnings = write_emotion(face)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for warning in warnings:
            self.report({"WARNING"}, warning)
        return {"FINISHED"}


def write_emotion(face: bpy.types.Object) -> list[str]:
    """Sample the face's curves and write emotion.npz into its shot folder; returns warnings. Raises MienError."""
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    group_curves(face)
    curves, warnings = sample(face, shot)
    curves.save(shot.emotion_path)
    return warnings


CLASSES = (MIEN_OT_key_emotion, MIEN_OT_reset_emotion, MIEN_OT_write_emotion)
assert set(COLOURS) == set(EMOTIONS)
