# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand-over to other programs: the face and its camera as Alembic or USD, its curves as a Live Link Face table, its vertices as a point cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np

from ..mesh.editor import edit_shape
from ..mesh.errors import MienError
from ..mesh.files import atomic_path
from ..mesh.handover import held, write_live_link, write_pc2
from ..mesh.shot import Shot, Solve
from . import shots
from .editors import face_editor
from .emotion import poll_face
from .face import check_fit, model_of
from .sampling import sample

FORMATS = (
    ("abc", "Alembic", "Moving vertices, UVs and the camera"),
    ("usd", "USD", "Moving vertices, UVs and the camera"),
    ("csv", "ARKit Curves", "The 52 ARKit curves and the head's angles, a row a frame, in the layout of Live Link Face"),
    ("pc2", "Point Cache", "The vertices of every frame before the camera, y up, as PC2"),
)


def hand_over(context: bpy.types.Context, face: bpy.types.Object, path: Path, kind: str) -> None:
    """Write the shot's frames to `path`, as the mesh stands in the viewport: as filmed, or edited.

    Raises MienError when the shot's files do not fit or the file cannot be written; then nothing is left under `path`.
    """
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    if kind in ("abc", "usd"):
        with exported(context, face, shot), atomic_path(path) as temporary:
            write_scene(temporary, shot, kind)
        return
    model, solve = model_of(shot), Solve.load(shot)
    check_fit(shot, model, solve)
    alpha, beta = np.broadcast_to(solve.alpha, (len(solve.beta), len(solve.alpha))), solve.beta
    if shots.shown(face) != "filmed":
        edit = edit_shape(model, solve, sample(face, shot)[0], face_editor(face, model, shot))
        alpha, beta = alpha + edit.alpha, beta + edit.beta
    alpha, beta, rotation, translation = (held(x, solve.solved) for x in (alpha, beta, solve.rotation, solve.translation))
    first = shot.plate.first_frame
    if kind == "csv":
        write_live_link(path, model, beta, rotation, first, float(shot.plate.rate))
    else:
        write_pc2(path, model, alpha, beta, rotation, translation, first)


def write_scene(path: Path, shot: Shot, kind: str) -> None:
    """The selected objects as Alembic or USD over the shot's frames."""
    first, last = shot.plate.first_frame, shot.plate.first_frame + shot.plate.frame_count - 1
    try:
        if kind == "abc":
            done = bpy.ops.wm.alembic_export(filepath=str(path), check_existing=False, start=first, end=last, selected=True, uvs=True, normals=True,
                                             evaluation_mode="VIEWPORT", as_background_job=False)
        else:
            done = bpy.ops.wm.usd_export(filepath=str(path), check_existing=False, selected_objects_only=True, export_animation=True,
                                         export_uvmaps=True, export_shapekeys=False, export_materials=False, evaluation_mode="VIEWPORT")
    except RuntimeError as error:
        raise MienError(f"Blender could not write the {kind.upper()} file: {str(error).strip().removeprefix('Error: ')}") from error
    if done != {"FINISHED"} or not path.exists():
        raise MienError(f"Blender could not write the {kind.upper()} file; look at its console for the reason.")


@contextmanager
def exported(context: bpy.types.Context, face: bpy.types.Object, shot: Shot) -> Iterator[None]:
    """Only the face and its camera selected, the scene's range the shot's; selection, range and frame are put back. Raises MienError."""
    scene, layer = context.scene, context.view_layer
    wanted = [o for o in (face, face.mien.camera) if o is not None]
    missing = next((o for o in wanted if o.name not in layer.objects or not o.visible_get(view_layer=layer)), None)
    if missing is not None:
        raise MienError(f"'{missing.name}' is hidden or not in this view layer; show it and try again.")
    before = [o for o in layer.objects if o.select_get(view_layer=layer)]
    at, span = scene.frame_current, (scene.frame_start, scene.frame_end)
    try:
        for other in before:
            other.select_set(False, view_layer=layer)
        for o in wanted:
            o.select_set(True, view_layer=layer)
        scene.frame_start, scene.frame_end = shot.plate.first_frame, shot.plate.first_frame + shot.plate.frame_count - 1
        yield
    finally:
        for o in wanted:
            o.select_set(False, view_layer=layer)
        for other in before:
            other.select_set(True, view_layer=layer)
        scene.frame_start, scene.frame_end = span
        scene.frame_set(at)


class MIEN_OT_hand_over(bpy.types.Operator):
    """Write the solved face, as it stands in the viewport, for other programs"""

    bl_idname = "mien.hand_over"
    bl_label = "Hand Over"
    bl_options = {"REGISTER"}

    filepath: bpy.props.StringProperty(name="File", description="The file to write", subtype="FILE_PATH", options={"SKIP_SAVE"})
    kind: bpy.props.EnumProperty(name="Format", description="What to write", items=FORMATS)
    check_existing: bpy.props.BoolProperty(name="Ask before Overwriting", description="Warn in the file window when the file is there already",
                                           default=True, options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set("Leave the edit mode first")
            return False
        return poll_face(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        folder = shots.absolute(shots.active_face(context).mien.shot_folder)
        self.filepath = str(folder.parent / f"{shots.shot_name(folder)}.{self.kind}")
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(bpy.path.ensure_ext(self.filepath, f".{self.kind}")))
        try:
            if not path.stem:
                raise MienError("Give the file a name.")
            hand_over(context, shots.active_face(context), path, self.kind)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Written {path}.")
        return {"FINISHED"}


CLASSES = (MIEN_OT_hand_over,)
