# SPDX-License-Identifier: GPL-3.0-or-later
import dataclasses

import numpy as np
import pytest

from mien.mesh.analytic import AnalyticEditor
from mien.mesh.camera import Camera
from mien.mesh.editor import HANN, as_expression, edit_shape, make_editor, residual, smooth
from mien.mesh.emotion import EMOTIONS, EmotionCurves
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.shot import Solve

T = 24


@pytest.fixture(scope="module")
def model():
    return load_model("default")


@pytest.fixture(scope="module")
def editor(model):
    return AnalyticEditor(model)


def made_up_solve(model, lost=(), cuts=()):
    rng = np.random.default_rng(0)
    beta = np.clip(rng.normal(0.1, 0.15, (T, model.expression_count)), 0, 0.6).astype(np.float32)
    beta[:, [model.expression_index[n] for n in ("eyeBlinkLeft", "eyeBlinkRight", "mouthClose")]] = 0
    pose = np.zeros((T, 3), np.float32)
    for i in lost:
        beta[i], pose[i] = np.nan, np.nan
    return Solve(np.zeros(model.identity_count, np.float32), beta, pose, pose + (0, 0, 1), np.zeros(T), np.array(cuts, int),
                 Camera.centred(640, 360, 700), model.hash)


@pytest.fixture
def solve(model):
    return made_up_solve(model)


def one(emotion, value=1.0):
    e = np.zeros((T, 7), np.float32)
    e[:, EMOTIONS.index(emotion)] = value
    return e


ZERO = np.zeros(T, np.float32)


def test_no_emotion_changes_nothing_at_all(model, solve, editor):
    edit = edit_shape(model, solve, EmotionCurves.constant(T, mouth=1.0), editor)
    assert not edit.active.any() and not edit.beta.any() and not edit.alpha.any()


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_one_emotion_alone_is_exactly_the_papers_residual(solve, editor, emotion):
    e = one(emotion, 0.6)
    _, b = residual(editor, solve.alpha, solve.beta, e, ZERO)
    _, want = editor.generate(solve.alpha, solve.beta, e)
    _, base = editor.generate(solve.alpha, solve.beta, np.zeros_like(e))
    assert np.array_equal(b, want - base) and b.any()


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_linear_in_intensity(solve, editor, emotion):
    """LIE (eq. 8) of the coefficients is zero up to rounding: equal steps of intensity make equal changes."""
    steps = [residual(editor, solve.alpha, solve.beta, one(emotion, x), ZERO)[1] for x in np.linspace(0, 1, 6)]
    distance = np.array([np.linalg.norm(b - a) for a, b in zip(steps, steps[1:])])
    assert distance.std() / distance.mean() < 1e-4


def test_two_at_a_half_do_not_shout_louder_than_one(solve, editor):
    half = one("happy", 0.5) + one("surprised", 0.5)
    _, both = residual(editor, solve.alpha, solve.beta, half, ZERO)
    _, a = residual(editor, solve.alpha, solve.beta, one("happy", 0.5), ZERO)
    _, b = residual(editor, solve.alpha, solve.beta, one("surprised", 0.5), ZERO)
    assert np.allclose(both, (a + b) / np.sqrt(2), atol=1e-6)


def test_an_emotion_is_given_to_the_neutralised_face(solve, editor):
    """Of c_n = c + n (G(c, 0) - c), as the paper's G knows neutral faces; with n = 0 that is c."""
    happy, n = one("happy", 0.8), ZERO + 0.7
    a, b = residual(editor, solve.alpha, solve.beta, happy, n)
    a0, b0 = editor.generate(solve.alpha, solve.beta, np.zeros((T, 7), np.float32))
    alpha, beta = solve.alpha + 0.7 * (a0 - solve.alpha), solve.beta + 0.7 * (b0 - solve.beta)
    with_it, without = editor.generate(alpha, beta, happy), editor.generate(alpha, beta, np.zeros((T, 7), np.float32))
    assert np.allclose(a, alpha - solve.alpha + with_it[0] - without[0], atol=1e-5)
    assert np.allclose(b, beta - solve.beta + with_it[1] - without[1], atol=1e-5)
    known = residual(editor, solve.alpha, solve.beta, happy, n, (a0 - solve.alpha, b0 - solve.beta))
    assert np.array_equal(a, known[0]) and np.array_equal(b, known[1])


def test_neutralise_is_linear_and_leaves_speech(model, solve, editor):
    _, full = residual(editor, solve.alpha, solve.beta, np.zeros((T, 7), np.float32), ZERO + 1)
    _, half = residual(editor, solve.alpha, solve.beta, np.zeros((T, 7), np.float32), ZERO + 0.5)
    assert np.allclose(half * 2, full, atol=1e-6) and full.any()
    for name in ("jawOpen", "mouthPucker", "eyeBlinkLeft"):
        assert not full[:, model.expression_index[name]].any(), name
    smile = model.expression_index["mouthSmileLeft"]
    assert np.median(solve.beta[:, smile] + full[:, smile]) == pytest.approx(0, abs=1e-6)


