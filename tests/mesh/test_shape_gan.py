# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape GAN in numpy: its file reader, its interface, and that no emotion is no change."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from mien.mesh import editor as editors
from mien.mesh.camera import Camera
from mien.mesh.editor import edit_shape, make_editor, residual
from mien.mesh.emotion import EMOTIONS, EmotionCurves
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.shape_gan import ShapeGan, read_safetensors
from mien.mesh.shot import Solve

T, HIDDEN = 9, 24


@pytest.fixture(scope="module")
def model():
    return load_model()


def write_safetensors(path, tensors, **wrong):
    """The format by hand, so that the reader is not tested against itself."""
    header, position = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [position, position + array.nbytes]} | wrong.get(name, {})
        position += array.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in tensors.values()))


@pytest.fixture
def weights(model, tmp_path):
    """Random weights of a small generator."""
    rng = np.random.default_rng(0)
    widths = [151, HIDDEN, HIDDEN, HIDDEN, HIDDEN, 144]
    tensors = {}
    for i, name in enumerate(["trunk.0", "trunk.2", "trunk.4", "trunk.6", "output"]):
        tensors[name + ".weight"] = rng.normal(0, widths[i] ** -0.5, (widths[i + 1], widths[i])).astype(np.float32)
        tensors[name + ".bias"] = rng.normal(0, 0.1, widths[i + 1]).astype(np.float32)
    write_safetensors(tmp_path / "generator.safetensors", tensors)
    (tmp_path / "generator.json").write_text(json.dumps({
        "network": "Generator", "identity_count": 80, "expression_count": 64, "emotion_count": 7, "hidden": HIDDEN, "layers": 4, "slope": 0.2,
        "model_hash": model.hash}))
    return tmp_path / "generator.safetensors"


@pytest.fixture
def solve(model):
    rng = np.random.default_rng(1)
    beta = rng.normal(0.1, 0.1, (T, model.expression_count)).astype(np.float32)
    pose = np.zeros((T, 3), np.float32)
    return Solve(rng.normal(0, 1, model.identity_count).astype(np.float32), beta, pose, pose + (0, 0, 1), np.zeros(T), np.array([4]),
                 Camera.centred(640, 360, 700), model.hash)


def test_reader(tmp_path):
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([7]), "none": np.zeros((0, 4), np.float32)}
    write_safetensors(tmp_path / "x.safetensors", tensors)
    read = read_safetensors(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys() and all(np.array_equal(read[k], v) for k, v in tensors.items())


@pytest.mark.parametrize("wrong", [{"dtype": "F16"}, {"shape": [2, 2]}, {"shape": [-2, -3]}, {"data_offsets": [4, 28]}, {"data_offsets": [0, 240]},
                                   {"data_offsets": None}, {"shape": "no"}])
def test_reader_is_strict(tmp_path, wrong):
    write_safetensors(tmp_path / "x.safetensors", {"a": np.zeros((2, 3), np.float32)}, a=wrong)
    with pytest.raises(MienError, match=r"x\.safetensors"):
        read_safetensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("data", [b"", b"1234567", struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 2) + b"{}extra", struct.pack("<Q", 2) + b"[]",
                                  struct.pack("<Q", 2) + b"\xff\xff"])
def test_damaged_files_are_refused(tmp_path, data):
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(MienError, match=r"x\.safetensors"):
        read_safetensors(tmp_path / "x.safetensors")


def test_missing_file_is_told(tmp_path):
    with pytest.raises(MienError, match="mien train shape"):
        read_safetensors(tmp_path / "x.safetensors")


def test_generate_against_the_formula(model, weights, solve):
    t = read_safetensors(weights)
    e = np.zeros((T, 7), np.float32)
    e[:, 4] = 0.7
    alpha, beta = ShapeGan(model, weights).generate(solve.alpha, solve.beta, e)
    assert alpha.shape == (T, 80) and beta.shape == (T, 64) and alpha.dtype == beta.dtype == np.float32
    gaze = [80 + k for k, name in enumerate(model.expression_names) if name.startswith("eyeLook")]
    for i in (0, T - 1):
        x = np.concatenate([solve.alpha, solve.beta[i], e[i]]).astype(float)
        x[gaze] = 0
        for name in ("trunk.0", "trunk.2", "trunk.4", "trunk.6"):
            x = t[name + ".weight"].astype(float) @ x + t[name + ".bias"]
            x = np.where(x > 0, x, 0.2 * x)
        x = t["output.weight"] @ x + t["output.bias"]
        x[gaze] = solve.beta[i][[k - 80 for k in gaze]]
        assert np.allclose(np.concatenate([alpha[i], beta[i]]), x, atol=1e-5)


