# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's process: takes jobs from stdin, one at a time, and answers on stdout in the language of `protocol`.

The main thread runs the jobs; a second one reads stdin, so that CANCEL and the end of stdin (Blender is gone) arrive
during a job. stdout belongs to the protocol alone: whatever Python or a native library prints goes to stderr, which the
client keeps in the log file. Imports nothing heavy, so HELLO comes at once.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib.util
import logging
import math
import os
import platform
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import BinaryIO

from ..mesh.errors import MienError
from . import blas  # noqa: F401  before anything imports numpy
from .failures import told
from .jobs import JOBS, JobFunction
from .progress import Cancelled
from .protocol import PROTOCOL, Cancel, Done, Error, Hello, Message, Progress, ProtocolError, Quit, Run, Warn, decode, encode
from .version import mien_version

log = logging.getLogger("mien.engine")

ORPHAN_GRACE = 10.0
"""Seconds a job has to reach its next step once nobody listens any more; then the process ends itself."""
INTERVAL = 0.1
"""Seconds between two PROGRESS messages of a stage."""
SMOOTHING = 5.0
"""Seconds over which the rate of a stage is averaged."""


class Rate:
    """Smoothed time per unit of one stage: the ratio of exponentially faded sums of time and of units.

    The first unit's time serves only until the second is done: it holds what is compiled or loaded once.
    """

    def __init__(self, now: float, done: int):
        self._start: int | None = done
        self._last, self._done, self._time, self._units = now, done, 0.0, 0.0

    def update(self, now: float, done: int) -> None:
        """`done` units are finished at the time `now`, in seconds of any clock."""
        if self._start is not None and self._start < self._done < done:
            self._start, self._time, self._units = None, 0.0, 0.0
        passed = max(now - self._last, 0.0)
        fade = math.exp(-passed / SMOOTHING)
        self._time, self._units = self._time * fade + passed, self._units * fade + max(done - self._done, 0)
        self._last, self._done = now, done

    def seconds_left(self, total: int) -> float | None:
        """None until the first unit is done."""
        left = max(total - self._done, 0)
        return round(left * self._time / self._units, 1) if self._units > 0 else None


class PipeReporter:
    """A `progress.Reporter` that sends messages; `clock` in seconds."""

    def __init__(self, send: Callable[[Message], None], cancelled: threading.Event, clock: Callable[[], float] = time.monotonic):
        self._send, self._cancelled, self._clock = send, cancelled, clock
        self._stage: str | None = None
        self._last: tuple[int, int] | None = None
        self._sent_at = 0.0
        self._rate = Rate(0.0, 0)

    def step(self, stage: str, done: int, total: int) -> None:
        now = self._clock()
        if stage != self._stage or (self._last is not None and done < self._last[0]):
            self._stage, self._last, self._rate = stage, None, Rate(now, done)
        else:
            self._rate.update(now, done)
        first, last = self._last is None, done >= total
        if (first or last or now - self._sent_at >= INTERVAL) and self._last != (done, total):
            self._send(Progress(stage, int(done), int(total), self._rate.seconds_left(total)))
            self._sent_at = now
        self._last = (done, total)
        if self._cancelled.is_set():
            raise Cancelled

    def warn(self, text: str) -> None:
        log.warning("%s", text)
        self._send(Warn(str(text)))


