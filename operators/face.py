# SPDX-License-Identifier: GPL-3.0-or-later
"""Face: a solved shot as Blender data: mesh with shape keys, performance and head pose as F-curves, camera, plate behind it, texture.

Axes and units: metres. Object-local coordinates are the head frame turned by mesh.camera.TO_BLENDER, world coordinates the camera frame
turned by it, so the solved camera stands at the origin and looks along +Y.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np

from .. import compat
from ..mesh.camera import TO_BLENDER
from ..mesh.errors import MienError
from ..mesh.frames import frame_ranges, ranges_text
from ..mesh.model import FaceModel, load_model
from ..mesh.shot import Shot, Solve, takes
from . import shot_items, shots
from .curves import group_of, remove_curves, write_curve
from .engine import poll_idle
from .meshes import add_expressions, new_mesh
from .parts import EDIT_KEY, build_parts
from .view import clear_view, look_through_camera

POSE_GROUP, PERFORMANCE_GROUP = "Mien Head Pose", "Mien Performance"
AFTER_IMPORT: list[Callable[[bpy.types.Object], None]] = []
"""Called with a face that was imported, or imported again."""
cached_model = functools.lru_cache(maxsize=2)(load_model)


@dataclass
class ImportResult:
    face: bpy.types.Object
    camera: bpy.types.Object
    warnings: list[str] = field(default_factory=list)
    """Sentences on what could not be shown, such as a plate that is missing."""


def import_shot(scene: bpy.types.Scene, shot: Shot) -> ImportResult:
    """Build, or bring up to date, the shot's face and camera in `scene`, and set its range, rate, size and view transform.

    A second import replaces mesh, performance and pose and keeps the objects, their emotion curves and their material.
    Raises MienError when the shot is not solved or its files do not fit together; then nothing was changed.
    """
    if not shot.solve_path.exists():
        raise MienError(f"The shot {shots.shot_name(shot.folder)} is not solved yet; press Track and Solve.")
    model, solve = model_of(shot), Solve.load(shot)
    check_fit(shot, model, solve)
    name = shots.shot_name(shot.folder)
    set_scene(scene, shot)
    face = find_face(scene, shot) or new_face(scene, name)
    build_mesh(face, name, model, solve.alpha)
    animate(face, shot, solve, model)
    mark_cuts(scene, shot, solve)
    build_parts(face, name, model, solve.alpha)
    result = ImportResult(face, place_camera(scene, face, name, solve))
    dress(face, name, shot, result)
    show_plate(result, name, shot)
    settings = face.mien
    settings.shot_folder = shots.stored_path(shot.folder.absolute())
    shot_items.take(scene, settings.shot_folder, shots.stored_path(shot.plate_path))
    settings.camera, settings.solve_hash, settings.shown_hash = result.camera, shots.solve_hash(solve), ""
    settings.lost = ranges_text(frame_ranges([shot.frame_number(int(i)) for i in np.flatnonzero(~solve.solved)]))
    scene.mien.face = face
    shot_items.enlist(scene)
    first, last = scene.frame_start, scene.frame_end
    scene.frame_set(min(max(scene.frame_current, first), last))
    for function in AFTER_IMPORT:
        function(face)
    return result


def model_of(shot: Shot) -> FaceModel:
    """The shot's face model; read once a session. Raises MienError."""
    return cached_model(shot.model)


def check_fit(shot: Shot, model: FaceModel, solve: Solve) -> None:
    """Raises MienError when the solve is of another model, or empty."""
    if solve.beta.shape[1] != model.expression_count or len(solve.alpha) != model.identity_count or solve.model_hash != model.hash:
        raise MienError(f"{shot.solve_path} was made with another version of the face model '{shot.model}'; press Solve Again.")
    if not solve.solved.any():
        raise MienError(f"{shot.solve_path} has no solved frame; press Track and Solve.")


