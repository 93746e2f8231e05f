# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets, copied emotions, several shots in one file, markers, the difference map."""

from __future__ import annotations

import numpy as np
import pytest

from mien.mesh.model import DEFAULT_MODEL_PATH

MODEL = str(DEFAULT_MODEL_PATH)


@pytest.fixture
def face(blender, make_shot):
    from mien.operators import face
    object = face.import_shot(blender.context.scene, make_shot(model=MODEL, frames=40, cuts=(8, 20))).face
    blender.context.view_layer.objects.active = object
    blender.context.scene.frame_set(1005)
    return object


def values(face, name: str, frames) -> list[float]:
    from mien.operators import shots
    curve = shots.control_curves(face)[name]
    return [curve.evaluate(f) for f in frames]


def test_a_preset_comes_stays_and_goes(blender, face) -> None:
    from mien.operators import shots
    assert blender.ops.mien.key_preset(emotion="sad", strength=0.6, onset=4, apex=6, offset=5) == {"FINISHED"}
    assert values(face, "sad", (1001, 1005, 1009, 1012, 1015, 1020, 1040)) == pytest.approx([0, 0, 0.6, 0.6, 0.6, 0, 0], abs=1e-6)
    ramp = values(face, "sad", range(1005, 1010))
    assert ramp == sorted(ramp)
    assert ramp[1] < 0.6 / 4 < ramp[2], "eases in"
    assert shots.control_curves(face)["sad"].group.name == "Mien Emotion"


def test_a_preset_joins_the_keys_around_it(blender, face) -> None:
    for frame, value in ((1001, 0.2), (1007, 0.9), (1040, 0.2)):
        face.mien.happy = value
        face.keyframe_insert("mien.happy", frame=frame)
    before = values(face, "happy", (1005, 1020))
    blender.ops.mien.key_preset(emotion="happy", strength=1.0, onset=4, apex=6, offset=5)
    from mien.operators import shots
    assert [p.co.x for p in shots.control_curves(face)["happy"].keyframe_points] == [1001, 1005, 1009, 1015, 1020, 1040]
    assert values(face, "happy", (1001, 1005, 1009, 1015, 1020, 1040)) == pytest.approx([0.2, before[0], 1, 1, before[1], 0.2], abs=1e-6)


def test_an_emotion_at_full_here(blender, face) -> None:
    blender.ops.mien.key_pose(emotion="fear", value=1.0)
    assert values(face, "fear", (1005,)) == [1]


def test_undo_of_a_preset(blender, face) -> None:
    from mien.operators import shots
    name = face.name
    blender.ops.ed.undo_push(message="before")
    blender.ops.mien.key_preset(emotion="angry")
    blender.ops.ed.undo_push(message="after")
    blender.ops.ed.undo()
    assert "angry" not in shots.control_curves(blender.data.objects[name])
    blender.ops.ed.redo()
    assert "angry" in shots.control_curves(blender.data.objects[name])


def test_copy_from_another_shot_and_back_to_work_on_it(blender, face, make_shot) -> None:
    from mien.operators import face as stage
    from mien.operators import shots
    scene = blender.context.scene
    blender.ops.mien.key_preset(emotion="sad", strength=0.6, onset=4, apex=6, offset=5)
    face.mien.mouth = 0.25
    other = stage.import_shot(scene, make_shot("second", model=MODEL, frames=30, first_frame=1)).face
    blender.context.view_layer.objects.active = other
    assert shots.faces(scene) == [other, face]
    assert blender.ops.mien.copy_emotion(source=face.name) == {"FINISHED"}
    assert other.mien.mouth == 0.25
    assert values(other, "sad", range(1, 31)) == pytest.approx(values(face, "sad", range(1001, 1031)), abs=1e-6)
    with pytest.raises(RuntimeError, match="no other face"):
        blender.ops.mien.copy_emotion(source=other.name)
    assert (scene.frame_start, scene.frame_end) == (1, 30)
    scene.mien.shot_index = 0  # the first row of the list of shots
    assert (scene.frame_start, scene.frame_end, scene.camera) == (1001, 1040, face.mien.camera)
    assert shots.active_face(blender.context) == face
    assert shots.absolute(scene.mien.shot_folder).name == "talk.mien"


def test_markers_at_cuts_once(blender, face, make_shot) -> None:
    from mien.operators import face as stage
    markers = blender.context.scene.timeline_markers
    assert [m.frame for m in markers] == [1009, 1021]
    markers.new("mine", frame=1003)
    stage.import_shot(blender.context.scene, make_shot(model=MODEL, frames=40, cuts=(8,)))
    assert sorted((m.frame, m.name) for m in markers) == [(1003, "mine"), (1009, "talk cut")]


def test_the_difference_follows_the_edit(blender, face) -> None:
    def colours() -> np.ndarray:
        attribute = face.data.color_attributes["Mien Difference"]
        data = np.empty(4 * len(attribute.data), np.float32)
        attribute.data.foreach_get("color", data)
        return data.reshape(-1, 4)

    from mien.operators import difference
    assert blender.ops.mien.difference() == {"FINISHED"}
    assert np.allclose(colours()[:, :3], difference.COLOURS[0], atol=1e-6)
    face.mien.happy = 1.0
    moved = difference.moved_mm(face)
    assert 2 < moved.max() < 30
    assert np.array_equal(colours()[moved >= 5.0, :3], np.broadcast_to(difference.COLOURS[-1], ((moved >= 5.0).sum(), 3)))
    face.mien.difference_range = float(2 * moved.max())
    assert np.allclose(colours()[moved.argmax(), :3], difference.COLOURS[2], atol=1e-4)
    assert blender.ops.mien.difference() == {"FINISHED"}
    assert "Mien Difference" not in face.data.color_attributes
    blender.ops.mien.show_performance(edited=False)
    with pytest.raises(RuntimeError, match="Live Edit"):
        blender.ops.mien.difference()


def test_a_movie_dropped_into_the_viewport(blender, saved) -> None:
    from mien.operators import plate
    movie = saved.parent / "clip.mp4"
    movie.write_bytes(b"x")
    assert ".mp4" in plate.MIEN_FH_plate.bl_file_extensions.split(";")
    assert blender.ops.mien.choose_plate("INVOKE_DEFAULT", filepath=str(movie)) == {"FINISHED"}
    assert blender.context.scene.mien.plate.endswith("clip.mp4")
