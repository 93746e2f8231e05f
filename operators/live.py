# SPDX-License-Identifier: GPL-3.0-or-later
"""Live edit: the mesh in the viewport follows the emotion controls at once, in numpy, without the engine.

One extra shape key, "Mien Edit", holds what level 1 adds on the frame in view. It is written before Blender evaluates a new frame, when a
slider is moved, and when a curve is changed. The shape keys of the performance and their curves are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..mesh.camera import TO_BLENDER
from ..mesh.errors import MienError
from ..mesh.live import LiveEditor
from ..mesh.model import FaceModel
from ..mesh.shot import Shot, Solve
from . import shots
from .editors import actor_folder, face_editor
from .face import EDIT_KEY, check_fit, make_edit_key, model_of
from .parts import parts_of, write_edit
from .sampling import held, sample_frames

SMALL = 1e-6
"""Coefficients below this move no vertex by a micrometre."""


@dataclass(eq=False)
class LiveShot:
    """What the edit of a frame needs, read once."""

    model: FaceModel
    first_frame: int
    editor: LiveEditor

    @cached_property
    def expression(self) -> np.ndarray:
        """(B, 3V) float32 in Blender's axes."""
        return _turned(self.model.expression)

    @cached_property
    def identity(self) -> np.ndarray:
        """(A, 3V) float32 in Blender's axes; used only by editors that change the identity."""
        return _turned(self.model.identity)

    def offsets(self, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """(3V,) float32: how the changes of alpha (A,) and beta (B,) move the vertices, in the mesh's own axes."""
        moved = _blend(beta, self.expression)
        return moved + _blend(alpha, self.identity) if np.abs(alpha).max(initial=0) > SMALL else moved


def _turned(basis: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(basis @ TO_BLENDER.T.astype(np.float32)).reshape(len(basis), -1)


def _blend(weights: np.ndarray, basis: np.ndarray) -> np.ndarray:
    used = np.flatnonzero(np.abs(weights) > SMALL)
    if 3 * len(used) > len(weights):
        return weights.astype(np.float32) @ basis
    moved = np.zeros(basis.shape[1], np.float32)
    for i in used:
        moved += np.float32(weights[i]) * basis[i]
    return moved


_shots: dict[tuple[str, ...], LiveShot | str] = {}
"""(shot folder, solve hash, editor, actor folder) -> what was read, or the sentence that says why it could not be."""
_written: dict[int, tuple] = {}
"""Face's session uid -> what its edit key was computed from, so that nothing is written twice."""


AFTER_WRITE: list[Callable[[bpy.types.Object], None]] = []
"""Called with the face whose edit key was written."""


def forget() -> None:
    """Read the shots again and write every key again: files, meshes or the whole .blend may be others now."""
    _shots.clear()
    _written.clear()


def live_shot(face: bpy.types.Object) -> LiveShot | str:
    """The face's shot, or one sentence that says why there is no live edit."""
    key = (str(shots.absolute(face.mien.shot_folder)), face.mien.solve_hash, face.mien.editor, str(actor_folder(face) or ""))
    if key not in _shots:
        try:
            _shots[key] = _read(face)
        except MienError as error:
            _shots[key] = str(error)
    return _shots[key]


def _read(face: bpy.types.Object) -> LiveShot:
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    model, solve = model_of(shot), Solve.load(shot)
    check_fit(shot, model, solve)
    if face.mien.solve_hash != shots.solve_hash(solve):
        raise MienError(f"The shot {shots.shot_name(shot.folder)} was solved again since this face was imported; press Import Again.")
    if len(face.data.vertices) != model.vertex_count:
        raise MienError(f"The mesh of {face.name} is no longer the imported one; press Import Again.")
    return LiveShot(model, shot.plate.first_frame, LiveEditor(model, solve, face_editor(face, model, shot)))


def edit_key(face: bpy.types.Object, *, make: bool = False) -> bpy.types.ShapeKey | None:
    """The face's shape key for the edit."""
    keys = face.data.shape_keys
    key = keys.key_blocks.get(EDIT_KEY) if keys else None
    if key is None and keys is not None and make:
        key = make_edit_key(face)
    return key


def set_live(face: bpy.types.Object, on: bool, frame: int) -> None:
    """Switch the live edit of a face. Off: the mesh is what its performance curves say."""
    face.mien.live = on
    key = edit_key(face, make=on)
    if key is not None:
        key.mute = not on
    for part in parts_of(face).values():
        part.data.shape_keys.key_blocks[EDIT_KEY].mute = not on
    _written.pop(face.session_uid, None)
    apply(face, frame)


def apply(face: bpy.types.Object, frame: int) -> bool:
    """Write the edit of a frame into the face's edit key; whether it changed. Quick when nothing changed; never raises a MienError."""
    if not face.mien.live or face.data.library is not None or face.mode != "OBJECT":
        return False
    key = edit_key(face)
    live = live_shot(face)
    if key is None or isinstance(live, str) or len(key.points) != live.model.vertex_count:
        return False
    window = live.editor.window(frame - live.first_frame)
    curves = held(face, len(window)) if shots.layered(face) else sample_frames(face, window + live.first_frame)
    asked = (face.data.session_uid, face.mien.solve_hash, face.mien.editor, face.mien.actor, window.tobytes(), curves.emotions.tobytes(),
             curves.master.tobytes(), curves.neutralise.tobytes(), curves.mouth.tobytes())
    if _written.get(face.session_uid) == asked:
        return False
    points = np.empty(3 * live.model.vertex_count, np.float32)
    face.data.shape_keys.key_blocks[0].points.foreach_get("co", points)
    if curves.at_rest.all():
        alpha, beta = np.zeros(live.model.identity_count), np.zeros(live.model.expression_count)
    else:
        alpha, beta = live.editor.edit(window, curves)
        points += live.offsets(alpha, beta)
    key.points.foreach_set("co", points)
    write_edit(face, live.model, alpha, beta)
    face.update_tag(refresh={"DATA"})
    _written[face.session_uid] = asked
    for function in AFTER_WRITE:
        function(face)
    return True


def apply_all(scene: bpy.types.Scene, *, layered: bool | None = None) -> None:
    """Every face of the scene, at the frame in view; only those with (True) or without (False) NLA strips or drivers, if asked."""
    for face in scene.objects:
        if face.type == "MESH" and face.mien.shot_folder and layered in (None, shots.layered(face)):
            apply(face, scene.frame_current)


def slider_moved(settings: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """The update callback of the controls."""
    if shots.is_face(settings.id_data):
        apply(settings.id_data, context.scene.frame_current)


# -- handlers -------------------------------------------------------------------------------------------------------------------

@persistent
def before_frame(scene: bpy.types.Scene, _depsgraph: object = None) -> None:
    """Before Blender evaluates a new frame, so that the shape keys are evaluated once."""
    apply_all(scene, layered=False)


@persistent
def after_frame(scene: bpy.types.Scene, _depsgraph: object = None) -> None:
    """What NLA strips and drivers make of the controls is known only when Blender has evaluated the frame."""
    apply_all(scene, layered=True)


@persistent
def after_change(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """A key was moved in the Graph Editor, an action assigned, a face duplicated."""
    if depsgraph.id_type_updated("ACTION") or depsgraph.id_type_updated("OBJECT"):
        apply_all(scene)


@persistent
def after_undo(scene: bpy.types.Scene, _depsgraph: object = None) -> None:
    """Undo brings keys and curves back, and other data-blocks under the same names."""
    _written.clear()
    apply_all(scene)


@persistent
def after_load(_path: object = None, _more: object = None) -> None:
    forget()


HANDLERS = {"frame_change_pre": before_frame, "frame_change_post": after_frame, "depsgraph_update_post": after_change, "undo_post": after_undo,
            "redo_post": after_undo, "load_post": after_load}
CLASSES = ()


def register() -> None:
    for name, function in HANDLERS.items():
        getattr(bpy.app.handlers, name).append(function)


def unregister() -> None:
    for name, function in HANDLERS.items():
        handlers = getattr(bpy.app.handlers, name)
        if function in handlers:
            handlers.remove(function)
    forget()
