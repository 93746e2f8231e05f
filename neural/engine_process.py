# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's process and its three pipes, part of `client`. Standard library only; nothing here blocks but `close`."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from pathlib import Path

from .protocol import Hello, Message, ProtocolError, Quit, decode, encode

_LOG_BYTES = 2 << 20
"""A log file that grows beyond this moves aside to `.old.log` and starts again."""
_LOGS_KEPT = 10
_TAIL_BYTES = 4000

_PYTHON_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONEXECUTABLE", "PYTHONPLATLIBDIR", "__PYVENV_LAUNCHER__")
"""Set by Blender or its launchers for Blender's own Python; they would lead another one astray."""

_SIGNALS = {"SIGKILL": "was killed (SIGKILL; perhaps memory ran out)", "SIGSEGV": "crashed with a segmentation fault (SIGSEGV)",
            "SIGABRT": "aborted (SIGABRT)", "SIGBUS": "crashed with a bus error (SIGBUS; perhaps the disk is full)",
            "SIGILL": "met an instruction that this processor lacks (SIGILL)", "SIGFPE": "crashed in a division (SIGFPE)",
            "SIGTERM": "was ended by another program (SIGTERM)"}
_WINDOWS_CODES = {0xC0000005: "crashed with an access violation", 0xC000001D: "met an instruction that this processor lacks",
                  0xC0000017: "ran out of memory", 0xC0000135: "misses a DLL", 0xC0000409: "aborted", 0xC00000FD: "crashed with a stack overflow"}


