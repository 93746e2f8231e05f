# SPDX-License-Identifier: GPL-3.0-or-later
"""Shut eyes in the solve: the gap's linear form is the projected one, and lids whose landmarks err apart are closed all the same."""

from __future__ import annotations

import numpy as np
import pytest

from mien.mesh.camera import Camera, place, rotation_matrix
from mien.mesh.model import load_model
from mien.neural.progress import Silent
from mien.neural.solving.gaze import CORNERS, LIDS, lid_aperture
from mien.neural.solving.lids import Lids
from mien.neural.solving.problem import Observed, SolveSettings, State
from mien.neural.solving.solve import solve_track
from mien.neural.solving.truth import make_take, sway


def test_the_term_vanishes_where_the_mesh_has_the_plates_gap() -> None:
    """Landmarks made by a long lens from known coefficients: nothing to correct there; with more blink it pulls back, by the slope of its cost."""
    model, rng, n = load_model(), np.random.default_rng(0), 6
    alpha = rng.standard_normal(model.identity_count) * 0.5
    beta = np.zeros((n, model.expression_count))
    blink = [model.expression_index[name] for name in ("eyeBlinkRight", "eyeBlinkLeft")]
    beta[:, blink] = rng.uniform(0.6, 0.75, (n, 2))
    rotation, translation = rng.normal(0, (0.2, 0.3, 0.1), (n, 3)), np.array([0.0, 0, 60])
    camera = Camera.centred(1280, 720, 100000.0)
    points = place(model.shape(alpha, beta)[:, model.landmark_vertices].astype(np.float64), rotation, np.tile(translation, (n, 1)))
    y = np.concatenate([camera.project(points), np.full((n, points.shape[1], 1), np.nan)], -1)
    state = State(alpha, camera.focal, beta, rotation_matrix(rotation), np.tile(translation, (n, 1)))
    lids = Lids(model, alpha, np.array([1.0, 1.0]), 0.01)

    def gradient(seen: np.ndarray, at: State) -> tuple[np.ndarray, np.ndarray]:
        H, g = np.zeros((n, beta.shape[1], beta.shape[1])), np.zeros(beta.shape)
        lids.add(H, g, at, Observed(seen, np.ones(n), np.ones(y.shape[:2])))
        return H, g
    full = np.zeros((n, 478, 2))
    full[:, model.landmark_ids] = y[..., :2]
    assert (lid_aperture(full) < 0.4).all(), "the eyes count as shut against a usual aperture of 1"
    H, g = gradient(y, state)
    scale = np.abs(H[:, blink, blink]).max()
    # What is left is the lids' distance across, which the aperture has and the gap square to the eye has not.
    assert np.abs(g[:, blink]).max() < 0.06 * scale
    more = State(alpha, camera.focal, beta + 0.2 * (np.arange(beta.shape[1]) == blink[0]), state.rotation, state.translation)
    assert gradient(y, more)[1][:, blink[0]] - g[:, blink[0]] == pytest.approx(H[:, blink[0], blink[0]] * 0.2, rel=1e-6)


def test_open_eyes_and_models_without_lids_are_left_alone() -> None:
    model = load_model()
    track, _, truth = make_take(model, 1, frames=4)
    y = track.landmarks[:, model.landmark_ids].astype(np.float64)
    state = State(truth.alpha, 1.0, np.zeros((4, model.expression_count)), rotation_matrix(truth.rotation), truth.translation)
    seen = Observed(y, np.ones(4), np.ones(y.shape[:2]))
    H, g = np.zeros((4, model.expression_count, model.expression_count)), np.zeros((4, model.expression_count))
    Lids(model, truth.alpha, np.array([0.01, 0.01]), 0.01).add(H, g, state, seen)  # any aperture is a wide one
    assert not H.any() and not g.any()


def test_lids_that_err_apart_are_closed() -> None:
    """The landmarks err together by 0.8 % of the eye distance, as a tracker's do, and all of a lid's but its middle lie off by 4 % of the eye's
    width, upper ones up and lower ones down: a slit, but for the term."""
    model, frames = load_model(), 60
    track, plate, _ = make_take(model, 3, frames=frames, noise=0.2, lens=50.0)
    at = track.landmarks
    eye, width = (np.linalg.norm(at[:, 33, :2] - at[:, other, :2], axis=1) for other in (263, 133))
    ids = np.ravel([*CORNERS, *LIDS])
    drift = sway(np.random.default_rng(5), frames, 468 * 2).reshape(frames, 468, 2) * 0.008 * eye[:, None, None]
    drift[:, ids] = 0
    at[:, :468, :2] += drift
    for lid, way in (((246, 161, 160, 158, 157, 173, 466, 388, 387, 385, 384, 398), -1),
                     ((7, 163, 144, 153, 154, 155, 249, 390, 373, 380, 381, 382), 1)):
        at[:, lid, 1] += way * 0.04 * width[:, None]
    seen = lid_aperture(at)
    shut = seen < 0.3 * np.median(seen, 0)
    assert shut.sum() > 4

    def slit(sigma: float) -> float:
        """How much wider than on the plate shut eyes are, parts of their width."""
        solve = solve_track(model, track, plate, Silent(), settings=SolveSettings(lid_sigma=sigma))
        points = model.shape(solve.alpha, solve.beta)[:, model.vertices_of_landmarks(ids)].astype(np.float64)
        mesh = np.zeros((frames, 478, 2))
        mesh[:, ids] = solve.camera.project(place(points, solve.rotation, solve.translation))
        return float((lid_aperture(mesh) - seen)[shut].mean())
    without = slit(1e6)
    assert without > 0.02 and abs(slit(SolveSettings.lid_sigma)) < 0.4 * without
