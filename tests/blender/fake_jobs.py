# SPDX-License-Identifier: GPL-3.0-or-later
"""Quick stand-ins for the engine's jobs, loaded by the worker through `--jobs`: they write down their parameters in the shot folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mien.mesh.errors import MienError
from mien.mesh.files import write_json
from mien.mesh.pins import Pins
from mien.mesh.shot import Shot, Solve
from mien.neural.visibility import occlusion_mask


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
    return {"frames": 2, "others": {"1": str(Path(params["folder"]) / "faces" / "1.mien")} if "couple" in params["plate"] else {}}


def solve(params, report):
    note("solve", params)
    report.step("solve", 1, 1)
    return {"frames": 9, "solved": 7, "reprojection": 0.0123, "lost": [[3, 4]]}


def learn(params, report):
    note("learn", params)
    if "couple" in params["folder"]:
        raise MienError("Nothing can be learnt from them.")
    return {"skin": True, "mouth": True}


def bake(params, report):
    """Keeps the books of a bake and writes no pictures."""
    note("bake", params)
    shot = Shot.load(params["folder"])
    shot.bake_folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(shot.emotion_path, shot.bake_folder / "emotion.npz")
    numbers = [shot.frame_number(i) for i in range(shot.plate.frame_count)]
    wanted = [n for n in numbers if not params.get("frames") or any(a <= n <= b for a, b in params["frames"])]
    mask = occlusion_mask(shot)
    masks = {} if mask is None else {str(n): mask.frame_key(n - numbers[0]) for n in numbers}
    write_json(shot.bake_folder / "manifest.json", {"settings": params["settings"], "masks": masks, "frames": {str(n): "x" for n in wanted}})
    return {"baked": len(wanted), "total": len(numbers), "rest": 8, "jitter": 1.0, "version": shot.bake_version}


def selftest(params, report):
    checks = [{"name": "Device", "ok": True, "text": "processor", "fix": ""}, {"name": "torch", "ok": False, "text": "is missing", "fix": "Do this."}]
    return {"python": "3.11.2", "device": "processor", "packages": {"numpy": "1.26.4", "torch": None}, "works": False, "checks": checks}


def train_stylegan(params, report):
    """Draws a sheet and keeps a checkpoint at once; 9 thousand pictures never end."""
    note("train_stylegan", {**params, "folder": params["output"]})
    folder = Path(params["output"]) / "stylegan"
    (folder / "preview").mkdir(parents=True, exist_ok=True)
    sheet = cv2.imencode(".png", np.full((4, 8, 3), 200 if params["resume"] else 100, np.uint8))[1].tobytes()
    (folder / "preview" / f"{len(list((folder / 'preview').iterdir())):08.2f}.png").write_bytes(sheet)
    (folder / "checkpoint.safetensors").write_bytes(b"kept")
    for i in range(10000 if params["settings"]["kimg"] == 9 else 1):
        report.step("StyleGAN2, images", i, 10000)
        time.sleep(0.01)
    return {"folder": params["output"]}


def resolve(params, report):
    """Takes note of the pins and lifts the head where they are."""
    shot = Shot.load(params["folder"])
    rows, solve = Pins.load(shot).rows(shot), Solve.load(shot)
    for row in rows:
        solve.translation[int(row[0]), 1] -= 0.01
    replace(solve, pins=rows).save(shot.solve_path)
    return {"again": len(rows)}


def layers(params, report):
    note("layers", params)
    return {"frames": 12}


def add_model(params, report):
    return {"name": "own", "vertices": 81, "expression": 6}


def demo_plate(params, report):
    Path(params["output"]).write_bytes(b"a movie")
    return {"output": params["output"]}


def train_level2(params, report):
    note("train", {**params, "folder": params["output"]})
    return {"folder": params["output"]}


STOPPED = "The training was stopped"


def train_shape(params, report):
    """Writes weights and ends as one that fails or is stopped."""
    Path(params["output"]).mkdir(parents=True, exist_ok=True)
    (Path(params["output"]) / "generator.safetensors").write_bytes(b"so far")
    raise MienError(f"{STOPPED}.")


JOBS = {"track": track, "solve": solve, "learn": learn, "bake": bake, "resolve": resolve, "layers": layers,
        "add_model": add_model, "demo_plate": demo_plate, "selftest": selftest, "train_stylegan": train_stylegan,
        "train_texture": train_level2, "train_mouth": train_level2, "train_shape": train_shape}
