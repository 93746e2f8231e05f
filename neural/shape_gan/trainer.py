# SPDX-License-Identifier: GPL-3.0-or-later
"""The training of level 1 (Sun et al. 2023, sections 3.3.3 and 4.1.2): lean, repeatable, resumable.

An iteration updates the discriminator `critic_steps` times and the generator once. Half of each batch are neutral frames c,
which get a target e: the emotion of another frame of the data, at an intensity drawn evenly from 0 to 1, and for a part of them 0. The other
half are frames c* with their label e*. What is false for the discriminator is G(c, e) and G(c*, 0); what is true are the frames themselves.

Everything random of a block of iterations is drawn at once from (seed, number of the block), so a training that was stopped
and resumed gives the bytes of one that was not, on one kind of machine and number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...mesh.errors import MienError
from . import losses
from .config import TrainConfig
from .data import Coefficients
from .discriminator import Discriminator, DiscriminatorConfig
from .generator import Generator, GeneratorConfig
from .losses import Norms, Weights
from .trunk import load_network

DISCRIMINATOR_WEIGHTS = "discriminator.safetensors"
"""Their name in an actor folder."""
BLOCK = 100
"""Iterations whose random numbers are drawn together."""
LOSSES = ("d", "d_adv", "d_gp", "d_reg", "g", "g_adv", "g_reg", "g_rec", "g_mouth", "g_r", "g_lin")
"""Columns of losses.csv: equations 6 and 7 and their terms, before their weights."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one update sees; n = half a batch."""

    c: Tensor
    """(2n, n_c): n neutral frames, then n with an emotion."""
    label: Tensor
    """(2n, n_e): zeros, then e*."""
    target: Tensor
    """(2n, n_e): e for the neutral frames, then zeros."""
    mix: Tensor
    """(2n, 1) in 0..1: where between true and false the gradient penalty is taken."""
    kind: Tensor
    """(n, n_e): the neutral frames' e at intensity 1."""
    strength: Tensor
    """(n, 1) in 0..1: of e."""
    other: Tensor
    """(n, 1) in 0..1: a second intensity to compare with."""


def step_size(config: TrainConfig, iteration: int) -> float:
    """Adam's step in this iteration: `lr`, falling linearly to zero over the last part `decay`. The two networks of a game circle around
    their balance by about the size of their steps; smaller steps at the end let the generator settle."""
    left = (config.iterations - iteration) / config.iterations
    return config.lr * min(1.0, left / config.decay) if config.decay else config.lr


