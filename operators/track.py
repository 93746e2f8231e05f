# SPDX-License-Identifier: GPL-3.0-or-later
"""Track and solve: two jobs of the engine, one after the other."""

from __future__ import annotations

from typing import Any

import bpy

from ..mesh.errors import MienError
from ..mesh.frames import ranges_text
from . import shots
from .engine import JobOperator, poll_engine
from .plate import as_plate, poll_saved

NO_PLATE = "Choose a plate first"


def track_params(scene: bpy.types.Scene) -> dict[str, Any]:
    """Parameters of the job 'track' for the scene's shot. Raises MienError when there is no plate."""
    settings = scene.mien
    if not settings.plate or not settings.shot_folder:
        raise MienError(NO_PLATE + ".")
    return {"plate": str(as_plate(shots.absolute(settings.plate))), "folder": str(shots.absolute(settings.shot_folder)), "face": settings.face_number}


def solve_params(scene: bpy.types.Scene) -> dict[str, Any]:
    """Parameters of the job 'solve' for the scene's shot. Raises MienError when it was not tracked."""
    settings = scene.mien
    folder = shots.absolute(settings.shot_folder)
    if not settings.shot_folder or not (folder / "track.npz").exists():
        raise MienError("There is no track to solve; press Track and Solve.")
    return {"folder": str(folder), **focal_param(settings)}


def focal_param(settings: bpy.types.PropertyGroup) -> dict[str, float]:
    """The focal length for the job 'solve' where the artist gave one; 0 lets it be found."""
    return {"focal_mm": settings.focal_mm} if settings.focal_mm > 0 else {}


def solve_sentence(result: dict[str, Any]) -> str:
    """What the job 'solve' found, for the report."""
    lost = ranges_text(result["lost"])
    text = f"Solved {result['solved']} of {result['frames']} frames, median error {result['reprojection']:.2%} of the eye distance"
    return text + (f"; no face on frames {lost}, which stay as filmed" if lost else "") + "; press Import Face next."


class MIEN_OT_track(JobOperator, bpy.types.Operator):
    """Find the face on every frame of the plate and fit the face model and the camera to the whole shot"""

    bl_idname = "mien.track"
    bl_label = "Track and Solve"
    bl_options = {"REGISTER", "UNDO"}
    title = "Track and Solve"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not context.scene.mien.plate:
            cls.poll_message_set(NO_PLATE)
            return False
        return poll_saved(cls) and poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        track = track_params(context.scene)
        return [("track", track), ("solve", {"folder": track["folder"], **focal_param(context.scene.mien)})]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        return solve_sentence(results[-1])


class MIEN_OT_solve(JobOperator, bpy.types.Operator):
    """Fit the face model and the camera again to the track that is there, for instance with another focal length"""

    bl_idname = "mien.solve"
    bl_label = "Solve Again"
    bl_options = {"REGISTER", "UNDO"}
    title = "Solve"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        folder = context.scene.mien.shot_folder
        if not folder or not shots.shot_info(shots.absolute(folder)).is_tracked:
            cls.poll_message_set("There is no track yet; press Track and Solve")
            return False
        return poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        return [("solve", solve_params(context.scene))]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        return solve_sentence(results[-1])


CLASSES = (MIEN_OT_track, MIEN_OT_solve)
