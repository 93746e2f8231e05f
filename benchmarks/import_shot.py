# SPDX-License-Identifier: GPL-3.0-or-later
"""Time to bring a solved shot of 300 frames (default face model) into Blender, first and second import, and to scrub and sample it.

    python benchmarks/import_shot.py [FRAMES]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import bpy
import numpy as np

import mien
from mien.mesh.camera import Camera
from mien.mesh.model import load_model
from mien.mesh.shot import Plate, Shot, Solve
from mien.operators import emotion, face


def synthetic_shot(folder: Path, frames: int) -> Shot:
    """A solved shot without footage."""
    model, rng = load_model(), np.random.default_rng(1)
    camera = Camera.centred(1280, 720, 1500.0)
    shot = Shot(folder, Plate("missing.mov", "movie", 1280, 720, (24, 1), 1, frames), model_hash=model.hash, camera=camera)
    beta = rng.normal(0, 0.3, (frames, model.expression_count)).astype(np.float32)
    rotation = rng.normal(0, 0.1, (frames, 3)).astype(np.float32)
    translation = np.tile(np.float32([0, 0, 0.8]), (frames, 1))
    Solve(np.zeros(model.identity_count, np.float32), beta, rotation, translation, np.full(frames, 0.01, np.float32), np.zeros(0, np.int32), camera,
          model.hash).save(shot.solve_path)
    shot.save()
    return shot


def timed(label: str, work, count: int = 1):
    start = time.perf_counter()
    for _ in range(count):
        result = work()
    print(f"{label:42s} {(time.perf_counter() - start) / count * 1000:8.1f} ms", flush=True)
    return result


def main() -> int:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mien.register()
    scene = bpy.context.scene
    with tempfile.TemporaryDirectory() as folder:
        shot = synthetic_shot(Path(folder) / "bench.mien", frames)
        print(f"{frames} frames, {load_model().vertex_count} vertices, {load_model().expression_count} shape keys, Blender {bpy.app.version_string}")
        timed("load the face model (once a session)", lambda: face.cached_model(shot.model))
        result = timed("import", lambda: face.import_shot(scene, shot))
        timed("import again", lambda: face.import_shot(scene, shot))
        result.face.mien.happy = 0.5
        for frame in (1, frames // 2, frames):
            emotion.key_controls(result.face, frame)
        timed("sample the ten emotion curves", lambda: emotion.sample(result.face, shot))
        steps = iter(range(1, frames + 1))
        timed("scrub, one frame", lambda: scene.frame_set(next(steps)), min(60, frames))
    mien.unregister()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # Blender's own shutdown may hang
