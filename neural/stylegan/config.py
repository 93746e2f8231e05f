# SPDX-License-Identifier: GPL-3.0-or-later
"""The constructor arguments of the three networks and every setting of their training. No heavy imports."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ...mesh.errors import MienError
from ..settings import config_of

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
ARCHITECTURES = ("skip", "resnet", "orig")


def channels_at(size: int, channel_base: int, channel_max: int) -> int:
    """Feature maps of the layers at a resolution (Karras et al. 2020, as in their code)."""
    return min(channel_base // size, channel_max)


@dataclass(frozen=True)
class GeneratorConfig:
    """What a generator is built from; kept as JSON beside its weights."""

    size: int = 512
    """Height and width of its pictures; a power of two."""
    z_dim: int = 512
    """Numbers of a random latent z."""
    w_dim: int = 512
    """Numbers of an intermediate latent w."""
    mapping_layers: int = 8
    """Layers from z to w."""
    channel_base: int = 32768
    """Feature maps at a resolution r are channel_base / r."""
    channel_max: int = 512
    """Feature maps of a layer at most."""
    architecture: str = "skip"
    """How the picture gathers through the resolutions: skip, resnet or orig."""
    clamp: float | None = None
    """Bound of activations, for half precision."""

    @property
    def layers(self) -> int:
        """Latents in W+: one for each convolution and one for the last layer to RGB."""
        return 2 * int(math.log2(self.size)) - 2


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What a discriminator is built from."""

    size: int = 512
    """Height and width of its pictures; a power of two."""
    channel_base: int = 32768
    """Feature maps at a resolution r are channel_base / r."""
    channel_max: int = 512
    """Feature maps of a layer at most."""
    architecture: str = "resnet"
    """How the picture enters: resnet, skip or orig."""
    clamp: float | None = None
    """Bound of activations, for half precision."""
    group: int = 4
    """Pictures that the minibatch standard deviation compares."""


@dataclass(frozen=True)
class EncoderConfig:
    """What a pSp encoder is built from; the defaults are the published ones."""

    size: int = 256
    """Height and width of the pictures it looks at; larger ones are shrunk first."""
    styles: int = 18
    """Latents it gives: `layers` of the generator."""
    w_dim: int = 512
    """Numbers of a latent."""
    width: int = 64
    """Feature maps of the first level; the others have 2, 4 and 8 times as many."""
    units: tuple[int, int, int, int] = (3, 4, 14, 3)
    """Residual units of each level (IR-SE50)."""


@dataclass(frozen=True)
class StyleGanConfig:
    """The training of the generator; what is not named is as in Karras et al. 2020 (ADA), "Training generative adversarial networks with limited
    data"."""

    size: int = 512
    """height and width of the textures"""
    kimg: float = 1000.0
    """thousands of pictures shown to the discriminator"""
    batch: int = 16
    """pictures in a batch"""
    lr: float = 2e-3
    """Adam's step for both networks"""
    gamma: float = 0.0
    """weight of the R1 penalty; 0: by the rule 0.0002 size^2 / batch"""
    path: float = 2.0
    """weight of the path length penalty; 0: none"""
    ema_kimg: float = 10.0
    """half-life of the averaged generator, in thousands of pictures"""
    ema_rampup: float = 0.05
    """the half-life is at most this part of the pictures shown so far"""
    ada_target: float = 0.6
    """mean sign of the discriminator on true pictures that the augmentation steers for; 0: no augmentation"""
    ada_kimg: float = 500.0
    """thousands of pictures in which the augmentation can go from never to always"""
    mixing: float = 0.9
    """part of the pictures with two latents"""
    z_dim: int = 512
    """numbers of a random latent"""
    w_dim: int = 512
    """numbers of an intermediate latent"""
    mapping_layers: int = 8
    """layers from z to w; 2 learn faster on few pictures"""
    channel_base: int = 32768
    """feature maps at a resolution r are channel_base / r"""
    channel_max: int = 512
    """feature maps of a layer at most"""
    half: int = 1
    """1: the convolutions run in bfloat16 on a GPU; 0: everything in float32; 2: bfloat16 on a processor too"""
    seed: int = 0
    """seed of weights, latents, batches and augmentations"""
    measure_kimg: float = 10.0
    """thousands of pictures between two checkpoints with a distance to the held-out textures and a preview sheet"""
    measure_count: int = 1024
    """pictures made for a distance"""


@dataclass(frozen=True)
class PspConfig:
    """The training of the encoder (Richardson et al. 2021, section 3.3)."""

    steps: int = 20000
    """updates of the encoder; 0: no encoder"""
    batch: int = 8
    """textures in a batch"""
    lr: float = 1e-4
    """Adam's step"""
    l2: float = 1.0
    """weight of the pixel loss"""
    perceptual: float = 0.8
    """weight of the perceptual loss"""
    reg: float = 0.005
    """weight of the distance of the latents to their mean"""
    width: int = 64
    """feature maps of the encoder's first level"""
    units: int = 24
    """residual units: 24 (IR-SE50) or 4 (one a level, for small pictures)"""


AT_LEAST: dict[str, float] = {"kimg": 0.001, "batch": 2, "size": 8, "z_dim": 1, "w_dim": 1, "mapping_layers": 1, "channel_base": 32, "channel_max": 4,
                              "measure_kimg": 0.001, "measure_count": 8, "width": 4, "lr": 0}


def checked(kind: type, values: dict[str, Any]) -> Any:
    """A training config from a dictionary. Raises MienError for an unknown name, a wrong type or a value out of range."""
    config = config_of(kind, values, AT_LEAST)
    if values.get("size", 64) not in SIZES:
        raise MienError(f"The training setting 'size' must be one of {', '.join(map(str, SIZES))}; it is {values['size']}.")
    if values.get("units", 24) not in (4, 24):
        raise MienError(f"The training setting 'units' must be 4 or 24; it is {values['units']}.")
    if values.get("ada_target", 0) >= 1 or values.get("mixing", 0) > 1:
        raise MienError("The training settings 'ada_target' and 'mixing' are parts and must be below 1.")
    return config


def fixed_part(config: StyleGanConfig | PspConfig) -> dict[str, Any]:
    """What must not change when a training is resumed: everything but its length."""
    return {k: v for k, v in asdict(config).items() if k not in ("kimg", "steps", "measure_kimg", "measure_count")}
