# SPDX-License-Identifier: GPL-3.0-or-later
"""A solved shot in Blender: the mesh, the camera and the curves are the solve, exactly."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.camera import TO_BLENDER, place, rotation_matrix
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.shot import Shot, Solve


@pytest.fixture
def face(blender):
    from mien.operators import face
    return face


def world_vertices(blender, object) -> np.ndarray:
    """(V, 3) of the evaluated object at the current frame."""
    evaluated = object.evaluated_get(blender.context.evaluated_depsgraph_get())
    mesh = evaluated.data
    points = np.zeros(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    matrix = np.array(evaluated.matrix_world, np.float64)
    return points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def blender_pixels(blender, scene, camera, points: np.ndarray) -> np.ndarray:
    """(V, 3) world -> (V, 2) pixels, y down, by Blender's own camera matrix."""
    depsgraph = blender.context.evaluated_depsgraph_get()
    view = np.array(camera.evaluated_get(depsgraph).matrix_world.inverted())
    window = np.array(camera.calc_matrix_camera(depsgraph, x=scene.render.resolution_x, y=scene.render.resolution_y))
    clip = np.concatenate([points, np.ones((len(points), 1))], 1) @ (window @ view).T
    ndc = clip[:, :2] / clip[:, 3:]
    return np.stack([(ndc[:, 0] + 1) / 2 * scene.render.resolution_x, (1 - ndc[:, 1]) / 2 * scene.render.resolution_y], 1)


@pytest.mark.parametrize("size", [(96, 54), (54, 96), (101, 77)])
@pytest.mark.parametrize("subframe", [0, 5, 11])
def test_the_mesh_falls_on_the_plate_where_the_solve_says(blender, face, make_shot, size, subframe) -> None:
    shot = make_shot(size=size)
    scene = blender.context.scene
    result = face.import_shot(scene, shot)
    model, solve = load_model(shot.model), Solve.load(shot)
    scene.frame_set(shot.frame_number(subframe))
    points = world_vertices(blender, result.face)
    expected = place(model.shape(solve.alpha, solve.beta[subframe]).astype(np.float64), solve.rotation[subframe], solve.translation[subframe])
    assert np.abs(points - expected @ TO_BLENDER.T).max() < 2e-6
    pixels = blender_pixels(blender, scene, result.camera, points)
    assert np.abs(pixels - solve.camera.project(expected)).max() < 0.05


def test_every_frame_of_the_default_model(blender, face, make_shot) -> None:
    shot = make_shot(model=str(load_model.__globals__["DEFAULT_MODEL_PATH"]), frames=6, size=(1280, 720))
    scene = blender.context.scene
    result = face.import_shot(scene, shot)
    model, solve = load_model(shot.model), Solve.load(shot)
    keys = result.face.data.shape_keys.key_blocks
    assert keys.keys()[1:] == [*model.expression_names, "Mien Edit"]
    assert all(k.slider_min == -10 and k.slider_max == 10 for k in keys[1:-1])
    for i in range(6):
        scene.frame_set(shot.frame_number(i))
        expected = solve.camera.project(place(model.shape(solve.alpha, solve.beta[i]).astype(np.float64), solve.rotation[i], solve.translation[i]))
        pixels = blender_pixels(blender, scene, result.camera, world_vertices(blender, result.face))
        assert np.abs(pixels - expected).max() < 0.05


def test_normals_look_at_the_camera(blender, face, make_shot) -> None:
    for model in ("", str(load_model.__globals__["DEFAULT_MODEL_PATH"])):
        result = face.import_shot(blender.context.scene, make_shot("n" + str(len(model)), model=model, frames=2))
        normals = np.array([p.normal[:] for p in result.face.data.polygons])
        assert (normals[:, 1] < 0).mean() > 0.9  # -Y is towards the camera for a face at rest