def test_mouth_dial_holds_the_gap_between_the_lips(model, solve, editor):
    def gap_error(mouth):
        edit = edit_shape(model, solve, EmotionCurves.constant(T, surprised=1, mouth=mouth), editor)
        change = model.displacement(edit.beta)
        return np.linalg.norm(change[:, model.lip_upper] - change[:, model.lip_lower], axis=-1).mean() * 1000

    errors = [gap_error(m) for m in (0.0, 0.5, 1.0)]
    assert errors[0] > 2 and errors[2] < 0.25 * errors[0]
    assert errors[0] > errors[1] > errors[2]


def test_a_change_of_the_identity_as_an_expression(model):
    """What an expression can do of it is kept: against a stacked least-squares problem, and exact for a change that is an expression."""
    change = np.random.default_rng(3).normal(0, 0.1, (4, model.identity_count)).astype(np.float32)
    assert not as_expression(model, change * 0).any()
    folded = as_expression(model, change)
    moved, left = model.neutral(change[0]) - model.mean, model.neutral(change[0]) - model.mean - model.displacement(folded[0])
    assert np.square(left).mean() < np.square(moved).mean()
    twin = dataclasses.replace(model, identity=model.expression[: model.identity_count])
    weights = np.full((1, model.expression_count), 0.2, np.float32)
    assert np.abs(twin.displacement(as_expression(twin, weights) - weights)).max() < 2e-4


def test_mouth_dial_leaves_the_brows(model, solve, editor):
    free, held = (edit_shape(model, solve, EmotionCurves.constant(T, surprised=1, mouth=m), editor).beta for m in (0, 1))
    brows = [i for i, n in enumerate(model.expression_names) if n.startswith("brow")]
    assert np.allclose(free[:, brows], held[:, brows], atol=1e-6)


def test_closed_lids_are_not_moved(model, solve, editor):
    beta = solve.beta.copy()
    beta[5, [model.expression_index["eyeBlinkLeft"], model.expression_index["eyeBlinkRight"]]] = 1
    gains = editor.gains(solve.alpha, beta)
    wide = model.expression_index["eyeWideLeft"]
    assert gains[5, wide] == 0 and gains[6, wide] > 0.3


def test_surprise_lifts_drooping_lids_and_lets_blinks_close(model, solve, editor):
    blink = [model.expression_index[n] for n in ("eyeBlinkLeft", "eyeBlinkRight")]
    solve.beta[:] = 0
    solve.beta[8:16, blink], solve.beta[16:, blink] = 0.4, 1.0  # open, drooping, closed
    solve.beta[:4, blink] = 0.1  # unsteady
    after = editor.generate(solve.alpha, solve.beta, one("surprised"))[1][:, blink]
    assert np.array_equal(after[:8], solve.beta[:8, blink]) and np.array_equal(after[16:], solve.beta[16:, blink])
    assert (after[8:16] < 0.38).all() and (after[8:16] > 0.15).all()
    again = editor.generate(solve.alpha, solve.beta, one("surprised", 0.5))[1][:, blink]
    assert np.allclose(solve.beta[:, blink] - again, (solve.beta[:, blink] - after) / 2, atol=1e-6), "even in the intensity"


def test_rounded_lips_weaken_a_smile(model, solve, editor):
    beta = np.zeros_like(solve.beta)
    beta[3, model.expression_index["mouthPucker"]] = 1
    smile = model.expression_index["mouthSmileLeft"]
    gains = editor.gains(solve.alpha, beta)
    assert gains[3, smile] < 0.9 * gains[4, smile]


def test_contempt_is_one_sided(model, solve, editor):
    edit = edit_shape(model, solve, EmotionCurves.constant(T, contempt=1), editor)
    move = np.linalg.norm(model.displacement(edit.beta)[:, model.vertices_of_landmarks([61, 291])], axis=-1).mean(0)
    assert move.max() > 2.5 * move.min()


def test_hann_window():
    spike = np.zeros((5, 1))
    spike[2] = 1
    assert np.allclose(smooth(spike)[:, 0], [0, *HANN, 0])
    assert np.allclose(np.hanning(5)[1:4] / np.hanning(5).sum(), HANN)
    assert np.allclose(smooth(np.full((4, 2), 0.3)), 0.3)
    assert np.array_equal(smooth(np.ones((1, 3))), np.ones((1, 3)))


def test_nothing_is_smoothed_across_a_cut_or_gap(model, editor):
    solve = made_up_solve(model, lost=[10], cuts=[16])
    happy = np.zeros(T, np.float32)
    happy[16:] = 1
    edit = edit_shape(model, solve, EmotionCurves.from_columns({"happy": happy}, T), editor)
    assert not edit.beta[:16].any() and edit.beta[16:].any(1).all()
    assert np.isfinite(edit.beta).all() and not edit.active[10]


def test_curves_of_another_length_are_refused(model, solve, editor):
    with pytest.raises(MienError, match="23 frames"):
        edit_shape(model, solve, EmotionCurves.constant(T - 1, happy=1), editor)


def test_unknown_editor():
    with pytest.raises(MienError, match="magic"):
        make_editor("magic", None)
