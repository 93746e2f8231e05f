# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual cast: repeatable, within reason, and labelled truly."""

from __future__ import annotations

import numpy as np
import pytest

from mien.mesh.analytic import AnalyticEditor
from mien.mesh.anatomy import as_identity
from mien.mesh.emotion import EMOTIONS
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.neural.shape_gan import cast
from mien.neural.shape_gan.config import CastConfig, TrainConfig, checked_config
from mien.neural.shape_gan.data import Coefficients

CONFIG = CastConfig(actors=4, takes=3, frames=50)


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def data(model):
    return cast.cast_data(model, CONFIG, 0, 4)


def test_sizes_and_labels(model, data):
    n = 4 * 3 * 8 * 50
    assert data.alpha.shape == (n, 80) and data.beta.shape == (n, 64) and data.emotion.shape == (n, 7)
    assert data.beta.dtype == data.emotion.dtype == np.float32
    assert data.emotion.min() >= 0 and data.emotion.max() <= 1
    assert ((data.emotion > 0).sum(1) <= 1).all()
    assert 1 / 8 < data.neutral.mean() < 0.5
    assert len(set(data.actor)) == 4 and len(set(data.take)) == 4 * 3 * 8
    data.check()


def test_same_seed_same_cast_whoever_else_is_in_it(model, data):
    alone = cast.cast_data(model, CONFIG, 2, 1)
    mine = data.actor == 2
    assert np.array_equal(alone.beta, data.beta[mine]) and np.array_equal(alone.alpha, data.alpha[mine])
    other = cast.cast_data(model, CastConfig(actors=1, takes=3, frames=50, seed=1), 2, 1)
    assert not np.array_equal(other.beta, alone.beta)


def test_identities_follow_the_prior(model, data):
    per_actor = np.stack([data.alpha[data.actor == a].mean(0) for a in range(4)])
    assert np.abs(per_actor).max() <= cast.ALPHA_LIMIT + 0.1
    assert 0.8 < per_actor.std() < 1.2
    spread = np.stack([data.alpha[data.actor == a].std(0) for a in range(4)])
    assert 0.02 < spread.mean() < 0.08


@pytest.mark.parametrize("emotion, direction", [("happy", "mouthSmileLeft"), ("sad", "mouthFrownRight"), ("angry", "browDownLeft"),
                                                ("surprised", "browOuterUpRight"), ("disgusted", "noseSneerLeft"), ("fear", "eyeWideLeft"),
                                                ("contempt", "mouthDimpleRight")])
def test_an_emotion_moves_its_actions_in_proportion(model, data, emotion, direction):
    e = data.emotion[:, EMOTIONS.index(emotion)]
    x = data.beta[:, model.expression_index[direction]]
    for actor in range(4):
        mine = (data.actor == actor) & ((e > 0) | data.neutral)
        assert np.corrcoef(e[mine], x[mine])[0, 1] > 0.75
        assert x[mine & (e > 0.9)].mean() - x[mine & (e == 0)].mean() > 0.2


def test_motion_is_smooth_and_the_mouth_speaks(model, data):
    jaw = data.beta[:, model.expression_index["jawOpen"]]
    same = np.diff(data.take) == 0
    assert 0.05 < jaw.std() < 0.25 and jaw.max() < 1.2
    assert np.corrcoef(jaw[:-1][same], jaw[1:][same])[0, 1] > 0.7  # independent frames: 0


def test_closed_lips_dominate(model):
    """Next to a vowel, the lips of a p are more closed than a plain average would have them."""
    visemes = {k: cast.spread(model, v) for k, v in cast.VISEMES.items() if k in ("silence", "PBM", "AA")}
    rng = np.random.default_rng(0)
    jaw = cast.speech(np.arange(500) / 100, 10, {**visemes, **dict.fromkeys(cast.VOWELS, visemes["AA"])}, rng)[:, model.expression_index["jawOpen"]]
    assert np.quantile(jaw, 0.05) < 0.17 < 0.3 < np.quantile(jaw, 0.95)


def test_envelope_rises_and_falls():
    time = np.arange(75) / 25
    for seed in range(20):
        e = cast.envelope(time, 2 / 3, np.random.default_rng(seed))
        assert e.shape == (75,) and e.min() >= 0 and 0.55 < e.max() < 0.75
        assert np.abs(np.diff(e)).max() < 0.3


def test_configs_are_checked():
    assert checked_config(TrainConfig, {"iterations": 5, "gp": 1}) == TrainConfig(iterations=5, gp=1.0)
    for wrong, words in (({"lamda": 1}, "lamda"), ({"iterations": 0}, "at least 1"), ({"iterations": 1.5}, "whole"), ({"gp": -1}, "at least 0"),
                         ({"gp": True}, "number"), ({"beta1": 1.0}, "below 1"), ({"lr": float("inf")}, "lr")):
        with pytest.raises(MienError, match=words):
            checked_config(TrainConfig, wrong)


def test_an_expression_as_an_identity(model):
    """The nearest one within reach of the prior: closer than none, no further than a least-squares fit, and linear."""
    smile = AnalyticEditor(model).recipes[EMOTIONS.index("happy")][None]
    alpha = as_identity(model, smile)
    moved, wanted = np.tensordot(alpha[0], model.identity, 1), np.tensordot(smile[0], model.expression, 1)
    left = np.linalg.norm(moved - wanted) / np.linalg.norm(wanted)
    best = np.linalg.lstsq(model.identity.reshape(80, -1).T.astype(float), wanted.ravel(), rcond=None)[0]
    least = np.linalg.norm(np.tensordot(best, model.identity, 1) - wanted) / np.linalg.norm(wanted)
    assert least < left < 0.8 and np.linalg.norm(alpha) < np.linalg.norm(best)
    assert np.allclose(as_identity(model, 2 * smile), 2 * alpha)


def test_the_cast_wears_the_faces_of_takes(model):
    """A neutral take's as it is, an acted one's less a part of what its emotion looks like as an identity; nothing else changes."""
    played = cast.cast_data(model, CastConfig(takes=1, frames=20), 0, 2, faces=True)
    alpha = np.stack((np.full(80, 5.0), np.full(80, -5.0))).astype(np.float32)
    emotion = np.zeros((2, 7), np.float32)
    emotion[1, 0] = 1
    takes = Coefficients(alpha, np.zeros((2, 64), np.float32), emotion, np.zeros(2, int), np.arange(2))
    worn = cast.wear(model, played, takes, 0.5, 0)
    assert np.array_equal(worn.beta, played.beta) and np.array_equal(worn.emotion, played.emotion)
    changed = (worn.alpha != played.alpha).any(1)
    assert 0.4 < changed.mean() < 0.6
    calm, acted = (worn.alpha[changed & (np.sign(worn.alpha.mean(1)) == s)] for s in (1, -1))
    assert min(len(calm), len(acted)) > 0.35 * changed.sum()
    assert np.abs(calm - 5).max() < 0.4
    leak = as_identity(model, AnalyticEditor(model).recipes[:1])[0]
    part = (-5 - acted) @ leak / (leak @ leak)
    assert -0.1 < part.min() < 0.1 and 0.9 < part.max() < 1.1
    assert np.abs(acted + 5 + part[:, None] * leak).max() < 0.4