class Sampler:
    """Batches as a pure function of (seed, iteration, step)."""

    def __init__(self, data: Coefficients, config: TrainConfig):
        data.check()
        self._c, self._e = torch.from_numpy(data.c), torch.from_numpy(data.emotion)
        neutral = torch.from_numpy(data.neutral)
        self._neutral, self._emotional = torch.nonzero(neutral)[:, 0], torch.nonzero(~neutral)[:, 0]
        self._kind = self._e / self._e.amax(1, keepdim=True).clamp_min(1e-6)
        self._config, self._half, self._block = config, config.batch // 2, -1

    def _draw(self, block: int) -> None:
        random = torch.Generator().manual_seed(self._config.seed * 1_000_003 + block + 1)
        shape = (BLOCK, self._config.critic_steps + 1, self._half)

        def pick(rows: Tensor) -> Tensor:
            return rows[torch.randint(len(rows), shape, generator=random)]

        self._rows = torch.cat((pick(self._neutral), pick(self._emotional)), 2)
        self._kinds, self._strength = self._kind[pick(self._emotional)], torch.rand((*shape, 1), generator=random)
        self._strength[:, :, : round(self._config.rest * self._half)] = 0
        self._mix = torch.rand((*shape[:2], 2 * self._half, 1), generator=random)
        self._other = torch.rand((*shape, 1), generator=random)
        self._none = torch.zeros(self._half, self._e.shape[1])
        self._block = block

    def batch(self, iteration: int, step: int) -> Batch:
        """`step` counts the updates within the iteration: the discriminator's, then the generator's."""
        if iteration // BLOCK != self._block:
            self._draw(iteration // BLOCK)
        at = iteration % BLOCK, step
        rows, kind, strength = self._rows[at], self._kinds[at], self._strength[at]
        return Batch(self._c[rows], self._e[rows], torch.cat((kind * strength, self._none)), self._mix[at], kind, strength, self._other[at])


class Training:
    """Both networks and their optimisers; `iterate` does one iteration."""

    def __init__(self, norms: Norms, n_c: int, n_e: int, config: TrainConfig, model_hash: str = ""):
        torch.manual_seed(config.seed)
        A = norms.identity_count
        self.norms, self.config = norms, config
        self.weights = Weights(config.gp, config.reg, config.rec, config.mouth, config.r, config.lin)
        self.generator = Generator(GeneratorConfig(A, n_c - A, n_e, config.hidden, model_hash=model_hash))
        if config.copy:
            self.generator.start_as_identity()
        self.discriminator = Discriminator(DiscriminatorConfig(n_c, n_e, config.hidden, model_hash=model_hash))
        options = {"lr": config.lr, "betas": (config.beta1, config.beta2), "fused": True}
        self._g, self._d = list(self.generator.parameters()), list(self.discriminator.parameters())
        self.adam_g, self.adam_d = torch.optim.Adam(self._g, **options), torch.optim.Adam(self._d, **options)

    def iterate(self, sampler: Sampler, iteration: int) -> dict[str, Tensor]:
        """One iteration; the losses by the names of LOSSES, as tensors, so that nothing waits for a number nobody reads."""
        out: dict[str, Tensor] = {}
        for adam in (self.adam_g, self.adam_d):
            adam.param_groups[0]["lr"] = step_size(self.config, iteration)
        for step in range(self.config.critic_steps):
            out.update(self.update_discriminator(sampler.batch(iteration, step)))
        out.update(self.update_generator(sampler.batch(iteration, self.config.critic_steps)))
        return out

    def update_discriminator(self, b: Batch) -> dict[str, Tensor]:
        """Equation 6."""
        with torch.no_grad():
            fake = self.generator(b.c, b.target)
            between = fake + b.mix * (b.c - fake)
        n = len(b.c)
        score, found = self.discriminator(torch.cat((b.c, fake)))
        adv = losses.adversarial(score[:n], score[n:])
        gp = losses.gradient_penalty(self.discriminator.critic_gradient(between))
        reg = losses.regression(b.label, found[:n])
        total = losses.discriminator_loss(self.weights, adv, gp, reg)
        self._step(total, self._d, self.adam_d)
        return {"d": total.detach(), "d_adv": adv.detach(), "d_gp": gp.detach(), "d_reg": reg.detach()}

    def update_generator(self, b: Batch) -> dict[str, Tensor]:
        """Equation 7. The true frames of L_adv do not depend on G, so only the false ones are computed."""
        n = len(b.c) // 2
        edited = self.generator(b.c, b.target)
        back = self.generator(edited, b.label)
        score, found = self.discriminator(edited)
        adv = -score.mean()
        reg = losses.regression(b.target, found)
        rec = losses.cycle(self.norms, b.c[:n], back[:n], b.c[n:], back[n:])
        mouth = losses.mouth(self.norms, b.c[:n], edited[:n], b.c[n:], edited[n:])
        r = losses.identity(self.norms, b.c, edited)
        lin = self._linearity(b, edited[:n]) if self.weights.lin else torch.zeros(())
        total = losses.generator_loss(self.weights, adv, reg, rec, mouth, r, lin)
        self._step(total, self._g, self.adam_g)
        return {"g": total.detach(), "g_adv": adv.detach(), "g_reg": reg.detach(), "g_rec": rec.detach(), "g_mouth": mouth.detach(),
                "g_r": r.detach(), "g_lin": lin.detach()}

    def _linearity(self, b: Batch, edited: Tensor) -> Tensor:
        """Of the neutral frames, whose G(c, e) is known."""
        c = b.c[: len(edited)]
        other, full, none = self.generator(torch.cat((c, c, c)), torch.cat((b.kind * b.other, b.kind, torch.zeros_like(b.kind)))).chunk(3)
        return losses.linearity(self.norms, b.strength - b.other, edited - other, full - none)

    def _step(self, loss: Tensor, parameters: list[Tensor], optimiser: torch.optim.Optimizer) -> None:
        """Gradients of these parameters only: the other network's are not computed."""
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True)):
            parameter.grad = gradient
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip)
        optimiser.step()

    def begin_with(self, weights: Path) -> None:
        """Take a trained generator's weights, and its discriminator's where they lie beside it. Raises MienError when they do not fit."""
        for network, kind, config, path in ((self.generator, Generator, GeneratorConfig, weights),
                                            (self.discriminator, Discriminator, DiscriminatorConfig, weights.with_name(DISCRIMINATOR_WEIGHTS))):
            if network is self.discriminator and not path.exists():
                continue
            trained = load_network(kind, config, path)
            if trained.config != network.config:
                raise MienError(f"{path} holds a network of another size or for another face model; start from other weights, or from none.")
            network.load_state_dict(trained.state_dict())

    # -- the state as plain tensors ---------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Everything that changes in training, by name, for a safetensors file."""
        out = {}
        for name, network, optimiser in self._halves():
            for key, value in network.state_dict().items():
                out[f"{name}.{key}"] = value
            for i, parameter in enumerate(optimiser.param_groups[0]["params"]):
                for key, value in optimiser.state.get(parameter, {}).items():
                    out[f"adam_{name}.{i}.{key}"] = value
        return {k: v.detach().contiguous().clone() for k, v in out.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`. Raises RuntimeError or KeyError when it does not fit."""
        for name, network, optimiser in self._halves():
            network.load_state_dict({k[len(name) + 1:]: v for k, v in state.items() if k.startswith(name + ".")})
            for i, parameter in enumerate(optimiser.param_groups[0]["params"]):
                optimiser.state[parameter] = {key: state[f"adam_{name}.{i}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}

    def _halves(self) -> tuple[tuple[str, torch.nn.Module, torch.optim.Optimizer], ...]:
        return ("generator", self.generator, self.adam_g), ("discriminator", self.discriminator, self.adam_d)
