# SPDX-License-Identifier: GPL-3.0-or-later
"""The Basel Face Model's file: read into the same face as it was written from; wrong files told by the key."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from mien.mesh.errors import MienError
from mien.mesh.model import FaceModel
from mien.neural.models.bfm import read_bfm
from mien.tests.neural.foreign_models import bfm_arrays, closed_face


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> FaceModel:
    path = tmp_path_factory.mktemp("bfm") / "BFM_model_front.mat"
    savemat(path, bfm_arrays())
    return read_bfm(path)


def test_sizes_units_and_axes(model) -> None:
    default = closed_face()[0]
    assert (model.identity_count, model.expression_count, model.landmark_scheme) == (12, 9, "mediapipe478")
    assert model.expression_names[:2] == ("faceWarehouse00", "faceWarehouse01")
    assert model.eye_distance == pytest.approx(default.eye_distance, abs=5e-4)
    assert set(model.loops) == {"border", "mouth", "eye_left", "eye_right"}


def test_landmarks_come_back_where_they_were(model) -> None:
    default = closed_face()[0]
    have, want = model.mean[model.landmark_vertices], default.mean[default.landmark_vertices]
    error = np.linalg.norm((have - have.mean(0)) - (want - want.mean(0)), axis=1)
    assert np.median(error) < 2e-4
    assert error.max() < 4e-3
    assert len(set(model.landmark_vertices.tolist())) == 468


def test_directions_follow_their_points(model) -> None:
    default = closed_face()[0]
    for have, want in ((model.identity, default.identity[:12]), (model.expression, default.expression[:9])):
        a, b = (basis[:, at].reshape(len(basis), -1) for basis, at in ((have, model.landmark_vertices), (want, default.landmark_vertices)))
        assert all(np.corrcoef(x, y)[0, 1] > 0.97 for x, y in zip(a, b))


def test_openings_are_holes_and_skin_faces_the_camera(model) -> None:
    corners = model.mean[model.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normal[:, 2] < 0).mean() > 0.9
    edges = {tuple(map(int, e)) for t in model.triangles for e in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    for loop in model.loops.values():
        around = set(zip(loop.tolist(), np.roll(loop, -1).tolist()))
        assert all(((a, b) in edges) != ((b, a) in edges) for a, b in around)


def test_it_is_kept_and_loaded_again(model, tmp_path) -> None:
    model.save(tmp_path / "bfm.npz")
    again = FaceModel.load(tmp_path / "bfm.npz")
    assert again.hash == FaceModel.load(tmp_path / "bfm.npz").hash
    assert np.array_equal(again.landmark_vertices, model.landmark_vertices)


def spoil(key, value):
    arrays = bfm_arrays()
    if value is None:
        del arrays[key]
    else:
        arrays[key] = value(arrays[key])
    return arrays


@pytest.mark.parametrize("key, value, words", [
    ("idBase", None, "lacks the key 'idBase'"),
    ("keypoints", lambda a: a[:, :67], "'keypoints' must be 68"),
    ("keypoints", lambda a: a * 0, "'keypoints' must be 68"),
    ("exBase", lambda a: a[:-3], "'exBase' is "),
    ("tri", lambda a: a - 1, "'tri' must be"),
    ("meanshape", lambda a: a[:, :-1], "'meanshape' has"),
])
def test_wrong_files_name_the_key(tmp_path, key, value, words) -> None:
    path = tmp_path / "BFM_model_front.mat"
    savemat(path, spoil(key, value))
    with pytest.raises(MienError, match=words):
        read_bfm(path)


def test_a_truncated_file_is_told(tmp_path) -> None:
    path = tmp_path / "BFM_model_front.mat"
    savemat(path, bfm_arrays())
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(MienError, match="cannot be read as a MATLAB"):
        read_bfm(path)
    path.write_bytes(b"no mat file at all, though it says so" * 9)
    with pytest.raises(MienError, match="cannot be read as a MATLAB"):
        read_bfm(path)