def set_scene(scene: bpy.types.Scene, shot: Shot) -> None:
    """The shot's range, rate and size, and a view transform that leaves the plate's pixels alone."""
    plate = shot.plate
    scene.frame_start, scene.frame_end, scene.frame_step = plate.first_frame, plate.first_frame + plate.frame_count - 1, 1
    compat.set_frame_rate(scene, *plate.fps)
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = plate.width, plate.height, 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    scene.display_settings.display_device = "sRGB"
    view = scene.view_settings
    view.view_transform, view.look, view.exposure, view.gamma = "Standard", "None", 0.0, 1.0


def mark_cuts(scene: bpy.types.Scene, shot: Shot, solve: Solve) -> None:
    """A timeline marker where each new take starts; those of an earlier import go."""
    name = f"{shots.shot_name(shot.folder)} cut"
    for marker in [m for m in scene.timeline_markers if m.name == name]:
        scene.timeline_markers.remove(marker)
    for cut in solve.cuts:
        scene.timeline_markers.new(name, frame=shot.frame_number(int(cut)))


# -- objects ------------------------------------------------------------------------------------------------------------------

def find_face(scene: bpy.types.Scene, shot: Shot) -> bpy.types.Object | None:
    """The face in this scene that was imported from that shot folder."""
    wanted = shots.absolute(str(shot.folder))
    return next((o for o in scene.objects if shots.is_face(o) and shots.absolute(o.mien.shot_folder) == wanted), None)


def new_face(scene: bpy.types.Scene, name: str) -> bpy.types.Object:
    """An empty face object in a collection of the shot's name."""
    collection = bpy.data.collections.new(name)
    scene.collection.children.link(collection)
    face = bpy.data.objects.new(f"{name} Face", bpy.data.meshes.new(f"{name} Face"))
    collection.objects.link(face)
    return face


def build_mesh(face: bpy.types.Object, name: str, model: FaceModel, alpha: np.ndarray) -> None:
    """Give the object a new mesh: the person's neutral face, UVs, one shape key per expression direction and one for the edit. The old mesh goes."""
    neutral = model.neutral(alpha)
    mesh = new_mesh(f"{name} Face", neutral, model.triangles, model.uv, model.uv_triangles)
    old = face.data
    for material in old.materials:
        mesh.materials.append(material)
    face.data = mesh
    mesh_name = old.name
    old_keys = old.shape_keys
    if old_keys is not None and old_keys.animation_data is not None and old_keys.animation_data.action is not None:
        bpy.data.actions.remove(old_keys.animation_data.action)
    if old.users == 0:
        bpy.data.meshes.remove(old)
        mesh.name = mesh_name
    add_expressions(face, neutral, model.expression_names, model.expression)
    make_edit_key(face)
    mesh.shape_keys.name = f"{name} Face"


def make_edit_key(face: bpy.types.Object) -> bpy.types.ShapeKey:
    """The last shape key of the face: what operators.live adds on the frame in view; nothing yet."""
    key = face.shape_key_add(name=EDIT_KEY, from_mix=False)
    key.value, key.lock_shape, key.mute = 1.0, True, not face.mien.live
    return key


# -- animation ------------------------------------------------------------------------------------------------------------------

def animate(face: bpy.types.Object, shot: Shot, solve: Solve, model: FaceModel) -> None:
    """Performance on the shape keys, head pose on the object. Lost frames have no key: the last pose is held up to the next take."""
    solved = np.flatnonzero(solve.solved)
    frames, holds = performance_keys(shot, solve)
    write_performance(face, frames, solve.beta[solved], holds, model)

    pose = compat.ensure_channelbag(face, f"{shots.shot_name(shot.folder)} Face")
    remove_curves(pose, ("rotation_quaternion", "location"))
    group = group_of(pose, POSE_GROUP, "THEME03")
    face.rotation_mode = "QUATERNION"
    for path, values in (("rotation_quaternion", quaternions(solve.rotation[solved])), ("location", solve.translation[solved] @ TO_BLENDER.T)):
        for index in range(values.shape[1]):
            write_curve(pose, path, index, frames, values[:, index], holds, group).lock = True


