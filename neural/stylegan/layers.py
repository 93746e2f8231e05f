# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers that StyleGAN2's networks share. Weights are kept at unit variance and scaled when they are used (Karras et al. 2018, section 4.1).

Parameters carry the names of NVlabs' published networks, so that those load as they are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .resample import conv_down, conv_up

SLOPE = 0.2
"""Of the leaky rectifier."""
EPS = 1e-8


def activate(x: Tensor, bias: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Leaky rectifier of x + bias, kept at unit variance by sqrt(2): x (B, C, ...), bias (C,)."""
    x = F.leaky_relu(x + bias.to(x.dtype).view(-1, *[1] * (x.ndim - 2)), SLOPE) * (math.sqrt(2) * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


class Dense(nn.Module):
    """Fully connected layer: (N, inputs) -> (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1.0, start: float = 0.0, active: bool = False):
        """rate: the learning rate's multiplier; start: the bias at first; active: followed by the leaky rectifier."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), float(start)))
        self.rate, self.gain, self.active = rate, rate / math.sqrt(inputs), active

    def forward(self, x: Tensor) -> Tensor:
        if self.active:
            return activate(F.linear(x, self.weight * self.gain), self.bias * self.rate)
        return F.linear(x, self.weight * self.gain, self.bias * self.rate)


class Conv(nn.Module):
    """Convolution with an optional change of size: (B, I, H, W) -> (B, O, H', W')."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, scale: str = "", active: bool = True, clamp: float | None = None):
        """scale: "up", "down" or ""; active: with bias and leaky rectifier, else without both."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        if active:
            self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain, self.scale, self.active, self.clamp = 1 / math.sqrt(inputs * kernel * kernel), scale, active, clamp

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        weight = self.weight * self.gain
        if self.scale == "up":
            x = conv_up(x, weight)
        elif self.scale == "down":
            x = conv_down(x, weight)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return activate(x, self.bias, gain, self.clamp) if self.active else x * gain


def modulated_conv(x: Tensor, weight: Tensor, style: Tensor, *, up: bool = False, demodulate: bool = True) -> Tensor:
    """Convolve by w'_oikl = s_i w_oikl, divided by its norm over i, k, l (Karras et al. 2020, equations 1 and 3).

    x (B, I, H, W), weight (O, I, k, k), style (B, I) -> (B, O, H, W), or twice the size with `up`. The activations are scaled before and
    after instead of the weights: the same result, with one convolution for the whole batch.
    """
    y = x * style.to(x.dtype)[:, :, None, None]
    y = conv_up(y, weight.to(x.dtype)) if up else F.conv2d(y, weight.to(x.dtype), padding=weight.shape[-1] // 2)
    if demodulate:
        norm = (style.square() @ weight.square().sum((2, 3)).T + EPS).rsqrt()
        y = y * norm.to(y.dtype)[:, :, None, None]
    return y


class Styled(nn.Module):
    """Modulated convolution, noise, bias and leaky rectifier: one layer of the synthesis network."""

    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, size: int, *, up: bool = False, clamp: float | None = None):
        """size: height and width of what comes out."""
        super().__init__()
        self.affine = Dense(w_dim, inputs, start=1)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.register_buffer("noise_const", torch.randn(size, size))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up, self.clamp = up, clamp

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, gain: float = 1.0) -> Tensor:
        """x (B, I, h, h), w (B, w_dim), noise (B or 1, 1, size, size) of unit variance or None -> (B, O, size, size)."""
        if len(w) == 1 and x.dtype == torch.float32 and not torch.is_grad_enabled():
            return self._single(x, w, noise, gain)
        y = modulated_conv(x, self.weight, self.affine(w), up=self.up)
        if noise is not None:
            y = y + (noise * self.noise_strength).to(y.dtype)
        return activate(y, self.bias, gain, self.clamp)

    def _single(self, x: Tensor, w: Tensor, noise: Tensor | None, gain: float) -> Tensor:
        """The same for one picture without gradients: all factors go into the weights (the rectifier lets positive ones through), so that the
        large activations are passed over as seldom as can be; pixel by pixel in memory, which is how the convolutions are fastest.
        """
        style, gain = self.affine(w)[0], gain * math.sqrt(2)
        norm = (self.weight.square().sum((2, 3)) @ style.square() + EPS).rsqrt() * gain
        weight, bias = self.weight * (norm[:, None] * style[None, :])[:, :, None, None], self.bias * gain
        x, weight = x.contiguous(memory_format=torch.channels_last), weight.contiguous(memory_format=torch.channels_last)
        y = conv_up(x, weight, bias) if self.up else F.conv2d(x, weight, bias, padding=1)
        if noise is not None:
            y += noise * (self.noise_strength * gain)
        F.leaky_relu_(y, SLOPE)
        return y if self.clamp is None else y.clamp_(-self.clamp * gain / math.sqrt(2), self.clamp * gain / math.sqrt(2))


class ToRgb(nn.Module):
    """Features to colours, modulated but not demodulated: (B, I, H, W), w (B, w_dim) -> (B, 3, H, W)."""

    def __init__(self, inputs: int, w_dim: int, clamp: float | None = None):
        super().__init__()
        self.affine = Dense(w_dim, inputs, start=1)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.gain, self.clamp = 1 / math.sqrt(inputs), clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y = modulated_conv(x, self.weight, self.affine(w) * self.gain, demodulate=False)
        y = y.float() + self.bias.view(1, 3, 1, 1)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)
