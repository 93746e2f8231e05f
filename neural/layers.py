# SPDX-License-Identifier: GPL-3.0-or-later
"""The edit as an EXR sequence for compositing elsewhere: picture, face patch, matte and ST map in one file a frame.

    R G B [A]           the edited frame, scene-linear
    patch.R G B A       the face layer, premultiplied by its coverage
    matte.Y             where the patch lies over the plate, 0..1
    st.R G              ST map, 32 bit: where each pixel comes from on the plate, from 0 at the left and the bottom to 1 at the right and the top

An ST map moves any other version of the plate (a grade, a higher resolution) as the edit does. What is painted rather than moved, such as an
opened mouth, is in the patch alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR

from ..mesh.emotion import EmotionCurves
from ..mesh.errors import MienError
from ..mesh.files import atomic_path
from ..mesh.shot import Shot
from .bake import scene_linear
from .edit import EditSettings, ShotEditor
from .media import Frame, PlateReader
from .media.stills import parse_pattern
from .parallel import ordered_map
from .progress import Reporter
from .rendering import FaceLayer


def write_layers(folder: Path, output: Path, *, settings: dict | None = None, report: Reporter) -> dict:
    """Write name.####.exr for every frame of the shot, edited as emotion.npz says. Returns {"frames", "output"}.

    Raises MienError when something of the shot is missing or the output has no frame number.
    """
    shot = Shot.load(folder)
    if output.suffix.lower() != ".exr" or not {"#", "%"} & set(output.name):
        raise MienError(f"{output} must be named like {output.stem}.####.exr: one picture a frame.")
    pattern = parse_pattern(output, guess=False)
    editor = ShotEditor(shot, EmotionCurves.load(shot.emotion_path), EditSettings.from_dict(settings), report)
    total = shot.plate.frame_count

    def make(frame: Frame) -> int:
        _save(pattern.file(shot.frame_number(frame.index)), channels(frame.pixels, editor.layer(frame.index, frame.pixels), shot.plate.linear))
        return frame.index

    report.step("layers", 0, total)
    for index in ordered_map(make, PlateReader(shot.plate_path, shot.plate).frames()):
        report.step("layers", index + 1, total)
    return {"frames": total, "output": str(output)}


def channels(plate: np.ndarray, layer: FaceLayer | None, linear: bool) -> dict[str, np.ndarray]:
    """Plate (H, W, 3|4) and its layer -> channel name -> (H, W) float16, float32 for the ST map."""
    height, width = plate.shape[:2]
    result = plate if layer is None else layer.over(plate)
    picture = scene_linear(result[..., :3], linear).astype(np.float16)
    patch, matte = np.zeros((height, width, 4), np.float16), np.zeros((height, width), np.float16)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    if layer is not None:
        left, top, right, bottom = layer.box
        part = slice(top, bottom), slice(left, right)
        cover = (layer.matte > 0).astype(np.float32)[..., None]
        patch[part] = np.concatenate([scene_linear(layer.patch[..., :3], linear) * cover, cover], 2)
        matte[part] = layer.matte
        x[part] += layer.displacement[..., 0]
        y[part] += layer.displacement[..., 1]
    out = {c: picture[..., i] for i, c in enumerate("RGB")}
    if plate.shape[2] == 4:
        alpha = plate[..., 3]
        out["A"] = (alpha if linear else alpha / np.float32(np.iinfo(alpha.dtype).max)).astype(np.float16)
    out.update({f"patch.{c}": patch[..., i] for i, c in enumerate("RGBA")})
    return {**out, "matte.Y": matte, "st.R": (x + 0.5) / width, "st.G": 1 - (y + 0.5) / height}


def _save(path: Path, planes: dict[str, np.ndarray]) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with atomic_path(path) as temporary:
        try:
            OpenEXR.File(header, {name: np.ascontiguousarray(plane) for name, plane in planes.items()}).write(str(temporary))
        except RuntimeError as error:
            raise OSError(0, "the picture could not be written") from error
