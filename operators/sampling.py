# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's controls on every frame, as Blender would evaluate them: plain F-curves, NLA strips, drivers.

Plain F-curves are read with `FCurve.evaluate`. With NLA strips or drivers Blender itself evaluates each frame, in a scene that holds nothing
but a copy of the face without its mesh and is gone afterwards; a hundred frames take two milliseconds.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..mesh.emotion import CONTROLS, EmotionCurves
from ..mesh.shot import Shot
from . import shots


def sample(face: bpy.types.Object, shot: Shot) -> tuple[EmotionCurves, list[str]]:
    """The controls on every frame of the shot, clamped to 0..1, and warnings on what Blender cannot evaluate."""
    frames = np.arange(shot.plate.first_frame, shot.plate.first_frame + shot.plate.frame_count)
    return sample_frames(face, frames), broken(face)


def sample_frames(face: bpy.types.Object, frames: np.ndarray) -> EmotionCurves:
    """The controls on these frame numbers (T,), clamped to 0..1. With NLA strips or drivers not for use in handlers or panels."""
    if shots.layered(face):
        return _curves(_evaluated(face, frames))
    curves = shots.control_curves(face)
    columns = {}
    for name in CONTROLS:
        curve = curves.get(name)
        columns[name] = [curve.evaluate(f) for f in frames] if curve is not None else [getattr(face.mien, name)] * len(frames)
    return _curves(columns)


def held(face: bpy.types.Object, frames: int) -> EmotionCurves:
    """The controls as they stand on the frame in view, that many times: what a handler may read of NLA strips and drivers."""
    return _curves({name: [getattr(face.mien, name)] * frames for name in CONTROLS})


def _curves(columns: dict[str, list[float]]) -> EmotionCurves:
    frames = len(next(iter(columns.values())))
    return EmotionCurves.from_columns({name: np.clip(np.array(values, np.float32), 0, 1) for name, values in columns.items()}, frames)


def _evaluated(face: bpy.types.Object, frames: np.ndarray) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {name: [] for name in CONTROLS}
    scene, copy, mesh = bpy.data.scenes.new("Mien Sampling"), face.copy(), bpy.data.meshes.new("Mien Sampling")
    try:
        copy.data, copy.mien.shot_folder = mesh, ""  # no shape keys to evaluate, and no face for the live edit
        scene.collection.objects.link(copy)
        for frame in frames:
            scene.frame_set(int(frame))
            settings = copy.evaluated_get(scene.view_layers[0].depsgraph).mien
            for name, values in columns.items():
                values.append(getattr(settings, name))
    finally:
        bpy.data.objects.remove(copy)
        bpy.data.meshes.remove(mesh)
        bpy.data.scenes.remove(scene)
    return columns


def broken(face: bpy.types.Object) -> list[str]:
    """One sentence for each driver on a control that Blender cannot evaluate."""
    return [f"The driver on {d.data_path.removeprefix('mien.').capitalize()} is broken, its value is held; mend it in the Drivers Editor."
            for d in shots.control_drivers(face) if not d.is_valid or not d.driver.is_valid]


CLASSES = ()
