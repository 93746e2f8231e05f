# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien train texture` and `mien train mouth`: the eigen models of an actor from takes, kept in an actor folder and used by any shot.

From labelled takes come the paper's directions (Sun et al. 2023, section 3.4), `d_y = mean enc(T_y) - mean enc(T_neutral)`, of the highest
level of each emotion only. All textures share one UV, so another actor's directions fit as well; the edit scales them (`texture_borrow`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..mesh.emotion import EMOTIONS
from ..mesh.errors import MienError
from ..mesh.model import FaceModel, load_model
from ..mesh.shot import Shot, Solve, Track
from .appearance import MOUTH, ShotFaces, base_texture, fit_texture, mouth_crops, unwrapped
from .latent.eigen import EigenFit
from .level2 import COMPONENTS, SIZE, TextureModel, regress, weight_map
from .media import Frame
from .mouth import MouthGeometry
from .mouth.model import fit_mouth
from .parallel import ordered_map
from .progress import Reporter
from .registration import shift_between, shifted
from .rendering import PlateRenderer
from .shape_gan.prepare import shot_folder, solve_takes
from .shape_gan.takes import NEUTRAL, Take, read_takes
from .texture import Unwrapper

FRAMES = 60
"""Frames of a take that are looked at, at most."""
FAR = 10**6
"""Frames between one take and the next, so that they are no neighbours in time."""


def open_faces(folder: Path, model: FaceModel) -> ShotFaces:
    """The solved faces of a shot folder. Raises MienError when it is not solved, or with another face model."""
    shot = Shot.load(folder)
    solve = Solve.load(shot)
    if shot.model_hash != model.hash:
        raise MienError(f"{folder} was solved with another face model than '{model.name}'; solve the shot again.")
    return ShotFaces(shot, Track.load(shot), solve, PlateRenderer(model, solve.camera))


def load_takes(source: Path, output: Path, model_name: str, report: Reporter) -> tuple[list[Take], list[ShotFaces]]:
    """The takes of a table, of MEAD or of RAVDESS, tracked and solved where they are not yet; those that fail are left out with a warning.

    One shot folder alone is a take as well, without a label.
    """
    model = load_model(model_name)
    if (source / "shot.json").exists():
        return [Take(source, source.stem, NEUTRAL, 1)], [open_faces(source, model)]
    takes, cache = read_takes(source), output / "takes"
    solve_takes(takes, model, model_name, cache, report)
    kept = [t for t in takes if (shot_folder(t, cache) / "solve.npz").exists()]
    return kept, [open_faces(shot_folder(t, cache), model) for t in kept]


def emotion_directions(latents: np.ndarray, labels: Sequence[str], levels: Sequence[int]) -> np.ndarray:
    """d_y of section 3.4: latents (N, L) with the emotion and level of each -> (7, L), zeros where an emotion, or neutral, was never filmed."""
    names, level = np.array(labels), np.array(levels)
    out = np.zeros((len(EMOTIONS), latents.shape[1]), np.float32)
    rest = names == NEUTRAL
    if not rest.any():
        return out
    for i, emotion in enumerate(EMOTIONS):
        there = names == emotion
        if there.any():
            out[i] = latents[there & (level == level[there].max())].mean(0) - latents[rest].mean(0)
    return out


