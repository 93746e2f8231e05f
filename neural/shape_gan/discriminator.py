# SPDX-License-Identifier: GPL-3.0-or-later
"""The discriminator D of Sun et al. 2023, section 3.3.1: the generator's trunk with two output branches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .trunk import trunk


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Constructor arguments, kept as JSON beside the weights."""

    coefficient_count: int = 144
    """n_c."""
    emotion_count: int = 7
    """n_e."""
    hidden: int = 512
    """n_h: units of a hidden layer."""
    layers: int = 4
    """Hidden layers."""
    slope: float = 0.2
    """Of LeakyReLU below zero; the paper does not give it."""
    model_hash: str = ""
    """The face model whose coefficients these are."""


class Discriminator(nn.Module):
    """n_c -> hidden layers -> the critic D_rf (one unbounded value, as Wasserstein GANs have it) and the emotion vector D_reg."""

    def __init__(self, config: DiscriminatorConfig = DiscriminatorConfig()):
        super().__init__()
        self.config = config
        self.trunk = trunk(config.coefficient_count, config.hidden, config.layers, config.slope)
        self.critic = nn.Linear(config.hidden, 1)
        self.regression = nn.Linear(config.hidden, config.emotion_count)

    def forward(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """c (N, n_c) -> D_rf (N,) and D_reg (N, n_e)."""
        hidden = self.trunk(c)
        return self.critic(hidden)[:, 0], self.regression(hidden)

    def critic_gradient(self, c: Tensor) -> Tensor:
        """(N, n_c): dD_rf/dc, in closed form and differentiable in the weights.

        A LeakyReLU network is linear in pieces: within one, the gradient is the product of the weight matrices, each row scaled by
        the slope of its unit. The slopes are constants, so one backward pass differentiates this; the usual way
        (`autograd.grad(..., create_graph=True)`) builds a second graph over the first for the same numbers.
        """
        slopes = []
        with torch.no_grad():
            x = c
            for i in range(0, 2 * self.config.layers, 2):
                y = self.trunk[i](x)
                x = self.trunk[i + 1](y)
                slopes.append(torch.where(y > 0, y.new_ones(()), y.new_full((), self.config.slope)))
        gradient = self.critic.weight * slopes[-1]
        for i in range(self.config.layers - 1, 0, -1):
            gradient = (gradient @ self.trunk[2 * i].weight) * slopes[i - 1]
        return gradient @ self.trunk[0].weight
