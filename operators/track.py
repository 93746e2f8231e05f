# SPDX-License-Identifier: GPL-3.0-or-later
"""Track and solve: jobs of the engine, one after the other. The last one learns skin and mouth, so that the first picture does not wait."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bpy

from ..mesh import cast
from ..mesh.errors import MienError
from ..mesh.frames import ranges_text
from ..mesh.shot import main_folder
from . import backends, shot_items, shots
from .engine import PACKAGE, JobOperator, poll_engine
from .plate import as_plate, poll_saved

NO_PLATE = "Choose a plate first"


def track_params(scene: bpy.types.Scene) -> dict[str, Any]:
    """Parameters of the job 'track' for the scene's shot. Raises MienError when there is no plate."""
    settings = scene.mien
    if not settings.plate or not settings.shot_folder:
        raise MienError(NO_PLATE + ".")
    return {"plate": str(as_plate(shots.absolute(settings.plate))), "folder": str(shots.absolute(settings.shot_folder)), "face": settings.face_number,
            "all_faces": True, **backends.track_options(settings)}


def solve_params(scene: bpy.types.Scene) -> dict[str, Any]:
    """Parameters of the job 'solve' for the scene's shot. Raises MienError when it was not tracked."""
    settings = scene.mien
    folder = shots.absolute(settings.shot_folder)
    if not settings.shot_folder or not (folder / "track.npz").exists():
        raise MienError("There is no track to solve; press Track and Solve.")
    return {"folder": str(folder), **solve_options(scene)}


def solve_options(scene: bpy.types.Scene) -> dict[str, Any]:
    """The face model for the job 'solve', and the focal length where the artist gave one; 0 lets it be found."""
    settings = scene.mien
    model = settings.model or default_model()
    options: dict[str, Any] = {"model": bpy.path.abspath(model) if model.startswith("//") else model, **backends.solve_options(settings)}
    return {**options, "focal_mm": settings.focal_mm} if settings.focal_mm > 0 else options


def default_model() -> str:
    """The face model that the preferences name."""
    addon = bpy.context.preferences.addons.get(PACKAGE)
    return addon.preferences.face_model if addon and addon.preferences and addon.preferences.face_model else "default"


def cast_actors(scene: bpy.types.Scene) -> list[str]:
    """Names of the actors in the scene's cast."""
    return cast.actor_names(shots.absolute(scene.mien.cast)) if scene.mien.cast else []


def actor_words(info: shots.ShotInfo) -> tuple[str, bool]:
    """Whose face it is, as the solve with a cast has it, and whether the artist should do something about it; "" without a cast."""
    verdict = info.shot.settings.get(cast.SETTING) if info.shot else None
    if not verdict:
        return "", False
    if verdict["how"] == "unsure":
        return f"Whose face it is is not clear: {verdict['reason']}. It was solved on its own; choose the Actor under Method and solve again.", True
    return f"Actor: {cast.told(verdict)}.", False


def out_of_date(scene: bpy.types.Scene, info: shots.ShotInfo) -> str:
    """Why the solve is out of date, as the end of a sentence; "" when it is not."""
    if shots.plate_changed(scene, info):
        return "another plate was chosen since"
    if info.shot is not None and info.is_solved and scene.mien.model and scene.mien.model != info.shot.model:
        return f"it was solved with the face model '{info.shot.model}'"
    named = scene.mien.actor_name.strip() if scene.mien.cast else ""
    if named and info.shot is not None and info.is_solved and info.shot.settings.get(cast.SETTING, {}).get("actor", "").lower() != named.lower():
        return "another actor was named since"
    return ""


def solve_sentence(result: dict[str, Any]) -> str:
    """What the job 'solve' found, for the report."""
    lost = ranges_text(result["lost"])
    text = f"Solved {result['solved']} of {result['frames']} frames, median error {result['reprojection']:.2%} of the eye distance"
    if result.get("cast"):
        text += f"; actor: {cast.told(result['cast'])}"
    return text + (f"; no face on frames {lost}, which stay as filmed" if lost else "") + "; press Import Face next."