def test_a_glance_changes_no_emotion(model, weights, solve):
    """The same edit wherever the actor looks, and the look as it was."""
    editor, e = ShapeGan(model, weights), np.eye(7, dtype=np.float32)[[5] * T]
    gaze = np.array([name.startswith("eyeLook") for name in model.expression_names])
    aside = solve.beta + np.float32(0.6) * gaze
    alpha, beta = editor.generate(solve.alpha, solve.beta, e)
    alpha_aside, beta_aside = editor.generate(solve.alpha, aside, e)
    assert np.array_equal(alpha, alpha_aside) and np.array_equal(beta[:, ~gaze], beta_aside[:, ~gaze])
    assert np.array_equal(beta_aside[:, gaze], aside[:, gaze])


def test_no_emotion_changes_nothing_at_all(model, weights, solve):
    editor = make_editor("gan", model, weights.parent)
    assert editor.name == "gan"
    edit = edit_shape(model, solve, EmotionCurves.constant(T, mouth=1.0), editor)
    assert not edit.active.any() and not edit.beta.any() and not edit.alpha.any()
    # an emotion on some frames leaves the others exactly as they were, but for the smoothing over one neighbour
    happy = np.zeros(T, np.float32)
    happy[6] = 1
    edit = edit_shape(model, solve, EmotionCurves.from_columns({"happy": happy}, T), editor)
    assert edit.active.tolist() == [False] * 5 + [True] * 3 + [False]


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_one_emotion_alone_is_exactly_the_papers_residual(model, weights, solve, emotion):
    editor = ShapeGan(model, weights)
    e, zero = np.zeros((T, 7), np.float32), np.zeros((T, 7), np.float32)
    e[:, EMOTIONS.index(emotion)] = 0.6
    a, b = residual(editor, solve.alpha, solve.beta, e, np.zeros(T, np.float32))
    want, base = editor.generate(solve.alpha, solve.beta, e), editor.generate(solve.alpha, solve.beta, zero)
    assert np.allclose(a, want[0] - base[0], atol=1e-6) and np.allclose(b, want[1] - base[1], atol=1e-6) and b.any()


def test_an_emotion_is_given_to_the_neutralised_face(model, weights, solve):
    """Neutralised by 1, c gives way to G(c, 0), identity included, frame by frame: what is left is G(G(c, 0), e) but for G(G(c, 0), 0) - G(c, 0)."""
    editor = ShapeGan(model, weights)
    e, zero = np.zeros((T, 7), np.float32), np.zeros((T, 7), np.float32)
    e[:, 2] = 0.9
    a, b = residual(editor, solve.alpha, solve.beta, e, np.ones(T, np.float32))
    neutral = editor.generate(solve.alpha, solve.beta, zero)
    assert np.ptp(neutral[0], axis=0).max() > 1e-3
    for i in (0, T - 1):
        frame = neutral[0][i], neutral[1][i : i + 1]
        edited, rest = editor.generate(*frame, e[:1]), editor.generate(*frame, zero[:1])
        assert np.allclose(a[i], frame[0] - solve.alpha + (edited[0] - rest[0])[0], atol=1e-5)
        assert np.allclose(b[i], frame[1][0] - solve.beta[i] + (edited[1] - rest[1])[0], atol=1e-5)


def test_wrong_weights_are_refused(model, weights):
    description = weights.with_suffix(".json")
    good = json.loads(description.read_text())
    for change, words in (({"network": "Discriminator"}, "generator"), ({"identity_count": 79}, "face model 'default'"),
                          ({"model_hash": "0"}, "another version"), ({"layers": 5}, "trunk.8")):
        description.write_text(json.dumps(good | change))
        with pytest.raises(MienError, match=words):
            ShapeGan(model, weights)


def test_layers_that_do_not_fit_are_refused(model, weights):
    t = read_safetensors(weights)
    t["trunk.2.weight"] = t["trunk.2.weight"][:, :-1].copy()
    write_safetensors(weights, t)
    with pytest.raises(MienError, match="do not fit together"):
        ShapeGan(model, weights)


def test_without_weights_training_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr(editors, "WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(MienError, match="mien train shape"):
        make_editor("gan", model)
    with pytest.raises(MienError, match="actor"):
        make_editor("gan", model, tmp_path / "actor")
