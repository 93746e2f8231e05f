# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME's pickles: read without running anything; a file with other intentions is refused and does nothing."""

from __future__ import annotations

import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from mien.mesh.camera import rotation_matrix
from mien.mesh.errors import MienError
from mien.neural.models.flame import EMBEDDING, jaw_directions, read_flame
from mien.neural.models.restricted_pickle import read_pickled_arrays
from mien.tests.neural.foreign_models import closed_face, flame_arrays

CHUMPY = ("v_template", "shapedirs", "posedirs", "weights")


def write(folder: Path, monkeypatch, change=None, protocol: int = 2) -> Path:
    """Both files as FLAME has them: chumpy arrays, a sparse regressor, protocol 2."""
    class Ch:
        def __init__(self, x):
            self.x, self._dirty_vars = x, set()

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    chumpy, ch = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    ch.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", chumpy)
    monkeypatch.setitem(sys.modules, "chumpy.ch", ch)
    model, embedding = flame_arrays()
    if change:
        change(model, embedding)
    data = {key: Ch(value) if key in CHUMPY else sp.csc_matrix(value) if key == "J_regressor" else value for key, value in model.items()}
    for ch in data.values():
        if isinstance(ch, Ch):
            del ch._dirty_vars
    path = folder / "generic_model.pkl"
    path.write_bytes(pickle.dumps(data, protocol))
    (folder / EMBEDDING).write_bytes(pickle.dumps(embedding, protocol))
    monkeypatch.delitem(sys.modules, "chumpy")
    monkeypatch.delitem(sys.modules, "chumpy.ch")
    return path


def test_the_file_becomes_a_face(tmp_path, monkeypatch) -> None:
    model = read_flame(write(tmp_path, monkeypatch))
    default = closed_face()[0]
    assert model.expression_names[:4] == ("jawOpen", "jawLeft", "jawRight", "flameExpression00")
    assert (model.identity_count, model.expression_count) == (100, 23)
    have, want = model.mean[model.landmark_vertices], default.mean[default.landmark_vertices]
    error = np.linalg.norm((have - have.mean(0)) - (want - want.mean(0)), axis=1)
    assert np.median(error) < 2e-4
    chin = int(model.vertices_of_landmarks([152])[0])
    opened, left = (model.expression[model.expression_index[name], chin] for name in ("jawOpen", "jawLeft"))
    assert opened[1] > 0.01
    assert left[0] > 0.004
    assert set(model.loops) == {"border", "mouth", "eye_left", "eye_right"}


def test_the_jaw_is_posed_as_the_format_says() -> None:
    data = flame_arrays()[0]
    template, weights = data["v_template"], data["weights"]
    out = jaw_directions(Path("x"), data, template)[0]
    # The format's own way: 4 x 4 transforms of five joints, blended by the weights.
    R = rotation_matrix(np.array([0.3, 0, 0]))
    feature = np.concatenate([np.zeros(9), (R - np.eye(3)).ravel(), np.zeros(18)])
    shaped = template + data["posedirs"] @ feature
    joint = data["J_regressor"][2] @ template
    transforms = np.tile(np.eye(4), (5, 1, 1))
    transforms[2, :3, :3], transforms[2, :3, 3] = R, joint - R @ joint
    blended = np.einsum("vj,jab->vab", weights, transforms)
    posed = np.einsum("vab,vb->va", blended, np.concatenate([shaped, np.ones((len(shaped), 1))], 1))[:, :3]
    assert np.abs(out - (posed - template)).max() < 1e-9


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_every_protocol(tmp_path, monkeypatch, protocol) -> None:
    path = write(tmp_path, monkeypatch, lambda model, _: [model.pop(k) for k in ("shapedirs", "posedirs")], protocol)
    data, want = read_pickled_arrays(path), flame_arrays()[0]
    for key in ("v_template", "f", "J_regressor", "weights"):
        assert np.array_equal(data[key], want[key]), key
    assert data["bs_style"] == "lbs"


class Run:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function, name", [(os.system, "system"), (eval, "eval"), (getattr, "getattr"), (exec, "exec"), (__import__, "__import__")])
def test_a_pickle_with_other_intentions_is_refused(tmp_path, function, name) -> None:
    touched = tmp_path / "touched"
    argument = f"echo x > {touched}" if function is os.system else f"open({str(touched)!r}, 'w')"
    path = tmp_path / "generic_model.pkl"
    for protocol in range(5):
        path.write_bytes(pickle.dumps({"v_template": Run(function, argument)}, protocol))
        with pytest.raises(MienError, match=f"names .*{name}, which no model needs"):
            read_flame(path)
    assert not touched.exists()


@pytest.mark.parametrize("change, words", [
    (lambda m, e: m.pop("weights"), "lacks the key 'weights'"),
    (lambda m, e: m.update(shapedirs=m["shapedirs"][:, :, :300]), "'shapedirs' has 300 columns"),
    (lambda m, e: m.update(posedirs=m["posedirs"][:9]), "'posedirs' is 9 x 3 x 36"),
    (lambda m, e: m.update(f=m["f"] + 9999), "'f' names vertices beyond"),
    (lambda m, e: e.pop("lmk_b_coords"), "lacks the key 'lmk_b_coords'"),
    (lambda m, e: e.update(lmk_face_idx=e["lmk_face_idx"] + 10**6), "do not belong together"),
])
def test_wrong_files_name_the_key(tmp_path, monkeypatch, change, words) -> None:
    path = write(tmp_path, monkeypatch, lambda m, e: (m.update(shapedirs=m["shapedirs"][:, :, :301]), change(m, e)))
    with pytest.raises(MienError, match=words):
        read_flame(path)


def test_truncated_missing_and_foreign(tmp_path, monkeypatch) -> None:
    path = write(tmp_path, monkeypatch, lambda m, e: m.update(shapedirs=m["shapedirs"][:, :, :301]))
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"no pickle", pickle.dumps([1])):
        path.write_bytes(data)
        with pytest.raises(MienError, match="is not read"):
            read_flame(path)
    path.write_bytes(whole)
    (tmp_path / EMBEDDING).unlink()
    with pytest.raises(MienError, match=f"{EMBEDDING} is missing"):
        read_flame(path)
