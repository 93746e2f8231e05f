# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator of StyleGAN2: z -> w by the mapping network, w -> picture by the synthesis network (Karras et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .config import GeneratorConfig, channels_at
from .layers import EPS, Conv, Dense, Styled, ToRgb
from .resample import upsample

Noise = Callable[[Styled, int], "Tensor | None"]
"""(layer, batch) -> noise (batch or 1, 1, size, size), or None."""


def constant_noise(layer: Styled, batch: int) -> Tensor:
    """The noise that is saved with the layer: the same picture every time."""
    return layer.noise_const[None, None]


def random_noise(generator: torch.Generator | None = None) -> Noise:
    """New noise for every picture, as in training."""

    def draw(layer: Styled, batch: int) -> Tensor:
        like = layer.noise_const
        return torch.randn((batch, 1, *like.shape), generator=generator, device=generator.device if generator else like.device).to(like.device)

    return draw


class Mapping(nn.Module):
    """z (N, z_dim) -> w (N, w_dim); keeps the running mean of w."""

    w_avg: Tensor

    def __init__(self, z_dim: int, w_dim: int, layers: int):
        super().__init__()
        for i in range(layers):
            self.add_module(f"fc{i}", Dense(z_dim if i == 0 else w_dim, w_dim, rate=0.01, active=True))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """truncation: how far w may lie from its mean, 1 for all the way."""
        x = z * (z.square().mean(1, keepdim=True) + EPS).rsqrt()
        for layer in self.children():
            x = layer(x)
        return x if truncation == 1 else self.w_avg.lerp(x, truncation)


class SynthesisBlock(nn.Module):
    """The layers of one resolution."""

    def __init__(self, inputs: int, outputs: int, size: int, config: GeneratorConfig):
        """inputs: 0 for the first block, which starts from a constant."""
        super().__init__()
        self.resnet = config.architecture == "resnet" and inputs > 0
        if inputs == 0:
            self.const = nn.Parameter(torch.randn(outputs, size, size))
        else:
            self.conv0 = Styled(inputs, outputs, config.w_dim, size, up=True, clamp=config.clamp)
        self.conv1 = Styled(outputs, outputs, config.w_dim, size, clamp=config.clamp)
        self.has_rgb = config.architecture == "skip" or size == config.size
        if self.has_rgb:
            self.torgb = ToRgb(outputs, config.w_dim, config.clamp)
        if self.resnet:
            self.skip = Conv(inputs, outputs, 1, scale="up", active=False)
        self.first = inputs == 0

    def forward(self, x: Tensor | None, picture: Tensor | None, w: Tensor, noise: Noise) -> tuple[Tensor, Tensor | None]:
        """x (B, inputs, size/2, size/2), picture (B, 3, size/2, size/2) or None, w (B, 2 or 3, w_dim) -> both at this size."""
        B, gain, shortcut = len(w), math.sqrt(0.5) if self.resnet else 1.0, None
        if x is None:
            x = self.const[None].expand(B, -1, -1, -1)
        else:
            if self.resnet:
                shortcut = self.skip(x, gain)
            x = self.conv0(x, w[:, 0], noise(self.conv0, B))
        assert isinstance(x, Tensor)
        x = self.conv1(x, w[:, 0 if self.first else 1], noise(self.conv1, B), gain)
        if shortcut is not None:
            x = x + shortcut
        if picture is not None:
            picture = upsample(picture)
        if self.has_rgb:
            rgb = self.torgb(x, w[:, 1 if self.first else 2])
            picture = rgb if picture is None else picture + rgb
        assert x is not None
        return x, picture


class Synthesis(nn.Module):
    """w+ (B, layers, w_dim) -> picture (B, 3, size, size), -1 to 1, not clipped."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.sizes = [2 ** i for i in range(2, int(math.log2(config.size)) + 1)]
        channels = {s: channels_at(s, config.channel_base, config.channel_max) for s in self.sizes}
        for s in self.sizes:
            self.add_module(f"b{s}", SynthesisBlock(channels[s // 2] if s > 4 else 0, channels[s], s, config))

    def forward(self, ws: Tensor, noise: Noise = constant_noise) -> Tensor:
        x = picture = None
        for i, block in enumerate(self.children()):
            # A block's colours use the latent of the next block's first layer.
            x, picture = block(x, picture, ws[:, :2] if i == 0 else ws[:, 2 * i - 1:2 * i + 2], noise)
        assert picture is not None
        return picture


class Generator(nn.Module):
    """z (N, z_dim) -> picture (N, 3, size, size), -1 to 1, not clipped."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        self.synthesis = Synthesis(config)
        self.mapping = Mapping(config.z_dim, config.w_dim, config.mapping_layers)

    def forward(self, z: Tensor, truncation: float = 1.0, noise: Noise = constant_noise) -> Tensor:
        return self.synthesis(self.wide(self.mapping(z, truncation)), noise)

    def wide(self, w: Tensor) -> Tensor:
        """w (N, w_dim) -> w+ (N, layers, w_dim), the same in every layer."""
        return w[:, None].expand(-1, self.config.layers, -1)
