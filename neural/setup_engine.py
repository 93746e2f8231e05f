# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the engine's own environment: a venv of the Python that runs this, with the pinned packages. Standard library only.

It runs as a job in a bare Python, before any package is there. It goes on where it stopped: packages that are there are not fetched again, and
`setup.json` in the folder says how far it came.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import re
import subprocess
import sys
import threading
from pathlib import Path

from ..mesh.errors import MienError
from .progress import Reporter

log = logging.getLogger("mien.setup")

REQUIREMENTS = Path(__file__).parent.parent / "requirements"
STATE = "setup.json"
DEVICES = ("cpu", "cuda")
WEIGHTS = {"torch": 12, "mediapipe": 5, "scipy": 2, "opencv-contrib-python": 2, "numba": 2}
"""How long a package takes against the others, for the progress."""
INDEXES = {("linux", "cpu"): "https://download.pytorch.org/whl/cpu", ("win32", "cuda"): "https://download.pytorch.org/whl/cu130"}
"""Where torch comes from when the index of packages has only the other build: there Linux gets CUDA, Windows the processor's."""
TAIL = 40
"""Lines of pip that are kept for an error's reason."""


def venv_python(folder: Path) -> Path:
    """The interpreter of a venv in `folder`."""
    return folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def read_requirements(path: Path) -> list[str]:
    """The lines of a requirements file, without comments."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MienError(f"The list of the engine's packages {path} cannot be read ({error.strerror}); install the extension again.") from error
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def requirements_hash(folder: Path = REQUIREMENTS) -> str:
    """Changes when the pins do."""
    digest = hashlib.sha256()
    for name in ("engine.txt", "constraints.txt"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def setup(folder: Path, *, device: str = "cpu", recognition: bool = False, requirements: Path = REQUIREMENTS, wheels: Path | None = None,
          report: Reporter) -> dict:
    """Make or complete the environment in `folder`.

    device: "cpu" or "cuda", which build of torch. recognition: with the network that a cast needs. wheels: a folder of downloaded packages,
    used instead of the network. Returns {"python"}.
    Raises MienError with what is in the way; Cancelled leaves what is there for the next time.
    """
    wanted = [line for name in ("engine.txt", *(["recognition.txt"] if recognition else [])) for line in read_requirements(requirements / name)]
    state = {"schema": 1, "base": sys.executable, "device": device, "recognition": recognition, "requirements": requirements_hash(requirements)}
    python = venv_python(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _note(folder, {**state, "state": "unfinished", "step": "environment"})
    weights = [WEIGHTS.get(name_of(line), 1) for line in wanted]
    total, done = 1 + sum(weights), 1
    report.step("environment", 0, total)
    if not works(python):
        _run([sys.executable, "-I", "-m", "venv", "--clear", str(python.parent.parent)], report, ("environment", 0, total), "venv")
    for line, weight in zip(wanted, weights):
        name = name_of(line)
        _note(folder, {**state, "state": "unfinished", "step": name})
        report.step(name, done, total)
        source = ["--no-index", "--find-links", str(wheels)] if wheels else _index(name, device)
        command = [str(python), "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "2",
                   "--constraint", str(requirements / "constraints.txt"), *source, line]
        output = _run(command, report, (name, done, total), name)
        if name == "torch" and device == "cpu" and "nvidia" in output.rpartition("Successfully installed")[2]:
            report.warn("The build of torch for the processor could not be reached; the one with CUDA was fetched, which is 4 GB larger.")
        done += weight
    report.step("packages", total, total)
    _note(folder, {**state, "state": "done", "step": ""})
    return {"python": str(python)}


def name_of(requirement: str) -> str:
    """ "torch==2.13.0" -> "torch" """
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def works(python: Path) -> bool:
    """Is there a venv with pip, of the same Python as this one?"""
    if not python.exists():
        return False
    try:
        answer = subprocess.run([str(python), "-I", "-c", "import pip, sys; print(sys.version_info[:2] == tuple(map(int, sys.argv[1:])))",
                                 *map(str, sys.version_info[:2])], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.strip() == "True"


def _index(name: str, device: str) -> list[str]:
    index = INDEXES.get(("win32" if sys.platform == "win32" else "linux" if sys.platform == "linux" else "", device))
    return ["--extra-index-url", index] if index and name == "torch" else []


def _note(folder: Path, state: dict) -> None:
    temporary = folder / f".{STATE}.tmp"
    temporary.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, folder / STATE)


def _run(command: list[str], report: Reporter, step: tuple[str, int, int], what: str) -> str:
    """Run to the end, with its output in the log; returns the end of it. Raises MienError, or Cancelled, which ends the program too."""
    log.info("%s", " ".join(command))
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    tail: list[str] = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
                          errors="replace") as process:
        threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True).start()
        try:
            while True:
                report.step(*step)  # raises Cancelled
                try:
                    line = lines.get(timeout=0.2)
                except queue.Empty:
                    continue
                if line is None:
                    break
                log.info("%s", line)
                tail = [*tail[1 - TAIL:], line]
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise MienError(reason(what, "\n".join(tail)))
    return "\n".join(tail)


def _pass_on(pipe, lines: queue.SimpleQueue) -> None:
    for line in pipe:
        lines.put(line.rstrip())
    lines.put(None)


def reason(what: str, output: str) -> str:
    """One sentence on why a step failed and what to do, from what venv or pip wrote."""
    version = ".".join(map(str, sys.version_info[:2]))
    if what == "venv":
        return (f"{sys.executable} cannot make an environment; install its module venv (Debian, Ubuntu: apt install python{version}-venv) "
                "or choose another Python 3.11 or 3.12.")
    if "No space left" in output or "Errno 28" in output:
        return f"The disk is full while '{what}' was installed; free some gigabytes and press Set Up Engine again, it goes on from there."
    if re.search(r"Permission denied|Errno 13", output):
        return f"'{what}' could not be written; check the permissions of the engine's folder and press Set Up Engine again."
    if re.search(r"NewConnectionError|NameResolutionError|ConnectTimeout|Temporary failure|Max retries|ReadTimeout|ConnectionError", output):
        return f"'{what}' could not be downloaded; check the network or the proxy and press Set Up Engine again, it goes on from there."
    if re.search(r"No matching distribution|Could not find a version|conflicting dependencies", output):
        return f"'{what}' has no package for Python {version} on this computer in the index or folder used; choose Python 3.11 or 3.12."
    return f"'{what}' could not be installed; the log tells why, press Set Up Engine to try again from there."
