# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tracker sees its landmarks on a foreign mesh: known shifts come back from what the footage shows, and reading a model applies them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from mien.mesh.camera import Camera, place, rotation_matrix
from mien.mesh.model import load_model
from mien.mesh.shot import Solve, Track
from mien.neural.default_model.tables import read_points
from mien.neural.default_model.topology import base_topology
from mien.neural.models.build import RawModel, build_model
from mien.neural.models.calibrate import errors, landmark_shifts
from mien.neural.models.ict import SHIFTS
from mien.neural.models.register import IBUG_TO_MEDIAPIPE
from mien.neural.solving.misfit import mesh_misfit
from mien.tests.neural.foreign_models import bases, closed_face

CHEEKS = [50, 280, 101, 330, 36, 266, 205, 425]


@pytest.fixture(scope="module")
def model():
    return load_model()


def turns(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)) * (0.05, 0.1, 0.03)


def test_a_shift_along_the_surface_comes_back(model) -> None:
    """Landmarks of the cheeks some 4 mm further out, seen by two shots whose other landmarks err by 0.1 mm."""
    rows = np.flatnonzero(np.isin(model.landmark_ids, CHEEKS))
    at = model.mean.astype(np.float64)
    tree = cKDTree(at)
    truth = np.zeros((468, 3))
    mirror = base_topology().mirror
    for row in rows[at[model.landmark_vertices[rows], 0] > 0]:
        p = at[model.landmark_vertices[row]]
        truth[row] = at[tree.query(p + (0.0045, 0, 0))[1]] - p
        truth[mirror[row]] = truth[row] * (-1, 1, 1)
    rng, seen = np.random.default_rng(0), []
    for shot in range(2):
        R = rotation_matrix(turns(30, shot))
        seen.append((np.einsum("nki,li->nlk", R[:, :2], truth) + rng.normal(0, 1e-4, (30, 468, 2)), R))
    found = landmark_shifts(model, seen)
    assert np.linalg.norm(truth[rows], axis=1).min() > 1e-3
    assert np.linalg.norm((found - truth)[rows], axis=1).max() < 4e-4
    rest = np.setdiff1d(np.arange(468), rows)
    assert np.median(np.linalg.norm(found[rest], axis=1)) < 2e-4
    np.testing.assert_allclose(found[mirror] * (-1, 1, 1), found, atol=1e-12)


def test_lids_and_inner_lips_stay(model) -> None:
    R = rotation_matrix(turns(5, 0))
    found = landmark_shifts(model, [(np.full((5, 468, 2), 0.003), R)])
    for closed in (13, 14, 78, 159, 145, 33, 386):
        assert not found[closed].any()
    assert np.abs(found[205]).max() > 1e-3


def test_errors_are_metres_at_the_landmark(model) -> None:
    """A picture whose landmarks all lie 1 mm aside of the mesh."""
    camera, n = Camera.centred(1280, 720, 1500.0), 4
    rotation, translation = turns(n, 3), np.tile([0.01, 0.0, 0.7], (n, 1))
    solve = Solve(np.zeros(model.identity_count, np.float32), np.zeros((n, model.expression_count), np.float32), rotation.astype(np.float32),
                  translation.astype(np.float32), np.zeros(n, np.float32), np.zeros(0, int), camera, model.hash)
    points = place(model.mean[model.landmark_vertices].astype(np.float64), solve.rotation.astype(float), solve.translation.astype(float))
    landmarks = np.zeros((n, 478, 3), np.float32)
    landmarks[:, model.landmark_ids, :2] = camera.project(points + (0.001, 0, 0))
    track = Track("mediapipe478", landmarks, np.ones(n), np.zeros(0, int), np.ones(n, int), np.arange(n) / 25)
    error, R = errors(model, track, solve)
    np.testing.assert_allclose(error[..., 0], 0.001, atol=2e-6)
    np.testing.assert_allclose(error[..., 1], 0, atol=2e-6)
    assert R.shape == (n, 3, 3)
    assert mesh_misfit(model, track, solve) == pytest.approx(0.001 / model.eye_distance, rel=0.1)


@pytest.mark.long
def test_reading_a_model_moves_the_landmarks() -> None:
    default, points, triangles = closed_face()
    identity, expression = bases(default, len(points), 4, 4)
    raw = RawModel("other", Path("other.obj"), points, identity, expression, ("a", "b", "c", "d"), np.full(4, 0.3), triangles,
                   default.vertices_of_landmarks(list(IBUG_TO_MEDIAPIPE)))
    shifts = np.zeros((468, 3))
    shifts[CHEEKS] = (0, 0.003, 0)
    plain, moved = build_model(raw), build_model(replace(raw, shifts=shifts))
    way = moved.mean[moved.landmark_vertices] - plain.mean[plain.landmark_vertices]
    assert (np.abs(way[CHEEKS, 1] - 0.003) < 0.001).all()
    others = np.setdiff1d(np.arange(468), CHEEKS)
    assert np.median(np.linalg.norm(way[others], axis=1)) < 1e-5


def test_the_table_is_symmetric_and_small() -> None:
    shifts = read_points(SHIFTS, "landmarks of ICT-FaceKit")
    size = np.linalg.norm(shifts, axis=1)
    assert 0.0005 < np.sqrt((size**2).mean()) < 0.003
    assert size.max() < 0.009
    np.testing.assert_allclose(shifts[base_topology().mirror] * (-1, 1, 1), shifts, atol=2e-5)