class LaidOver:
    """The textures of takes, all laid over the first neutral one (`registration`)."""

    def __init__(self, takes: Sequence[Take], faces: Sequence[ShotFaces], size: int):
        """faces[n] are those of takes[n]."""
        face = faces[0].renderer.model
        self.faces, self._unwrap = faces, Unwrapper(face, size)
        free = next((f.free for f in faces if f.free is not None), None)
        self.mask = weight_map(self._unwrap, free) > 0.02
        """(size, size) bool: the skin."""
        large, skin = [base_texture(f, SIZE) for f in faces], weight_map(Unwrapper(face, SIZE), free) > 0.02
        first = next((i for i, t in enumerate(takes) if t.emotion == NEUTRAL), 0)
        shifts = [np.zeros((SIZE, SIZE, 2), np.float32) if i == first else shift_between(t, large[first], skin) for i, t in enumerate(large)]
        self._shifts = [cv2.resize(s, (size, size), interpolation=cv2.INTER_AREA) * np.float32(size / SIZE) for s in shifts]
        self._own = [base_texture(f, size) for f in faces]
        self.base: np.ndarray = np.mean([shifted(o, s) for o, s in zip(self._own, self._shifts)], 0).astype(np.float32)
        """(size, size, 3) float32: the mean of the takes' neutral textures, which stands where a frame shows nothing."""

    def textures(self, n: int, some: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Those frames of take n: (size, size, 3) float32 in the working space, and how far each texel is seen (size, size)."""
        faces, own, shift = self.faces[n], self._own[n], self._shifts[n]

        def laid(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
            texture, seen = (shifted(a, shift) for a in unwrapped(faces, frame, self._unwrap, own))
            return self.base + seen[..., None] * (texture - self.base), seen

        return ordered_map(laid, faces.frames(some))


def train_texture(source: Path, output: Path, *, model: str = "default", report: Reporter) -> dict:
    """Fit the eigen texture model of an actor. Returns facts for the command line. Raises MienError."""
    takes, faces = load_takes(source, output, model, report)
    if len(faces) == 1:
        chosen = faces[0].samples()
        images, latents, shown = fit_texture(faces[0], chosen, report)
        rows, of = [chosen], np.zeros(len(chosen), int)
    else:
        laid, rows = LaidOver(takes, faces, SIZE), [f.samples(FRAMES) for f in faces]
        fit, shown = EigenFit(laid.mask, COMPONENTS, laid.base), np.zeros((SIZE, SIZE), np.float32)
        of, total = np.repeat(np.arange(len(faces)), [len(r) for r in rows]), 2 * len(faces)
        for n, some in enumerate(rows):
            report.step("textures", n, total)
            pictures, seen = zip(*laid.textures(n, some))
            fit.add(np.stack(pictures))
            shown += np.mean(seen, 0) / len(faces)
        images, parts = fit.model(), []
        for n, some in enumerate(rows):
            report.step("textures", len(faces) + n, total)
            parts.append(images.encode(np.stack([texture for texture, _ in laid.textures(n, some)])))
        latents = np.concatenate(parts)
        report.step("textures", total, total)
    directions = emotion_directions(latents, [takes[i].emotion for i in of], [takes[i].level for i in of])
    for emotion, direction in zip(EMOTIONS, directions):
        if not direction.any() and any(t.emotion == emotion for t in takes):
            report.warn(f"There are takes of '{emotion}' but none labelled neutral, so it has no direction; add a neutral take.")
    beta = np.concatenate([f.solve.beta[r] for f, r in zip(faces, rows)])
    turned = np.concatenate([f.solve.rotation[r] for f, r in zip(faces, rows)])
    take_of = (of[:, None] == np.arange(1, len(faces))[None]).astype(float)  # each take has a light of its own
    found = regress(latents, beta, np.concatenate([turned, take_of], 1), np.maximum(faces[0].renderer.model.expression_sigma, 1e-3))
    TextureModel(images, found.directions, directions, found.trust(images, shown), found.predicted).save(output)
    return {"folder": str(output), "frames": len(latents), "explained": images.explained, "predicted": found.predicted,
            "emotions": [e for e, d in zip(EMOTIONS, directions) if d.any()]}


def train_mouth(source: Path, output: Path, *, model: str = "default", report: Reporter) -> dict:
    """Fit the eigen mouth model of an actor. Returns facts for the command line. Raises MienError when no take shows an open mouth."""
    _, faces = load_takes(source, output, model, report)
    crops = []
    for n, f in enumerate(faces):
        geometry = MouthGeometry(f.renderer.mesh, f.solve)
        if not geometry.available:
            raise MienError(f"The face model '{model}' has no mouth opening; choose another one.")
        some = f.samples(max(10, FRAMES * 4 // len(faces)) if len(faces) > 1 else 150)
        crops += [c.moved_by(n * FAR) for c in mouth_crops(f, geometry, some, report)]
    fitted = fit_mouth(crops)
    if fitted is None:
        raise MienError(f"{source} never shows the inside of the mouth; take footage in which the actor speaks or smiles with open lips.")
    fitted.save(output, MOUTH)
    return {"folder": str(output), "frames": len(fitted.frames)}
