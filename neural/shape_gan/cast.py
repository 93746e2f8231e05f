# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual cast: labelled coefficients of actors who do not exist, on any model with named directions.

Training data for level 1 where there is no footage, and ground truth for its tests. What an actor does on a frame is a sum:

    beta = habit + drift + speech + blinks + glances + brow beats  the neutral part
    beta = (neutral part) (1 - e relax) + sum e_i recipe_i         with the emotion, label e
    beta + noise, alpha + noise                                    what a solve would find

* Identity: alpha ~ N(0, 1), the model's prior, clipped at 2.5; each take sees it with a solve's error. For training, every frame wears a
  face of its own (`faces`): how an actor moves does not depend on the bones, and from a few dozen faces the generator learns a
  list of them instead of keeping the face it is given (measured: identity and unseen cycle errors of 3 mm). For the same reason there
  are many actors with short takes: a few dozen ways of being sad are learned by heart, and a stranger gets one of them.
* Speech: sequences of visemes with coarticulation by dominance functions (Cohen & Massaro 1993): at each moment the targets are
  averaged by weights that fall off exponentially with the distance in time; closed lips dominate their surroundings.
* Emotion: FACS prototypes (mesh/facs.py); each actor has a strength, a weight of every action unit within every emotion, and a
  preference of the left or right side; antagonists relax as in the analytic editor.
* Time: the intensity rises (onset), stays with a slow sway, and decays. The label of a frame is its own intensity.

Everything is drawn from numpy generators seeded by (seed, actor): an actor is the same whoever else is cast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...mesh import facs
from ...mesh.analytic import AnalyticEditor
from ...mesh.anatomy import as_identity
from ...mesh.emotion import EMOTIONS
from ...mesh.model import FaceModel
from .config import CastConfig
from .data import Coefficients

FPS = 25.0
LEVELS = (1.0, 1 / 3, 2 / 3)
"""Intensities of a take, in turns; MEAD's three levels."""
ALPHA_LIMIT = 2.5
ALPHA_NOISE = 0.05
"""Standard deviations: how much one shot's identity differs from the next one's of the same actor."""
NOISE = 0.06
"""Noise of a solve, in parts of each direction's sigma, correlated over frames by NOISE_MEMORY."""
NOISE_MEMORY = 0.6
DRIFT, DRIFT_MEMORY = 0.25, 0.93
"""What a talking face does besides its words and without meaning it, in parts of each direction's sigma, slowly. Solved footage spreads like
that; without it every frame off the cast's narrow path is one that the generator has never seen."""
STRENGTH = 0.15
"""Spread of an actor's expressiveness, as a logarithm."""
VARIATION = 0.25
"""Spread of each action unit within an emotion, as a logarithm."""
ASYMMETRY = 0.12
"""Spread of left against right."""

VISEMES: dict[str, dict[str, float]] = {
    "silence": {},
    "PBM": {"mouthClose": 0.06, "mouthPress": 0.3, "jawOpen": 0.04},
    "FV": {"mouthRollLower": 0.4, "mouthUpperUp": 0.15, "jawOpen": 0.07},
    "TH": {"jawOpen": 0.16, "mouthLowerDown": 0.15},
    "TDN": {"jawOpen": 0.13, "mouthLowerDown": 0.12, "mouthStretch": 0.06},
    "KG": {"jawOpen": 0.2, "mouthStretch": 0.08},
    "CHJ": {"jawOpen": 0.1, "mouthFunnel": 0.4, "mouthPucker": 0.15},
    "SZ": {"jawOpen": 0.05, "mouthStretch": 0.18, "mouthLowerDown": 0.15},
    "R": {"jawOpen": 0.13, "mouthFunnel": 0.25, "mouthPucker": 0.15},
    "L": {"jawOpen": 0.2},
    "W": {"jawOpen": 0.08, "mouthPucker": 0.7},
    "AA": {"jawOpen": 0.52, "mouthLowerDown": 0.2, "mouthUpperUp": 0.08},
    "E": {"jawOpen": 0.33, "mouthStretch": 0.18, "mouthLowerDown": 0.12},
    "I": {"jawOpen": 0.16, "mouthStretch": 0.3, "mouthUpperUp": 0.08},
    "O": {"jawOpen": 0.4, "mouthFunnel": 0.5},
    "U": {"jawOpen": 0.16, "mouthPucker": 0.7, "mouthFunnel": 0.1},
}
"""Viseme -> direction -> amount at its apex; a stem with sides means both. The classes are those of MPEG-4 (ISO/IEC 14496-2), the amounts Mien's."""
VOWELS = ("AA", "E", "I", "O", "U")
DOMINANT = {"PBM": 3.5, "FV": 2.5, "W": 1.5}
"""Sounds whose lip shape must be reached pull harder on their neighbours."""


