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

    def forward(self, c: Tensor, e: Tensor) -> Tensor:
        """c (N, n_c) = (alpha, beta), e (N, n_e) in 0..1 -> new coefficients (N, n_c)."""
        return self.output(self.trunk(torch.cat((c, e), 1)))
