# SPDX-License-Identifier: GPL-3.0-or-later
"""Time a frame of the live edit takes: all seven emotions keyed on 300 frames, on the default face and on five of them in one mesh, both editors.

    python benchmarks/live_edit.py [FRAMES]

`write` is the live edit itself, `frame_set` is all that Blender does for a frame (F-curves, shape keys, live edit), without drawing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import bpy
import numpy as np

import mien
from mien.mesh.camera import Camera
from mien.mesh.model import FaceModel, load_model
from mien.mesh.shape_gan import ACTOR_WEIGHTS, WEIGHTS
from mien.mesh.shot import Plate, Shot, Solve
from mien.operators import emotion, face, live

COPIES = 5


def crowd(copies: int) -> FaceModel:
    """The default model several times in one mesh."""
    model = load_model()
    shift = np.arange(copies, dtype=np.int32)[:, None, None] * model.vertex_count
    triangles = (model.triangles[None] + shift).reshape(-1, 3)
    uv_triangles = (model.uv_triangles[None] + np.arange(copies, dtype=np.int32)[:, None, None] * len(model.uv)).reshape(-1, 3)
    return dataclasses.replace(
        model, name="crowd", mean=np.tile(model.mean, (copies, 1)), identity=np.tile(model.identity, (1, copies, 1)),
        expression=np.tile(model.expression, (1, copies, 1)), triangles=triangles, uv=np.tile(model.uv, (copies, 1)), uv_triangles=uv_triangles,
        regions={}, loops={})


def synthetic_shot(folder: Path, model: FaceModel, name: str, frames: int) -> Shot:
    """A solved shot without footage."""
    rng, camera = np.random.default_rng(1), Camera.centred(1280, 720, 1500.0)
    shot = Shot(folder, Plate("missing.mov", "movie", 1280, 720, (24, 1), 1, frames), model=name, model_hash=model.hash, camera=camera)
    beta = rng.normal(0, 0.3, (frames, model.expression_count)).astype(np.float32)
    pose = np.tile(np.float32([0, 0, 0.8]), (frames, 1))
    Solve(np.zeros(model.identity_count, np.float32), beta, pose * 0, pose, np.full(frames, 0.01, np.float32), np.zeros(0, np.int32), camera,
          model.hash).save(shot.solve_path)
    shot.save()
    return shot


def actor_for_any(folder: Path) -> Path:
    """The shipped weights, said to fit any model of their size."""
    folder.mkdir()
    (folder / ACTOR_WEIGHTS).write_bytes(WEIGHTS.read_bytes())
    description = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    (folder / ACTOR_WEIGHTS).with_suffix(".json").write_text(json.dumps({**description, "model_hash": ""}), encoding="utf-8")
    return folder


def measure(scene: bpy.types.Scene, shot: Shot, frames: int, actor: Path) -> None:
    imported = face.import_shot(scene, shot).face
    rng = np.random.default_rng(2)
    for frame in range(1, frames + 1, 10):
        for name in emotion.EMOTIONS:
            setattr(imported.mien, name, rng.uniform(0, 0.6))
        emotion.key_controls(imported, frame)
    writes: list[float] = []
    wrapped = live.apply

    def timed(*args) -> bool:
        start = time.perf_counter()
        result = wrapped(*args)
        if result:
            writes.append(time.perf_counter() - start)
        return result

    live.apply = timed
    imported.mien.actor = str(actor)
    for on, editor in ((True, "analytic"), (True, "gan"), (False, "analytic")):
        imported.mien.editor = editor
        live.set_live(imported, on, 1)
        for frame in (2, 3):
            scene.frame_set(frame)
        writes.clear()
        start = time.perf_counter()
        for frame in range(1, frames + 1):
            scene.frame_set(frame)
        each = (time.perf_counter() - start) / frames * 1000
        write = f", write {np.median(writes) * 1000:5.2f} ms ({len(writes)} frames)" if writes else ""
        print(f"{len(imported.data.vertices):6d} vertices, live edit {editor if on else 'off':8s}: frame_set {each:6.2f} ms{write}", flush=True)
    live.apply = wrapped


def main() -> int:
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mien.register()
    print(f"{frames} frames, Blender {bpy.app.version_string}")
    with tempfile.TemporaryDirectory() as folder:
        actor = actor_for_any(Path(folder) / "actor")
        for copies in (1, COPIES):
            scene = bpy.data.scenes.new(f"x{copies}")
            bpy.context.window_manager.windows[0].scene = scene
            model, path = crowd(copies), Path(folder) / f"crowd{copies}.npz"
            model.save(path)
            measure(scene, synthetic_shot(Path(folder) / f"b{copies}.mien", FaceModel.load(path), str(path), frames), frames, actor)
    mien.unregister()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