def performance_keys(shot: Shot, solve: Solve) -> tuple[np.ndarray, np.ndarray]:
    """Of the n solved frames: their numbers (n,) float32, and (n,) bool: the last frame of a take, whose value is held."""
    solved = np.flatnonzero(solve.solved)
    return (solved + shot.plate.first_frame).astype(np.float32), np.isin(solved + 1, [end for _, end in takes(solve.solved, solve.cuts)])


def write_performance(face: bpy.types.Object, frames: np.ndarray, beta: np.ndarray, holds: np.ndarray, model: FaceModel) -> None:
    """Shape key values: frames (n,), beta (n, B). Replaces those that are there."""
    keys = face.data.shape_keys
    bag = compat.ensure_channelbag(keys, f"{face.name} Performance")
    bag.fcurves.clear()
    group = group_of(bag, PERFORMANCE_GROUP, "THEME09")
    for index, name in enumerate(model.expression_names):
        write_curve(bag, f'key_blocks["{bpy.utils.escape_identifier(name)}"].value', 0, frames, beta[:, index], holds, group)


def quaternions(rotation: np.ndarray) -> np.ndarray:
    """Head rotations (n, 3) rotation vectors, OpenCV axes -> (n, 4) quaternions w, x, y, z in Blender's axes.

    Their signs are chosen so that neighbours never jump, as F-curves interpolate the components.
    """
    vectors = rotation.astype(np.float64) @ TO_BLENDER.T  # turning the axes turns the rotation vector
    angle = np.linalg.norm(vectors, axis=1, keepdims=True)
    q = np.concatenate([np.cos(angle / 2), np.sinc(angle / (2 * np.pi)) / 2 * vectors], 1)
    flips = np.where((q[1:] * q[:-1]).sum(1) < 0, -1.0, 1.0)
    return q * np.concatenate([[1.0], np.cumprod(flips)])[:, None]


# -- camera, plate, material ------------------------------------------------------------------------------------------------------

def place_camera(scene: bpy.types.Scene, face: bpy.types.Object, name: str, solve: Solve) -> bpy.types.Object:
    """The solved camera at the origin, looking along +Y; the scene's camera from now on."""
    camera = face.mien.camera
    if camera is None or camera.type != "CAMERA" or scene.objects.get(camera.name) != camera:
        camera = bpy.data.objects.new(f"{name} Camera", bpy.data.cameras.new(f"{name} Camera"))
        face.users_collection[0].objects.link(camera)
    camera.location, camera.rotation_mode, camera.rotation_euler, camera.scale = (0, 0, 0), "XYZ", (math.pi / 2, 0, 0), (1, 1, 1)
    lens = camera.data
    lens.type, lens.sensor_fit, lens.sensor_width = "PERSP", "HORIZONTAL", 36.0
    lens.lens, lens.shift_x, lens.shift_y = solve.camera.blender_lens(36.0)
    lens.clip_start, lens.clip_end, lens.display_size = 0.01, 100.0, 0.1
    lens.dof.use_dof = False
    scene.camera = camera
    return camera


def show_plate(result: ImportResult, name: str, shot: Shot) -> None:
    """The plate as the camera's background, frame-exact: the engine's decoded frames where a bake has left them, else the footage."""
    plate, lens = shot.plate, result.camera.data
    path, sequence = plate_source(shot)
    try:
        image = bpy.data.images.load(str(path), check_existing=False)
    except RuntimeError:
        result.warnings.append(f"The plate {path} cannot be shown: it is missing or Blender cannot read it.")
        return
    if sequence:
        image.source = "SEQUENCE"
    image.filepath = shots.stored_path(path)
    background = lens.background_images[0] if lens.background_images else lens.background_images.new()
    old = background.image
    background.image, background.alpha, background.frame_method = image, 1.0, "FIT"
    if old is not None and old.users == 0:
        bpy.data.images.remove(old)
    image.name = f"{name} Plate"
    user = background.image_user
    user.frame_start, user.frame_duration, user.frame_offset = plate.first_frame, plate.frame_count, plate.first_frame - 1 if sequence else 0
    user.use_cyclic, user.use_auto_refresh = False, True
    lens.show_background_images = True


