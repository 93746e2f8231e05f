# SPDX-License-Identifier: GPL-3.0-or-later
"""Every setting of the training of level 1; the command line makes its options from these fields. No heavy imports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...mesh.errors import MienError
from ..settings import config_of


@dataclass(frozen=True)
class CastConfig:
    """The virtual cast (cast.py): how many labelled frames there are."""

    actors: int = 200
    """virtual actors to train on"""
    held_back: int = 6
    """further actors that are only measured on"""
    takes: int = 3
    """takes of each actor and emotion; the levels 1/3, 2/3 and 1 take turns"""
    frames: int = 36
    """frames of a take, at 25 a second"""
    seed: int = 0
    """seed of the cast, apart from that of the training"""


@dataclass(frozen=True)
class TrainConfig:
    """The training; the defaults are the paper's (section 4.1.2) where it has them."""

    iterations: int = 80_000
    """updates of the generator"""
    batch: int = 64
    """frames in a batch: one half neutral, the other not"""
    lr: float = 1e-3
    """Adam's step"""
    decay: float = 0.5
    """last part of the training in which Adam's step falls to zero, 0 to 1; the paper names none (0)"""
    beta1: float = 0.5
    """Adam's first moment"""
    beta2: float = 0.999
    """Adam's second moment"""
    clip: float = 10.0
    """longest gradient of a network; a longer one is shortened to it, or a single one throws the training off (0: never; the paper names none)"""
    critic_steps: int = 1
    """updates of the discriminator for each of the generator; the paper does not give it"""
    rest: float = 0.25
    """part of the neutral frames that are asked for no emotion, e = 0; else nothing holds G(c, 0) at c (the paper does not say how e is drawn)"""
    lead: int = 0
    """updates of the discriminator alone before all others; of use where the generator is trained already and the discriminator is not"""
    share: float = 0.5
    """part of the frames that are the takes', where they are trained on together with the virtual cast, 0 to 1"""
    wear: float = 0.5
    """part of the virtual cast's frames that wear the faces of the takes, 0 to 1, where both are trained on"""
    gp: float = 10.0
    """lambda_gp, gradient penalty"""
    reg: float = 20.0
    """lambda_reg, emotion regression"""
    rec: float = 5e3
    """lambda_rec, cycle, over dm^2"""
    mouth: float = 1.0
    """lambda_mouth, mouth shape, over mm^2"""
    r: float = 1e3
    """lambda_r, identity, over dm^2"""
    lin: float = 5e3
    """lambda_lin, that intensities act evenly, over dm^2; the paper has no such loss (0)"""
    hidden: int = 512
    """units of a hidden layer"""
    copy: int = 1
    """1: the generator starts as a copy, G(c, e) = c; 0: at random, as layers usually do"""
    seed: int = 0
    """seed of weights and batches"""
    log_every: int = 100
    """iterations between two rows of losses.csv"""
    save_every: int = 1000
    """iterations between two checkpoints"""


FINE_TUNE: dict[str, Any] = {"iterations": 3_000, "lr": 2e-4, "r": 3e3, "lead": 500}
"""Settings whose default is another one when the training starts from trained weights."""

AT_LEAST: dict[str, float] = {"iterations": 1, "batch": 2, "critic_steps": 1, "hidden": 1, "log_every": 1, "save_every": 1, "actors": 1,
                              "held_back": 0, "takes": 1, "frames": 8}
"""Lower limits; everything else must not be negative."""


def checked_config(kind: type, values: dict[str, Any]) -> Any:
    """A config from a dictionary. Raises MienError for an unknown name, a wrong type or a value out of range."""
    config = config_of(kind, values, AT_LEAST)
    for name in ("decay", "share", "rest", "wear"):
        if values.get(name, 0) > 1:
            raise MienError(f"The training setting '{name}' is a part of a whole and must be at most 1.")
    if values.get("beta1", 0) >= 1 or values.get("beta2", 0) >= 1:
        raise MienError("The training settings 'beta1' and 'beta2' must be below 1.")
    return config


def fixed_part(config: TrainConfig) -> dict[str, Any]:
    """What must not change when a training is resumed: everything but its length and how often it writes."""
    return {k: v for k, v in asdict(config).items() if k not in ("iterations", "log_every", "save_every")}
