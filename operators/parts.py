# SPDX-License-Identifier: GPL-3.0-or-later
"""Teeth, gums and eyeballs of face models that have them: objects that hang on the face and play its performance.

Their shape keys have the face's names and share its action, so one set of curves moves the skin and what lies behind it.
"""

from __future__ import annotations

import bpy
import numpy as np

from .. import compat
from ..mesh.camera import TO_BLENDER
from ..mesh.model import FaceModel
from .meshes import add_expressions, new_mesh

COLOURS = {"teeth": (0.75, 0.7, 0.6, 1.0), "gums": (0.45, 0.15, 0.15, 1.0), "eye_left": (0.8, 0.8, 0.78, 1.0), "eye_right": (0.8, 0.8, 0.78, 1.0)}
EDIT_KEY = "Mien Edit"
"""The shape key of the live edit, on the face and on its parts; see operators.live."""


def parts_of(face: bpy.types.Object) -> dict[str, bpy.types.Object]:
    """Part name -> object."""
    return {child.mien.part: child for child in face.children if child.type == "MESH" and child.mien.part}


def build_parts(face: bpy.types.Object, name: str, model: FaceModel, alpha: np.ndarray) -> None:
    """Make the model's parts for the person alpha (A,), moved by the face's own performance; those of an earlier import go."""
    for part in parts_of(face).values():
        mesh = part.data
        bpy.data.objects.remove(part)
        if mesh.users == 0:
            bpy.data.meshes.remove(mesh)
    for kind, part in model.parts.items():
        title = f"{name} {kind.replace('_', ' ').title()}"
        points = part.neutral(alpha)
        made = bpy.data.objects.new(title, new_mesh(title, points, part.triangles, part.uv, part.uv_triangles))
        face.users_collection[0].objects.link(made)
        made.parent, made.mien.part, made.hide_select = face, kind, True
        add_expressions(made, points, model.expression_names, part.expression)
        key = made.shape_key_add(name=EDIT_KEY, from_mix=False)
        key.value, key.lock_shape, key.mute = 1.0, True, not face.mien.live
        compat.share_action(face.data.shape_keys, made.data.shape_keys)
        made.data.materials.append(_material(kind))


def write_edit(face: bpy.types.Object, model: FaceModel, alpha: np.ndarray, beta: np.ndarray) -> None:
    """What the live edit, a change of alpha (A,) and beta (B,), does to the parts on the frame in view."""
    for kind, made in parts_of(face).items():
        part, keys = model.parts.get(kind), made.data.shape_keys
        key = keys.key_blocks.get(EDIT_KEY) if keys else None
        if part is None or key is None or len(key.points) != len(part.mean):
            continue
        points = np.empty(3 * len(part.mean), np.float32)
        keys.key_blocks[0].points.foreach_get("co", points)
        moved = np.tensordot(beta, part.expression, 1) + np.tensordot(alpha, part.identity, 1)
        key.points.foreach_set("co", points + (moved @ TO_BLENDER.T).astype(np.float32).ravel())
        made.update_tag(refresh={"DATA"})


def _material(kind: str) -> bpy.types.Material:
    name = f"Mien {kind.split('_')[0].title()}"
    material = bpy.data.materials.get(name)
    if material is None:
        material = bpy.data.materials.new(name)
        material.diffuse_color = COLOURS.get(kind, (0.6, 0.6, 0.6, 1.0))
        compat.use_nodes(material)
        shader = next((n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED"), None)
        if shader is not None:
            shader.inputs["Base Color"].default_value = material.diffuse_color
    return material
