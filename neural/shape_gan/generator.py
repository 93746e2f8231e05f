# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator G(c, e) of Sun et al. 2023, section 3.3.1: fully connected, four hidden layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .trunk import trunk


@dataclass(frozen=True)
class GeneratorConfig:
    """Constructor arguments, kept as JSON beside the weights."""

    identity_count: int = 80
    """A: size of alpha."""
    expression_count: int = 64
    """B: size of beta; n_c = A + B."""
    emotion_count: int = 7
    """n_e: emotion types without the neutral one."""
    hidden: int = 512
    """n_h: units of a hidden layer."""
    layers: int = 4
    """Hidden layers."""
    slope: float = 0.2
    """Of LeakyReLU below zero; the paper does not give it."""
    model_hash: str = ""
    """The face model whose coefficients these are."""

    @property
    def coefficient_count(self) -> int:
        return self.identity_count + self.expression_count


class Generator(nn.Module):
    """n_c + n_e -> hidden layers with LeakyReLU -> n_c."""

    def __init__(self, config: GeneratorConfig = GeneratorConfig()):
        super().__init__()
        self.config = config
        self.trunk = trunk(config.coefficient_count + config.emotion_count, config.hidden, config.layers, config.slope)
        self.output = nn.Linear(config.hidden, config.coefficient_count)

    @torch.no_grad()
    def start_as_identity(self) -> bool:
        """Set the weights so that G(c, e) = c for every e; False, and nothing done, where the layers are too narrow.

        The paper leaves the start open. From random weights the generator first has to learn to copy 144 numbers, and may settle on
        another face and back, which the cycle does not punish. The copy needs no skip connection: with two units for each coefficient,
        LeakyReLU(x) - LeakyReLU(-x) = (1 + slope) x. The other units start at random and without a say in the output.
        """
        n, scale = self.config.coefficient_count, 1 / (1 + self.config.slope)
        if self.config.hidden < 2 * n:
            return False
        eye = torch.eye(n)
        first, *others = (self.trunk[2 * i] for i in range(self.config.layers))
        first.weight[: 2 * n] = 0
        first.weight[:n, :n], first.weight[n : 2 * n, :n] = eye, -eye
        join = torch.cat((eye, -eye), 1) * scale
        for layer in others:
            layer.weight[: 2 * n] = 0
            layer.weight[:n, : 2 * n], layer.weight[n : 2 * n, : 2 * n] = join, -join
        self.output.weight.zero_()
        self.output.weight[:, : 2 * n] = join
        self.output.bias.zero_()
        for layer in (first, *others):
            layer.bias[: 2 * n] = 0
        return True

    def forward(self, c: Tensor, e: Tensor) -> Tensor:
        """c (N, n_c) = (alpha, beta), e (N, n_e) in 0..1 -> new coefficients (N, n_c)."""
        return self.output(self.trunk(torch.cat((c, e), 1)))
