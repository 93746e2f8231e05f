# SPDX-License-Identifier: GPL-3.0-or-later
"""The discriminator of StyleGAN2 (Karras et al. 2020), with the minibatch standard deviation of Karras et al. 2018, section 3."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .config import DiscriminatorConfig, channels_at
from .layers import EPS, Conv, Dense
from .resample import downsample


class DiscriminatorBlock(nn.Module):
    """The layers of one resolution: features and, with "skip", the picture to half the size."""

    def __init__(self, outputs: int, width: int, config: DiscriminatorConfig, first: bool):
        super().__init__()
        self.architecture = config.architecture
        self.reads = first or config.architecture == "skip"
        if self.reads:
            self.fromrgb = Conv(3, width, 1, clamp=config.clamp)
        self.conv0 = Conv(width, width, 3, clamp=config.clamp)
        self.conv1 = Conv(width, outputs, 3, scale="down", clamp=config.clamp)
        if config.architecture == "resnet":
            self.skip = Conv(width, outputs, 1, scale="down", active=False)

    def forward(self, x: Tensor | None, picture: Tensor) -> tuple[Tensor, Tensor]:
        if self.reads:
            y = self.fromrgb(picture)
            x = y if x is None else x + y
            if self.architecture == "skip":
                picture = downsample(picture)
        assert x is not None
        if self.architecture == "resnet":
            gain = math.sqrt(0.5)
            return self.conv1(self.conv0(x), gain) + self.skip(x, gain), picture
        return self.conv1(self.conv0(x)), picture


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Append one feature map: the mean standard deviation over groups of pictures; (B, C, H, W) -> (B, C + 1, H, W).

    B must be divisible by min(group, B).
    """
    B, C, H, W = x.shape
    G = min(group, B)
    y = x.float().reshape(G, B // G, C, H, W)
    deviation = ((y - y.mean(0)).square().mean(0) + EPS).sqrt().mean((1, 2, 3))
    return torch.cat((x, deviation.to(x.dtype).repeat(G)[:, None, None, None].expand(B, 1, H, W)), 1)


class Epilogue(nn.Module):
    """The last layers, at 4 x 4: (B, C, 4, 4) -> (B, 1)."""

    def __init__(self, channels: int, config: DiscriminatorConfig):
        super().__init__()
        self.group = config.group
        if config.architecture == "skip":
            self.fromrgb = Conv(3, channels, 1)
        self.reads = config.architecture == "skip"
        self.conv = Conv(channels + 1, channels, 3, clamp=config.clamp)
        self.fc = Dense(channels * 16, channels, active=True)
        self.out = Dense(channels, 1)

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        if self.reads:
            x = x + self.fromrgb(picture)
        return self.out(self.fc(self.conv(minibatch_deviation(x, self.group)).flatten(1)))


class Discriminator(nn.Module):
    """Picture (B, 3, size, size), -1 to 1 -> score (B, 1); higher is truer."""

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        sizes = [2 ** i for i in range(int(math.log2(config.size)), 2, -1)]
        channels = {s: channels_at(s, config.channel_base, config.channel_max) for s in (*sizes, 4)}
        for s in sizes:
            self.add_module(f"b{s}", DiscriminatorBlock(channels[s // 2], channels[s], config, first=s == config.size))
        self.b4 = Epilogue(channels[4], config)

    def forward(self, picture: Tensor) -> Tensor:
        x: Tensor | None = None
        for block in list(self.children())[:-1]:
            x, picture = block(x, picture)
        assert x is not None
        with torch.autocast(x.device.type, enabled=False):  # the deviation over pictures and the score need all their digits
            return self.b4(x.float(), picture.float())
