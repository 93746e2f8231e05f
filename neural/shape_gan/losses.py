# SPDX-License-Identifier: GPL-3.0-or-later
"""The losses of Sun et al. 2023, section 3.3.3, equations 1-7, and one of Mien's own for even intensities.

Vertices are linear in the coefficients, so the squared norm of a vertex difference is a quadratic form in the coefficient
difference d: |V d|^2 = d' (V'V) d. The Gram matrices V'V are made once (`Norms`); no vertex is computed in training.

The paper leaves the norms' scale open, and its weights have a meaning only with one. Here a vertex norm is the mean over the
vertices of the squared distance in decimetres (the unit of BFM in the file that the paper's 3DMM comes from), and the mouth's is the
mean over the lip pairs of the squared distance in millimetres. With the paper's weights, 1 mm RMS then costs 0.5 in the
cycle (5e3), 0.1 in the identity (1e3) and 1 at the mouth (1); a regression error of 0.1 costs 2 (20).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...mesh.model import FaceModel

DECIMETRES, MILLIMETRES = 10.0, 1000.0
"""In a metre."""
TINY = 1e-12
"""Added under a square root, whose slope at 0 is infinite."""
CLOSE = 0.02
"""Intensities nearer than this count as this far apart: a difference of two numbers that are nearly equal is divided by it."""


@dataclass(frozen=True, eq=False)
class Norms:
    """Squared vertex norms of differences of coefficients d (N, n_c) as quadratic forms."""

    mesh: Tensor
    """(n_c, n_c): mean squared distance of all vertices, dm^2."""
    mouth: Tensor
    """(n_c, n_c): mean squared change of the upper-minus-lower lip vectors, mm^2."""
    identity_count: int
    """A: the first coefficients are alpha."""

    @classmethod
    def of(cls, model: FaceModel, dtype: torch.dtype = torch.float32) -> Norms:
        basis = np.concatenate((model.identity, model.expression)).astype(np.float64)
        gap = basis[:, model.lip_upper] - basis[:, model.lip_lower]
        mesh, mouth = (_gram(b * scale) for b, scale in ((basis, DECIMETRES), (gap, MILLIMETRES)))
        return cls(torch.from_numpy(mesh).to(dtype), torch.from_numpy(mouth).to(dtype), model.identity_count)

    @property
    def identity(self) -> Tensor:
        """(A, A): `mesh` of alpha alone."""
        return self.mesh[: self.identity_count, : self.identity_count]


def _gram(basis: np.ndarray) -> np.ndarray:
    """(n, P, 3) -> (n, n): d' G d = mean over the P points of the squared length of the sum of d_i basis_i."""
    flat = basis.reshape(len(basis), -1)
    return flat @ flat.T / basis.shape[1]


def squared_norm(gram: Tensor, difference: Tensor) -> Tensor:
    """Mean over the batch of d' G d; gram (n, n), difference (N, n) -> ()."""
    return ((difference @ gram) * difference).sum() / len(difference)


def adversarial(real: Tensor, fake: Tensor) -> Tensor:
    """L_adv of equations 6 and 7 by Arjovsky et al. 2017: E D_rf(real) - E D_rf(fake), each (N,) -> (). D raises it, G lowers it."""
    return real.mean() - fake.mean()


def gradient_penalty(gradient: Tensor) -> Tensor:
    """L_gp of equation 6 by Gulrajani et al. 2017: E (|dD_rf/dx| - 1)^2; gradient (N, n_c) at points between real and fake."""
    return ((gradient.square().sum(1) + TINY).sqrt() - 1).square().mean()


def regression(wanted: Tensor, found: Tensor) -> Tensor:
    """Equation 1 (labels and D_reg of data) and 2 (target and D_reg of G's output): E |e - e'|_2, each (N, n_e) -> ().

    A norm, not its square: the paper writes squares as such, in equations 3 to 5.
    """
    return ((wanted - found).square().sum(1) + TINY).sqrt().mean()


def cycle(norms: Norms, neutral: Tensor, neutral_back: Tensor, emotional: Tensor, emotional_back: Tensor) -> Tensor:
    """Equation 3: c against G(G(c, e), 0) and c* against G(G(c*, 0), e*), over vertices; each (N, n_c) -> ()."""
    return squared_norm(norms.mesh, neutral - neutral_back) + squared_norm(norms.mesh, emotional - emotional_back)


def mouth(norms: Norms, neutral: Tensor, edited: Tensor, emotional: Tensor, neutralised: Tensor) -> Tensor:
    """Equation 4: the upper-minus-lower lip vectors of c against those of G(c, e), and of c* against G(c*, 0); each (N, n_c) -> ()."""
    return squared_norm(norms.mouth, neutral - edited) + squared_norm(norms.mouth, emotional - neutralised)


def identity(norms: Norms, before: Tensor, after: Tensor) -> Tensor:
    """Equation 5: the meshes of (alpha, 0) and (alpha', 0); each (N, n_c) -> ()."""
    A = norms.identity_count
    return squared_norm(norms.identity, before[:, :A] - after[:, :A])


def linearity(norms: Norms, apart: Tensor, between: Tensor, whole: Tensor) -> Tensor:
    """Mien's own, for what LIE (equation 8) measures: the way from one intensity to another over their distance, against the whole way from 0 to 1.

    apart (N, 1), s - u; between (N, n_c), G(c, s k) - G(c, u k) for the emotion k; whole (N, n_c), G(c, k) - G(c, 0) -> ().
    """
    return squared_norm(norms.mesh, (between - apart * whole) / apart.abs().clamp_min(CLOSE))


@dataclass(frozen=True)
class Weights:
    """The weights of equations 6 and 7; the paper's values (section 4.1.2), but for the last."""

    gp: float = 10.0
    """lambda_gp: gradient penalty."""
    reg: float = 20.0
    """lambda_reg: emotion regression, of D and of G."""
    rec: float = 5e3
    """lambda_rec: cycle."""
    mouth: float = 1.0
    """lambda_mouth: mouth shape; higher keeps the lips, lower lets them express more (section 4.3.3)."""
    r: float = 1e3
    """lambda_r: identity."""
    lin: float = 0.0
    """lambda_lin: even intensities; the paper has no such loss."""


def discriminator_loss(w: Weights, adv: Tensor, gp: Tensor, reg: Tensor) -> Tensor:
    """Equation 6: L_D = -L_adv + lambda_gp L_gp + lambda_reg L_reg^D."""
    return -adv + w.gp * gp + w.reg * reg


def generator_loss(w: Weights, adv: Tensor, reg: Tensor, rec: Tensor, mouth: Tensor, r: Tensor, lin: Tensor | float = 0.0) -> Tensor:
    """Equation 7: L_G = L_adv + lambda_reg L_reg^G + lambda_rec L_rec + lambda_mouth L_mouth + lambda_r L_r, and lambda_lin L_lin."""
    return adv + w.reg * reg + w.rec * rec + w.mouth * mouth + w.r * r + w.lin * lin
