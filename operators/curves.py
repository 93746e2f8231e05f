# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole F-curves at once: a value a frame, written in bulk."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

CONSTANT, LINEAR = 0, 1
"""Key frame interpolations in Blender's numbering."""
GENERATED = 5
"""Key frame type: set by a tool. Such keys are drawn small, so that the artist's own stand out on the timeline."""


def group_of(bag: bpy.types.ActionChannelbag, name: str, colours: str = "DEFAULT") -> bpy.types.ActionGroup:
    """The channel group of that name, made when there is none."""
    group = bag.groups.get(name) or bag.groups.new(name)
    group.color_set = colours
    return group


def remove_curves(bag: bpy.types.ActionChannelbag, paths: Sequence[str]) -> None:
    """Remove every F-curve of these data paths."""
    for curve in [c for c in bag.fcurves if c.data_path in paths]:
        bag.fcurves.remove(curve)


def write_curve(bag: bpy.types.ActionChannelbag, path: str, index: int, frames: np.ndarray, values: np.ndarray, holds: np.ndarray,
                group: bpy.types.ActionGroup) -> bpy.types.FCurve:
    """A new F-curve with one key per frame: frames (n,), values (n,), holds (n,) bool: True keeps the value up to the next key.

    It is hidden in the Graph Editor (the eye beside its channel shows it), where the artist's few curves would drown in it.
    """
    curve = bag.fcurves.new(path, index=index)
    curve.group = group
    points = curve.keyframe_points
    points.add(len(frames))
    points.foreach_set("co", np.stack([frames, values], 1).astype(np.float32).ravel())
    points.foreach_set("interpolation", np.where(holds, CONSTANT, LINEAR).astype(np.int32))
    points.foreach_set("type", np.full(len(frames), GENERATED, np.int32))
    curve.hide, curve.select = True, False
    curve.update()
    return curve
