# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare: the face as filmed, beside the edited one or as wires over it; a second object that follows the first and is never rendered.

The wires run between the landmarks: those of all vertices would hide the face.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Vector
from mathutils.geometry import delaunay_2d_cdt

from .. import compat
from . import live, shots
from .difference import ATTRIBUTE, COLOURS
from .emotion import LiveOperator
from .face import AFTER_IMPORT, EDIT_KEY

APART = 1.3
"""Distance of the two faces side by side, in face widths."""
WIRE = (0.1, 0.75, 1.0, 1.0)
MODES = (("SIDE", "Side by Side", "The face as filmed stands to the right of the edited one"),
         ("OVER", "Overlay", "The face as filmed lies as wires over the edited one"))


def shown(face: bpy.types.Object) -> str:
    """"SIDE", "OVER", or "" when no comparison is shown."""
    filmed = face.mien.filmed
    if filmed is None or filmed.name not in {o.name for c in face.users_collection for o in c.objects}:
        return ""
    return "OVER" if filmed.display_type == "WIRE" else "SIDE"


def show(face: bpy.types.Object, mode: str) -> bpy.types.Object:
    """Put the face as filmed beside or over the face. It shares the performance's action, but has no edit."""
    hide(face)
    filmed = bpy.data.objects.new(f"{face.name} As Filmed", wires(face) if mode == "OVER" else unedited(face))
    face.users_collection[0].objects.link(filmed)
    if mode == "OVER":
        share_performance(face, filmed)
        filmed.display_type, filmed.show_in_front, filmed.color = "WIRE", True, WIRE
    elif EDIT_KEY in filmed.data.shape_keys.key_blocks:
        filmed.shape_key_remove(filmed.data.shape_keys.key_blocks[EDIT_KEY])
    for kind in ("COPY_LOCATION", "COPY_ROTATION"):
        constraint = filmed.constraints.new(kind)
        constraint.target = face
        if kind == "COPY_LOCATION":
            constraint.use_offset = True
    filmed.hide_select = filmed.hide_render = True
    if mode == "SIDE":
        filmed.location.x = APART * float(np.ptp(points_of(face.data.shape_keys.key_blocks[0])[:, 0]))
    face.mien.filmed = filmed
    return filmed


def points_of(key: bpy.types.ShapeKey) -> np.ndarray:
    """(V, 3) float32."""
    points = np.empty(3 * len(key.points), np.float32)
    key.points.foreach_get("co", points)
    return points.reshape(-1, 3)


def unedited(face: bpy.types.Object) -> bpy.types.Mesh:
    """The face's own mesh once more, with the same performance; where the difference is shown, in the colour of none."""
    mesh = face.data.copy()
    colours = mesh.color_attributes.get(ATTRIBUTE)
    if colours is not None:
        colours.data.foreach_set("color", np.tile(np.append(COLOURS[0], np.float32(1)), len(mesh.vertices)))
    return mesh


def wires(face: bpy.types.Object) -> bpy.types.Mesh:
    """A mesh of edges alone, between the vertices on which landmarks lie."""
    found = live.live_shot(face)
    rest = points_of(face.data.shape_keys.key_blocks[0])
    chosen = np.arange(len(rest)) if isinstance(found, str) else np.unique(found.model.landmark_vertices)
    seen = [Vector((float(x), float(z))) for x, _, z in rest[chosen]]  # from the front
    edges = delaunay_2d_cdt(seen, [], [], 0, 1e-9)[1]
    mesh = bpy.data.meshes.new(f"{face.name} Wires")
    mesh.from_pydata(rest[chosen].tolist(), [e for e in edges if max(e) < len(chosen)], [])
    mesh["mien_vertices"] = chosen.tolist()
    return mesh


def share_performance(face: bpy.types.Object, filmed: bpy.types.Object) -> None:
    """Give the wires the face's shape keys, but for the edit, and their action."""
    chosen = np.array(filmed.data["mien_vertices"])
    for key in face.data.shape_keys.key_blocks:
        if key.name != EDIT_KEY:
            own = filmed.shape_key_add(name=key.name, from_mix=False)
            own.slider_min, own.slider_max = key.slider_min, key.slider_max
            own.points.foreach_set("co", points_of(key)[chosen].ravel())
    if compat.channelbag(face.data.shape_keys) is not None:
        compat.share_action(face.data.shape_keys, filmed.data.shape_keys)


def hide(face: bpy.types.Object) -> None:
    """Take the comparison away."""
    filmed, face.mien.filmed = face.mien.filmed, None
    if filmed is None or filmed == face or shots.is_face(filmed):  # a duplicated face has its own idea of who is who
        return
    mesh = filmed.data
    keys = mesh.shape_keys if mesh is not None else None
    bpy.data.objects.remove(filmed)
    if mesh is not None and mesh.users == 0:
        if keys is not None and keys.animation_data is not None:
            keys.animation_data_clear()
        bpy.data.meshes.remove(mesh)


def imported(face: bpy.types.Object) -> None:
    """The face has another mesh and performance: compare with those."""
    mode = shown(face)
    if mode:
        show(face, mode)


class MIEN_OT_compare(LiveOperator, bpy.types.Operator):
    """Show the face as filmed beside the edited face, or as wires over it; press again to take it away"""

    bl_idname = "mien.compare"
    bl_label = "Compare"
    bl_options = {"REGISTER", "UNDO"}

    mode: bpy.props.EnumProperty(name="Mode", description="Where the face as filmed is shown", items=MODES, default="SIDE")

    def execute(self, context: bpy.types.Context) -> set[str]:
        face = shots.active_face(context)
        if shown(face) == self.mode:
            hide(face)
            return {"FINISHED"}
        show(face, self.mode)
        for area in context.screen.areas if context.screen and self.mode == "OVER" else ():
            if area.type == "VIEW_3D":
                area.spaces.active.shading.wireframe_color_type = "OBJECT"
        return {"FINISHED"}


def register() -> None:
    AFTER_IMPORT.append(imported)


def unregister() -> None:
    AFTER_IMPORT.remove(imported)


CLASSES = (MIEN_OT_compare,)
