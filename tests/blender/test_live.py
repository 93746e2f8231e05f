# SPDX-License-Identifier: GPL-3.0-or-later
"""The mesh follows the controls at once: sliders, keys, frames, undo, files."""

from __future__ import annotations

import numpy as np
import pytest

from mien.mesh.camera import TO_BLENDER
from mien.mesh.editor import edit_shape, make_editor
from mien.mesh.model import DEFAULT_MODEL_PATH, load_model
from mien.mesh.shot import Solve

MODEL = str(DEFAULT_MODEL_PATH)


@pytest.fixture
def shot(make_shot):
    return make_shot(model=MODEL, lost=(3, 4), cuts=(8,))


@pytest.fixture
def face(blender, shot):
    from mien.operators import face
    blender.context.scene.frame_set(1001)
    object = face.import_shot(blender.context.scene, shot).face
    blender.context.view_layer.objects.active = object
    blender.ops.ed.undo_push(message="imported")
    return object


def seen(bpy, face) -> np.ndarray:
    """(V, 3) the mesh as the viewport shows it."""
    mesh = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)


def expected(face, shot, index: int) -> np.ndarray:
    """(V, 3) what the whole shot's edit gives."""
    from mien.operators import emotion
    model, solve = load_model(MODEL), Solve.load(shot)
    curves, _ = emotion.sample(face, shot)
    beta = solve.beta[index] + edit_shape(model, solve, curves, make_editor("analytic", model)).beta[index]
    return (model.neutral(solve.alpha) + np.tensordot(beta, model.expression, 1)) @ TO_BLENDER.T


def key_happy(face) -> None:
    for frame, value in ((1001, 0.0), (1006, 1.0), (1012, 0.3)):
        face.mien.happy = value
        face.keyframe_insert("mien.happy", frame=frame)


def test_a_slider_moves_the_mesh_and_back(blender, face, shot) -> None:
    filmed = seen(blender, face)
    assert np.allclose(filmed, expected(face, shot, 0), atol=2e-6)
    face.mien.happy, face.mien.neutralise = 0.8, 0.5
    assert np.abs(seen(blender, face) - filmed).max() > 0.002
    assert np.allclose(seen(blender, face), expected(face, shot, 0), atol=2e-6)
    face.mien.happy = face.mien.neutralise = 0.0
    assert np.allclose(seen(blender, face), filmed, atol=1e-7)


def test_every_frame_of_keyed_curves(blender, face, shot) -> None:
    key_happy(face)
    face.mien.neutralise = 0.3
    for number in range(1001, 1013):
        blender.context.scene.frame_set(number)
        index = 2 if number in (1004, 1005) else number - 1001  # lost frames hold the last one
        assert np.allclose(seen(blender, face), expected(face, shot, index), atol=2e-6), number


def test_a_key_moved_in_the_graph_editor(blender, face, shot) -> None:
    from mien.operators import shots
    key_happy(face)
    blender.context.scene.frame_set(1006)
    before = seen(blender, face)
    curve = shots.control_curves(face)["happy"]
    curve.keyframe_points[1].co.y = 0.2
    curve.update()
    face.animation_data.action.update_tag()
    blender.context.view_layer.update()
    blender.context.view_layer.update()
    assert np.abs(seen(blender, face) - before).max() > 0.002
    assert np.allclose(seen(blender, face), expected(face, shot, 5), atol=2e-6)


def test_filmed_live_and_curves(blender, face, shot) -> None:
    from mien.operators import shots
    key_happy(face)
    blender.context.scene.frame_set(1006)
    live = seen(blender, face)
    assert blender.ops.mien.show_performance(edited=True) == {"FINISHED"}
    assert shots.shown(face) == "edited"
    assert np.allclose(seen(blender, face), live, atol=2e-6)
    assert blender.ops.mien.live_edit() == {"FINISHED"}
    assert shots.shown(face) == "live"
    assert np.allclose(seen(blender, face), live, atol=2e-6)
    assert blender.ops.mien.show_performance(edited=False) == {"FINISHED"}
    assert shots.shown(face) == "filmed"
    filmed = seen(blender, face)
    assert np.abs(filmed - live).max() > 0.002
    face.mien.sad = 0.9
    assert np.array_equal(seen(blender, face), filmed)


def test_undo_and_redo(blender, face, shot) -> None:
    name, scene = face.name, blender.context.scene.name
    filmed = seen(blender, face)
    face.mien.happy = 1.0
    blender.ops.ed.undo_push(message="happy")
    happy = seen(blender, face)
    blender.ops.ed.undo()
    face = blender.data.scenes[scene].objects[name]
    assert face.mien.happy == 0
    assert np.allclose(seen(blender, face), filmed, atol=1e-7)
    blender.ops.ed.redo()
    face = blender.data.scenes[scene].objects[name]
    assert np.allclose(seen(blender, face), happy, atol=1e-7)


def test_after_loading_a_file(blender, face, shot, tmp_path) -> None:
    key_happy(face)
    name, path = face.name, str(tmp_path / "live.blend")
    blender.ops.wm.save_as_mainfile(filepath=path)
    blender.ops.wm.read_factory_settings(use_empty=True)
    blender.ops.wm.open_mainfile(filepath=path)
    face = blender.data.objects[name]
    blender.context.scene.frame_set(1006)
    assert np.allclose(seen(blender, face), expected(face, shot, 5), atol=2e-6)


def test_imported_again(blender, face, shot) -> None:
    from mien.operators import face as stage
    face.mien.happy = 0.7
    before = seen(blender, face)
    stage.import_shot(blender.context.scene, shot)
    assert np.allclose(seen(blender, face), before, atol=1e-7)


def test_without_its_shot_folder_the_face_stays_and_says_why(blender, face, shot) -> None:
    from mien.operators import live
    filmed = seen(blender, face)
    live.forget()
    shot.solve_path.unlink()
    face.mien.happy = 1.0
    assert np.array_equal(seen(blender, face), filmed)
    assert "solve.npz" in live.live_shot(face)
    with pytest.raises(RuntimeError, match="solve"):
        blender.ops.mien.live_edit()


def test_in_edit_mode_and_on_another_mesh_nothing_is_written(blender, face) -> None:
    from mien.operators import live
    filmed = seen(blender, face)
    blender.ops.object.mode_set(mode="EDIT")
    face.mien.happy = 1.0
    assert not live.apply(face, 1001)
    blender.ops.object.mode_set(mode="OBJECT")
    blender.context.view_layer.update()
    assert np.abs(seen(blender, face) - filmed).max() > 0.002
    face.data = blender.data.meshes.new("other")
    assert not live.apply(face, 1001)


def test_a_driver_and_an_nla_strip_move_the_mesh(blender, face, shot) -> None:
    """The mesh shows the frame's own controls, as a handler cannot ask Blender for the neighbouring frames."""
    for frame, value in ((1001, 0.9), (1012, 0.9)):
        face.mien.sad = value
        face.keyframe_insert("mien.sad", frame=frame)
    track = face.animation_data.nla_tracks.new()
    track.strips.new("Sad", 1001, face.animation_data.action)
    face.animation_data.action = None
    face.mien.driver_add("master").driver.expression = "0.5"
    blender.context.scene.frame_set(1007)
    assert (face.mien.sad, face.mien.master) == pytest.approx((0.9, 0.5))
    assert np.allclose(seen(blender, face), expected(face, shot, 6), atol=2e-6)
    track.mute = True
    face.mien.sad = 0.2
    blender.context.scene.frame_set(1008)
    assert np.allclose(seen(blender, face), expected(face, shot, 7), atol=2e-6)
