# SPDX-License-Identifier: GPL-3.0-or-later
"""From takes on disk to labelled coefficients, by the product's own track and solve; every take is solved once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...mesh.errors import MienError
from ...mesh.model import FaceModel
from ...mesh.shot import Shot, Solve
from .. import stages
from ..progress import Reporter
from .data import Coefficients
from .takes import Take

EDGE = 3
"""Frames left out at either end of a take, where an actor comes into the emotion or out of it."""


class _Quiet:
    """Passes cancel and warnings on, but not the progress of the stages inside one take."""

    def __init__(self, report: Reporter, stage: str, done: int, total: int):
        self._report, self._place = report, (stage, done, total)

    def step(self, stage: str, done: int, total: int) -> None:
        self._report.step(*self._place)

    def warn(self, text: str) -> None:
        self._report.warn(text)


def shot_folder(take: Take, cache: Path) -> Path:
    """Where a take's shot is kept: the take itself where it is a shot folder, else one named after its path."""
    if take.clip.is_dir():
        return take.clip
    digest = hashlib.sha256(str(take.clip.absolute()).encode()).hexdigest()[:8]
    return cache / f"{take.actor}_{take.emotion}_{take.level}_{take.clip.stem}_{digest}.mien"


def solve_takes(takes: Sequence[Take], model: FaceModel, model_name: str, cache: Path, report: Reporter) -> Coefficients:
    """Track and solve what is not solved yet. A take that fails is left out with a warning.

    Every frame gets its take's label, as in the paper, but for a few at either end, which are left out.
    """
    parts: list[Coefficients] = []
    actors = {name: i for i, name in enumerate(sorted({t.actor for t in takes}))}
    stage = "solving takes"
    report.step(stage, 0, len(takes))
    for number, take in enumerate(takes):
        try:
            solve = _solved(take, model, model_name, shot_folder(take, cache), _Quiet(report, stage, number, len(takes)))
        except MienError as error:
            report.warn(f"{take.clip} is left out: {error}")
            continue
        finally:
            report.step(stage, number + 1, len(takes))
        rows = [i for start, end in solve.segments for i in range(start + EDGE, end - EDGE)]
        n = len(rows)
        parts.append(Coefficients(np.repeat(solve.alpha[None], n, 0).astype(np.float32), solve.beta[rows].astype(np.float32),
                                  np.repeat(take.label[None], n, 0), np.full(n, actors[take.actor]), np.full(n, number)))
    if not parts:
        raise MienError("None of the takes could be solved; see the warnings.")
    return Coefficients.joined(parts)


def _solved(take: Take, model: FaceModel, model_name: str, folder: Path, report: Reporter) -> Solve:
    if (folder / "shot.json").exists():
        shot = Shot.load(folder)
        if shot.solve_path.exists() and shot.model_hash == model.hash:
            return Solve.load(shot)
        if take.clip == folder:
            raise MienError(f"{folder} is not solved with the face model '{model_name}'; solve it first.")
    elif take.clip.is_dir() or not (take.clip.exists() or {"#", "%"} & set(take.clip.name)):
        raise MienError(f"{take.clip} is neither a plate nor a shot folder.")
    stages.track(take.clip, folder, report=report)
    stages.solve(folder, model=model_name, report=report)
    return Solve.load(Shot.load(folder))
