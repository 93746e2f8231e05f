# SPDX-License-Identifier: GPL-3.0-or-later
"""How a job tells where it stands. The worker turns the calls into JSON lines, the command line into a progress bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """Raised inside a job by `Reporter.step` once the user has cancelled; the job cleans up by `with` and `finally`."""


class Reporter(Protocol):
    def step(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` units of a stage are finished. Call it at least once a frame. Raises Cancelled."""
        ...

    def warn(self, text: str) -> None:
        """One sentence that the user must see although the job goes on."""
        ...


class Silent:
    """A reporter that nobody listens to; keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def step(self, stage: str, done: int, total: int) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def reported(items: Iterable[T], report: Reporter, stage: str, total: int) -> Iterator[T]:
    """Yield `items` and report one step after each."""
    report.step(stage, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        report.step(stage, done, total)
