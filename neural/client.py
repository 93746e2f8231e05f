# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as Blender sees it: starts the process, hands it jobs, never blocks. Standard library only.

    engine = Engine(python, log_folder)
    job = engine.run("bake", {"folder": "..."})
    for message in job.poll(): ...          # from a timer; PROGRESS and WARN, at last one DONE or ERROR
    job.cancel()

Whatever goes wrong, from a Python that does not exist to an engine killed by the system, reaches the caller as the
job's ERROR; `run`, `poll` and `cancel` do not raise. The next `run` starts a new engine when the last one is gone.
Not thread-safe: use one engine from one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .engine_process import EngineProcess, exit_in_words
from .protocol import PROTOCOL, Cancel, Done, Error, Hello, Message, Progress, ProtocolError, Quit, Run, Warn

_DRAIN = 2.0
"""Seconds that the last lines have to arrive after the process ended, or the end of the process after its last line."""


class Job:
    """One job under way or finished. Made by `Engine.run`."""

    def __init__(self, name: str, engine: Engine, process: EngineProcess | None):
        self.name = name
        self.final: Done | Error | None = None
        """The last message, once there is one."""
        self.progress: Progress | None = None
        """The latest."""
        self.warnings: list[str] = []
        self._engine, self._process = engine, process
        self._pending: list[Message] = []
        self._cancelled_at: float | None = None
        self._stop_at: float | None = None
        """When the next harder way to stop the process is due."""
        self._terminated = False
        self._silent_since: float | None = None

    @property
    def finished(self) -> bool:
        """True once the last message is there, polled or not."""
        self._pump()
        return self.final is not None

    @property
    def cancelling(self) -> bool:
        return self._cancelled_at is not None and self.final is None

    def poll(self) -> list[Message]:
        """What came since the last call. Never blocks; drives cancelling, so call it until the job is finished."""
        self._pump()
        messages, self._pending = self._pending, []
        return messages

    def cancel(self) -> None:
        """Ask the job to stop; after `cancel_grace` seconds the process is terminated, after `terminate_grace` more, killed."""
        if self.final is None and self._process is not None and self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            self._stop_at = self._cancelled_at + self._engine.cancel_grace
            self._process.send(Cancel())

    def wait(self, on_message: Callable[[Message], None] | None = None, timeout: float | None = None) -> Done | Error:
        """Block until the last message, which is returned. Raises TimeoutError; the job then still runs."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._process is not None:
                self._process.news.clear()
            for message in self.poll():
                if on_message is not None:
                    on_message(message)
            if self.final is not None:
                return self.final
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"the job '{self.name}' did not finish within {timeout:g} s")
            if self._process is not None:
                self._process.news.wait(0.05)

    # -- the state machine --------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        process = self._process
        if process is None:
            return
        ended = process.ended  # asked first: whatever came before the end is then in the queue
        while self.final is None and (item := process.receive()) is not None:
            self._take(item, process)
        if self.final is None:
            self._watch(process, ended, time.monotonic())

    def _take(self, item: Message | ProtocolError, process: EngineProcess) -> None:
        if isinstance(item, Hello):
            process.hello = item
            if item.protocol != PROTOCOL:
                process.kill()
                self._fail(f"The engine speaks protocol {item.protocol}, this extension {PROTOCOL}; restart Blender after an update of Mien.", "user")
        elif isinstance(item, Progress):
            self.progress = item
            self._pending.append(item)
        elif isinstance(item, Warn):
            self.warnings.append(item.text)
            self._pending.append(item)
        elif isinstance(item, (Done, Error)):
            if isinstance(item, Error) and process.hello is None:
                process.condemned = True  # the bootstrap found the Python unsuitable and ends
            self.final = item
            self._pending.append(item)
        elif process.hello is None:
            process.kill()
            self._fail(f"{process.python} does not start Mien's engine; choose a Python 3.11 or 3.12 with Mien's requirements.", "user", str(item))
        else:
            process.kill()
            self._fail("The engine sent something that is no message and was stopped; the log tells more.", "defect", str(item))

    def _watch(self, process: EngineProcess, ended: bool, now: float) -> None:
        code = process.returncode
        if code is not None or ended:
            # The lines and the end of the process arrive by different ways: give the later one time.
            self._silent_since = now if self._silent_since is None else self._silent_since
            if code is not None and (ended or now - self._silent_since > _DRAIN):
                self._crashed(process, code)
            elif code is None and now - self._silent_since > _DRAIN:
                process.kill()
        elif self._stop_at is not None and now >= self._stop_at:
            if not self._terminated:
                self._terminated, self._stop_at = True, now + self._engine.terminate_grace
                process.terminate()
            else:
                self._stop_at = now + 1.0
                process.kill()
        elif process.hello is None and self._cancelled_at is None and now - process.started > self._engine.start_timeout:
            process.kill()
            self._fail(f"The engine did not start within {self._engine.start_timeout:g} s; check the Python {process.python}.", "user", process.tail)

    def _crashed(self, process: EngineProcess, code: int) -> None:
        if self._cancelled_at is not None:
            self._fail("The job was cancelled; the engine did not react in time and was stopped.", "cancelled", process.tail)
        elif process.hello is None:
            self._fail(f"The engine did not start: {process.python} {exit_in_words(code)}; "
                       "choose a Python 3.11 or 3.12 with Mien's requirements.", "user", process.tail)
        else:
            self._fail(f"The engine {exit_in_words(code)} during '{self.name}'; run it again, what was finished is kept.",
                       "crash", process.tail)

    def _fail(self, text: str, kind: str, details: str = "") -> None:
        self.final = Error(text, self._process.log_path if self._process else "", kind, details)
        self._pending.append(self.final)


class Engine:
    """Owns at most one engine process and one job at a time.

    `python` is the engine's interpreter (3.11 or 3.12 with Mien's requirements), `log_folder` takes its logs; the times are
    in seconds. `arguments` go to the worker (see worker.main).
    """

    def __init__(self, python: Path, log_folder: Path, *, start_timeout: float = 60.0, cancel_grace: float = 10.0,
                 terminate_grace: float = 5.0, arguments: tuple[str, ...] = ()):
        self.python, self.log_folder = Path(python), Path(log_folder)
        self.start_timeout, self.cancel_grace, self.terminate_grace = start_timeout, cancel_grace, terminate_grace
        self.arguments = arguments
        self.job: Job | None = None
        """The latest job."""
        self._process: EngineProcess | None = None
        self._problem = ""

    @property
    def running(self) -> bool:
        """True while there is a process that can take a job."""
        return self._process is not None and not self._process.condemned and self._process.returncode is None

    @property
    def busy(self) -> bool:
        """True while a job is under way."""
        return self.job is not None and not self.job.finished

    @property
    def hello(self) -> Hello | None:
        """What the engine said of itself, once it did (with the first poll of a job)."""
        return self._process.hello if self._process else None

    def start(self) -> bool:
        """Start the process if there is none, without waiting for it. False when it cannot be: `run` then tells why."""
        if self.running:
            return True
        self._process, self._problem = None, ""
        if not self.python.is_file():
            self._problem = f"The engine's Python {self.python} does not exist; choose it in the preferences of Mien."
            return False
        try:
            self._process = EngineProcess(self.python, Path(__file__).with_name("bootstrap.py"), self.log_folder, self.arguments)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self._problem = f"The engine's Python {self.python} cannot be started ({reason}); choose another one in the preferences of Mien."
        return self._process is not None

    def run(self, job: str, params: dict[str, Any]) -> Job:
        """Give the engine a job, starting it if needed. Paths in `params` are text and absolute."""
        if self.busy:
            assert self.job is not None
            refused = Job(job, self, None)
            refused._fail(f"The engine is busy with '{self.job.name}'; wait for it or cancel it.", "user")
            return refused
        started = self.start()
        self.job = Job(job, self, self._process)
        if not started or self._process is None:
            self.job._fail(self._problem, "user")
            return self.job
        try:
            self._process.send(Run(job, params))
        except ProtocolError as error:
            self.job._fail(f"The job '{job}' cannot be sent to the engine: {error}.", "defect")
        return self.job

    def close(self, grace: float = 2.0) -> None:
        """End the process: QUIT, after `grace` seconds kill. A job under way is cancelled. A later `run` starts anew."""
        process, self._process = self._process, None
        if process is None:
            return
        if self.job is not None:
            self.job.cancel()
        process.send(Quit())
        process.close(grace)
        if self.job is not None and not self.job.finished:
            self.job._fail("The job was cancelled because the engine was closed.", "cancelled")

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
