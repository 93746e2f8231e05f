# SPDX-License-Identifier: GPL-3.0-or-later
"""A training from its data to an actor folder, with a log, a plot and checkpoints.

The folder: generator.safetensors and .json (what the editor "gan" loads), discriminator.safetensors and .json, train.json (settings
and measures), losses.csv, losses.svg, and checkpoint.safetensors (both networks, both optimisers, the iteration and the settings
in one file, so that it is whole or not there).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ...mesh.errors import MienError
from ...mesh.files import atomic_path, write_json
from ...mesh.model import FaceModel
from ...mesh.shape_gan import ACTOR_WEIGHTS
from ..progress import Cancelled, Reporter
from .config import TrainConfig, fixed_part
from .data import Coefficients
from .losses import Norms
from .measure import measures
from .plot import loss_plot
from .trainer import DISCRIMINATOR_WEIGHTS, LOSSES, Sampler, Training
from .trunk import save_network

CHECKPOINT, LOG, PLOT, SUMMARY = "checkpoint.safetensors", "losses.csv", "losses.svg", "train.json"
STEP = 20
"""Iterations between two reports of progress, after each of which a training can be cancelled."""


def train(model: FaceModel, data: Coefficients, held_back: Coefficients | None, folder: Path, config: TrainConfig, report: Reporter, *,
          resume: bool = False, start: Path | None = None) -> dict[str, Any]:
    """Train both networks; returns iterations, the last losses and, where actors were held back, what they measure.

    start: weights of a generator that this training begins with; of its discriminator too where that lies beside it.
    A cancelled training leaves a checkpoint, a killed one its last; `resume` goes on from there and gives the same bytes as one that never stopped.
    With each checkpoint the generator is written as edits use it. Raises MienError when the folder holds another training.
    """
    data.check()
    checkpoint = folder / CHECKPOINT
    if start is not None and start.absolute() == (folder / ACTOR_WEIGHTS).absolute():
        raise MienError(f"{folder} is the actor that the training starts from; write the new one into another folder.")
    if not resume and checkpoint.exists():
        raise MienError(f"{folder} holds a training already; go on with it by --resume, or choose another folder.")
    training = Training(Norms.of(model), model.identity_count + model.expression_count, data.emotion.shape[1], config, model.hash)
    facts = {"settings": fixed_part(config), "model": model.hash, "frames": len(data), "start": file_hash(start) if start else ""}
    done, rows = 0, []
    if resume:
        done = _resume(training, checkpoint, facts)
        rows = [row for row in _read_log(folder / LOG) if row[0] <= done]
    elif start is not None:
        training.begin_with(start)
    if done >= config.iterations:
        report.warn(f"{folder} has {done} iterations already; nothing is left to do.")
    sampler = Sampler(data, config)
    for i in range(config.lead if not resume else 0):
        training.update_discriminator(sampler.batch(i, 0))
        if i % STEP == 0:
            report.step("training the discriminator", i, config.lead)
    stage = "training"
    report.step(stage, done, config.iterations)
    while done < config.iterations:
        found = training.iterate(sampler, done)
        done += 1
        last = done == config.iterations
        if done % config.log_every == 0 or last:
            values = [float(found[name]) for name in LOSSES]
            if not all(abs(v) < float("inf") for v in values):
                raise MienError(f"The training lost its numbers at iteration {done}; start again with a smaller --lr.")
            rows.append([done, *values])
        if done % config.save_every == 0 and not last:
            _save(training, folder, checkpoint, done, facts, rows)
        if done % STEP == 0 or last:
            try:
                report.step(stage, done, config.iterations)
            except Cancelled:
                _save(training, folder, checkpoint, done, facts, rows)
                raise
    _save(training, folder, checkpoint, done, facts, rows)
    result: dict[str, Any] = {"folder": str(folder), "iterations": done, "losses": dict(zip(LOSSES, rows[-1][1:])) if rows else {}}
    if held_back is not None and len(held_back):
        result["held_back"] = measures(training.generator, training.discriminator, training.norms, held_back)
    write_json(folder / SUMMARY, {**facts, "training": asdict(config), **result, "folder": None})
    return result


def _save(training: Training, folder: Path, checkpoint: Path, done: int, facts: dict[str, Any], rows: list[list[float]]) -> None:
    """The networks, the log, then the checkpoint: on resume, rows beyond it are dropped."""
    save_network(training.generator, folder / ACTOR_WEIGHTS)
    save_network(training.discriminator, folder / DISCRIMINATOR_WEIGHTS)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["iteration", *LOSSES], *([r[0], *(f"{v:.6g}" for v in r[1:])] for r in rows)])
    with atomic_path(folder / LOG) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    with atomic_path(folder / PLOT) as temporary:
        temporary.write_text(loss_plot(LOSSES, rows), encoding="utf-8")
    with atomic_path(checkpoint) as temporary:
        # one entry, since several are written in no fixed order
        temporary.write_bytes(save(training.state(), metadata={"mien": json.dumps({"iteration": done, "facts": facts}, sort_keys=True)}))


def _resume(training: Training, checkpoint: Path, facts: dict[str, Any]) -> int:
    """Restore the checkpoint; returns its iteration."""
    if not checkpoint.exists():
        raise MienError(f"{checkpoint} is missing; start the training without --resume.")
    try:
        with safe_open(checkpoint, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
        record = json.loads(metadata["mien"])
        before, done = record["facts"], int(record["iteration"])
        for name, value in {**facts, **facts["settings"]}.items():
            old = {**before, **before["settings"]}.get(name)
            if name != "settings" and old != value:
                raise MienError(f"{checkpoint} was trained with {name} {old}, not {value}; resume with the same data and settings.")
        training.restore(state)
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise MienError(f"{checkpoint} cannot be resumed ({str(error).splitlines()[0]}); start the training in a new folder.") from error
    return done


def _read_log(path: Path) -> list[list[float]]:
    """Rows of losses.csv; none where it is missing or not ours."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.reader(file))
        return [[int(row[0]), *map(float, row[1:])] for row in table[1:] if len(row) == len(LOSSES) + 1]
    except (OSError, ValueError):
        return []


def file_hash(path: Path) -> str:
    """Sixteen hex digits of a file. Raises MienError when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror or error}); choose an actor folder with trained weights.") from error


def deterministic(threads: int | None = None) -> None:
    """One fixed number of threads, since sums over more or fewer round differently. One is also the fastest for layers this small."""
    torch.set_num_threads(threads or 1)