def plate_source(shot: Shot) -> tuple[Path, bool]:
    """(file, whether it is the first of a sequence) that Blender shows as the plate."""
    first, last = shot.plate_frame_path(0), shot.plate_frame_path(shot.plate.frame_count - 1)
    if shot.plate.kind == "movie":
        return (first, True) if first.exists() and last.exists() else (shot.plate_path, False)
    path = shot.plate_path
    digits = path.name.count("#")
    return path.with_name(path.name.replace("#" * digits, str(shot.plate.first_frame).zfill(digits))), digits > 0


def dress(face: bpy.types.Object, name: str, shot: Shot, result: ImportResult) -> None:
    """The UV texture as a material that shows the plate's own colours, unlit; an artist's own material stays."""
    image = None
    if shot.texture_path.exists():
        image = next((i for i in bpy.data.images if i.filepath and shots.absolute(i.filepath) == shot.texture_path.absolute()), None)
        if image is not None:
            image.reload()
        else:
            image = bpy.data.images.load(str(shot.texture_path))
            image.filepath, image.name = shots.stored_path(shot.texture_path), f"{name} Texture"
    else:
        result.warnings.append(f"The shot has no texture {shot.texture_path}; press Solve Again to make it.")
    if face.data.materials:
        return
    material = bpy.data.materials.new(f"{name} Face")
    compat.use_nodes(material)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    texture, emission, output = (nodes.new(f"ShaderNode{kind}") for kind in ("TexImage", "Emission", "OutputMaterial"))
    texture.image, nodes.active = image, texture
    texture.location, emission.location, output.location = (-500, 0), (-200, 0), (0, 0)
    emission.inputs["Color"].default_value = (0.55, 0.33, 0.25, 1.0)
    if image is not None:
        links.new(texture.outputs["Color"], emission.inputs["Color"])
    links.new(emission.outputs[0], output.inputs["Surface"])
    face.data.materials.append(material)


# -- operator -----------------------------------------------------------------------------------------------------------------------

def use_face(scene: bpy.types.Scene, face: bpy.types.Object, shot: Shot) -> None:
    """Make an imported face the scene's shot in work."""
    set_scene(scene, shot)
    scene.camera = face.mien.camera or scene.camera
    shot_items.take(scene, face.mien.shot_folder, shots.stored_path(shot.plate_path))
    scene.mien.face = face
    shot_items.enlist(scene)
    scene.frame_set(min(max(scene.frame_current, scene.frame_start), scene.frame_end))


def select_face(context: bpy.types.Context, face: bpy.types.Object) -> None:
    """The face alone is selected and active."""
    if context.mode == "OBJECT":
        for other in context.selected_objects:
            other.select_set(False)
        context.view_layer.objects.active = face
        face.select_set(True)


class MIEN_OT_import_face(bpy.types.Operator):
    """Bring the solved face, its performance, the camera and the plate into this scene; again: replace them and keep the emotion keys"""

    bl_idname = "mien.import_face"
    bl_label = "Import Face"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        folder = shots.shot_folder(context)
        if context.scene.get("mien_stage"):
            cls.poll_message_set("This is the shot's composite or delivery: press Back to the Shot, the face belongs there")
            return False
        if folder is None or not shots.shot_info(folder).is_solved:
            cls.poll_message_set("There is no solved shot yet; press Track and Solve")
            return False
        return poll_idle(cls)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            shot = Shot.load(shots.shot_folder(context))
            result = import_shot(context.scene, shot)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        select_face(context, result.face)
        result.warnings.extend(clear_view(context, result.camera))
        look_through_camera(context)
        for warning in result.warnings:
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, f"Imported {shot.plate.frame_count} frames; key the emotions in the Emotion panel.")
        return {"FINISHED"}


CLASSES = (MIEN_OT_import_face,)
