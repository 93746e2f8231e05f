# SPDX-License-Identifier: GPL-3.0-or-later
"""A clean Blender file with the extension registered, and a small shot folder made without the engine."""

from __future__ import annotations

import functools
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.camera import Camera
from mien.mesh.model import FaceModel
from mien.mesh.shot import Plate, Shot, Solve, Track
from mien.neural.client import Engine

bpy = pytest.importorskip("bpy")


@pytest.fixture
def blender() -> Iterator:
    """bpy with an empty file and the extension registered under the name `mien`."""
    import mien
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mien.register()
    yield bpy
    mien.unregister()
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.fixture
def saved(blender, tmp_path: Path) -> Path:
    """The .blend, saved in tmp_path."""
    path = tmp_path / "shots and é" / "scene.blend"
    path.parent.mkdir()
    blender.ops.wm.save_as_mainfile(filepath=str(path))
    return path


@pytest.fixture
def quick_engine(blender, monkeypatch) -> None:
    """A real engine process whose jobs are stand-ins."""
    from mien.operators import engine
    monkeypatch.setattr(engine, "Engine", functools.partial(Engine, arguments=("--jobs", str(Path(__file__).with_name("fake_jobs.py")))))
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face model of 81 vertices that bulges towards the camera, 3 identity and 6 expression directions, saved as npz."""
    rng = np.random.default_rng(7)
    n = 9
    x, y = np.meshgrid(np.linspace(-0.07, 0.07, n), np.linspace(-0.09, 0.09, n))
    mean = np.stack([x, y, 4 * (x**2 + y**2) - 0.05], -1).reshape(-1, 3).astype(np.float32)
    grid = np.arange(n * n).reshape(n, n)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    # In axes with y down and z away from the camera this order turns the normals to -z, towards the camera.
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)]).astype(np.int32)
    normals = np.cross(mean[triangles[:, 1]] - mean[triangles[:, 0]], mean[triangles[:, 2]] - mean[triangles[:, 0]])
    if normals[:, 2].mean() > 0:
        triangles = np.ascontiguousarray(triangles[:, ::-1])
    uv = np.stack([(x / 0.14 + 0.5).ravel(), (0.5 - y / 0.18).ravel()], 1).astype(np.float32)
    model = FaceModel(
        name="tiny", mean=mean, identity=rng.normal(0, 0.002, (3, n * n, 3)).astype(np.float32),
        expression=rng.normal(0, 0.004, (6, n * n, 3)).astype(np.float32),
        expression_names=("jawOpen", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", 'odd "name"', "eyeBlinkLeft"),
        expression_sigma=np.ones(6, np.float32), triangles=triangles, uv=uv, uv_triangles=triangles, landmark_scheme="mediapipe478",
        landmark_ids=np.array([33, 263], np.int32), landmark_vertices=np.array([20, 24], np.int32),
        lip_upper=np.array([58], np.int32), lip_lower=np.array([67], np.int32))
    path = tmp_path_factory.mktemp("model") / "tiny.npz"
    model.save(path)
    return path


def write_png(path: Path, rgb: np.ndarray) -> None:
    """(H, W, 3) uint8."""
    height, width, _ = rgb.shape
    raw = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(rgb))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(raw, 1)) + chunk(b"IEND", b""))


@pytest.fixture
def make_shot(tmp_path: Path, tiny_model: Path) -> Callable[..., Shot]:
    """`make_shot("talk", frames=12, lost=(4, 5))`: a solved shot over a sequence of small pictures, in tmp_path."""

    def make(name: str = "talk", *, folder: Path | None = None, frames: int = 12, first_frame: int = 1001, fps: tuple[int, int] = (24, 1),
             lost: tuple[int, ...] = (), cuts: tuple[int, ...] = (), size: tuple[int, int] = (96, 54), model: str = "", seed: int = 1) -> Shot:
        beside = folder or tmp_path
        width, height = size
        for i in range(frames):
            write_png(beside / "footage" / f"{name}.{first_frame + i:04d}.png", np.full((height, width, 3), 10 + i * 5, np.uint8))
        face_model = FaceModel.load(model or tiny_model)
        rng = np.random.default_rng(seed)
        t = np.linspace(0, 1, frames)
        plate = Plate(f"../footage/{name}.####.png", "sequence", width, height, fps, first_frame, frames, fingerprint="f" * 8)
        camera = Camera(width, height, 1.4 * width, width * 0.53, height * 0.46)
        shot = Shot(beside / f"{name}.mien", plate, 0, str(model or tiny_model), face_model.hash, camera)
        # A head that turns past half a turn about its own axis and back: quaternions that are not kept continuous would jump.
        rotation = np.stack([0.3 * np.sin(5 * t), 3.6 * t, 0.2 * t], 1).astype(np.float32)
        translation = np.stack([0.05 * np.sin(4 * t), 0.03 * t, 0.6 + 0.05 * t], 1).astype(np.float32)
        beta = rng.normal(0, 0.5, (frames, face_model.expression_count)).astype(np.float32)
        landmarks = rng.uniform(0, height, (frames, 4, 3)).astype(np.float32)
        gone = list(lost)
        for array in (rotation, translation, beta, landmarks):
            array[gone] = np.nan
        marks = np.array(cuts, np.int32)
        Track("mediapipe478", landmarks, np.ones(frames, np.float32), marks, np.ones(frames, np.int32), t, plate.fingerprint).save(shot.track_path)
        alpha = rng.normal(0, 1, face_model.identity_count).astype(np.float32)
        Solve(alpha, beta, rotation, translation, np.full(frames, 0.01, np.float32), marks, camera, face_model.hash).save(shot.solve_path)
        texture = np.zeros((16, 16, 3), np.uint8)
        texture[:8, :, 0], texture[8:, :, 1] = 200, 200
        write_png(shot.texture_path, texture)
        shot.save()
        return shot

    return make
