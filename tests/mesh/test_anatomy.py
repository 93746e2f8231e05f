# SPDX-License-Identifier: GPL-3.0-or-later
"""What a face keeps under an edit: words on the lips, room for brows and mouth, a resting face without a frown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mien.mesh.analytic import AnalyticEditor
from mien.mesh.anatomy import BROWS, LEAST_ROOM, STILL, WIDEST, Anatomy, MouthStep, as_identity, directions, rooms
from mien.mesh.camera import Camera
from mien.mesh.editor import edit_shape
from mien.mesh.emotion import EmotionCurves
from mien.mesh.live import LiveEditor
from mien.mesh.model import load_model
from mien.mesh.shot import Solve

T = 5


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def frown(model):
    """AU 4 (B,)."""
    return directions(model, {"browDownLeft": 1.0, "browDownRight": 1.0, "browCentreDown": 0.6})


def heights(model, change):
    """(T, B) -> (T, V): how far each vertex goes down, millimetres."""
    return model.displacement(change)[..., 1] * 1000


def brow_heights(model, alpha, beta):
    """(T,): mean distance of the inner brows above the eye corners, millimetres, by the vertices themselves."""
    y = (model.neutral(alpha) + model.displacement(beta))[..., 1] * 1000
    pairs = np.array([model.vertices_of_landmarks(list(p)) for p in BROWS])
    return (y[:, pairs[:, 1]] - y[:, pairs[:, 0]]).mean(1)


def test_mouth_step_against_least_squares(model):
    """The precomputed matrix solves min |W (r + d)|^2 + |S d|^2 + d' R d; checked with a stacked least-squares problem."""
    rng = np.random.default_rng(1)
    change = rng.normal(0, 0.1, (1, model.expression_count)).astype(np.float32)
    upper, lower = (model.expression[:, v].astype(float) * 1000 for v in (model.lip_upper, model.lip_lower))
    assert len(model.lip_upper) == 9
    height = ((upper[:, 2:7, 1] + lower[:, 2:7, 1]) / 2).mean(1)
    words = np.column_stack([(upper - lower).reshape(len(upper), -1), height]).T
    still = model.expression[:, model.vertices_of_landmarks(STILL)].reshape(len(upper), -1).T.astype(float) * 1000
    ridge = np.sqrt(0.02) / np.maximum(model.expression_sigma.astype(float), 1e-3)
    A = np.vstack([words, still, np.diag(ridge)])
    y = np.concatenate([-words @ change[0], np.zeros(len(still) + len(ridge))])
    want = np.linalg.lstsq(A, y, rcond=None)[0]
    assert np.allclose(MouthStep(model)(np.zeros((1, model.identity_count), np.float32), change)[0], want, atol=2e-4)


def test_mouth_step_counts_the_identity_too(model):
    """A model whose identity directions are its expressions: what moves the lips is undone, whichever of the two it is."""
    twin = dataclasses.replace(model, identity=model.expression)
    change, none = np.random.default_rng(2).normal(0, 0.1, (3, 64)).astype(np.float32), np.zeros((3, 64), np.float32)
    step = MouthStep(twin)
    assert np.allclose(step(change, none), step(none, change), atol=1e-6) and np.abs(step(change, none)).max() > 0.01


def test_lips_that_rise_together_come_back(model):
    """A raised mouth keeps its gap and still reads as another sound: the step brings the middle back, and leaves corners and nose."""
    up = directions(model, {"mouthUpperUpLeft": 0.4, "mouthUpperUpRight": 0.4, "mouthClose": 0.12, "noseSneerLeft": 1.0, "noseSneerRight": 1.0,
                            "mouthFrownLeft": 0.4, "mouthFrownRight": 0.4})[None]
    held = up + MouthStep(model)(np.zeros((1, model.identity_count), np.float32), up)
    middle = np.concatenate([model.lip_upper[3:6], model.lip_lower[3:6]])
    assert heights(model, up)[0, middle].mean() < -2 and abs(heights(model, held)[0, middle].mean()) < 0.4
    still = model.vertices_of_landmarks(STILL)
    assert np.abs(heights(model, held) - heights(model, up))[0, still].max() < 0.5 and np.abs(heights(model, up))[0, still].max() > 2


def test_the_dial_holds_the_height_more_firmly_than_the_gap(model):
    """In between; at its ends all or nothing of both. Other words follow the dial itself."""
    none, step = np.zeros((1, model.identity_count), np.float32), MouthStep(model)
    raised = directions(model, {"mouthUpperUpLeft": 0.4, "mouthUpperUpRight": 0.4, "mouthLowerDownLeft": -0.4, "mouthLowerDownRight": -0.4})[None]
    parted = directions(model, {"mouthUpperUpLeft": 0.4, "mouthUpperUpRight": 0.4, "mouthLowerDownLeft": 0.4, "mouthLowerDownRight": 0.4})[None]
    middle = [model.lip_upper[3:6], model.lip_lower[3:6]]

    def undone(change, sign, dial):
        moved = heights(model, step(none, change, np.float32(dial)))[0]
        return moved[middle[0]].mean() + sign * moved[middle[1]].mean()

    assert not step(none, raised, 0.0).any() and np.allclose(step(none, raised, 1.0), step(none, raised))
    assert undone(raised, 1, 0.5) > 0.54 * undone(raised, 1, 1.0) > 0
    assert undone(parted, -1, 0.5) == pytest.approx(0.5 * undone(parted, -1, 1.0), rel=0.05)


