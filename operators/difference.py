# SPDX-License-Identifier: GPL-3.0-or-later
"""Difference: how far the edit moves each vertex on the frame in view, in millimetres, as a colour attribute of the mesh."""

from __future__ import annotations

import bpy
import numpy as np

from . import live, shots
from .emotion import LiveOperator
from .face import EDIT_KEY

ATTRIBUTE = "Mien Difference"
COLOURS = np.float32([(0.02, 0.05, 0.35), (0.0, 0.35, 0.6), (0.1, 0.65, 0.2), (0.95, 0.75, 0.05), (0.8, 0.05, 0.02)])
"""Linear RGB at 0, 1/4, 1/2, 3/4 and all of the range."""


def moved_mm(face: bpy.types.Object) -> np.ndarray:
    """(V,) float32: how far the edit key moves each vertex; zero without one."""
    keys = face.data.shape_keys
    count = len(face.data.vertices)
    if keys is None or EDIT_KEY not in keys.key_blocks or keys.key_blocks[EDIT_KEY].mute:
        return np.zeros(count, np.float32)
    rest, edited = np.empty(3 * count, np.float32), np.empty(3 * count, np.float32)
    keys.key_blocks[0].points.foreach_get("co", rest)
    keys.key_blocks[EDIT_KEY].points.foreach_get("co", edited)
    return 1000 * np.linalg.norm((edited - rest).reshape(-1, 3), axis=1)


def paint(face: bpy.types.Object) -> float:
    """Write the colours of the frame in view; returns the largest movement in millimetres."""
    mesh = face.data
    attribute = mesh.color_attributes.get(ATTRIBUTE) or mesh.color_attributes.new(ATTRIBUTE, "FLOAT_COLOR", "POINT")
    moved = moved_mm(face)
    place = np.clip(moved / max(face.mien.difference_range, 1e-3), 0, 1)
    stops = np.linspace(0, 1, len(COLOURS))
    colours = np.ones((len(moved), 4), np.float32)
    for channel in range(3):
        colours[:, channel] = np.interp(place, stops, COLOURS[:, channel])
    attribute.data.foreach_set("color", colours.ravel())
    face.update_tag(refresh={"DATA"})
    return float(moved.max(initial=0))


def show(face: bpy.types.Object, context: bpy.types.Context, on: bool) -> None:
    """Paint and keep painting, and show it in the 3D views of this screen; or take it away and show the texture again."""
    mesh = face.data
    face.mien.difference = on
    if on:
        paint(face)
        mesh.color_attributes.active_color = mesh.color_attributes[ATTRIBUTE]
    elif ATTRIBUTE in mesh.color_attributes:
        mesh.color_attributes.remove(mesh.color_attributes[ATTRIBUTE])
    for area in context.screen.areas if context.screen else ():
        if area.type == "VIEW_3D":
            area.spaces.active.shading.color_type = "VERTEX" if on else "TEXTURE"


def range_changed(settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    """The update callback of the range."""
    if shots.is_face(settings.id_data) and settings.difference:
        paint(settings.id_data)


class MIEN_OT_difference(LiveOperator, bpy.types.Operator):
    """Colour the mesh by how far the live edit moves each point, in millimetres; press again for the texture"""

    bl_idname = "mien.difference"
    bl_label = "Difference in mm"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        face = shots.active_face(context)
        live.apply(face, context.scene.frame_current)
        show(face, context, not face.mien.difference)
        return {"FINISHED"}


def register() -> None:
    live.AFTER_WRITE.append(repaint)


def unregister() -> None:
    live.AFTER_WRITE.remove(repaint)


def repaint(face: bpy.types.Object) -> None:
    """After each write of the edit key."""
    if face.mien.difference:
        paint(face)


CLASSES = (MIEN_OT_difference,)
