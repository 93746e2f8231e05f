# SPDX-License-Identifier: GPL-3.0-or-later
"""The training of the pSp encoder on a trained generator (Richardson et al. 2021, section 3.3): log, preview, checkpoint, best encoder kept."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...mesh.errors import MienError
from ..progress import Cancelled, Reporter
from . import encoder_losses as losses
from .config import EncoderConfig, PspConfig, fixed_part
from .data import split
from .encoder import Encoder, encoder_view
from .files import load_network, load_tensors, plain_state, save_network, save_tensors, to_pixels, write_sheet
from .generator import Generator
from .run import Log, as_tensor, deterministic

ENCODER, CHECKPOINT, LOG = "encoder.safetensors", "encoder_checkpoint.safetensors", "encoder_losses.csv"
COLUMNS = ("step", "loss", "l2", "perceptual", "reg", "held_out_psnr")
VIEW = 256
"""Height and width of the largest picture that an encoder looks at."""
STAGE = "pSp encoder"

Perceptual = Callable[[Tensor, Tensor], Tensor]


def encoder_config(config: PspConfig, generator: Generator) -> EncoderConfig:
    """An encoder for this generator."""
    g = generator.config
    return EncoderConfig(min(g.size, VIEW), g.layers, g.w_dim, config.width, (3, 4, 14, 3) if config.units == 24 else (1, 1, 1, 1))


class EncoderTraining:
    """The encoder and its optimiser; the generator stays as it is."""

    def __init__(self, config: PspConfig, generator: Generator, mean: Tensor, perceptual: Perceptual, device: torch.device):
        """mean (layers, w_dim)."""
        torch.manual_seed(0)
        self.config, self.device, self.perceptual = config, device, perceptual
        self.generator = copy.deepcopy(generator).to(device).eval().requires_grad_(False)
        self.mean = mean.to(device)
        self.encoder = Encoder(encoder_config(config, generator)).to(device)
        self.adam = torch.optim.Adam(self.encoder.parameters(), lr=config.lr)

    def made(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(what the generator makes of the encoder's latents, their offsets from the mean)."""
        offsets = self.encoder(encoder_view(pictures, self.encoder.config.size))
        return self.generator.synthesis(self.mean + offsets), offsets

    def losses(self, pictures: Tensor) -> dict[str, Tensor]:
        """Equation 7: the weighted sum and its parts."""
        made, offsets = self.made(pictures)
        view = self.encoder.config.size  # as published, errors are measured at the encoder's size
        seen, wanted = encoder_view(made, view), encoder_view(pictures, view)
        out = {"l2": losses.pixel_loss(seen, wanted), "perceptual": self.perceptual(seen, wanted).mean(), "reg": losses.latent_loss(offsets)}
        c = self.config
        return {"loss": c.l2 * out["l2"] + c.perceptual * out["perceptual"] + c.reg * out["reg"], **out}

    def iterate(self, pictures: Tensor, step: int) -> dict[str, float]:
        """One update on a batch of `pictures` (N, 3, H, H) uint8."""
        dice = torch.Generator().manual_seed(step)
        batch = pictures[torch.randint(len(pictures), (self.config.batch,), generator=dice)].to(self.device).float() / 127.5 - 1
        self.encoder.train()
        found = self.losses(batch)
        self.adam.zero_grad()
        found["loss"].backward()
        self.adam.step()
        return {k: float(v.detach()) for k, v in found.items()}

    @torch.no_grad()
    def psnr(self, pictures: Tensor) -> float:
        """In dB, of all the pictures (N, 3, H, H) -1..1 together."""
        self.encoder.eval()
        error = [(self.made(part.to(self.device))[0].clamp(-1, 1) - part.to(self.device)).square().mean((1, 2, 3)) for part in pictures.split(8)]
        return float(10 * torch.log10(4 / torch.cat(error).mean()))


def train_encoder(textures: np.ndarray, generator: Generator, mean: Tensor, folder: Path, config: PspConfig, report: Reporter, *,
                  perceptual: Perceptual | None = None, resume: bool = False, device: torch.device | None = None) -> tuple[Encoder, dict[str, Any]]:
    """Train on textures (N, H, H, 3) uint8; returns the encoder that was best on the held-out ones, and its facts.

    `perceptual` (made, wanted) -> distances; without one the pyramid loss stands in, and the user is told. Raises Cancelled, after a checkpoint.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    deterministic(device)
    if perceptual is None and config.perceptual:
        report.warn("No LPIPS weights were given, so the encoder's perceptual loss is our Laplacian pyramid loss; see docs/stylegan.md.")
    training = EncoderTraining(config, generator, mean, perceptual or losses.pyramid_loss, device)
    shown, held_out = (as_tensor(part) for part in split(textures))
    truth = held_out.float() / 127.5 - 1
    digest = hashlib.sha256(np.ascontiguousarray(textures).tobytes())
    for tensor in plain_state(generator).values():
        digest.update(tensor.numpy().tobytes())
    facts = {**fixed_part(config), "data": digest.hexdigest()[:16], "lpips": perceptual is not None}
    log, done, best, path = Log(folder / LOG, COLUMNS), 0, float("-inf"), folder / CHECKPOINT
    if resume and path.exists():
        done, best = _resume(training, path, facts)
        log.read(done)

    def save() -> None:
        log.write()
        states = {f"{i}.{k}": v for i, p in enumerate(training.encoder.parameters()) for k, v in training.adam.state.get(p, {}).items()}
        save_tensors(path, {**plain_state(training.encoder, "encoder."), **{f"adam.{k}": v.cpu().contiguous() for k, v in states.items()}},
                     {"step": done, "best": best, "facts": facts})

    every, sums = max(1, config.steps // 50), dict.fromkeys(COLUMNS[1:5], 0.0)
    report.step(STAGE, done, config.steps)
    while done < config.steps:
        found = training.iterate(shown, done)
        if not np.isfinite(found["loss"]):
            raise MienError(f"The encoder lost its numbers at step {done}; start again with a smaller --encoder-lr.")
        sums = {k: v + found[k] / every for k, v in sums.items()}
        done += 1
        if done % every == 0:
            psnr = training.psnr(truth)
            log.rows.append([done, *sums.values(), psnr])
            sums = dict.fromkeys(sums, 0.0)
            if psnr > best:
                best = psnr
                save_network(training.encoder, folder / ENCODER)
            with torch.no_grad():
                few = truth[:8]
                write_sheet(folder / "preview" / "encoder.png", [to_pixels(few), to_pixels(training.made(few.to(device))[0])])
            save()
        try:
            report.step(STAGE, done, config.steps)
        except Cancelled:
            save()
            raise
    encoder = load_network(Encoder, EncoderConfig, folder / ENCODER)
    return encoder, {"steps": done, "held_out_psnr": best}


def _resume(training: EncoderTraining, path: Path, facts: dict[str, Any]) -> tuple[int, float]:
    tensors, record = load_tensors(path)
    try:
        for name, value in facts.items():
            if record["facts"].get(name) != value:
                raise MienError(f"{path} was trained with {name} {record['facts'].get(name)}, not {value}; resume with the same data and settings.")
        training.encoder.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("encoder.")})
        for i, parameter in enumerate(training.encoder.parameters()):
            values = {k.rsplit(".", 1)[1]: v for k, v in tensors.items() if k.startswith(f"adam.{i}.")}
            if values:
                training.adam.state[parameter] = {k: v.clone() if k == "step" else v.to(training.device).clone() for k, v in values.items()}
        return int(record["step"]), float(record["best"])
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise MienError(f"{path} cannot be used ({str(error).splitlines()[0]}); start the training without --resume.") from error
