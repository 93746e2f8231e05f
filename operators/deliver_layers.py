# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliver for compositing elsewhere: EXR files with picture, patch, matte and ST map, written by the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..mesh.shot import Shot
from . import shots
from .bake import bake_params
from .deliver import delivery_path
from .emotion import poll_face, write_emotion
from .engine import STATE, JobOperator, poll_engine


def layers_path(shot: Shot, given: str) -> Path:
    """`given` as name.####.exr; a folder NAME_layers beside the shot folder when it is empty."""
    name = shots.shot_name(shot.folder)
    return delivery_path(given or shot.folder.absolute().parent / f"{name}_layers" / f"{name}.####.exr", "EXR", shot)


class MIEN_OT_deliver_layers(JobOperator, bpy.types.Operator):
    """Write EXR files for another compositor, into a folder beside the shot's: edited picture, face patch, matte and ST map in each"""

    bl_idname = "mien.deliver_layers"
    bl_label = "EXR Layers"
    title = "EXR layers"

    filepath: bpy.props.StringProperty(name="Output", description="name.####.exr; empty: in a folder NAME_layers beside the shot folder",
                                       subtype="FILE_PATH")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_face(cls, context) and poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        face = shots.active_face(context)
        self._warnings = write_emotion(face)
        params = bake_params(face)
        self._path = layers_path(Shot.load(params["folder"]), self.filepath)
        return [("layers", {"folder": params["folder"], "settings": params["settings"], "output": str(self._path)})]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        STATE.warnings.extend(self._warnings)
        return f"Wrote {results[-1]['frames']} EXR files, {self._path}."


CLASSES = (MIEN_OT_deliver_layers,)
