# SPDX-License-Identifier: GPL-3.0-or-later
"""One update after the other of the generator and its discriminator, and their whole state as plain tensors.

Every random number of an iteration comes from a generator seeded by the training's seed and the iteration, so that a resumed training needs no
state of one and gives the same bytes.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...mesh.errors import MienError
from . import losses
from .augment import augment, next_probability
from .config import DiscriminatorConfig, GeneratorConfig, StyleGanConfig
from .discriminator import Discriminator
from .generator import Generator, random_noise
from .published import Published

PATH_EVERY, R1_EVERY, ADA_EVERY = 4, 16, 4
"""Iterations between two path length penalties, two R1 penalties (Karras et al. 2020, appendix B) and two steps of the augmentation."""
PATH_DECAY, W_DECAY = 0.99, 0.995
"""Of the running means of path length and of w."""


def r1_weight(config: StyleGanConfig) -> float:
    """gamma: as given, or 0.0002 size^2 / batch (Karras et al. 2020b, table 7)."""
    return config.gamma or 0.0002 * config.size ** 2 / config.batch


class Training:
    """Both networks, the averaged generator, both optimisers, and what the regularisers remember."""

    def __init__(self, config: StyleGanConfig, device: torch.device, start: Published | None = None):
        """start: published networks to begin with. Raises MienError when their pictures have another size."""
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        net = {"size": config.size, "channel_base": config.channel_base, "channel_max": config.channel_max}
        generator = Generator(GeneratorConfig(z_dim=config.z_dim, w_dim=config.w_dim, mapping_layers=config.mapping_layers, **net))
        discriminator = Discriminator(DiscriminatorConfig(**net))
        if start is not None and start.generator is not None:
            if start.generator.config.size != config.size:
                raise MienError(f"The weights to start from make pictures of {start.generator.config.size} pixels; train with --size "
                                f"{start.generator.config.size}.")
            generator, discriminator = start.generator, start.discriminator or discriminator
        self.generator = generator.to(device).train()
        self.discriminator = discriminator.to(device).train()
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.adam_g = self._adam(self.generator, PATH_EVERY if config.path else 0)
        self.adam_d = self._adam(self.discriminator, R1_EVERY)
        self.path_mean = torch.zeros((), device=device)
        self.signs = torch.zeros(2, device=device)  # sum of signs on true pictures since the last step of the augmentation, their count
        self.p = 0.0

    def _adam(self, network: nn.Module, every: int) -> torch.optim.Adam:
        """Adam's settings corrected for regularisation that is not done in each iteration (Karras et al. 2020, appendix B)."""
        c = every / (every + 1) if every else 1.0
        return torch.optim.Adam(network.parameters(), lr=self.config.lr * c, betas=(0.0, 0.99 ** c), eps=1e-8)

    def iterate(self, pictures: Tensor, iteration: int) -> dict[str, Tensor]:
        """One iteration on all `pictures` (N, 3, H, H) uint8, of which it chooses its batches; the losses by name."""
        dice = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + iteration)
        out = {"g": self._update_generator(dice)}
        if self.config.path and iteration % PATH_EVERY == 0:
            out["path"] = self._penalise_path(dice)
        out["d"] = self._update_discriminator(self._batch(pictures, dice), dice)
        if iteration % R1_EVERY == 0:
            out["r1"] = self._penalise_gradient(self._batch(pictures, dice), dice)
        self._follow(iteration)
        if self.config.ada_target and (iteration + 1) % ADA_EVERY == 0:
            self.p = next_probability(self.p, float(self.signs[0] / self.signs[1]), self.config.ada_target, self.config.batch * ADA_EVERY,
                                      self.config.ada_kimg)
            self.signs.zero_()
        return out

    def _batch(self, pictures: Tensor, dice: torch.Generator) -> Tensor:
        index = torch.randint(len(pictures), (self.config.batch,), generator=dice, device=self.device)
        return pictures[index.to(pictures.device)].to(self.device).float() / 127.5 - 1

    def _autocast(self) -> torch.autocast:
        half = self.config.half == 2 or bool(self.config.half) and self.device.type == "cuda"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)

    def _latents(self, batch: int, dice: torch.Generator) -> Tensor:
        """w+ (batch, layers, w_dim) of new z; some change to a second z from a random layer on (style mixing, Karras et al. 2019, section 3.1)."""
        z = torch.randn((2, batch, self.generator.config.z_dim), generator=dice, device=self.device)
        w = self.generator.mapping(z[0])
        with torch.no_grad():
            self.generator.mapping.w_avg.lerp_(w.mean(0), 1 - W_DECAY)
        ws = self.generator.wide(w)
        if self.config.mixing:
            L = ws.shape[1]
            start = torch.randint(1, L, (batch, 1, 1), generator=dice, device=self.device)
            mixed = torch.rand((batch, 1, 1), generator=dice, device=self.device) < self.config.mixing
            other = (torch.arange(L, device=self.device)[None, :, None] >= start) & mixed
            ws = torch.where(other, self.generator.wide(self.generator.mapping(z[1])), ws)
        return ws

    def _make(self, batch: int, dice: torch.Generator) -> tuple[Tensor, Tensor]:
        """(pictures, w+)."""
        ws = self._latents(batch, dice)
        with self._autocast():
            return self.generator.synthesis(ws, random_noise(dice)).float(), ws

    def _score(self, pictures: Tensor) -> Tensor:
        with self._autocast():
            return self.discriminator(pictures).float()

    def _update_generator(self, dice: torch.Generator) -> Tensor:
        fake, _ = self._make(self.config.batch, dice)
        loss = losses.generator_loss(self._score(augment(fake, self.p, dice)))
        self._step(loss, self.adam_g)
        return loss.detach()

    def _penalise_path(self, dice: torch.Generator) -> Tensor:
        """Path length regularisation (Karras et al. 2020, equation 4), on half a batch."""
        pictures, ws = self._make(max(self.config.batch // 2, 1), dice)
        noise = torch.randn(pictures.shape, generator=dice, device=self.device)
        lengths = losses.path_lengths(pictures, ws, noise)
        self.path_mean.lerp_(lengths.detach().mean(), 1 - PATH_DECAY)
        loss = (lengths - self.path_mean).square().mean()
        self._step(loss * self.config.path * PATH_EVERY, self.adam_g)
        return loss.detach()

    def _update_discriminator(self, real: Tensor, dice: torch.Generator) -> Tensor:
        with torch.no_grad():
            fake, _ = self._make(self.config.batch, dice)
        score = self._score(augment(real, self.p, dice))
        self.signs += torch.stack((score.detach().sign().sum(), torch.tensor(float(len(score)), device=self.device)))
        loss = losses.discriminator_loss(score, self._score(augment(fake, self.p, dice)))
        self._step(loss, self.adam_d)
        return loss.detach()

    def _penalise_gradient(self, real: Tensor, dice: torch.Generator) -> Tensor:
        """R1, by the gradient at what the discriminator sees: the augmented picture."""
        seen = augment(real, self.p, dice).detach().requires_grad_()
        loss = losses.r1(self._score(seen), seen)
        self._step(loss * (r1_weight(self.config) / 2 * R1_EVERY), self.adam_d)
        return loss.detach()

    @staticmethod
    def _step(loss: Tensor, optimiser: torch.optim.Adam) -> None:
        """Gradients of this optimiser's parameters only: the other network's are not computed."""
        parameters = optimiser.param_groups[0]["params"]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)):
            parameter.grad = torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5)
        optimiser.step()

    def _follow(self, iteration: int) -> None:
        """The averaged generator goes after the trained one."""
        shown = (iteration + 1) * self.config.batch
        half_life = min(self.config.ema_kimg * 1000, shown * self.config.ema_rampup)
        weight = 1 - 0.5 ** (self.config.batch / max(half_life, 1e-8))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.generator.parameters()):
                slow.lerp_(fast, weight)
            for slow, fast in zip(self.average.buffers(), self.generator.buffers()):
                slow.copy_(fast)

    # -- the state as plain tensors ---------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Everything that changes in training, by name, for a safetensors file."""
        out = {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for name, network, optimiser in self._halves():
            out |= {f"{name}.{k}": v for k, v in network.state_dict().items()}
            for i, parameter in enumerate(optimiser.param_groups[0]["params"]):
                out |= {f"adam_{name}.{i}.{k}": v for k, v in optimiser.state.get(parameter, {}).items()}
        out |= {"path_mean": self.path_mean, "signs": self.signs, "p": torch.tensor(self.p, dtype=torch.float64)}
        return {k: v.detach().cpu().contiguous().clone() for k, v in out.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`. Raises RuntimeError or KeyError when it does not fit."""
        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)}

        self.average.load_state_dict(part("average."))
        for name, network, optimiser in self._halves():
            network.load_state_dict(part(f"{name}."))
            for i, parameter in enumerate(optimiser.param_groups[0]["params"]):
                values = part(f"adam_{name}.{i}.")
                if values:
                    optimiser.state[parameter] = {k: v.clone() if k == "step" else v.to(self.device).clone() for k, v in values.items()}
        self.path_mean, self.signs, self.p = state["path_mean"].to(self.device), state["signs"].to(self.device), float(state["p"])

    def _halves(self) -> tuple[tuple[str, nn.Module, torch.optim.Optimizer], ...]:
        return ("generator", self.generator, self.adam_g), ("discriminator", self.discriminator, self.adam_d)
