# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny shots with known pixels, for the tests of composite and delivery: noise as the plate, one flat colour as the face."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import bpy
import cv2
import numpy as np

from mien.mesh.shot import Plate, Shot
from mien.neural.media import read_exr, write_exr, write_face_layer, write_matte
from mien.operators import composite

WIDTH, HEIGHT = 64, 48
FACE = (0.2, 0.5, 0.1)
"""Scene-linear colour of the face layer."""
COVER = (slice(6, 42), slice(8, 56))
"""Rows and columns where the face layer is opaque."""
MATTE = (slice(16, 32), slice(20, 44))
"""Rows and columns where the matte is 1."""


@dataclass
class Synthetic:
    """A shot on disk and the pixels of its plate, (H, W, C) per frame."""

    shot: Shot
    plate: list[np.ndarray]


def make_shot(folder: Path, *, matte: bool = True, bits: int = 8, alpha: bool = False, linear: bool = False, frames: int = 3, first: int = 1001,
              fps: tuple[int, int] = (25, 1), size: tuple[int, int] = (WIDTH, HEIGHT), movie: str = "plate.mp4", audio: bool = False) -> Synthetic:
    """Write `folder` (NAME.mien) with plate, face and matte of every frame. Linear plates are EXR sequences, others movies already decoded."""
    width, height = size
    facts = Plate(path="../plate.####.exr" if linear else f"../{movie}", kind="sequence" if linear else "movie", width=width, height=height, fps=fps,
                  first_frame=first, frame_count=frames, bits=bits, alpha=alpha, linear=linear, audio=audio)
    shot = Shot(folder, facts)
    rng = np.random.default_rng(7)
    plate = [_noise(rng, facts) for _ in range(frames)]
    face, soft = np.zeros((height, width, 4), np.float32), np.zeros((height, width), np.float32)
    face[COVER] = (*FACE, 1)
    if matte:
        soft[MATTE] = 1
    shot.plate_folder.mkdir(parents=True, exist_ok=True)
    for i, pixels in enumerate(plate):
        if linear:
            write_exr(composite.plate_file(shot, i), pixels, full_float=bits == 32)
        else:
            write_png(shot.plate_frame_path(i), pixels)
        write_face_layer(shot.face_path(i), face)
        write_matte(shot.matte_path(i), soft)
    shot.save()
    return Synthetic(shot, plate)


def _noise(rng: np.random.Generator, plate: Plate) -> np.ndarray:
    shape = (plate.height, plate.width, 4 if plate.alpha else 3)
    if plate.linear:
        return rng.uniform(0, 4, shape).astype(np.float16).astype(np.float32)
    top = 2**plate.bits
    pixels = rng.integers(0, top, shape).astype(np.uint8 if plate.bits == 8 else np.uint16)
    if plate.alpha:  # the values that premultiplying endangers, beside the random ones
        pixels[:4, :, 3], pixels[4:8, :, 3] = 0, 1
    return pixels


def write_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., [2, 1, 0, 3][:pixels.shape[2]]])


def read_picture(path: Path) -> np.ndarray:
    """(H, W, C) RGB(A) as the file has it."""
    if path.suffix == ".exr":
        return read_exr(path)
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, f"{path} is missing"
    return pixels[..., [2, 1, 0, 3][:pixels.shape[2]]]


def render_composite(scene: bpy.types.Scene, folder: Path) -> list[np.ndarray]:
    """Render the composite scene itself to PNG; pixels of its frames."""
    folder.mkdir(parents=True, exist_ok=True)
    scene.render.filepath = str(folder / "c.####.png")
    bpy.ops.render.render(animation=True, scene=scene.name)
    return [read_picture(folder / f"c.{n:04d}.png") for n in range(scene.frame_start, scene.frame_end + 1)]


def write_movie(path: Path, *, frames: int, rate: Fraction, seconds: float | None, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """A small mp4, with a 440 Hz tone of `seconds` at 44.1 kHz unless that is None."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        sound = container.add_stream("aac", rate=44100, layout="mono") if seconds is not None else None
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 40 * i % 256, np.uint8))
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            wave = np.sin(np.arange(round(seconds * 44100)) * (2 * np.pi * 440 / 44100), dtype=np.float32)[None] * 0.5
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.rate = 44100
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
