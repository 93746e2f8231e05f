# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: an emotion that comes, stays and goes, keyed in one press; and the emotion of one shot copied to another."""

from __future__ import annotations

import bpy
import numpy as np

from .. import compat
from ..mesh.emotion import CONTROLS, EMOTIONS
from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import live, shots
from .emotion import GROUP, FaceOperator, group_curves

CHOICES = [(name, name.capitalize(), f"Key {name.capitalize()}") for name in EMOTIONS]
ATTRIBUTES = {"co": 2, "handle_left": 2, "handle_right": 2, "interpolation": 1, "easing": 1, "handle_left_type": 1, "handle_right_type": 1}
"""What a key is made of -> numbers each."""


def any_curve(face: bpy.types.Object, name: str) -> bpy.types.FCurve | None:
    """The control's F-curve, muted or not."""
    bag = compat.channelbag(face)
    return bag.fcurves.find(f"mien.{name}") if bag else None


def key_template(face: bpy.types.Object, name: str, strength: float, start: int, onset: int, apex: int, offset: int) -> list[int]:
    """Key an emotion from what it was at `start` to `strength`, hold it, and back to what it was at the end; returns the four frames.

    Keys between the ends are replaced, those outside stay. The keys ease in and out.
    """
    curve = any_curve(face, name)
    frames = [start, start + onset, start + onset + apex, start + onset + apex + offset]
    rest = getattr(face.mien, name)
    first, last = (curve.evaluate(frames[0]), curve.evaluate(frames[-1])) if curve is not None else (rest, rest)
    if curve is None:
        curve = compat.ensure_channelbag(face, f"{face.name} Emotion").fcurves.new(f"mien.{name}")
    for point in [p for p in curve.keyframe_points if frames[0] <= p.co.x <= frames[-1]][::-1]:
        curve.keyframe_points.remove(point)
    for frame, value in zip(frames, (first, strength, strength, last)):
        point = curve.keyframe_points.insert(frame, value)
        point.interpolation, point.handle_left_type, point.handle_right_type = "BEZIER", "AUTO_CLAMPED", "AUTO_CLAMPED"
    curve.update()
    group_curves(face)
    return frames


def copy_emotion(source: bpy.types.Object, target: bpy.types.Object) -> int:
    """Give `target` the keys and values of `source`, moved so that both shots' first frames meet; returns the number of curves.

    Raises MienError when a shot folder is missing.
    """
    first = [Shot.load(shots.absolute(face.mien.shot_folder)).plate.first_frame for face in (source, target)]
    count = 0
    for name in CONTROLS:
        setattr(target.mien, name, getattr(source.mien, name))
        old, curve = any_curve(target, name), any_curve(source, name)
        if old is not None:
            compat.channelbag(target).fcurves.remove(old)
        if curve is None or curve.is_empty:
            continue
        new = compat.ensure_channelbag(target, f"{target.name} Emotion").fcurves.new(f"mien.{name}")
        new.extrapolation, new.mute = curve.extrapolation, curve.mute
        new.keyframe_points.add(len(curve.keyframe_points))
        for attribute, width in ATTRIBUTES.items():
            values = np.empty(len(curve.keyframe_points) * width, np.float32 if width == 2 else np.int32)
            curve.keyframe_points.foreach_get(attribute, values)
            if width == 2:
                values[::2] += first[1] - first[0]
            new.keyframe_points.foreach_set(attribute, values)
        new.update()
        count += 1
    group_curves(target)
    return count


class MIEN_OT_key_preset(FaceOperator, bpy.types.Operator):
    """Key an emotion that comes, stays and goes, from the current frame on"""

    bl_idname = "mien.key_preset"
    bl_label = "Key a Preset"
    bl_options = {"REGISTER", "UNDO"}

    emotion: bpy.props.EnumProperty(name="Emotion", description="Which emotion to key", default="happy", items=CHOICES)
    strength: bpy.props.FloatProperty(name="Strength", description="Value at the apex", default=0.8, min=0.0, max=1.0, subtype="FACTOR")
    onset: bpy.props.IntProperty(name="Onset", description="Frames from the current value to the full strength", default=8, min=1, soft_max=100)
    apex: bpy.props.IntProperty(name="Apex", description="Frames for which the full strength stays", default=16, min=1, soft_max=500)
    offset: bpy.props.IntProperty(name="Offset", description="Frames from the full strength back", default=12, min=1, soft_max=100)

    def execute(self, context: bpy.types.Context) -> set[str]:
        face, start = shots.active_face(context), context.scene.frame_current
        frames = key_template(face, self.emotion, self.strength, start, self.onset, self.apex, self.offset)
        context.scene.frame_set(start)
        self.report({"INFO"}, f"Keyed {self.emotion.capitalize()} {self.strength:.2f} on frames {', '.join(map(str, frames))}.")
        return {"FINISHED"}


class MIEN_OT_key_pose(FaceOperator, bpy.types.Operator):
    """Key one emotion at a value on the current frame"""

    bl_idname = "mien.key_pose"
    bl_label = "Key Emotion"
    bl_options = {"REGISTER", "UNDO"}

    emotion: bpy.props.EnumProperty(name="Emotion", description="Which emotion to key", default="happy", items=CHOICES)
    value: bpy.props.FloatProperty(name="Value", description="0: as filmed, 1: strong", default=1.0, min=0.0, max=1.0, subtype="FACTOR")

    def execute(self, context: bpy.types.Context) -> set[str]:
        face = shots.active_face(context)
        setattr(face.mien, self.emotion, self.value)
        face.keyframe_insert(f"mien.{self.emotion}", frame=context.scene.frame_current, group=GROUP)
        group_curves(face)
        return {"FINISHED"}


class MIEN_OT_copy_emotion(FaceOperator, bpy.types.Operator):
    """Replace this face's emotion keys and values by those of another shot's face, aligned at the first frames of both shots"""

    bl_idname = "mien.copy_emotion"
    bl_label = "Copy Emotion"
    bl_options = {"REGISTER", "UNDO"}

    source: bpy.props.StringProperty(name="From", description="The face object to copy from")

    def execute(self, context: bpy.types.Context) -> set[str]:
        face, source = shots.active_face(context), bpy.data.objects.get(self.source)
        if not shots.is_face(source) or source == face:
            self.report({"ERROR"}, f"'{self.source}' is no other face of Mien; choose one that was imported.")
            return {"CANCELLED"}
        try:
            count = copy_emotion(source, face)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        live.apply(face, context.scene.frame_current)
        self.report({"INFO"}, f"Copied {count} curves from {source.name}.")
        return {"FINISHED"}


CLASSES = (MIEN_OT_key_preset, MIEN_OT_key_pose, MIEN_OT_copy_emotion)
