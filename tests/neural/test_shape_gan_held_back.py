# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped weights on virtual actors whom nobody has seen, before a judge that learned from others than the generator did."""

from __future__ import annotations

import numpy as np
import pytest

from mien.mesh.editor import make_editor
from mien.mesh.emotion import EMOTIONS
from mien.mesh.model import load_model
from mien.mesh.shape_gan import WEIGHTS
from mien.neural.shape_gan.cast import cast_data
from mien.neural.shape_gan.config import CastConfig
from mien.neural.shape_gan.judge import acted_cycle, judged, lip_vertices, mesh_lie, mouth_trade, train_judge

FIRST = 10_000
"""Actors from here on are trained on by nobody but the judge."""

pytestmark = pytest.mark.skipif(not WEIGHTS.exists(), reason="no weights are shipped")


@pytest.fixture(scope="module")
def model():
    return load_model()


def judge_of(model, actors, centres, vertices=None):
    return train_judge(model, cast_data(model, CastConfig(takes=3, frames=24), FIRST, actors), centres=centres, vertices=vertices)


def check(found):
    assert found["recognised"] >= 0.9
    assert found["intensity"] >= 0.95
    assert found["cycle_mm"] <= 0.6
    assert found["identity_mm"] <= 0.5
    assert found["lips"] >= 0.95
    assert found["lie"] <= 0.1


def test_a_few_actors(model):
    judge = judge_of(model, 25, 400)
    check(judged(model, make_editor("gan", model), judge, cast_data(model, CastConfig(takes=1, frames=20), FIRST + 1000, 2), frames=3))


@pytest.mark.long
def test_many_actors(model):
    judge = judge_of(model, 80, 1500)
    check(judged(model, make_editor("gan", model), judge, cast_data(model, CastConfig(takes=2), FIRST + 1000, 8)))


def test_the_judge_is_no_yes_man(model):
    """Frames without an edit show it no emotion, and another emotion than the wanted one is not taken for it."""
    judge = judge_of(model, 15, 300)
    data = cast_data(model, CastConfig(takes=3, frames=20), FIRST + 1000, 2)
    seen = judge.emotions(data.beta)
    assert np.abs(seen[data.neutral]).max(1).mean() < 0.25
    strong = data.emotion.max(1) > 0.7
    assert (seen[strong].argmax(1) == data.emotion[strong].argmax(1)).mean() > 0.95
    others = seen[strong] * (data.emotion[strong] == 0)
    assert others.max(1).mean() < 0.3


class NoEdit:
    name = "none"

    def generate(self, alpha, beta, emotion):
        return np.broadcast_to(alpha, (len(beta), alpha.shape[-1])), beta


def test_mouth_trade(model):
    """Of no edit, and of the recipes, which open the lips with surprise and disgust."""
    judge = judge_of(model, 15, 300, lip_vertices(model))
    data = cast_data(model, CastConfig(takes=1, frames=20), FIRST + 1000, 1)
    still, moved = (mouth_trade(model, editor, judge, data) for editor in (NoEdit(), make_editor("analytic", model)))
    acted = data.beta[data.emotion[:, 2] > 0.9]
    assert acted_cycle(model, NoEdit(), data.alpha[0], acted, 2) == (0, 0)
    away, off = acted_cycle(model, make_editor("analytic", model), data.alpha[0], acted, 2)
    assert 1 < away < 4 and off < 0.6 * away  # what the recipes take for the lasting part is about what they give
    assert still["gap_mm"] == 0 and still["lips"] == pytest.approx(1) and abs(still["disgusted"]) < 0.3 and still["right"] < 0.2
    assert moved["gap_mm"] > 0.3 and moved["lowest"] < moved["lips"] < 1 and moved["disgusted"] > 0.6 and moved["right"] > 0.5


def test_mesh_lie_of_a_linear_edit_is_zero(model):
    """The recipes are linear in the intensity but for the clipping of antagonists."""
    data = cast_data(model, CastConfig(takes=1, frames=20), FIRST, 1)
    found = mesh_lie(model, make_editor("analytic", model), data, frames=2)
    assert set(found) == set(EMOTIONS) and max(found.values()) < 1e-3
