# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that misbehave, for the tests of the engine: loaded by the worker through `--jobs`, inside the engine's process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import mien
from mien.mesh.errors import MienError


def echo(params, report):
    report.step("echo", 0, 2)
    report.warn("careful – Achtung")
    report.step("echo", 2, 2)
    return {"params": params, "mien": str(Path(mien.__file__).parent), "cwd": os.getcwd(), "path": sys.path,
            "environment": sorted(os.environ), "stdin": sys.stdin.read()}


def prints(params, report):
    """Everything that libraries do to stdout."""
    print("python print")
    print('{"type": "DONE", "result": {"forged": true}}')
    os.write(1, b'{"type": "DONE", "result": {"forged": true}}\n')
    libc = ctypes.CDLL(None)
    libc.puts(b"native print")
    libc.fflush(None)
    subprocess.run([sys.executable, "-c", "print('child print')"], check=True)
    return {"honest": True}


def user_error(params, report):
    raise MienError("The plate x.mp4 shows no face.")


def defect(params, report):
    return {"result": [1, 2, 3][params.get("index", 7)]}


def not_json(params, report):
    return {"value": {1, 2}}


def leaves(params, report):
    sys.exit(3)


def lacks_package(params, report):
    import a_package_nobody_has  # noqa: F401
    return {}


def needs_numpy(params, report):
    import numpy
    return {"numpy": numpy.__version__}


def steps_forever(params, report):
    """Obeys CANCEL; leaves a note when it cleaned up."""
    done = 0
    try:
        while True:
            done += 1
            report.step("forever", done, 1 << 40)
            threading.Event().wait(0.002)
    finally:
        if "note" in params:
            Path(params["note"]).write_text("clean", encoding="utf-8")


def stuck(params, report):
    """Never steps again; with `deaf` it ignores SIGTERM too."""
    if params.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report.step("stuck", 0, 1)
    try:
        while True:
            threading.Event().wait(60)
    finally:
        if "note" in params:
            Path(params["note"]).write_text("clean", encoding="utf-8")


def kills_itself(params, report):
    report.step("last", 0, 1)
    print("about to go", file=sys.stderr, flush=True)
    if params.get("exit") is not None:
        os._exit(params["exit"])
    os.kill(os.getpid(), getattr(signal, params["signal"]))
    threading.Event().wait(60)
    return {}


def chatters(params, report):
    """Fills stderr far beyond any pipe."""
    for _ in range(params["kilobytes"]):
        sys.stderr.write("x" * 1023 + "\n")
    return {"done": True}


JOBS = {f.__name__: f for f in (
    echo, prints, user_error, defect, not_json, leaves, lacks_package, needs_numpy, steps_forever, stuck, kills_itself, chatters)}
