# SPDX-License-Identifier: GPL-3.0-or-later
"""The edit of one frame is the one that the whole shot gets on it."""

from __future__ import annotations

import numpy as np
import pytest

from mien.mesh.camera import Camera
from mien.mesh.editor import edit_shape, make_editor
from mien.mesh.emotion import CONTROLS, EmotionCurves
from mien.mesh.live import LiveEditor
from mien.mesh.model import load_model
from mien.mesh.shot import Solve

FRAMES = 24


def solve_of(model, lost: tuple[int, ...], cuts: tuple[int, ...]) -> Solve:
    rng = np.random.default_rng(3)
    beta = rng.normal(0.2, 0.3, (FRAMES, model.expression_count)).astype(np.float32)
    pose = np.zeros((FRAMES, 3), np.float32)
    beta[list(lost)], pose[list(lost)] = np.nan, np.nan
    alpha = rng.normal(0, 1, model.identity_count).astype(np.float32)
    return Solve(alpha, beta, pose, pose.copy(), np.zeros(FRAMES, np.float32), np.array(cuts, np.int32), Camera.centred(64, 64, 90.0), model.hash)


def curves_of(frames: int) -> EmotionCurves:
    rng = np.random.default_rng(4)
    columns = {name: rng.uniform(0, 1, frames).astype(np.float32) * (rng.uniform(0, 1, frames) > 0.4) for name in CONTROLS}
    return EmotionCurves.from_columns(columns, frames)


def rows(curves: EmotionCurves, which: np.ndarray) -> EmotionCurves:
    return EmotionCurves(curves.emotions[which], curves.master[which], curves.neutralise[which], curves.mouth[which])


@pytest.mark.parametrize(("lost", "cuts"), [((), ()), ((5, 6, 23), (12,)), ((0, 1, 9), (10, 11))], ids=["one take", "takes", "take of one frame"])
def test_every_frame_equals_the_whole_shot(lost, cuts) -> None:
    model = load_model()
    solve, curves, editor = solve_of(model, lost, cuts), curves_of(FRAMES), make_editor("analytic", model)
    whole, live = edit_shape(model, solve, curves, editor), LiveEditor(model, solve, editor)
    assert np.abs(whole.beta).max() > 0.3
    for i in range(FRAMES):
        alpha, beta = live.edit(live.window(i), rows(curves, live.window(i)))
        held = max([k for k in range(i + 1) if k not in lost], default=min(k for k in range(FRAMES) if k not in lost))
        assert np.allclose(beta, whole.beta[held], atol=1e-5)
        assert np.allclose(alpha, whole.alpha[held], atol=1e-5)


def test_at_rest_nothing_moves() -> None:
    model = load_model()
    live = LiveEditor(model, solve_of(model, (), ()), make_editor("analytic", model))
    alpha, beta = live.edit(live.window(4), EmotionCurves.constant(3))
    assert not alpha.any()
    assert not beta.any()


def test_before_and_after_the_shot_its_ends_hold() -> None:
    model = load_model()
    live = LiveEditor(model, solve_of(model, (0,), ()), make_editor("analytic", model))
    assert live.window(-50).tolist() == live.window(0).tolist() == live.window(1).tolist() == [1, 1, 2]
    assert live.window(500).tolist() == [22, 23, 23]
