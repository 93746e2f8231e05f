# SPDX-License-Identifier: GPL-3.0-or-later
"""What level 2 and the mouth reach on shots, measured on frames that the fit never saw (every fifth).

    python -m mien.neural.level2_measure SHOT.mien [SHOT.mien ...] [--maps FOLDER]

Texture: PSNR of the eigen model on held-out frames where they are seen, seconds of CPU for the fit, milliseconds for a difference.
Mouth: PSNR on the plate's pixels inside the lips of frames that the fit never saw and whose mouth nobody looks into: it is told by the
shape of the lips, what lies around them and the time alone, the neighbouring frames being in the fit. Steadiness: difference from frame
to frame of the happy edit's difference of texture, over that of the plate's own texture. Flicker: difference from frame to frame inside the lips of
the surprised edit, over the plate's. --maps writes the texture's error, x 8, and opened mouths.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..mesh.emotion import EmotionCurves
from ..mesh.model import load_model
from ..mesh.shot import Shot
from .appearance import MOUTH_SAMPLES, ShotFaces, base_texture, fit_texture, mouth_crops, unwrapped
from .edit import EditSettings, ShotEditor
from .failures import tells_errors
from .latent.working import to_working
from .level2 import SIZE, TextureLayer, weight_map
from .level2_train import open_faces
from .media import write_png
from .mouth import MouthGeometry, MouthLayer
from .mouth.geometry import HEIGHT, WIDTH
from .mouth.layer import MouthTrack
from .mouth.model import SEEN_LEAST, fit_mouth
from .progress import Silent
from .texture import Unwrapper

SHEET = 8
"""Mouths on the sheet of openings."""
INSIDE_LEAST = 30
"""Pixels of the plate inside the lips below which a mouth is a line and not measured."""


def psnr(squared: np.ndarray) -> float:
    """dB against a range of 1, from squared errors."""
    return float(-10 * np.log10(max(float(np.mean(squared)), 1e-12)))


def measure_texture(faces: ShotFaces) -> tuple[dict[str, float], np.ndarray]:
    """Numbers by name, and the mean absolute error (SIZE, SIZE, 3)."""
    chosen = faces.samples()
    held = np.arange(len(chosen)) % 5 == 4
    start = time.process_time()
    images, _, _ = fit_texture(faces, chosen[~held], Silent())
    seconds = time.process_time() - start
    unwrap, base = Unwrapper(faces.renderer.model, SIZE), base_texture(faces, SIZE)
    mask, found = weight_map(unwrap, faces.free) > 0.02, []
    error, count = np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE, 1), np.float32)
    for frame in faces.frames(chosen[held]):
        texture, seen = unwrapped(faces, frame, unwrap, base)
        where = (seen > 0.5) & mask
        difference = images.decode(images.encode(texture[None]))[0] - texture
        found.append(psnr(difference[where] ** 2))
        error[where] += np.abs(difference[where])
        count[where] += 1
    return {"texture PSNR": float(np.mean(found)), "lowest": min(found), "components": len(images.components), "kept": images.explained,
            "fit s": seconds, "fit frames": int((~held).sum())}, error / np.maximum(count, 1)


def measure_mouth(faces: ShotFaces) -> dict[str, float]:
    geometry = MouthGeometry(faces.renderer.mesh, faces.solve)
    crops = mouth_crops(faces, geometry, faces.samples(MOUTH_SAMPLES), Silent())
    kept, held = [c for n, c in enumerate(crops) if n % 5 != 4], [c for n, c in enumerate(crops) if n % 5 == 4]
    model = fit_mouth(kept)
    if model is None:
        return {"open mouths": 0}
    none = np.zeros((len(faces.solve.beta), *model.images.latent_shape), np.float32)
    layer, found = MouthLayer(geometry, model, MouthTrack(none, none, none[:, 0]), 1.0, None, faces.shot.plate.linear), []
    for frame in faces.frames(np.array([c.index for c in held if c.opened > SEEN_LEAST], int)):
        told = layer.told(frame.pixels, frame.index, faces.vertices(frame.index)[0])
        if told is not None and told[2].sum() > INSIDE_LEAST:
            made, plate, inside = told
            found.append(psnr(((np.clip(made, 0, 1) - plate) ** 2 * inside[..., None]).sum() / (3 * inside.sum())))
    return {"open mouths": len(found), "mouth PSNR": float(np.mean(found)), "median": float(np.median(found))} if found else {"open mouths": 0}


def measure_edit(faces: ShotFaces, emotion: str = "happy", frames: int = 20) -> dict[str, float]:
    """Cost and steadiness of an edit's differences over some neighbouring frames."""
    shot: Shot = faces.shot
    report = Silent()
    editor = ShotEditor(shot, EmotionCurves.constant(shot.plate.frame_count, **{emotion: 1.0}), EditSettings(), report)
    start = max((s for s in faces.solve.segments), key=lambda s: s[1] - s[0])[0]
    rows = np.arange(start, min(start + frames, shot.plate.frame_count))
    unwrap, base = Unwrapper(faces.renderer.model, SIZE), base_texture(faces, SIZE)
    mask = weight_map(unwrap, faces.free) > 0.02
    own, made, times, before = [], [], {"delta": 0.0, "texture": 0.0, "mouth": 0.0}, None
    for frame in faces.frames(rows):
        i = frame.index
        shapes = editor.shapes(i)
        layer = editor.renderer.render(frame.pixels, *shapes) if shapes else None
        if shapes is None or layer is None or not isinstance(editor.texture, TextureLayer):
            continue
        clock = time.process_time()
        delta = editor.texture.delta(editor.edit.beta[i], editor.emotions[i])
        times["delta"] += time.process_time() - clock
        clock = time.process_time()
        layer = editor.texture.over(layer, i, editor.edit.beta[i], editor.emotions[i])
        times["texture"] += time.process_time() - clock
        clock = time.process_time()
        if editor.mouth is not None:
            editor.mouth.over(layer, frame.pixels, i, *shapes[:2])
        times["mouth"] += time.process_time() - clock
        texture = unwrapped(faces, frame, unwrap, base)[0]
        delta = np.zeros_like(texture) if delta is None else delta
        if before is not None:
            own.append(float(np.abs(texture - before[0])[mask].mean()))
            made.append(float(np.abs(delta - before[1])[mask].mean()))
        before = texture, delta
    n = max(len(own) + 1, 1)
    return {f"{k} ms": 1000 * v / n for k, v in times.items()} | {"steadiness": float(np.mean(made) / max(np.mean(own), 1e-9)) if own else 0.0}


