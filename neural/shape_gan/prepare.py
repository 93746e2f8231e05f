# SPDX-License-Identifier: GPL-3.0-or-later
"""From takes on disk to labelled coefficients, by the product's own track and solve.

Every take is solved once and kept, so a preparation that was stopped goes on where it was; several are solved at a time in processes of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...mesh.errors import MienError
from ...mesh.model import FaceModel
from ...mesh.shot import Shot, Solve
from .. import stages
from ..progress import Reporter
from .data import Coefficients
from .lanes import Ended, Waiting, solve_side_by_side
from .takes import Take

EDGE = 3
"""Frames left out at either end of a take, where an actor comes into the emotion or out of it."""


STAGE = "solving takes"


def shot_folder(take: Take, cache: Path) -> Path:
    """Where a take's shot is kept: the take itself where it is a shot folder, else one named after its path."""
    if take.clip.is_dir():
        return take.clip
    digest = hashlib.sha256(str(take.clip.absolute()).encode()).hexdigest()[:8]
    return cache / f"{take.actor}_{take.emotion}_{take.level}_{take.clip.stem}_{digest}.mien"


def solve_takes(takes: Sequence[Take], model: FaceModel, model_name: str, cache: Path, report: Reporter, *, jobs: int = 1) -> Coefficients:
    """Track and solve what is not solved yet, `jobs` takes at a time. A take that fails is left out with a warning.

    Every frame gets its take's label, as in the paper, but for a few at either end, which are left out.
    """
    parts: list[Coefficients] = []
    actors = {name: i for i, name in enumerate(sorted({t.actor for t in takes}))}
    problems = dict(_made(takes, model, model_name, cache, report, jobs))
    for number, take in enumerate(takes):
        try:
            if number in problems:
                raise MienError(problems[number])
            solve = Solve.load(Shot.load(shot_folder(take, cache)))
        except MienError as error:
            report.warn(f"{take.clip} is left out: {error}")
            continue
        rows = [i for start, end in solve.segments for i in range(start + EDGE, end - EDGE)]
        n = len(rows)
        parts.append(Coefficients(np.repeat(solve.alpha[None], n, 0).astype(np.float32), solve.beta[rows].astype(np.float32),
                                  np.repeat(take.label[None], n, 0), np.full(n, actors[take.actor]), np.full(n, number)))
    if not parts:
        raise MienError("None of the takes could be solved; see the warnings.")
    return Coefficients.joined(parts)


def _made(takes: Sequence[Take], model: FaceModel, model_name: str, cache: Path, report: Reporter, jobs: int) -> Generator[Ended, None, None]:
    """Solve what is missing; yields (number of the take, why it cannot be used)."""
    waiting, done = [], 0
    for number, take in enumerate(takes):
        folder = shot_folder(take, cache)
        if _is_solved(folder, model):
            done += 1
        elif take.clip == folder:
            done += 1
            yield number, f"it is not solved with the face model '{model_name}'; solve it first."
        elif not (take.clip.is_file() or {"#", "%"} & set(take.clip.name)):
            done += 1
            yield number, "it is neither a plate nor a shot folder."
        else:
            waiting.append((number, take.clip, folder))
    report.step(STAGE, done, len(takes))
    one_by_one = jobs == 1 or len(waiting) < 2
    with closing(_here(waiting, model_name, report, done, len(takes)) if one_by_one else
                 solve_side_by_side(waiting, model_name, cache / "logs", jobs, report)) as solved:
        for ended in solved:
            done += ended is not None
            report.step(STAGE, done, len(takes))
            if ended is not None and ended[1]:
                yield ended


def _is_solved(folder: Path, model: FaceModel) -> bool:
    """False for a folder that is damaged, too: a kept one is then made anew."""
    try:
        shot = Shot.load(folder)
        return shot.model_hash == model.hash and shot.solve_path.exists()
    except MienError:
        return False


@dataclass(frozen=True)
class _Quiet:
    """Passes cancel and warnings on, but not the progress of the stages inside one take."""

    report: Reporter
    done: int
    total: int

    def step(self, stage: str, done: int, total: int) -> None:
        self.report.step(STAGE, self.done, self.total)

    def warn(self, text: str) -> None:
        self.report.warn(text)


def _here(waiting: Sequence[Waiting], model_name: str, report: Reporter, done: int, total: int) -> Generator[Ended, None, None]:
    """One take after another in this process."""
    for i, (number, clip, folder) in enumerate(waiting):
        problem, quiet = "", _Quiet(report, done + i, total)
        try:
            stages.track(clip, folder, report=quiet)
            stages.solve(folder, model=model_name, report=quiet)
        except MienError as error:
            problem = str(error)
        yield number, problem
