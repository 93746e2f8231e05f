# SPDX-License-Identifier: GPL-3.0-or-later
"""What level 2 and the mouth reach on shots, measured on frames that the fit never saw (every fifth).

    python -m mien.neural.level2_measure SHOT.mien [SHOT.mien ...] [--maps FOLDER]

Texture: PSNR of the eigen model on held-out frames where they are seen, seconds of CPU for the fit, milliseconds for a difference.
Mouth: PSNR inside the lips of mouths that are told by their shape and their neighbours in time alone. Steadiness: difference from frame
to frame of the happy edit's difference of texture, over that of the plate's own texture. --maps writes the texture's error, x 8.
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
from ..mesh.errors import MienError
from ..mesh.model import load_model
from ..mesh.shot import Shot
from .appearance import ShotFaces, base_texture, fit_texture, lip_shade, mouth_crops, unwrapped
from .edit import EditSettings, ShotEditor
from .level2 import SIZE, TextureLayer, weight_map
from .level2_train import open_faces
from .media import write_png
from .mouth import MouthGeometry
from .mouth.model import SEEN_LEAST, fit_mouth
from .progress import Silent
from .texture import Unwrapper


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
    mask, found = weight_map(unwrap) > 0.02, []
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
    geometry = MouthGeometry(faces.renderer.mesh, faces.solve.alpha)
    crops = mouth_crops(faces, geometry, faces.samples(), Silent())
    kept, held = [c for n, c in enumerate(crops) if n % 5 != 4], [c for n, c in enumerate(crops) if n % 5 == 4]
    model = fit_mouth(np.stack([c.atlas for c in kept]), np.stack([c.seen for c in kept]), np.stack([c.shape for c in kept]),
                      np.array([c.index for c in kept]), lip_shade(kept))
    if model is None:
        return {"open mouths": 0}
    found = []
    for crop in held:
        if crop.seen.sum() > SEEN_LEAST:
            made = model.images.decode(model.expected(crop.shape[None], np.array([crop.index])))[0]
            found.append(psnr(((made - crop.atlas) ** 2 * crop.seen[..., None]).sum() / (3 * crop.seen.sum())))
    return {"open mouths": len(found), "mouth PSNR": float(np.mean(found)), "median": float(np.median(found))} if found else {"open mouths": 0}


def measure_edit(faces: ShotFaces, emotion: str = "happy", frames: int = 20) -> dict[str, float]:
    """Cost and steadiness of an edit's differences over some neighbouring frames."""
    shot: Shot = faces.shot
    report = Silent()
    editor = ShotEditor(shot, EmotionCurves.constant(shot.plate.frame_count, **{emotion: 1.0}), EditSettings(), report)
    start = max((s for s in faces.solve.segments), key=lambda s: s[1] - s[0])[0]
    rows = np.arange(start, min(start + frames, shot.plate.frame_count))
    unwrap, base = Unwrapper(faces.renderer.model, SIZE), base_texture(faces, SIZE)
    mask = weight_map(unwrap) > 0.02
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
        layer = editor.texture.over(layer, i, editor.edit.beta[i], editor.emotions[i], *shapes[1:])
        times["texture"] += time.process_time() - clock
        clock = time.process_time()
        if editor.mouth is not None:
            editor.mouth.over(layer, frame.pixels, i, faces.solve.beta[i], *shapes[:2])
        times["mouth"] += time.process_time() - clock
        texture = unwrapped(faces, frame, unwrap, base)[0]
        delta = np.zeros_like(texture) if delta is None else delta
        if before is not None:
            own.append(float(np.abs(texture - before[0])[mask].mean()))
            made.append(float(np.abs(delta - before[1])[mask].mean()))
        before = texture, delta
    n = max(len(own) + 1, 1)
    return {f"{k} ms": 1000 * v / n for k, v in times.items()} | {"steadiness": float(np.mean(made) / max(np.mean(own), 1e-9)) if own else 0.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mien-level2-measure", description="Level 2 and the mouth on held-out frames of solved shots.")
    parser.add_argument("shots", type=Path, nargs="+", metavar="SHOT")
    parser.add_argument("--maps", type=Path, metavar="FOLDER", help="write an error map of the texture of each shot")
    options = parser.parse_args(arguments)
    try:
        for folder in options.shots:
            faces = open_faces(folder, load_model(Shot.load(folder).model))
            values, error = measure_texture(faces)
            values |= measure_mouth(faces) | measure_edit(faces)
            print(folder.stem, "  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()), flush=True)
            if options.maps:
                write_png(options.maps / f"{folder.stem}_error.png", cv2.convertScaleAbs(error, alpha=8 * 255))
    except MienError as problem:
        print(f"mien: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
