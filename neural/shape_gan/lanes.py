# SPDX-License-Identifier: GPL-3.0-or-later
"""Several takes tracked and solved at a time, each in an engine process of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..client import Engine, Job
from ..progress import Reporter
from ..protocol import Error, Warn

TICK = 0.05
"""Seconds between two looks at the processes."""
Waiting = tuple[int, Path, Path]
"""Number of the take, its clip, its shot folder."""
Ended = tuple[int, str]
"""Number of the take, and why it could not be solved, or ""."""


def default_jobs() -> int:
    """Takes solved at a time: one keeps about two cores busy."""
    return max(1, (os.cpu_count() or 1) // 2)


class Lane:
    """One engine that works on a take at a time."""

    def __init__(self, engine: Engine, model_name: str, report: Reporter):
        self._engine, self._model, self._report = engine, model_name, report
        self._job: Job | None = None
        self._number, self._left = 0, list[tuple[str, dict[str, Any]]]()

    @property
    def busy(self) -> bool:
        return self._job is not None

    def begin(self, number: int, clip: Path, folder: Path) -> None:
        self._number = number
        self._left = [("track", {"plate": str(clip.absolute()), "folder": str(folder.absolute())}),
                      ("solve", {"folder": str(folder.absolute()), "model": self._model})]
        self._job = self._engine.run(*self._left.pop(0))

    def advance(self) -> Ended | None:
        """Go on with the take; how it ended, once it did."""
        if self._job is None:
            return None
        for message in self._job.poll():
            if isinstance(message, Warn):
                self._report.warn(message.text)
        if not self._job.finished:
            return None
        failed = isinstance(self._job.final, Error)
        if self._left and not failed:
            self._job = self._engine.run(*self._left.pop(0))
            return None
        problem = self._job.final.text if isinstance(self._job.final, Error) else ""
        self._job = None
        return self._number, problem


def solve_side_by_side(waiting: Sequence[Waiting], model_name: str, logs: Path, jobs: int, report: Reporter) -> Generator[Ended | None, None, None]:
    """How each take ended, in the order they end; None whenever a moment has passed, so that the reader can stop it all by leaving."""
    left = list(waiting)
    with ExitStack() as stack:
        engines = [stack.enter_context(Engine(Path(sys.executable), logs)) for _ in range(min(jobs, len(left)))]
        lanes = [Lane(engine, model_name, report) for engine in engines]
        while left or any(lane.busy for lane in lanes):
            for lane in lanes:
                if left and not lane.busy:
                    lane.begin(*left.pop(0))
                ended = lane.advance()
                if ended is not None:
                    yield ended
            yield None
            time.sleep(TICK)
