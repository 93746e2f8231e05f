# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien check SHOT -o overlay.mov`: a checker texture on the solved mesh over the plate, to see whether the mesh swims.

The mesh is drawn where the solve has it, not locked to the frame's landmarks as an edit does: what slides here is the solve's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..mesh.camera import place
from ..mesh.model import FaceModel, load_model
from ..mesh.shot import Shot, Solve
from .media import Frame, PlateReader, display8, open_writer
from .parallel import ordered_map
from .progress import Reporter
from .rendering.raster import rasterise
from .slide import Slide
from .texture import vertex_of_uv
from .visibility import facing

CHECKS = 36
"""Checks along the texture's side."""
OPACITY = 0.55
DARK, LIGHT = np.array([20, 60, 90], np.float32), np.array([255, 190, 60], np.float32)


class CheckerOverlay:
    """Draws the checker of one solved shot."""

    def __init__(self, model: FaceModel, solve: Solve):
        self.model, self.solve = model, solve
        self.vertex_of_uv = vertex_of_uv(model)

    def draw(self, rgb: np.ndarray, index: int) -> np.ndarray:
        """(H, W, 3) uint8 with the mesh of a frame over it; the plate itself where the frame is not solved."""
        s = self.solve
        if not s.solved[index]:
            return rgb
        points = place(self.model.shape(s.alpha, s.beta[index]).astype(np.float64), s.rotation[index].astype(np.float64),
                       s.translation[index].astype(np.float64))
        xy, seen = s.camera.project(points), facing(points, self.model.triangles)
        left, top = np.maximum(np.floor(xy.min(0)).astype(int) - 2, 0)
        right, bottom = np.minimum(np.ceil(xy.max(0)).astype(int) + 2, (rgb.shape[1], rgb.shape[0]))
        if right <= left or bottom <= top:
            return rgb
        values = np.concatenate([self.model.uv, seen[self.vertex_of_uv, None]], 1).astype(np.float32)
        out, z = np.zeros((bottom - top, right - left, 3), np.float32), np.full((bottom - top, right - left), np.inf, np.float32)
        at = (xy - (left, top)).astype(np.float32)[self.vertex_of_uv]
        rasterise(at, points[self.vertex_of_uv, 2].astype(np.float32), self.model.uv_triangles.astype(np.int32), values, out, z, 0.0)
        odd = (np.floor(out[..., 0] * CHECKS) + np.floor(out[..., 1] * CHECKS)) % 2
        paint = np.where(odd[..., None] > 0, LIGHT, DARK)
        amount = (OPACITY * np.isfinite(z) * out[..., 2])[..., None]
        result = rgb.copy()
        part = result[top:bottom, left:right]
        part[:] = np.round(part + amount * (paint - part)).astype(np.uint8)
        return result


def check_movie(folder: Path, output: Path, *, codec: str | None = None, report: Reporter) -> dict:
    """Write the overlay of a solved shot, with the plate's sound. Returns {"frames", "output"} and what `Slide.summary` says. Raises MienError."""
    shot = Shot.load(folder)
    overlay = CheckerOverlay(load_model(shot.model), Solve.load(shot))
    slide = Slide(overlay.model, overlay.solve)
    reader, total = PlateReader(shot.plate_path, shot.plate), shot.plate.frame_count
    plate = replace(shot.plate, bits=8, linear=False, alpha=False)

    def drawn(frame: Frame) -> Frame:
        return replace(frame, pixels=overlay.draw(frame.pixels, frame.index))

    def watched() -> Iterator[Frame]:
        for frame in reader.frames():
            seen = replace(frame, pixels=np.ascontiguousarray(display8(frame.pixels, shot.plate.linear)[..., :3]))
            slide.take(seen.pixels, frame.index)
            yield seen

    report.step("check", 0, total)
    with open_writer(output, plate, codec, audio_from=shot.plate_path if shot.plate.audio else None) as writer:
        for sentence in writer.warnings:
            report.warn(sentence)
        for done, frame in enumerate(ordered_map(drawn, watched()), 1):
            writer.write(frame.pixels, frame.time)
            report.step("check", done, total)
    return {"frames": total, "output": str(output), **slide.summary()}
