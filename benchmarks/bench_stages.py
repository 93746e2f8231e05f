# SPDX-License-Identifier: GPL-3.0-or-later
"""What bench.py runs in processes of their own: stages that the command line does not have, and references.

    python benchmarks/bench_stages.py {start,bake,rebake,track_reference,edit_reference} PLATE SHOT

Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from mien.mesh.emotion import EMOTIONS, EmotionCurves
from mien.mesh.shot import Shot
from mien.neural import stages
from mien.neural.media import PlateReader, display8, open_writer, probe_plate
from mien.neural.parallel import ordered_map
from mien.neural.progress import Silent
from mien.neural.tracking.mediapipe_tracker import MediaPipeTracker

TOUCHED = 20


def start(plate: Path, shot: Path) -> dict:
    """The imports above, and nothing else."""
    return {}


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


STAGES = {f.__name__: f for f in (start, bake, rebake, track_reference, edit_reference)}


def main() -> None:
    name, plate, shot = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    begun = time.perf_counter()
    result = STAGES[name](plate, shot)
    print(json.dumps({"seconds": time.perf_counter() - begun, **{k: v for k, v in result.items() if isinstance(v, (int, float))}}))


if __name__ == "__main__":
    main()