class MIEN_OT_track(JobOperator, bpy.types.Operator):
    """Find the face on every frame of the plate and fit the face model and the camera to the whole shot"""

    bl_idname = "mien.track"
    bl_label = "Track and Solve"
    bl_options = {"REGISTER"}
    title = "Track and Solve"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not context.scene.mien.plate:
            cls.poll_message_set(NO_PLATE)
            return False
        return poll_saved(cls) and backends.poll(cls, context.scene.mien, track=True) and poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        track = track_params(context.scene)
        learn = ("learn", {"folder": track["folder"]})
        if main_folder(Path(track["folder"])) != Path(track["folder"]):  # it was tracked together with the plate's first face
            return [("solve", solve_params(context.scene)), learn]
        return [("track", track), ("solve", {"folder": track["folder"], **solve_options(context.scene)}), learn]

    def kept(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> None:
        if results:
            shot_items.enlist_others(context.scene, [Path(folder) for folder in results[0].get("others", {}).values()])

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        others = results[0].get("others", {})
        more = f" {len(others) + 1} faces were tracked; the others are in the list of shots, press Solve there." if others else ""
        return solve_sentence(results[-2]) + more


class MIEN_OT_solve(JobOperator, bpy.types.Operator):
    """Fit the face model and the camera again to the track that is there, for instance with another focal length"""

    bl_idname = "mien.solve"
    bl_label = "Solve Again"
    bl_options = {"REGISTER"}
    title = "Solve"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        folder = context.scene.mien.shot_folder
        if not folder or not shots.shot_info(shots.absolute(folder)).is_tracked:
            cls.poll_message_set("There is no track yet; press Track and Solve")
            return False
        return backends.poll(cls, context.scene.mien, track=False) and poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        solve = solve_params(context.scene)
        return [("solve", solve), ("learn", {"folder": solve["folder"]})]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        return solve_sentence(results[0])


class MIEN_OT_read_model(JobOperator, bpy.types.Operator):
    """Read a face model from its makers' files into the folder of your models"""

    bl_idname = "mien.read_model"
    bl_label = "Read Face Model"
    bl_options = {"INTERNAL", "UNDO"}
    title = "Add Model"

    source: bpy.props.StringProperty(name="Source", description="File or folder of the model", subtype="FILE_PATH", options={"SKIP_SAVE"})
    model: bpy.props.StringProperty(name="Name", description="What to call it; empty: by its kind", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        self._scene = context.scene.name
        return [("add_model", {"source": str(shots.absolute(self.source)), **({"name": self.model} if self.model else {})})]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        result = results[-1]
        scene = bpy.data.scenes.get(self._scene)
        if scene is not None:
            scene.mien.model = result["name"]
        return f"The face model '{result['name']}' is there: {result['vertices']} points, {result['expression']} expressions; press Solve Again."


class MIEN_OT_add_model(bpy.types.Operator):
    """Choose an ICT-FaceKit folder, or the file of a BFM or FLAME model (.mat, .pkl) or of Mien's own format (.npz)"""

    bl_idname = "mien.add_model"
    bl_label = "Add Model"

    filepath: bpy.props.StringProperty(name="Source", description="File or folder of the model", subtype="FILE_PATH", options={"SKIP_SAVE"})
    model: bpy.props.StringProperty(name="Name", description="What to call it; empty: by its kind", options={"SKIP_SAVE"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN"})
    filter_glob: bpy.props.StringProperty(default="*.npz;*.mat;*.pkl;*.obj", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_engine(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.filepath = os.path.join(str(Path.home()), "")  # else the browser offers the .blend's own name
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)
        for line in ("Choose one of:", "the folder of ICT-FaceKit", "a BFM or FLAME file", "(.mat, .pkl)", "a file of Mien's (.npz)"):
            column.label(text=line)
        self.layout.prop(self, "model", placeholder="by its kind")

    def execute(self, context: bpy.types.Context) -> set[str]:
        # Blender frees an operator that its file browser has run, so the job has one of its own.
        started = bpy.ops.mien.read_model("INVOKE_DEFAULT", source=self.filepath.rstrip("/\\"), model=self.model)
        return {"CANCELLED"} if "CANCELLED" in started else {"FINISHED"}


CLASSES = (MIEN_OT_track, MIEN_OT_solve, MIEN_OT_read_model, MIEN_OT_add_model)
