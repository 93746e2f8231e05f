# SPDX-License-Identifier: GPL-3.0-or-later
"""What bench.py runs in processes of their own: stages that the command line does not have, and references.

    python benchmarks/bench_stages.py {start,level1,bake,rebake,stylegan,track_reference,edit_reference} PLATE SHOT

Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from mien.mesh.editor import edit_shape, make_editor
from mien.mesh.emotion import EMOTIONS, EmotionCurves
from mien.mesh.model import load_model
from mien.mesh.shot import Shot, Solve
from mien.neural import stages
from mien.neural.media import PlateReader, display8, open_writer, probe_plate
from mien.neural.parallel import ordered_map
from mien.neural.progress import Silent
from mien.neural.tracking.mediapipe_tracker import MediaPipeTracker

TOUCHED = 20


def start(plate: Path, shot: Path) -> dict:
    """The imports above, and nothing else."""
    return {}


def level1(plate: Path, shot: Path) -> dict:
    """The change of shape of the whole clip by all seven emotions, the fastest of five times."""
    loaded = Shot.load(shot)
    model, solve = load_model(loaded.model), Solve.load(loaded)
    curves = EmotionCurves.constant(loaded.plate.frame_count, **dict.fromkeys(EMOTIONS, 0.3))
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        edit_shape(model, solve, curves, make_editor("analytic", model))
        times.append(time.perf_counter() - begun)
    return {"ms": round(1000 * min(times), 1)}


def stylegan(plate: Path, shot: Path) -> dict:
    """One picture of 512 x 512 from the generator of StyleGAN2 with random weights, which cost what trained ones do: the fastest of three."""
    import torch

    from mien.neural.stylegan.config import GeneratorConfig
    from mien.neural.stylegan.generator import Generator
    torch.manual_seed(0)
    generator, times = Generator(GeneratorConfig()).eval(), []
    with torch.inference_mode():
        for _ in range(4):
            begun = time.perf_counter()
            generator(torch.randn(1, generator.config.z_dim))
            times.append(time.perf_counter() - begun)
    return {"ms": round(1000 * min(times[1:]), 1)}


def bake(plate: Path, shot: Path) -> dict:
    """A whole bake at happy 0.8."""
    loaded = Shot.load(shot)
    EmotionCurves.constant(loaded.plate.frame_count, happy=0.8).save(loaded.emotion_path)
    return stages.bake(shot, report=Silent())


def rebake(plate: Path, shot: Path) -> dict:
    """The bake again, after 20 frames of the curve were touched."""
    loaded = Shot.load(shot)
    curves = EmotionCurves.load(loaded.emotion_path)
    middle = len(curves) // 2
    curves.emotions[max(0, middle - TOUCHED // 2):middle + TOUCHED // 2, EMOTIONS.index("happy")] = 0.5
    curves.save(loaded.emotion_path)
    return stages.bake(shot, report=Silent())


def track_reference(plate: Path, shot: Path) -> dict:
    """Decode and MediaPipe, frame by frame."""
    facts = probe_plate(plate)
    with MediaPipeTracker() as tracker:
        found = sum(bool(tracker.process(display8(f.pixels, facts.linear))) for f in PlateReader(plate, facts).frames())
    return {"found": found}


def edit_reference(plate: Path, shot: Path) -> dict:
    """Decode, one remap of the whole frame by OpenCV, encode as `mien edit` does."""
    facts = probe_plate(plate)
    x, y = np.meshgrid(np.arange(facts.width, dtype=np.float32) + 0.25, np.arange(facts.height, dtype=np.float32) + 0.25)
    out = shot.with_name("reference.mp4")

    def warp(frame):
        return frame, cv2.remap(frame.pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    with open_writer(out, facts, None) as writer:
        for frame, pixels in ordered_map(warp, PlateReader(plate, facts).frames()):
            writer.write(pixels, frame.time)
    out.unlink()
    return {}


STAGES = {f.__name__: f for f in (start, level1, stylegan, bake, rebake, track_reference, edit_reference)}


def main() -> None:
    name, plate, shot = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    begun = time.perf_counter()
    result = STAGES[name](plate, shot)
    print(json.dumps({"seconds": time.perf_counter() - begun, **{k: v for k, v in result.items() if isinstance(v, (int, float))}}))


if __name__ == "__main__":
    main()
