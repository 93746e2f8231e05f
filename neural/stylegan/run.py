# SPDX-License-Identifier: GPL-3.0-or-later
"""A training of the generator from textures to a folder, with a log, previews and checkpoints.

The folder: generator.safetensors and .json (the averaged generator that was nearest to the held-out textures so far), discriminator.safetensors
and .json (of the same moment), checkpoint.safetensors (all of the training), distances.csv, losses.csv, train.json, preview/KIMG.png.
"""

from __future__ import annotations

import csv
import hashlib
import io
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...mesh.errors import MienError
from ...mesh.files import atomic_path, write_json
from ..progress import Cancelled, Reporter
from .config import StyleGanConfig, fixed_part
from .data import split
from .features import texture_distance, texture_features
from .files import load_tensors, save_network, save_tensors, to_pixels, write_sheet
from .generator import Generator
from .published import Published
from .trainer import Training

CHECKPOINT, LOSSES, DISTANCES, SUMMARY = "checkpoint.safetensors", "losses.csv", "distances.csv", "train.json"
LOG_EVERY, STEP = 50, 4
"""Iterations between two rows of losses.csv, and between two reports of progress, after each of which a training can be cancelled."""
STAGE = "StyleGAN2, images"


def deterministic(device: torch.device) -> None:
    """On a CPU one fixed number of threads, since sums over more or fewer round differently."""
    if device.type == "cpu":
        torch.set_num_threads(1)


def as_tensor(textures: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) uint8."""
    return torch.from_numpy(np.ascontiguousarray(textures.transpose(0, 3, 1, 2)))


@torch.no_grad()
def samples(generator: Generator, count: int, seed: int = 1, batch: int = 16) -> Tensor:
    """Pictures (count, 3, H, H) of latents that are the same at every call."""
    device = next(generator.parameters()).device
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(seed)).to(device)
    return torch.cat([generator(part).cpu() for part in z.split(batch)])


@torch.no_grad()
def features_of(generator: Generator, count: int) -> Tensor:
    """(count, 96): the features of `samples`, in constant memory."""
    device = next(generator.parameters()).device
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(2)).to(device)
    return torch.cat([texture_features(generator(part)).cpu() for part in z.split(16)])


class Log:
    """Rows of numbers in a csv file, written whole."""

    def __init__(self, path: Path, columns: tuple[str, ...]):
        self.path, self.columns, self.rows = path, columns, list[list[float]]()

    def read(self, until: float) -> None:
        """The rows of an earlier run, up to this value of the first column."""
        if self.path.exists():
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = [[float(v or "nan") for v in row] for row in list(csv.reader(file))[1:]]
            self.rows = [row for row in rows if row[0] <= until]

    def write(self) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *([f"{v:.7g}" if v == v else "" for v in row] for row in self.rows)])
        with atomic_path(self.path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")


def train(textures: np.ndarray, folder: Path, config: StyleGanConfig, report: Reporter, *, resume: bool = False,
          start: Published | None = None, device: torch.device | None = None) -> dict[str, Any]:
    """Train on textures (N, size, size, 3) uint8 RGB; returns kimg, the best distance and where it was found.

    A cancelled training leaves a checkpoint and the best generator, a killed one its last; `resume` goes on from there and gives the same bytes
    on a CPU as one that never stopped. `start`: published networks to begin with. Raises MienError when the folder holds another training.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    deterministic(device)
    checkpoint = folder / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise MienError(f"{folder} holds a training already; go on with it by --resume, or choose another folder.")
    shown, held_out = split(textures)
    pictures = as_tensor(shown)
    truth = texture_features(as_tensor(held_out).float() / 127.5 - 1)
    floor = texture_distance(texture_features(pictures.float() / 127.5 - 1), truth)
    facts = {"settings": fixed_part(config), "textures": hashlib.sha256(np.ascontiguousarray(textures).tobytes()).hexdigest()[:16]}
    training = Training(config, device, start)
    losses, distances = Log(folder / LOSSES, ("kimg", "g", "d", "r1", "path", "p")), Log(folder / DISTANCES, ("kimg", "distance", "p", "seconds"))
    done, spent, best = 0, 0.0, (float("inf"), 0.0)
    if resume and checkpoint.exists():
        done, spent, best = _resume(training, checkpoint, facts)
        for log in (losses, distances):
            log.read(done * config.batch / 1000)
    total = int(np.ceil(config.kimg * 1000 / config.batch))
    every = max(1, round(config.measure_kimg * 1000 / config.batch))
    if done >= total:
        report.warn(f"{folder} has {done * config.batch / 1000:g} kimg already; nothing is left to do.")
    recent: dict[str, list[float]] = {}
    started = time.monotonic() - spent

    def save() -> None:
        losses.write()
        distances.write()
        save_tensors(checkpoint, training.state(), {"iteration": done, "seconds": time.monotonic() - started, "best": best, "facts": facts})

    def measure() -> tuple[float, float]:
        distance, kimg = texture_distance(features_of(training.average, config.measure_count), truth), done * config.batch / 1000
        distances.rows.append([kimg, distance, training.p, time.monotonic() - started])
        rows = [shown[np.linspace(0, len(shown) - 1, 8).astype(int)], *np.split(to_pixels(samples(training.average, 24)), 3)]
        write_sheet(folder / "preview" / f"{kimg:08.2f}.png", rows)
        if distance >= best[0]:
            return best
        save_network(training.average, folder / "generator.safetensors")
        save_network(training.discriminator, folder / "discriminator.safetensors")
        return distance, kimg

    report.step(STAGE, done * config.batch, total * config.batch)
    if done == 0:
        best = measure()
    while done < total:
        for name, value in training.iterate(pictures, done).items():
            recent.setdefault(name, []).append(float(value))
        done += 1
        if done % LOG_EVERY == 0:
            row = [float(np.mean(recent.get(name, [float("nan")]))) for name in losses.columns[1:5]]
            if not np.isfinite(row[:2]).all():
                raise MienError(f"The training lost its numbers at {done * config.batch / 1000:g} kimg; start again with a smaller --lr.")
            losses.rows.append([done * config.batch / 1000, *row, training.p])
            recent.clear()
        if done % every == 0 or done == total:
            best = measure()
            save()
        if done % STEP == 0 or done == total:
            try:
                report.step(STAGE, done * config.batch, total * config.batch)
            except Cancelled:
                save()
                raise
    result = {"folder": str(folder), "kimg": done * config.batch / 1000, "distance": best[0], "best_kimg": best[1], "floor": floor,
              "textures": len(shown), "held_out": len(held_out)}
    write_json(folder / SUMMARY, {"training": asdict(config), **facts, **result, "folder": None})
    return result


def _resume(training: Training, checkpoint: Path, facts: dict[str, Any]) -> tuple[int, float, tuple[float, float]]:
    """Restore the checkpoint; returns its iteration, the seconds spent, and the best distance with its kimg."""
    state, record = load_tensors(checkpoint)
    try:
        before = record["facts"]
        for name, value in {**facts, **facts["settings"]}.items():
            old = {**before, **before["settings"]}.get(name)
            if name != "settings" and old != value:
                raise MienError(f"{checkpoint} was trained with {name} {old}, not {value}; resume with the same data and settings.")
        training.restore(state)
        return int(record["iteration"]), float(record["seconds"]), (float(record["best"][0]), float(record["best"][1]))
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise MienError(f"{checkpoint} cannot be used ({str(error).splitlines()[0]}); start the training without --resume.") from error