@dataclass(frozen=True, eq=False)
class Actor:
    """A virtual actor: what stays the same over takes."""

    alpha: np.ndarray
    """(A,)"""
    habit: np.ndarray
    """(B,): the resting face."""
    recipes: np.ndarray
    """(7, B): beta at intensity 1."""
    relax: np.ndarray
    """(7, B) in 0..1."""
    articulation: float
    """How far the mouth moves in speech."""
    pace: float
    """Sounds a second."""


def cast_data(model: FaceModel, config: CastConfig, first: int, count: int, *, faces: bool = False,
              noise: float = NOISE) -> Coefficients:
    """Frames of the actors number first .. first + count - 1: for each, `takes` takes of neutral and of each emotion.

    faces: every frame wears another face, drawn from the prior; else each actor has his or her own. noise: of a solve; 0 gives the performance.
    """
    visemes = {name: spread(model, amounts) for name, amounts in VISEMES.items()}
    alphas, betas, labels, actors, takes = [], [], [], [], []
    for number in range(first, first + count):
        rng = np.random.default_rng((config.seed, number))
        actor = make_actor(model, rng)
        for take in range(config.takes):
            for emotion in (None, *range(len(EMOTIONS))):
                beta, intensity = perform(model, actor, visemes, emotion, LEVELS[take % len(LEVELS)], config.frames, rng, noise)
                label = np.zeros((config.frames, len(EMOTIONS)), np.float32)
                if emotion is not None:
                    label[:, emotion] = intensity
                alphas.append(np.repeat((actor.alpha + rng.normal(0, ALPHA_NOISE, actor.alpha.shape))[None], config.frames, 0))
                betas.append(beta)
                labels.append(label)
                actors.append(np.full(config.frames, number))
                takes.append(np.full(config.frames, len(takes)))
    if faces:
        rng = np.random.default_rng((config.seed, first, count))
        alphas = [np.clip(rng.standard_normal(a.shape), -ALPHA_LIMIT, ALPHA_LIMIT) for a in alphas]
    return Coefficients(np.concatenate(alphas).astype(np.float32), np.concatenate(betas).astype(np.float32), np.concatenate(labels),
                        np.concatenate(actors), np.concatenate(takes))


def wear(model: FaceModel, played: Coefficients, takes: Coefficients, share: float, seed: int) -> Coefficients:
    """Let a part `share` of the cast's frames wear the faces of takes, so that a face of its own does not give away the emotion of its take.

    A solve of one take gives part of a lasting expression to the identity. So where the take was acted, the face loses a part, drawn evenly from
    0 to 1, of what its emotion's recipe looks like as an identity: the cast then shows what this actor might look like at rest.
    """
    rng = np.random.default_rng((seed, len(played)))
    rows = np.flatnonzero(rng.uniform(size=len(played)) < share)
    firsts = np.unique(takes.take, return_index=True)[1]
    pick = firsts[rng.integers(len(firsts), size=len(rows))]
    leak = takes.emotion[pick] @ as_identity(model, AnalyticEditor(model).recipes)
    alpha = played.alpha.copy()
    alpha[rows] = takes.alpha[pick] - rng.uniform(size=(len(rows), 1)) * leak + rng.normal(0, ALPHA_NOISE, leak.shape)
    return replace(played, alpha=alpha)


def make_actor(model: FaceModel, rng: np.random.Generator) -> Actor:
    """Draw an actor."""
    B, E = model.expression_count, len(EMOTIONS)
    sides = {"Left": np.array([n.endswith("Left") for n in model.expression_names]),
             "Right": np.array([n.endswith("Right") for n in model.expression_names])}
    recipes, relax = np.zeros((E, B)), np.zeros((E, B))
    strength = rng.lognormal(0, STRENGTH)
    for e, emotion in enumerate(EMOTIONS):
        for action, amount in facs.PROTOTYPES[emotion].items():
            gain = amount * strength * rng.lognormal(0, VARIATION)
            for name, weight in facs.directions(action).items():
                if name in model.expression_index:
                    recipes[e, model.expression_index[name]] += gain * weight
        lean = rng.normal(0, ASYMMETRY)
        recipes[e] *= 1 + lean * sides["Left"] - lean * sides["Right"]
        for stem, amount in facs.ANTAGONISTS[emotion].items():
            for name in facs.sided(stem):
                if name in model.expression_index:
                    relax[e, model.expression_index[name]] = amount
    alpha = np.clip(rng.normal(0, 1, model.identity_count), -ALPHA_LIMIT, ALPHA_LIMIT)
    habit = np.abs(rng.normal(0, 0.25, B)) * model.expression_sigma * (model.expression_sigma > 0)
    habit[still(model)] = 0
    return Actor(alpha, habit, recipes, relax, float(rng.uniform(0.7, 1.3)), float(rng.uniform(8, 14)))


def still(model: FaceModel) -> np.ndarray:
    """(B,) bool: directions that only speech and blinks move; a habit of them would be an open mouth or a closed eye."""
    return np.array([n.startswith(("jaw", "eyeBlink", "mouthClose", "mouthFunnel", "mouthPucker")) for n in model.expression_names])


