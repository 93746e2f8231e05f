# SPDX-License-Identifier: GPL-3.0-or-later
"""Quick stand-ins for the engine's jobs, loaded by the worker through `--jobs`: they write down their parameters in the shot folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

from mien.mesh.errors import MienError
from mien.mesh.files import write_json
from mien.mesh.shot import Shot


def note(job, params):
    folder = Path(params["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "asked.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"job": job, **params}) + "\n")


def track(params, report):
    if "crash" in params["plate"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if "noface" in params["plate"]:
        raise MienError(f"{params['plate']} shows no face.")
    if "slow" in params["plate"]:
        for i in range(10000):
            report.step("track", i, 10000)
            time.sleep(0.01)
    note("track", params)
    report.warn("A second face enters at frame 9; face 0 is followed.")
    report.step("track", 2, 2)
    return {"frames": 2}


def solve(params, report):
    note("solve", params)
    report.step("solve", 1, 1)
    return {"frames": 9, "solved": 7, "reprojection": 0.0123, "lost": [[3, 4]]}


def learn(params, report):
    note("learn", params)
    return {"skin": True, "mouth": True}


def bake(params, report):
    """Keeps the books of a bake and writes no pictures."""
    note("bake", params)
    shot = Shot.load(params["folder"])
    shot.bake_folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(shot.emotion_path, shot.bake_folder / "emotion.npz")
    numbers = [shot.frame_number(i) for i in range(shot.plate.frame_count)]
    wanted = [n for n in numbers if not params.get("frames") or any(a <= n <= b for a, b in params["frames"])]
    write_json(shot.bake_folder / "manifest.json", {"settings": params["settings"], "frames": {str(n): "x" for n in wanted}})
    return {"baked": len(wanted), "total": len(numbers), "rest": 8, "jitter": 1.0, "version": shot.bake_version}


def selftest(params, report):
    checks = [{"name": "Device", "ok": True, "text": "processor", "fix": ""}, {"name": "torch", "ok": False, "text": "is missing", "fix": "Do this."}]
    return {"python": "3.11.2", "device": "processor", "packages": {"numpy": "1.26.4", "torch": None}, "works": False, "checks": checks}


JOBS = {"track": track, "solve": solve, "learn": learn, "bake": bake, "selftest": selftest}
