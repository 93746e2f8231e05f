# SPDX-License-Identifier: GPL-3.0-or-later
"""The pSp encoder (Richardson et al. 2021, "Encoding in Style", section 3.1): a feature pyramid over IR-SE50 that gives one latent a layer.

Parameters carry the names of the published network, so that its checkpoints load as they are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import EncoderConfig
from .layers import Dense

COARSE, MIDDLE = 3, 7
"""The first styles come from the smallest features, those before MIDDLE from the middle ones, the rest from the largest."""


class Excitation(nn.Module):
    """Squeeze and excitation (Hu et al. 2018): each feature map times a factor that depends on the means of all."""

    def __init__(self, channels: int):
        super().__init__()
        less = max(channels // 16, 1)
        self.fc1 = nn.Conv2d(channels, less, 1, bias=False)
        self.fc2 = nn.Conv2d(less, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Unit(nn.Module):
    """Improved residual unit of ArcFace (Deng et al. 2019, section 3.2.2) with excitation; (B, I, H, W) -> (B, O, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.stride = stride
        if inputs != outputs:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.same = inputs == outputs
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), Excitation(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x[:, :, ::self.stride, ::self.stride] if self.same else self.shortcut_layer(x)
        return self.res_layer(x) + shortcut


class Style(nn.Module):
    """map2style: features (B, C, size, size) -> one latent (B, w_dim), by convolutions in steps of two."""

    def __init__(self, inputs: int, w_dim: int, size: int):
        super().__init__()
        parts: list[nn.Module] = []
        for i in range(int(math.log2(size))):
            parts += [nn.Conv2d(inputs if i == 0 else w_dim, w_dim, 3, 2, 1), nn.LeakyReLU(0.01)]
        self.convs = nn.Sequential(*parts)
        self.linear = Dense(w_dim, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class Encoder(nn.Module):
    """Pictures (B, 3, size, size), -1 to 1 -> w+ (B, styles, w_dim), relative to the mean latent."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        widths = [config.width * 2 ** i for i in range(4)]
        self.input_layer = nn.Sequential(nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0]))
        units: list[nn.Module] = []
        for level, count in enumerate(config.units):
            before = widths[max(level - 1, 0)]
            units += [Unit(before if i == 0 else widths[level], widths[level], 2 if i == 0 else 1) for i in range(count)]
        self.body = nn.Sequential(*units)
        sizes = [config.size // 16 if i < COARSE else config.size // 8 if i < MIDDLE else config.size // 4 for i in range(config.styles)]
        self.styles = nn.ModuleList(Style(widths[3], config.w_dim, s) for s in sizes)
        self.latlayer1 = nn.Conv2d(widths[2], widths[3], 1)
        self.latlayer2 = nn.Conv2d(widths[1], widths[3], 1)

    def forward(self, x: Tensor) -> Tensor:
        x, ends, at = self.input_layer(x), [], 0
        for count in self.config.units:
            for i in range(at, at + count):
                x = self.body[i](x)
            at += count
            ends.append(x)
        small = ends[3]
        middle = _grown(small, self.latlayer1(ends[2]))
        large = _grown(middle, self.latlayer2(ends[1]))
        maps = [small if i < COARSE else middle if i < MIDDLE else large for i in range(self.config.styles)]
        return torch.stack([style(m) for style, m in zip(self.styles, maps)], 1)


def _grown(x: Tensor, onto: Tensor) -> Tensor:
    """x at the size of `onto`, plus it."""
    return F.interpolate(x, size=onto.shape[2:], mode="bilinear", align_corners=True) + onto


def encoder_view(pictures: Tensor, size: int) -> Tensor:
    """Pictures (B, 3, H, H) as the encoder looks at them: shrunk to its size by means over areas."""
    return pictures if pictures.shape[-1] == size else F.adaptive_avg_pool2d(pictures, size)