def measure_openings(faces: ShotFaces, sheet: Path | None = None, emotion: str = "surprised", frames: int = 60) -> dict[str, float]:
    """Flicker of edited mouths: mean difference from frame to frame inside the edited lips, the head held still, over that of the plate in the same
    place. `sheet`: where a picture of openings from the most closed lips is written, plate above, edit below.
    """
    shot = faces.shot
    editor = ShotEditor(shot, EmotionCurves.constant(shot.plate.frame_count, **{emotion: 1.0}), EditSettings(), Silent())
    geometry = MouthGeometry(faces.renderer.mesh, faces.solve)
    start, end = max((s for s in faces.solve.segments), key=lambda s: s[1] - s[0])
    before, made, own, shown = None, [], [], []
    for frame in faces.frames(np.arange(start, min(start + frames, end))):
        shapes, crops = editor.shapes(frame.index), []
        pose = geometry.pose(frame.index, shapes[0]) if shapes else None
        if shapes is None or pose is None:
            before = None
            continue
        result = editor.composited(frame).pixels
        edited = geometry.edited(pose, *shapes[:2])
        lips = shapes[1][geometry.ring]
        left, top = np.maximum(np.floor(lips.min(0)).astype(int) - 40, 0)
        right, bottom = np.ceil(lips.max(0)).astype(int) + 40
        for picture in (frame.pixels, result):
            part = to_working(np.ascontiguousarray(picture[top:bottom, left:right, :3]), shot.plate.linear)
            crops.append(geometry.crop(part, edited, (int(left), int(top)))[0][:HEIGHT])
        opening = cv2.erode(geometry.between(edited.lips, (HEIGHT, WIDTH))[1].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        if before is not None and (where := opening & before[2]).any():
            own.append(float(np.abs(crops[0] - before[0])[where].mean()))
            made.append(float(np.abs(crops[1] - before[1])[where].mean()))
        before = crops[0], crops[1], opening
        gap = np.linalg.norm(shapes[0][geometry.upper_middle] - shapes[0][geometry.lower_middle], axis=1).mean()
        shown.append((float(gap), frame.index, np.concatenate(crops)))
    if sheet is not None and shown:
        closed = sorted(shown, key=lambda s: s[0])[: max(SHEET, len(shown) // 3)]
        closed = sorted(closed, key=lambda s: s[1])
        few = [closed[int(k)][2] for k in np.linspace(0, len(closed) - 1, min(SHEET, len(closed)))]
        rows = [np.concatenate(few[k:k + 4], 1) for k in range(0, len(few) // 4 * 4, 4)]
        write_png(sheet, cv2.convertScaleAbs(np.clip(np.concatenate(rows), 0, 1), alpha=255))
    return {"flicker": float(np.mean(made) / max(np.mean(own), 1e-9))} if own else {}


@tells_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mien-level2-measure", description="Level 2 and the mouth on held-out frames of solved shots.")
    parser.add_argument("shots", type=Path, nargs="+", metavar="SHOT")
    parser.add_argument("--maps", type=Path, metavar="FOLDER", help="write an error map of the texture and a sheet of opened mouths of each shot")
    options = parser.parse_args(arguments)
    for folder in options.shots:
        faces = open_faces(folder, load_model(Shot.load(folder).model))
        values, error = measure_texture(faces)
        sheet = options.maps / f"{folder.stem}_openings.png" if options.maps else None
        values |= measure_mouth(faces) | measure_edit(faces) | measure_openings(faces, sheet)
        print(folder.stem, "  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()), flush=True)
        if options.maps:
            write_png(options.maps / f"{folder.stem}_error.png", cv2.convertScaleAbs(error, alpha=8 * 255))
    return 0


if __name__ == "__main__":
    sys.exit(main())