class Worker:
    """Serves requests from `stdin` on `stdout` until QUIT or the end of `stdin`."""

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO, jobs: Mapping[str, JobFunction], log_path: str):
        self._stdin, self._stdout, self._jobs, self._log_path = stdin, stdout, jobs, log_path
        self._lock = threading.Lock()
        self._queue: queue.Queue[tuple[Run, threading.Event] | None] = queue.Queue()
        self._finished = threading.Event()

    def send(self, message: Message) -> None:
        """Write one line. A reader that is gone is no error here: the end of stdin says so too."""
        line = encode(message).encode("ascii") + b"\n"
        try:
            with self._lock:
                self._stdout.write(line)
                self._stdout.flush()
        except OSError as error:
            log.warning("nobody reads the engine's answers (%s)", error)

    def serve(self) -> None:
        self.send(Hello(PROTOCOL, platform.python_version(), os.getpid(), mien_version()))
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while (item := self._queue.get()) is not None:
            run, cancelled = item
            self.send(self.do(run, PipeReporter(self.send, cancelled)))
        self._finished.set()

    def do(self, run: Run, report: PipeReporter) -> Done | Error:
        """Run one job to its last message; nothing but the end of the process escapes."""
        log.info("job %s %s", run.job, run.params)
        started = time.monotonic()
        try:
            if run.job not in self._jobs:
                raise MienError(f"The engine has no job '{run.job}'; it has {', '.join(self._jobs)}.")
            message = Done(self._jobs[run.job](run.params, report))
            encode(message)  # a result that JSON cannot carry is a failure of the job
            log.info("job %s done in %.1f s", run.job, time.monotonic() - started)
            return message
        except Cancelled:
            log.info("job %s cancelled", run.job)
            return Error("The job was cancelled.", self._log_path, "cancelled")
        except BaseException as error:
            if isinstance(error, Terminated):
                raise
            text, kind = told(error, run.job)
            log.error("job %s failed: %s", run.job, text, exc_info=error)
            return Error(text, self._log_path, kind)

    def _read(self) -> None:
        """The second thread: requests in the order they come, CANCEL at once."""
        cancelled = threading.Event()
        try:
            for line in self._stdin:
                try:
                    message = decode(line)
                except ProtocolError as error:
                    log.error("not understood: %s", error)
                    self.send(Error(f"The engine did not understand a request: {error}.", self._log_path, "defect"))
                    continue
                if isinstance(message, Run):
                    cancelled = threading.Event()
                    self._queue.put((message, cancelled))
                elif isinstance(message, Cancel):
                    cancelled.set()  # of the latest job; harmless when that has ended
                elif isinstance(message, Quit):
                    break
        except OSError as error:
            log.warning("stdin failed: %s", error)
        log.info("end of requests")
        cancelled.set()
        self._queue.put(None)
        if not self._finished.wait(ORPHAN_GRACE):
            log.error("the job did not stop within %g s; ending the process", ORPHAN_GRACE)
            end_process(1)


class Terminated(SystemExit):
    """SIGTERM: leaves the job through its `finally` blocks, then ends the process."""


def take_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for the protocol: private copies of both; fd 0 becomes empty and fd 1 becomes stderr.

    So neither a `print` nor a native library's printf nor a child process can write between the messages or eat one.
    """
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    sys.stdout.flush()
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdout = sys.stderr
    return stdin, stdout


def end_process(code: int) -> None:
    """End at once, past the exit handlers of libraries, some of which wait for threads that never end."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def load_jobs(path: str) -> Mapping[str, JobFunction]:
    """The mapping JOBS of a Python file: for tests and for studios with jobs of their own."""
    spec = importlib.util.spec_from_file_location("mien_jobs", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["mien_jobs"] = module
    spec.loader.exec_module(module)
    return module.JOBS


def _terminate(signum: int, frame: object) -> None:
    raise Terminated(128 + signum)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mien-engine", description="The engine of Mien: JSON lines on stdin and stdout.")
    parser.add_argument("--log", default="", metavar="FILE", help="where whoever starts the engine keeps its stderr; named in errors")
    parser.add_argument("--jobs", metavar="FILE", help="a Python file with a mapping JOBS, instead of Mien's jobs")
    args = parser.parse_args(argv)
    stdin, stdout = take_stdio()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.raiseExceptions = False  # a reader of stderr that is gone must not stop a job that is cleaning up
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal of Blender is for Blender
    signal.signal(signal.SIGTERM, _terminate)
    code = 1
    try:
        Worker(stdin, stdout, load_jobs(args.jobs) if args.jobs else JOBS, args.log).serve()
        code = 0
    except Terminated as error:
        log.info("terminated")
        code = int(error.code or 0)
    except Exception:
        log.exception("the engine failed")
    finally:
        end_process(code)
    return code
