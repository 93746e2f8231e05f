# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes and shape keys from arrays in the head frame."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from ..mesh.camera import TO_BLENDER

SLIDER = 10.0
"""Shape key sliders reach +-10, or Blender would cut off what the solve found."""
_TURN = TO_BLENDER.T.astype(np.float32)


def new_mesh(name: str, points: np.ndarray, triangles: np.ndarray, uv: np.ndarray, uv_triangles: np.ndarray) -> bpy.types.Mesh:
    """A smooth mesh: points (V, 3), metres, head frame; triangles (F, 3); uv (U, 2) and its triangles (F, 3)."""
    mesh = bpy.data.meshes.new(name)
    corners = np.ascontiguousarray(triangles, np.int32).ravel()
    mesh.vertices.add(len(points))
    mesh.vertices.foreach_set("co", (points.astype(np.float32) @ _TURN).ravel())
    mesh.loops.add(len(corners))
    mesh.loops.foreach_set("vertex_index", corners)
    mesh.polygons.add(len(triangles))
    mesh.polygons.foreach_set("loop_start", np.arange(0, len(corners), 3, dtype=np.int32))
    mesh.uv_layers.new(name="UVMap").uv.foreach_set("vector", uv[uv_triangles].astype(np.float32).ravel())
    mesh.update(calc_edges=True)
    mesh.shade_smooth()
    return mesh


def add_expressions(owner: bpy.types.Object, points: np.ndarray, names: Sequence[str], expression: np.ndarray) -> None:
    """Shape keys: "Neutral", and one for each direction (B, V, 3) of the points (V, 3), head frame."""
    owner.shape_key_add(name="Neutral", from_mix=False)
    moved = (points[None] + expression).astype(np.float32) @ _TURN
    for name, at in zip(names, moved):
        key = owner.shape_key_add(name=name, from_mix=False)
        key.slider_min, key.slider_max = -SLIDER, SLIDER
        key.points.foreach_set("co", at.ravel())