def exit_in_words(code: int) -> str:
    """A predicate for "The engine ...": what an exit code of `subprocess` means on POSIX and on Windows."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return _SIGNALS.get(name, f"was ended ({name})")
    if code in _WINDOWS_CODES:
        return f"{_WINDOWS_CODES[code]} (exit code 0x{code:X})"
    return f"ended with exit code {code}"


def engine_environment() -> dict[str, str]:
    """This process's environment without what belongs to Blender's Python."""
    return {name: value for name, value in os.environ.items() if name.upper() not in _PYTHON_VARIABLES}


class EngineLog:
    """The engine's stderr: a bounded file, and its end in memory. Without a writable folder, only the latter."""

    def __init__(self, folder: Path):
        self.path = ""
        self._file = None
        self._size = 0
        self._tail = bytearray()
        name = time.strftime("engine-%Y%m%d-%H%M%S-") + str(os.getpid())
        for place in (folder, Path(tempfile.gettempdir()) / "mien-logs"):
            with contextlib.suppress(OSError):
                place.mkdir(parents=True, exist_ok=True)
                self._remove_old(place)
                path = place / f"{name}.log"
                number = 1
                while path.exists():
                    number += 1
                    path = place / f"{name}-{number}.log"
                self._file = open(path, "xb", buffering=0)  # noqa: SIM115 - lives as long as the process
                self.path = str(path)
                return

    @staticmethod
    def _remove_old(folder: Path) -> None:
        logs = sorted(folder.glob("engine-*.log"), key=lambda p: p.stat().st_mtime)
        for path in logs[: 1 - _LOGS_KEPT]:
            with contextlib.suppress(OSError):  # still open in another Blender on Windows
                path.unlink()

    def write(self, data: bytes) -> None:
        self._tail += data
        del self._tail[:-_TAIL_BYTES]
        if self._file is None:
            return
        try:
            if self._size + len(data) > _LOG_BYTES:
                self._file.close()
                os.replace(self.path, self.path.removesuffix(".log") + ".old.log")
                self._file, self._size = open(self.path, "wb", buffering=0), 0  # noqa: SIM115
            self._file.write(data)
            self._size += len(data)
        except (OSError, ValueError):
            self._file = None  # a full disk must not stop the engine; the end stays in memory

    @property
    def tail(self) -> str:
        return bytes(self._tail).decode("utf-8", "replace").strip()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class EngineProcess:
    """Starts `python bootstrap`. Raises OSError when it cannot be started.

    Three threads move lines: requests to stdin, replies to a queue, stderr to the log. They end with the process.
    """

    def __init__(self, python: Path, bootstrap: Path, log_folder: Path, arguments: tuple[str, ...] = ()):
        self.python = python
        self.hello: Hello | None = None
        self.condemned = False
        """True once the process is to end: it takes no more jobs."""
        self.ended = False
        """True once its last line is in the queue."""
        self.news = threading.Event()
        """Set whenever something comes; for whoever waits to clear."""
        self._log = EngineLog(log_folder)
        self._inbox: queue.SimpleQueue[Message | ProtocolError] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        command = [str(python), "-I", "-X", "utf8", str(bootstrap), "--log", self._log.path, *arguments]
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        try:
            # A session of its own, so that Ctrl-C in Blender's terminal does not reach it and `kill` takes its children along.
            self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=engine_environment(),
                                           creationflags=flags, start_new_session=os.name == "posix")
        except OSError:
            self._log.close()
            raise
        self.started = time.monotonic()
        self._threads = [threading.Thread(target=target, name=f"mien-{target.__name__.strip('_')}", daemon=True)
                         for target in (self._write, self._read, self._keep_log)]
        for thread in reversed(self._threads):  # the log first: the reader joins it at the end
            thread.start()
        _alive.add(self)

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    @property
    def log_path(self) -> str:
        return self._log.path

    @property
    def tail(self) -> str:
        """The end of stderr."""
        return self._log.tail

    def send(self, message: Message) -> None:
        """Queue a request; a process that is gone ignores it. Raises ProtocolError for what JSON cannot carry."""
        self._outbox.put(encode(message).encode("ascii") + b"\n")

    def receive(self) -> Message | ProtocolError | None:
        """The next reply, None when there is none yet; a ProtocolError stands for a line that is no message."""
        with contextlib.suppress(queue.Empty):
            return self._inbox.get_nowait()
        return None

    def terminate(self) -> None:
        """Ask the process itself to end; on Windows this kills it."""
        self.condemned = True
        with contextlib.suppress(OSError):
            self._popen.terminate()

    def kill(self) -> None:
        """End the process and its children, whatever they do."""
        self.condemned = True
        with contextlib.suppress(OSError):
            if os.name == "posix" and self._popen.poll() is None:
                os.killpg(self._popen.pid, signal.SIGKILL)
            else:
                self._popen.kill()

    def close(self, grace: float) -> None:
        """Close stdin, wait `grace` seconds for the end, then kill. Blocks that long at most, a moment usually."""
        self.condemned = True
        self._outbox.put(None)
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(5.0)
        for thread in self._threads[1:]:
            thread.join(1.0)

    def _write(self) -> None:
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError, ValueError), self._popen.stdin as pipe:
            while (data := self._outbox.get()) is not None:
                pipe.write(data)
                pipe.flush()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with contextlib.suppress(OSError, ValueError), self._popen.stdout as pipe:
            for line in pipe:
                try:
                    self._inbox.put(decode(line))
                except ProtocolError as error:
                    self._inbox.put(error)
                self.news.set()
        # The log's last lines are part of what a crash is told by.
        self._threads[2].join(1.0)
        self.ended = True
        self._outbox.put(None)
        self.news.set()
        self._popen.wait()  # no zombie stays when nobody asks for the exit code

    def _keep_log(self) -> None:
        assert self._popen.stderr is not None
        with contextlib.suppress(OSError, ValueError), self._popen.stderr as pipe:
            while data := os.read(pipe.fileno(), 65536):
                self._log.write(data)
        self._log.close()


_alive: weakref.WeakSet[EngineProcess] = weakref.WeakSet()


def _close_all() -> None:
    """At the exit of Blender: leave no engine behind."""
    for process in list(_alive):
        if process.returncode is None:
            process.send(Quit())
            process.close(0.5)


atexit.register(_close_all)
