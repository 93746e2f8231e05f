# SPDX-License-Identifier: GPL-3.0-or-later
"""Adaptive discriminator augmentation for few pictures (Karras et al. 2020b, "Training generative adversarial networks with limited data").

What the discriminator sees, true and made, is flipped, turned, shifted, scaled and recoloured, each with probability p; p follows the
sign heuristic of section 3: it grows while D is surer of true pictures than `target`. Strengths are those of their appendix B.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MOST = 0.8
"""p at most: above it the augmentations begin to show in what is made (their figure 4)."""
LUMA = (1.0, 1.0, 1.0)


def next_probability(p: float, mean_sign: float, target: float, shown: int, kimg: float) -> float:
    """p after `shown` more pictures: up when the mean sign of D on true pictures is above the target, else down; from 0 to 1 in `kimg` thousand."""
    step = shown / (kimg * 1000)
    return min(max(p + math.copysign(step, mean_sign - target), 0.0), MOST)


class _Dice:
    """Random numbers for each picture of a batch, neutral where the probability p does not hit."""

    def __init__(self, batch: int, p: float, generator: torch.Generator):
        self.batch, self.p, self.generator = batch, p, generator

    def uniform(self) -> Tensor:
        return torch.rand(self.batch, generator=self.generator, device=self.generator.device)

    def normal(self) -> Tensor:
        return torch.randn(self.batch, generator=self.generator, device=self.generator.device)

    def sometimes(self, value: Tensor, neutral: float, p: float | None = None) -> Tensor:
        return torch.where(self.uniform() < (self.p if p is None else p), value, torch.full_like(value, neutral))


def _matrix(rows: list[list[Tensor | float]], like: Tensor) -> Tensor:
    """(B, n, n) of entries that are (B,) or numbers."""
    return torch.stack([torch.stack([v if isinstance(v, Tensor) else torch.full_like(like, v) for v in row], -1) for row in rows], -2)


def _scale(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]], x)


def _turn(angle: Tensor) -> Tensor:
    c, s = angle.cos(), angle.sin()
    return _matrix([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], angle)


def _shift(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]], x)


def place_matrix(batch: int, p: float, size: int, generator: torch.Generator) -> Tensor:
    """(B, 3, 3): where each place of the new picture lies in the old one, in -1..1."""
    dice = _Dice(batch, p, generator)
    flip = dice.sometimes(1 - 2 * (dice.uniform() * 2).floor(), 1)
    m = _scale(flip, torch.ones_like(flip))
    m = m @ _turn(dice.sometimes((dice.uniform() * 4).floor(), 0) * (math.pi / 2))
    # A shift by whole pixels: both axes at once.
    hit = dice.sometimes(torch.ones_like(flip), 0)
    whole = [((dice.uniform() * 2 - 1) * 0.125 * size).round() * (2 / size) * hit for _ in range(2)]
    m = m @ _shift(*whole)
    s = dice.sometimes(torch.exp2(dice.normal() * 0.2), 1)
    m = m @ _scale(s, s)
    p_turn = 1 - math.sqrt(1 - p)  # two turns, before and after the stretch; either with probability p
    m = m @ _turn(dice.sometimes((dice.uniform() * 2 - 1) * math.pi, 0, p_turn))
    s = dice.sometimes(torch.exp2(dice.normal() * 0.2), 1)
    m = m @ _scale(s, 1 / s)
    m = m @ _turn(dice.sometimes((dice.uniform() * 2 - 1) * math.pi, 0, p_turn))
    hit = dice.sometimes(torch.ones_like(flip), 0)
    return m @ _shift(dice.normal() * 0.25 * hit, dice.normal() * 0.25 * hit)


def colour_matrix(batch: int, p: float, generator: torch.Generator) -> Tensor:
    """(B, 4, 4) on colours (R, G, B, 1) in -1..1: brightness, contrast, luma flip, hue, saturation."""
    dice = _Dice(batch, p, generator)
    one = torch.eye(4, device=generator.device).expand(batch, 4, 4)
    v = F.normalize(torch.tensor((*LUMA, 0.0), device=generator.device), dim=0)
    axis = v[:, None] * v[None, :]

    def spread(value: Tensor) -> Tensor:
        return value[:, None, None]

    b = dice.sometimes(dice.normal() * 0.2, 0)
    m = _matrix([[1.0, 0.0, 0.0, b], [0.0, 1.0, 0.0, b], [0.0, 0.0, 1.0, b], [0.0, 0.0, 0.0, 1.0]], b)
    c = dice.sometimes(torch.exp2(dice.normal() * 0.5), 1)
    m = torch.diag_embed(torch.stack((c, c, c, torch.ones_like(c)), -1)) @ m
    m = (one - 2 * axis * spread(dice.sometimes((dice.uniform() * 2).floor(), 0))) @ m
    angle = dice.sometimes((dice.uniform() * 2 - 1) * math.pi, 0)
    m = _about_luma(angle) @ m
    s = dice.sometimes(torch.exp2(dice.normal()), 1)
    keep = axis + torch.diag(torch.tensor((0.0, 0.0, 0.0, 1.0), device=generator.device))
    return (keep + (one - keep) * spread(s)) @ m


def _about_luma(angle: Tensor) -> Tensor:
    """(B, 4, 4): colours turned about the grey axis (Rodrigues)."""
    c, s, k = angle.cos(), angle.sin() / math.sqrt(3), (1 - angle.cos()) / 3
    rows: list[list[Tensor | float]] = [[c + k, k - s, k + s, 0.0], [k + s, c + k, k - s, 0.0], [k - s, k + s, c + k, 0.0], [0.0, 0.0, 0.0, 1.0]]
    return _matrix(rows, angle)


def augment(pictures: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Pictures (B, 3, H, H), -1 to 1, as the discriminator sees them; unchanged at p = 0.

    One affine map with bicubic sampling, which leaves a picture that is only shifted or turned by whole steps as it is, so that nothing
    teaches the generator to sharpen; mirrored at the borders.
    """
    if p <= 0:
        return pictures
    B, _, H, _ = pictures.shape
    place, colour = place_matrix(B, p, H, generator).to(pictures.device), colour_matrix(B, p, generator).to(pictures.device)
    grid = F.affine_grid(place[:, :2], [B, 3, H, H], align_corners=False)
    x = F.grid_sample(pictures.float(), grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return torch.einsum("bij,bjhw->bihw", colour[:, :3, :3], x) + colour[:, :3, 3, None, None]
