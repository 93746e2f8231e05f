# SPDX-License-Identifier: GPL-3.0-or-later
"""The terminal of the command line: progress, warnings, and a place for what libraries print."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

PLAIN_INTERVAL = 30.0
"""Seconds between two lines of a stage where there is no terminal to draw a bar on."""


class Console:
    """The user's stdout and stderr, and a `progress.Reporter` on the latter. `log`: what everybody else prints."""

    def __init__(self, out: TextIO, err: TextIO, log: IO[bytes] | None = None, clock: Callable[[], float] = time.monotonic):
        self.out, self.err, self.log, self._clock = out, err, log, clock
        self._bars = err.isatty()
        self._bar: tqdm | None = None
        self._stage: str | None = None
        self._ended = False
        self._started = self._told = 0.0

    def say(self, text: str) -> None:
        """A result."""
        print(text, file=self.out, flush=True)

    def complain(self, text: str) -> None:
        """One line on stderr, below any bar."""
        self.close()
        print(text, file=self.err, flush=True)

    def warn(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(f"warning: {text}", file=self.err)
        else:
            print(f"warning: {text}", file=self.err, flush=True)

    def step(self, stage: str, done: int, total: int) -> None:
        now = self._clock()
        if stage != self._stage or (self._ended and done < total):
            self.close()
            self._stage, self._ended, self._started, self._told = stage, False, now, now
            if self._bars:
                from tqdm import tqdm  # only where it shows
                self._bar = tqdm(total=total, desc=stage, file=self.err, dynamic_ncols=True, leave=True)
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        elif not self._bars and done >= total and not self._ended:
            print(f"{stage}: {done} of {total} in {now - self._started:.1f} s", file=self.err, flush=True)
        elif not self._bars and done < total and now - self._told >= PLAIN_INTERVAL:
            self._told = now
            left = f", about {(now - self._started) * (total - done) / done:.0f} s left" if done else ""
            print(f"{stage}: {done} of {total}{left}", file=self.err, flush=True)
        if done >= total:
            self._ended = True
            self.close()

    def close(self) -> None:
        """Leave the line of the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


    def keep_log(self) -> Path | None:
        """Write down what others printed so far, for a defect; where, None when it is on the terminal anyway or there is no room."""
        if self.log is None:
            return None
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            self.log.seek(0)
            with tempfile.NamedTemporaryFile(prefix="mien-", suffix=".log", delete=False) as kept:
                shutil.copyfileobj(self.log, kept)
            return Path(kept.name)
        return None


@contextlib.contextmanager
def console(*, keep_all: bool = False) -> Iterator[Console]:
    """The terminal for the user alone: inside, what Python's and native libraries print goes to a file without a name, gone with the process.

    With `keep_all` everything goes to the terminal, as under pytest's capture.
    """
    try:
        redirect = not keep_all and (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2)
        log = tempfile.TemporaryFile() if redirect else None  # noqa: SIM115 - closed below
    except (OSError, ValueError, AttributeError):  # no real files, or no room for a log
        log = None
    if log is None:
        terminal = Console(sys.stdout, sys.stderr)
        try:
            yield terminal
        finally:
            terminal.close()
        return
    sys.stdout.flush()
    sys.stderr.flush()
    with log, os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors="replace") as out, \
            os.fdopen(os.dup(2), "w", encoding=sys.stderr.encoding, errors="backslashreplace") as err:
        terminal = Console(out, err, log)
        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            yield terminal
        finally:
            terminal.close()
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