def test_brows_stop_above_the_eyes(model, frown):
    alpha, beta = np.zeros(model.identity_count, np.float32), np.zeros((T, model.expression_count), np.float32)
    beta += np.linspace(0, 1, T, dtype=np.float32)[:, None] * frown  # the plate frowns more and more
    asked = np.tile(1.2 * frown, (T, 1))
    asked[:, model.expression_index["jawOpen"]] = 0.3
    kept = rooms(model)[0](alpha, beta, asked, np.ones(T))
    before, after, wanted = (brow_heights(model, alpha, b) for b in (beta, beta + kept, beta + asked))
    floor = LEAST_ROOM * brow_heights(model, alpha, beta[:1] * 0)[0]
    assert wanted[-1] < floor < after.min() and (np.diff(before - after) < 0).all() and (after < before).all()
    assert np.array_equal(kept[:, frown == 0], asked[:, frown == 0])


def test_intensities_stay_even_where_there_is_little_room(model, frown):
    alpha, beta = np.zeros(model.identity_count, np.float32), np.tile(0.5 * frown, (5, 1))
    x = np.linspace(0, 1, 5, dtype=np.float32)
    kept = Anatomy(model).keep(alpha, beta, np.zeros((5, model.identity_count), np.float32), x[:, None] * 1.2 * frown, np.zeros(5), x)
    assert np.allclose(kept, x[:, None] * kept[-1], atol=1e-6) and 0.5 < kept[-1].max() < 1.1


def test_small_and_rising_moves_of_the_brows_are_left_alone(model, frown):
    alpha = np.zeros(model.identity_count, np.float32)
    room, rest, one = rooms(model)[0], np.zeros((1, model.expression_count), np.float32), np.ones(1)
    raised = directions(model, {"browInnerUpLeft": 1.0, "browInnerUpRight": 1.0})[None]
    assert not room(alpha, rest, rest, one).any()
    for lifted in (raised, raised + 0.2 * frown):
        assert np.allclose(room(alpha, rest, lifted, one), lifted, rtol=1e-3)
    small = 0.2 * frown[None]
    assert np.allclose(room(alpha, rest, small, one), small, rtol=0.01)


def test_a_mouth_is_not_drawn_flat(model):
    """Stretched lips end before the widest, sooner on a mouth that is wide already; a smile is no stretch and keeps its width."""
    alpha = np.random.default_rng(4).normal(0, 1, model.identity_count).astype(np.float32)
    stretch, smile = (directions(model, {f"mouth{name}Left": 1.0, f"mouth{name}Right": 1.0}) for name in ("Stretch", "Smile"))
    beta = np.linspace(0, 0.3, T, dtype=np.float32)[:, None] * stretch
    keep = rooms(model)[1]
    right, left = model.vertices_of_landmarks([61, 291])

    def width(beta):
        shape = model.neutral(alpha) + model.displacement(beta)
        return (shape[..., left, 0] - shape[..., right, 0]) * 1000

    asked = np.tile(1.3 * stretch, (T, 1))
    kept = keep(alpha, beta, asked, np.ones(T))
    widest = WIDEST * width(np.zeros(model.expression_count))
    assert (width(beta + asked) > widest).all() and (width(beta + kept)[:-1] < widest).all() and (np.diff(width(beta + kept) - width(beta)) < 0).all()
    assert np.array_equal(keep(alpha, beta, beta * 0 + smile, np.ones(T)), beta * 0 + smile)
    assert np.allclose(keep(alpha, beta[:1], 0.2 * stretch[None], np.ones(1)), 0.2 * stretch, rtol=0.03)


def test_a_frown_in_the_identity_is_taken_off(model, frown):
    """A solve that gives a frown to the face: neutralise raises the brows by what it holds beyond people's own spread."""
    anatomy, worn = Anatomy(model), as_identity(model, frown[None])[0]
    assert not anatomy.relaxed(np.zeros(model.identity_count, np.float32)).any()
    assert not anatomy.relaxed(-worn).any(), "high brows are no frown"
    whole, part = anatomy.relaxed(1.2 * worn), anatomy.relaxed(0.8 * worn)
    length = np.linalg.norm(worn)
    assert np.allclose(whole, -(1.2 - 1 / length) * frown, atol=1e-5) and np.allclose(whole - part, -0.4 * frown, atol=1e-5)


def test_neutralise_shows_it_in_the_edit_and_live(model, frown):
    pose = np.zeros((T, 3), np.float32)
    alpha = as_identity(model, frown[None])[0].astype(np.float32)
    solve = Solve(alpha, np.zeros((T, model.expression_count), np.float32), pose, pose + (0, 0, 1), np.zeros(T), np.array([], int),
                  Camera.centred(640, 360, 700), model.hash)
    editor = AnalyticEditor(model)
    edit = edit_shape(model, solve, EmotionCurves.constant(T, neutralise=1.0), editor)
    assert np.allclose(edit.beta, Anatomy(model).relaxed(alpha), atol=1e-6)
    assert (brow_heights(model, alpha, solve.beta + edit.beta) > brow_heights(model, alpha, solve.beta) + 2).all()
    live = LiveEditor(model, solve, editor)
    _, beta = live.edit(live.window(2), EmotionCurves.constant(3, neutralise=1.0))
    assert np.allclose(beta, edit.beta[2], atol=1e-6)
    assert not edit_shape(model, solve, EmotionCurves.constant(T), editor).active.any()
