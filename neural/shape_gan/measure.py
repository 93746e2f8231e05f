# SPDX-License-Identifier: GPL-3.0-or-later
"""What a trained generator and discriminator do on frames that they were not trained on."""

from __future__ import annotations

import numpy as np
import torch

from .data import Coefficients
from .discriminator import Discriminator
from .generator import Generator
from .losses import DECIMETRES, Norms, squared_norm

STRONG = 0.8
"""Frames from this intensity on count for the recognition of the emotion."""
MOST = 20_000
"""Frames measured; evenly picked from more."""


@torch.no_grad()
def measures(generator: Generator, discriminator: Discriminator, norms: Norms, data: Coefficients) -> dict[str, float]:
    """Plain numbers by name, on labelled frames.

    recognised: part of the real frames of an intensity of 0.8 and more whose emotion D_reg finds; intensity: correlation of D_reg with the
    label over all real frames, of the labelled emotion; edited: as recognised, of neutral frames edited to each emotion at 1;
    cycle_mm and identity_mm: RMS over the vertices of G(G(c, e), 0) - c and of the identity's part of G(c, e) - c, for neutral c at
    intensity 1; residual_mm: RMS of what the product applies, G(c, e) - G(c, 0); mouth_mm: RMS change of the lip vectors by it.
    The regression branch is the generator's own teacher, so `edited` shows that training works, not that others would agree.
    """
    pick = np.unique(np.linspace(0, len(data) - 1, min(MOST, len(data))).astype(int))
    c, label = torch.from_numpy(data.c[pick]), torch.from_numpy(data.emotion[pick])
    found = discriminator(c)[1]
    strength, which = label.max(1)
    strong, some = strength >= STRONG, strength > 0
    out = {}
    if strong.any():
        out["recognised"] = float((found[strong].argmax(1) == which[strong]).float().mean())
    if some.any():
        own = found.gather(1, which[:, None])[:, 0]
        out["intensity"] = float(np.corrcoef(own[some].numpy(), strength[some].numpy())[0, 1])
    rest = c[~some]
    if len(rest):
        rest = rest[:: max(1, len(rest) // (MOST // 10))]
        n_e = label.shape[1]
        kinds = torch.eye(n_e).repeat_interleave(len(rest), 0)
        plain, none = rest.repeat(n_e, 1), torch.zeros(n_e * len(rest), n_e)
        edited, at_zero = generator(plain, kinds), generator(plain, none)
        change = edited - at_zero
        A = norms.identity_count
        out["edited"] = float((discriminator(plain + change)[1].argmax(1) == kinds.argmax(1)).float().mean())
        millimetres = 1000 / DECIMETRES
        out["cycle_mm"] = float(squared_norm(norms.mesh, generator(edited, none) - plain).sqrt()) * millimetres
        out["identity_mm"] = float(squared_norm(norms.identity, (edited - plain)[:, :A]).sqrt()) * millimetres
        out["residual_mm"] = float(squared_norm(norms.mesh, change).sqrt()) * millimetres
        out["mouth_mm"] = float(squared_norm(norms.mouth, change).sqrt())
    return {name: round(value, 4) for name, value in out.items()}
