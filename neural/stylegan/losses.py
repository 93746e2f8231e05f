# SPDX-License-Identifier: GPL-3.0-or-later
"""The losses of the generator and its discriminator. Scores are (N, 1), pictures (N, 3, H, W)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating loss, -log sigmoid(D(G(z))) (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z))))."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def r1(score: Tensor, pictures: Tensor) -> Tensor:
    """|dD/dx|^2 at true pictures, mean over the batch (Mescheder et al. 2018, equation 9, without gamma / 2)."""
    gradient, = torch.autograd.grad(score.sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(pictures: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """|J_w^T y| for y = noise (N, 3, H, W) of unit variance: (N,), the mean over the layers of ws (N, layers, w_dim).

    Karras et al. 2020, equation 4; y is divided by sqrt(H W) to be independent of the size.
    """
    y = noise / math.sqrt(pictures.shape[2] * pictures.shape[3])
    gradient, = torch.autograd.grad((pictures * y).sum(), ws, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()