def test_uvs_are_those_of_the_model(blender, face, make_shot) -> None:
    shot = make_shot()
    mesh = face.import_shot(blender.context.scene, shot).face.data
    model = load_model(shot.model)
    uv = np.zeros(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers.active.uv.foreach_get("vector", uv)
    corners = np.zeros(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    assert np.array_equal(uv.reshape(-1, 3, 2), model.uv[model.uv_triangles])
    assert np.array_equal(corners.reshape(-1, 3), model.triangles)
    assert not mesh.validate()


def test_the_pose_is_continuous_between_frames(blender, face, make_shot) -> None:
    shot = make_shot()
    result = face.import_shot(blender.context.scene, shot)
    solve = Solve.load(shot)
    q = face.quaternions(solve.rotation)
    assert (np.einsum("ij,ij->i", q[1:], q[:-1]) > 0).all()
    assert np.allclose(np.linalg.norm(q, axis=1), 1)
    for i in range(len(q) - 1):  # half way between two frames the head is half way
        blender.context.scene.frame_set(shot.frame_number(i), subframe=0.5)
        middle = np.array(result.face.matrix_world)[:3, :3]
        a, b = (TO_BLENDER @ rotation_matrix(solve.rotation[j]) @ TO_BLENDER.T for j in (i, i + 1))
        step = math.acos(min(1.0, (np.trace(a.T @ b) - 1) / 2))
        assert math.acos(min(1.0, (np.trace(a.T @ middle) - 1) / 2)) == pytest.approx(step / 2, abs=0.02)


def test_lost_frames_have_no_keys_and_hold(blender, face, make_shot) -> None:
    shot = make_shot(lost=(0, 5, 6), cuts=(9,))
    scene = blender.context.scene
    result = face.import_shot(scene, shot)
    assert result.face.mien.lost == "1001, 1006-1007"
    from mien import compat
    curves = [*compat.channelbag(result.face).fcurves, *compat.channelbag(result.face.data.shape_keys).fcurves]
    assert len(curves) == 7 + 6
    assert all(curve.hide for curve in curves)  # the Graph Editor is for the artist's own
    for curve in curves:
        assert [int(k.co[0]) for k in curve.keyframe_points] == [n for n in range(1001, 1013) if n not in (1001, 1006, 1007)]
        held = {int(k.co[0]) for k in curve.keyframe_points if k.interpolation == "CONSTANT"}
        assert held == {1005, 1009, 1012}
    scene.frame_set(1005)
    before = world_vertices(blender, result.face)
    scene.frame_set(1007)
    assert np.array_equal(world_vertices(blender, result.face), before)


@pytest.mark.parametrize("fps", [(24, 1), (24000, 1001), (30000, 1001), (1000000, 33333), (25, 1), (50, 1), (12, 1)])
def test_range_and_rate(blender, face, make_shot, fps) -> None:
    scene = blender.context.scene
    face.import_shot(scene, make_shot(fps=fps, frames=3, first_frame=87))
    assert (scene.frame_start, scene.frame_end) == (87, 89)
    rate = Fraction(scene.render.fps) / Fraction(scene.render.fps_base)
    assert abs(rate / Fraction(*fps) - 1) < 1e-7
    assert scene.frame_start <= scene.frame_current <= scene.frame_end
    assert (scene.view_settings.view_transform, scene.view_settings.look) == ("Standard", "None")


def test_the_plate_stands_behind_the_camera(blender, face, make_shot) -> None:
    shot = make_shot(size=(64, 36))
    result = face.import_shot(blender.context.scene, shot)
    background = result.camera.data.background_images[0]
    image, user = background.image, background.image_user
    assert result.warnings == []
    assert image.source == "SEQUENCE"
    assert Path(blender.path.abspath(image.filepath)) == shot.folder.parent / "footage" / "talk.1001.png"
    assert (user.frame_start, user.frame_duration, user.frame_offset) == (1001, 12, 1000)
    assert result.camera.data.show_background_images


def test_a_missing_plate_is_a_warning(blender, face, make_shot) -> None:
    shot = make_shot()
    for file in (shot.folder.parent / "footage").iterdir():
        file.unlink()
    result = face.import_shot(blender.context.scene, shot)
    assert len(result.warnings) == 1
    assert "talk.1001.png" in result.warnings[0]


def test_the_texture_is_shown_unlit_and_in_solid_view(blender, face, make_shot) -> None:
    shot = make_shot()
    material = face.import_shot(blender.context.scene, shot).face.data.materials[0]
    texture = material.node_tree.nodes.active
    assert texture.image.size[0] == 16
    assert texture.outputs["Color"].links[0].to_node.bl_idname == "ShaderNodeEmission"


def names(blender) -> dict[str, list[str]]:
    data = blender.data
    kinds = ("objects", "meshes", "cameras", "materials", "images", "collections", "actions", "shape_keys")
    return {kind: sorted(x.name for x in getattr(data, kind)) for kind in kinds}


def test_importing_again_replaces_the_face_and_keeps_the_emotion(blender, face, make_shot) -> None:
    shot = make_shot()
    scene = blender.context.scene
    first = face.import_shot(scene, shot)
    first.face.mien.happy = 0.7
    first.face.keyframe_insert("mien.happy", frame=1003)
    first.face.mien.sad = 0.25
    before = names(blender)
    shot = make_shot(seed=2)  # solved again
    second = face.import_shot(scene, shot)
    assert (second.face, second.camera) == (first.face, first.camera)
    assert names(blender) == before
    from mien import compat
    paths = [c.data_path for c in compat.channelbag(second.face).fcurves]
    assert sorted(paths) == sorted(["location"] * 3 + ["rotation_quaternion"] * 4 + ["mien.happy"])
    assert second.face.mien.sad == 0.25
    scene.frame_set(1003)
    assert second.face.mien.happy == pytest.approx(0.7)
    model, solve = load_model(shot.model), Solve.load(shot)
    expected = place(model.shape(solve.alpha, solve.beta[2]).astype(np.float64), solve.rotation[2], solve.translation[2]) @ TO_BLENDER.T
    assert np.abs(world_vertices(blender, second.face) - expected).max() < 2e-6


def test_two_shots_in_one_file(blender, face, make_shot) -> None:
    scene = blender.context.scene
    one, two = face.import_shot(scene, make_shot("one")), face.import_shot(scene, make_shot("two", seed=3))
    assert one.face != two.face
    assert one.camera != two.camera
    assert scene.camera == two.camera
    assert {c.name for c in scene.collection.children} == {"one", "two"}


def test_a_deleted_face_is_imported_anew(blender, face, make_shot) -> None:
    scene, shot = blender.context.scene, make_shot()
    first = face.import_shot(scene, shot)
    for object in (first.face, first.camera):
        object.users_collection[0].objects.unlink(object)
    second = face.import_shot(scene, shot)
    assert second.face != first.face
    assert second.face.name in scene.objects
    assert second.camera.name in scene.objects


def test_save_load_and_move(blender, saved, face, make_shot, tmp_path) -> None:
    import shutil
    folder = saved.parent
    shot = make_shot(folder=folder)
    face.import_shot(blender.context.scene, shot)
    assert blender.context.scene.mien.shot_folder == "//talk.mien"
    blender.ops.wm.save_mainfile()
    moved = tmp_path / "elsewhere"
    blender.ops.wm.read_factory_settings(use_empty=True)
    shutil.move(folder, moved)
    blender.ops.wm.open_mainfile(filepath=str(moved / "scene.blend"))
    from mien.operators import shots
    scene = blender.context.scene
    assert shots.shot_folder(blender.context) == moved / "talk.mien"
    assert shots.scene_face(scene).mien.lost == ""
    assert shots.shot_info(moved / "talk.mien").solved == 12
    image = scene.camera.data.background_images[0].image
    assert shots.absolute(image.filepath) == moved / "footage" / "talk.1001.png"
    face.import_shot(scene, Shot.load(moved / "talk.mien"))
    assert len([o for o in scene.objects if shots.is_face(o)]) == 1


@pytest.mark.parametrize("spoil, words", [
    (lambda s: s.solve_path.unlink(), "not solved yet"),
    (lambda s: s.solve_path.write_bytes(b"no"), "solve.npz is damaged"),
    (lambda s: Solve(**{**vars(Solve.load(s)), "model_hash": "other"}).save(s.solve_path), "another face model"),
])
def test_shots_that_do_not_fit_change_nothing(blender, face, make_shot, spoil, words) -> None:
    shot = make_shot()
    spoil(shot)
    before = names(blender)
    with pytest.raises(MienError, match=words):
        face.import_shot(blender.context.scene, shot)
    assert names(blender) == before
    blender.context.scene.mien.shot_folder = str(shot.folder)
    with pytest.raises(RuntimeError):
        blender.ops.mien.import_face()


def test_the_operator_selects_the_face(blender, make_shot) -> None:
    shot = make_shot()
    with pytest.raises(RuntimeError, match="no solved shot yet"):
        blender.ops.mien.import_face()
    blender.context.scene.mien.shot_folder = str(shot.folder)
    assert blender.ops.mien.import_face() == {"FINISHED"}
    active = blender.context.view_layer.objects.active
    assert active.name == "talk Face"
    assert active.select_get()


def test_what_stands_around_the_camera_is_hidden(blender, make_shot) -> None:
    """The cube of a new file encloses the shot's camera, which stands at the origin; a thing beside it stays in view."""
    shot = make_shot(frames=3)
    blender.ops.mesh.primitive_cube_add(size=2)
    around = blender.context.object
    blender.ops.mesh.primitive_cube_add(size=0.5, location=(3, 0, 0))
    beside = blender.context.object
    blender.context.scene.mien.shot_folder = str(shot.folder)
    assert blender.ops.mien.import_face() == {"FINISHED"}
    assert around.hide_get() and not beside.hide_get()
    around.hide_set(False)
    assert blender.ops.mien.import_face() == {"FINISHED"} and around.hide_get()