def perform(model: FaceModel, actor: Actor, visemes: dict[str, np.ndarray], emotion: int | None, level: float, frames: int,
            rng: np.random.Generator, noise: float = NOISE) -> tuple[np.ndarray, np.ndarray]:
    """One take: beta (frames, B) and the emotion's intensity (frames,), 0 throughout when emotion is None."""
    time = np.arange(frames) / FPS
    index, B = model.expression_index, model.expression_count
    beta = actor.habit + actor.articulation * speech(time, actor.pace, visemes, rng)
    beta += _wander((frames, B), DRIFT_MEMORY, rng) * DRIFT * model.expression_sigma * ~still(model)

    def add(stem: str, amount: np.ndarray | float) -> None:
        for name in facs.sided(stem):
            if name in index:
                beta[:, index[name]] += amount

    add("eyeBlink", blinks(time, rng))
    for stem in ("browInnerUp", "browOuterUp"):
        add(stem, np.abs(_wander(frames, 0.9, rng)) * 0.08)
    down, side = _wander(frames, 0.95, rng) * 0.12, _wander(frames, 0.95, rng) * 0.1
    add("eyeLookDown", np.maximum(down, 0))
    add("eyeLookUp", np.maximum(-down, 0))
    for name, amount in (("eyeLookOutLeft", side), ("eyeLookInRight", side), ("eyeLookInLeft", -side), ("eyeLookOutRight", -side)):
        if name in index:
            beta[:, index[name]] += np.maximum(amount, 0)
    intensity = np.zeros(frames)
    if emotion is not None:
        intensity = envelope(time, level, rng)
        beta = beta * (1 - np.clip(intensity[:, None] * actor.relax[emotion], 0, 1)) + intensity[:, None] * actor.recipes[emotion]
    return beta + _wander((frames, B), NOISE_MEMORY, rng) * noise * model.expression_sigma, intensity.astype(np.float32)


def speech(time: np.ndarray, pace: float, visemes: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(T, B): made-up syllables with pauses, `pace` sounds a second, coarticulated."""
    consonants = [v for v in visemes if v not in VOWELS and v != "silence"]
    sounds, centres, t = [], [], -0.5
    while t < time[-1] + 0.5:
        words = ["silence"] if rng.uniform() < 0.08 else [consonants[rng.integers(len(consonants))], VOWELS[rng.integers(len(VOWELS))]]
        for sound in words:
            length = rng.uniform(0.7, 1.3) / pace * (1.3 if sound in VOWELS else 0.8) * (2.5 if sound == "silence" else 1)
            sounds.append(sound)
            centres.append(t + length / 2)
            t += length
    targets = np.stack([visemes[s] * rng.uniform(0.8, 1.2) for s in sounds])
    dominance = np.array([DOMINANT.get(s, 1.0) for s in sounds])
    weight = dominance * np.exp(-np.abs(time[:, None] - np.array(centres)) / (0.45 / pace))
    return (weight @ targets) / weight.sum(1, keepdims=True)


def blinks(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T,) in 0..1: lids fall in 0.09 s and rise in 0.16 s, about every three seconds."""
    out, t = np.zeros(len(time)), rng.uniform(-1, 3)
    while t < time[-1] + 0.2:
        out = np.maximum(out, np.clip(np.minimum(1 + (time - t) / 0.09, 1 - (time - t) / 0.16), 0, 1))
        t += rng.uniform(1.5, 5)
    return out


def envelope(time: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """(T,) in 0..1: onset, apex near `level` with a slow sway, decay; a fifth of the takes begin or end at the apex."""
    length = time[-1] + 1 / FPS
    start, rise = rng.uniform(0.02, 0.2) * length, rng.uniform(0.12, 0.5)
    end, fall = rng.uniform(0.75, 0.98) * length, rng.uniform(0.2, 0.7)
    up = _step((time - start) / rise) if rng.uniform() > 0.2 else 1.0
    down = _step((end - time) / fall) if rng.uniform() > 0.2 else 1.0
    sway = 1 + 0.08 * np.sin(2 * np.pi * (time * rng.uniform(0.2, 0.7) + rng.uniform()))
    return np.clip(level * up * down * sway, 0, 1) * np.ones(len(time))


def _step(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _wander(shape: int | tuple[int, int], memory: float, rng: np.random.Generator) -> np.ndarray:
    """(frames,) or (frames, columns): noise of variance 1 whose neighbours in time correlate by `memory`."""
    white = rng.normal(0, 1, shape)
    out = np.empty_like(white)
    out[0] = white[0]
    scale = (1 - memory**2) ** 0.5
    for i in range(1, len(out)):
        out[i] = memory * out[i - 1] + scale * white[i]
    return out


def spread(model: FaceModel, amounts: dict[str, float]) -> np.ndarray:
    """(B,): amounts by stem on the model's directions."""
    out = np.zeros(model.expression_count)
    for stem, amount in amounts.items():
        for name in facs.sided(stem):
            if name in model.expression_index:
                out[model.expression_index[name]] += amount
    return out
