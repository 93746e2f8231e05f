# SPDX-License-Identifier: GPL-3.0-or-later
"""Both editors of level 1 in Blender: what the mesh shows, undo, curves, hand-over and bake, whichever makes it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.camera import TO_BLENDER
from mien.mesh.editor import as_expression, edit_shape, shot_editor
from mien.mesh.emotion import EmotionCurves
from mien.mesh.model import DEFAULT_MODEL_PATH, load_model
from mien.mesh.shot import Solve

MODEL = str(DEFAULT_MODEL_PATH)
FRAMES, FIRST = 12, 1001


def write_actor(folder: Path, seed: int = 0) -> Path:
    """An actor folder whose small generator changes a face by millimetres, and its identity by less."""
    rng, model, hidden = np.random.default_rng(seed), load_model(), 24
    widths = [151, hidden, hidden, hidden, hidden, 144]
    tensors = {}
    for i, name in enumerate(("trunk.0", "trunk.2", "trunk.4", "trunk.6", "output")):
        scale = widths[i] ** -0.5 * (0.5 if name == "output" else 1.3)
        tensors[name + ".weight"] = rng.normal(0, scale, (widths[i + 1], widths[i])).astype(np.float32)
        tensors[name + ".bias"] = np.zeros(widths[i + 1], np.float32)
    tensors["trunk.0.weight"][:, 144:] *= 6
    tensors["output.weight"][:80] *= 0.05
    header, position = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [position, position := position + array.nbytes]}
    text = json.dumps(header).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "generator.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in tensors.values()))
    (folder / "generator.json").write_text(json.dumps({
        "network": "Generator", "identity_count": 80, "expression_count": 64, "emotion_count": 7, "hidden": hidden, "layers": 4, "slope": 0.2,
        "model_hash": model.hash}))
    return folder


@pytest.fixture
def shot(make_shot):
    return make_shot(model=MODEL, frames=FRAMES)


@pytest.fixture(params=["analytic", "gan"])
def face(request, blender, shot):
    """A face with that editor; the network's weights lie in the shot folder."""
    from mien.operators import face
    write_actor(shot.folder / "actor")
    blender.context.scene.frame_set(FIRST)
    object = face.import_shot(blender.context.scene, shot).face
    blender.context.view_layer.objects.active = object
    object.mien.editor = request.param
    blender.ops.ed.undo_push(message="imported")
    return object


def seen(bpy, face) -> np.ndarray:
    """(V, 3) the mesh as the viewport shows it."""
    mesh = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)


def edit_of(face, shot, actor: str = ""):
    from mien.operators import sampling
    model, solve = load_model(), Solve.load(shot)
    curves, _ = sampling.sample(face, shot)
    return model, solve, edit_shape(model, solve, curves, shot_editor(face.mien.editor, model, shot.folder, actor))


def expected(face, shot, index: int, actor: str = "") -> np.ndarray:
    """(V, 3) what the whole shot's edit gives."""
    model, solve, edit = edit_of(face, shot, actor)
    return model.shape(solve.alpha + edit.alpha[index], solve.beta[index] + edit.beta[index]) @ TO_BLENDER.T


@pytest.mark.parametrize("controls", [{"angry": 0.4, "sad": 0.5, "surprised": 0.3, "mouth": 1.0}, {"neutralise": 1.0},
                                      {"disgusted": 0.6, "neutralise": 0.5, "mouth": 0.0, "master": 0.7}])
def test_the_mesh_shows_what_the_bake_will_make(blender, face, shot, controls):
    filmed = seen(blender, face)
    for name, value in controls.items():
        setattr(face.mien, name, value)
    assert np.abs(seen(blender, face) - filmed).max() > 3e-4
    for index in (0, 5, FRAMES - 1):
        blender.context.scene.frame_set(FIRST + index)
        assert np.allclose(seen(blender, face), expected(face, shot, index), atol=5e-6), index
    for name in controls:
        face.mien.property_unset(name)
    blender.context.scene.frame_set(FIRST)
    assert np.allclose(seen(blender, face), filmed, atol=1e-7)


