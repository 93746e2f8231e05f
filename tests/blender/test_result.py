# SPDX-License-Identifier: GPL-3.0-or-later
"""The result preview: one picture for the newest wish, made by a real engine; an original to compare with."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.emotion import EMOTIONS, EmotionCurves
from mien.mesh.errors import MienError
from mien.mesh.model import DEFAULT_MODEL_PATH

MODEL = str(DEFAULT_MODEL_PATH)


@pytest.fixture
def face(blender, make_shot):
    from mien.operators import face
    object = face.import_shot(blender.context.scene, make_shot(model=MODEL, lost=(3,), cuts=(8,))).face
    blender.context.view_layer.objects.active = object
    return object


JOBS = '''
import json
from pathlib import Path
import numpy as np

def preview(params, report):
    if "gone" in params["folder"]:
        raise OSError("the disk is gone")
    curves = np.load(params["curves"])
    value = int(round(100 * float(curves["emotions"][params["index"]].sum())))
    np.save(params["output"], np.full((4, 6, 3), value, np.uint8))
    return {"box": [1, 2, 7, 6], "edited": value > 0}

JOBS = {"preview": preview}
'''


@pytest.fixture
def preview(blender, tmp_path: Path):
    """A preview whose engine is a real process with a job that paints the sum of the emotions."""
    from mien.neural.client import Engine
    from mien.operators import result
    (tmp_path / "jobs.py").write_text(JOBS)
    made = result.Preview(Path(sys.executable))
    made._engine.close()
    made._engine = Engine(Path(sys.executable), tmp_path / "logs", arguments=("--jobs", str(tmp_path / "jobs.py")))
    yield made
    made.close()


def test_the_picture_follows_the_controls_and_the_frame(face, preview) -> None:
    face.mien.happy = 0.5
    picture = preview.wait(face, 1004)
    assert (picture.box, picture.pixels[0, 0, 0]) == ((1, 2, 7, 6), 50)
    assert preview.wait(face, 1004) is picture, "nothing changed"
    face.mien.sad = 0.25
    assert preview.wait(face, 1004).pixels[0, 0, 0] == 75
    face.keyframe_insert("mien.sad", frame=1001)
    face.mien.sad = 1.0
    face.keyframe_insert("mien.sad", frame=1012)
    assert preview.wait(face, 1012).pixels[0, 0, 0] == 150


def test_a_shot_not_learnt_yet_shows_a_quick_picture_first(face, preview) -> None:
    from mien.operators import result, shots
    shot = shots.shot_info(shots.absolute(face.mien.shot_folder)).shot
    assert not result.learnt(shot)
    face.mien.happy = 0.5
    preview.advance(face, 1004, 0.0)
    preview.advance(face, 1004, 1.0)
    preview.job.wait()
    assert preview.advance(face, 1004, 2.0)
    assert preview.picture.quick and preview.picture.pixels.max() == 50
    assert preview.waiting_for(preview.picture.wanted), "the finished one is to come"
    finished = preview.wait(face, 1004)
    assert not finished.quick
    face.mien.happy = 0.7
    preview.advance(face, 1004, 3.0)
    preview.advance(face, 1004, 4.0)
    preview.job.wait()
    preview.advance(face, 1004, 5.0)
    assert not preview.picture.quick, "one quick picture for each shot"
    for name in ("texture_shot.json", "mouth_shot.json"):
        shot.texture_path.with_name(name).write_text("{}")
    assert result.learnt(shot)


def test_only_a_wish_that_stands_still_is_asked_for(face, preview) -> None:
    from mien.operators import result
    now = 0.0
    for step in range(20):  # a slider that is being dragged
        face.mien.happy = step / 20
        now += result.SETTLE / 2
        preview.advance(face, 1001, now)
        assert preview.job is None
    preview.advance(face, 1001, now + result.SETTLE)
    assert preview.job is not None
    face.mien.happy = 1.0
    now += 1
    preview.advance(face, 1001, now)
    assert preview.job is not None, "the old wish is still worked on"
    assert preview.wait(face, 1001).pixels[0, 0, 0] == 100


def test_while_the_timeline_plays_nothing_is_asked(face, preview) -> None:
    for now in (0.0, 1.0, 2.0):
        preview.advance(face, 1001, now, ask=False)
    assert preview.job is None


def test_outside_the_shot_and_without_a_face_nothing_is_asked(face, preview) -> None:
    for now in (0.0, 1.0, 2.0):
        preview.advance(face, 900, now)
        preview.advance(None, 1001, now)
    assert preview.job is None


def test_a_failure_is_one_sentence_and_a_change_tries_again(blender, face, preview, make_shot, tmp_path) -> None:
    from mien.operators import shots
    whole = face.mien.shot_folder
    folder = tmp_path / "gone.mien"
    shutil.copytree(shots.absolute(whole), folder)
    face.mien.shot_folder = str(folder)
    with pytest.raises(MienError, match="disk is gone"):
        preview.wait(face, 1001)
    assert not preview.waiting_for(None)
    assert preview.job is None
    face.mien.shot_folder = whole
    assert preview.wait(face, 1001).pixels.max() == 0


def test_the_button_switches_it_on_and_off(blender, face, monkeypatch) -> None:
    from mien.operators import result
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    assert result.running() is None
    assert blender.ops.mien.result_preview() == {"FINISHED"}
    assert result.running() is not None
    assert blender.ops.mien.result_preview() == {"FINISHED"}
    assert result.running() is None
    blender.ops.mien.result_preview()
    blender.ops.wm.read_factory_settings(use_empty=True)
    assert result.running() is None, "another file ends it"


def vertices(bpy, object) -> np.ndarray:
    """(V, 3) in the world, as the viewport shows them."""
    evaluated = object.evaluated_get(bpy.context.evaluated_depsgraph_get())
    points = np.empty(3 * len(evaluated.data.vertices), np.float32)
    evaluated.data.vertices.foreach_get("co", points)
    matrix = np.array(evaluated.matrix_world)
    return points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def test_the_face_as_filmed_beside_and_over_the_edited_one(blender, face) -> None:
    from mien.operators import compare, shots
    filmed = vertices(blender, face)
    face.mien.happy = 1.0
    objects = len(blender.data.objects)
    assert blender.ops.mien.compare(mode="OVER") == {"FINISHED"}
    over = face.mien.filmed
    assert not shots.is_face(over)
    on_landmarks = np.array(over.data["mien_vertices"])
    assert 400 < len(on_landmarks) < 479, "MediaPipe's"
    assert np.allclose(vertices(blender, over), filmed[on_landmarks], atol=1e-6)
    assert len(over.data.edges) > 2 * len(on_landmarks)
    assert np.abs(vertices(blender, face) - filmed).max() > 0.002
    blender.ops.mien.compare(mode="SIDE")
    side = face.mien.filmed
    moved = vertices(blender, side) - filmed
    assert np.allclose(moved, moved[0], atol=1e-6)
    assert moved[0, 0] > 0.1
    blender.context.scene.frame_set(1007)
    face.mien.live = False
    face.data.shape_keys.key_blocks["Mien Edit"].mute = True
    assert np.allclose(vertices(blender, side) - vertices(blender, face), moved[0], atol=1e-5), "it follows the performance"
    face.mien.live = True
    blender.ops.mien.compare(mode="SIDE")
    assert compare.shown(face) == ""
    assert len(blender.data.objects) == objects
    assert len(blender.data.meshes) == 1


def test_importing_again_compares_with_the_new_performance(blender, face, make_shot) -> None:
    from mien.operators import compare
    from mien.operators.face import import_shot
    blender.ops.mien.compare(mode="SIDE")
    import_shot(blender.context.scene, make_shot(model=MODEL, seed=9))
    assert compare.shown(face) == "SIDE"
    blender.context.scene.frame_set(1005)
    moved = vertices(blender, face.mien.filmed) - vertices(blender, face)
    assert np.allclose(moved, moved[0], atol=1e-5)


def test_curves_reach_the_engine_as_a_bake_writes_them(face, preview) -> None:
    face.mien.fear = 0.3
    preview.wait(face, 1002)
    curves = EmotionCurves.load(Path(preview._files.name) / "curves.npz")
    assert np.all(curves.emotions[:, EMOTIONS.index("fear")] == np.float32(0.3))