def test_toggle_undo_and_redo(blender, face):
    name, scene, filmed = face.name, blender.context.scene.name, seen(blender, face)
    face.mien.happy = 1.0
    blender.ops.ed.undo_push(message="happy")
    edited = seen(blender, face)
    assert blender.ops.mien.show_performance(edited=False) == {"FINISHED"}
    assert np.allclose(seen(blender, face), filmed, atol=1e-7)
    assert blender.ops.mien.live_edit() == {"FINISHED"}
    assert np.allclose(seen(blender, face), edited, atol=1e-7)
    blender.ops.ed.undo_push(message="live")
    for action, shape in ((blender.ops.ed.undo, edited), (blender.ops.ed.undo, filmed), (blender.ops.ed.redo, edited)):
        action()
        face = blender.data.scenes[scene].objects[name]
        assert np.allclose(seen(blender, face), shape, atol=1e-7)


def test_bake_to_curves(blender, face, shot):
    """The curves carry the edit without the extension: what the identity does of it is there as the nearest expression."""
    for frame, value in ((FIRST, 0.0), (FIRST + 6, 1.0)):
        face.mien.sad = value
        face.keyframe_insert("mien.sad", frame=frame)
    model, solve, edit = edit_of(face, shot)
    assert blender.ops.mien.show_performance(edited=True) == {"FINISHED"}
    beta = solve.beta + edit.beta + as_expression(model, edit.alpha)
    for index in (0, 6, FRAMES - 1):
        blender.context.scene.frame_set(FIRST + index)
        assert np.allclose(seen(blender, face), model.shape(solve.alpha, beta[index]) @ TO_BLENDER.T, atol=5e-6), index
        assert np.abs(seen(blender, face) - expected(face, shot, index)).max() < 2e-3


def test_choosing_another_editor_is_seen_at_once(blender, face, shot, tmp_path):
    from mien.operators import live, shots
    face.mien.happy, first = 0.8, face.mien.editor
    hashes, before = [shots.controls_hash(face)], seen(blender, face)
    face.mien.editor = "gan" if first == "analytic" else "analytic"
    hashes.append(shots.controls_hash(face))
    assert np.abs(seen(blender, face) - before).max() > 1e-3
    assert np.allclose(seen(blender, face), expected(face, shot, 0), atol=5e-6)
    face.mien.editor, face.mien.actor = "gan", str(write_actor(tmp_path / "Ann é", seed=1))
    hashes.append(shots.controls_hash(face))
    assert np.allclose(seen(blender, face), expected(face, shot, 0, face.mien.actor), atol=5e-6)
    assert len(set(hashes)) == 3
    face.mien.actor = str(tmp_path / "nobody")
    assert "nobody holds no generator.safetensors" in live.live_shot(face)
    with pytest.raises(RuntimeError, match="nobody"):
        blender.ops.mien.show_performance(edited=True)


def test_hand_over_and_bake_use_it(blender, face, shot, tmp_path):
    from mien.operators import bake, handover
    face.mien.surprised = 1.0
    model, solve, edit = edit_of(face, shot)
    handover.hand_over(blender.context, face, tmp_path / "face.csv", "csv")
    table = np.genfromtxt(tmp_path / "face.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    want = np.clip(solve.beta + edit.beta, 0, 1)[:, model.expression_index["jawOpen"]]
    assert np.allclose(table["JawOpen"], want, atol=2e-3)
    settings = bake.bake_params(face)["settings"]
    assert settings["editor"] == face.mien.editor and "actor" not in settings
    face.mien.actor = str(tmp_path / "Ann")
    assert bake.bake_params(face)["settings"].get("actor") == (str(tmp_path / "Ann") if face.mien.editor == "gan" else None)


def test_at_rest_the_controls_ask_nothing_of_either(face, shot):
    model, solve = load_model(), Solve.load(shot)
    edit = edit_shape(model, solve, EmotionCurves.constant(FRAMES), shot_editor(face.mien.editor, model, shot.folder))
    assert not edit.active.any() and not edit.alpha.any() and not edit.beta.any()
