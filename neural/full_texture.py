# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 2 as the paper shows it: the skin is the model's own picture, `dec(w + e d)` (Sun et al. 2023, section 3.4), instead of a difference
added to the plate's pixels. Meant for models of one actor; the plate's finest grain is lost with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property

import numpy as np

from ..mesh.editor import smooth
from ..mesh.errors import MienError
from ..mesh.files import check_arrays, read_json, read_npz, write_json, write_npz
from ..mesh.model import FaceModel
from .appearance import ShotFaces, base_texture, unwrapped
from .latent.working import from_working, to_working
from .level2 import TextureModel, carry_to_picture, corners_of, ramp, weight_map
from .parallel import ordered_map
from .progress import Reporter
from .rendering import FaceLayer
from .texture import Unwrapper

FADE = 0.1
"""Largest change of a coefficient, or intensity of an emotion, up to which the picture comes in, so that an edit that begins makes no jump."""
FILE = "texture_latents"


class FullTexture:
    """Lays the model's picture of the skin over face layers of one shot; everything is loaded, so `over` is a pure function of the frame."""

    def __init__(self, model: TextureModel, latents: np.ndarray, face: FaceModel, strength: float, borrow: float, linear: bool,
                 free: np.ndarray | None = None):
        """latents (T, L): w of each frame. strength: of the change with the expression; borrow: of the emotions' directions; free: see
        `weight_map`.
        """
        self._model, self._latents, self._strength, self._borrow, self._linear = model, latents, strength, borrow, linear
        unwrap = Unwrapper(face, model.images.size[0])
        self._weight, self._corners = weight_map(unwrap, free)[..., None], corners_of(unwrap)

    @cached_property
    def hash(self) -> str:
        """Hex digits over everything that changes a picture, but for the curves."""
        digest = hashlib.sha256(repr(("full", self._model.hash, self._strength, self._borrow)).encode())
        digest.update(self._latents.tobytes())
        return digest.hexdigest()[:16]

    def picture(self, index: int, beta: np.ndarray, emotions: np.ndarray) -> np.ndarray:
        """dec(w + d) of a frame, (S, S, 3) in the working space, for changes (B,) and (7,)."""
        m = self._model
        change = self._strength * (beta @ m.expression) + self._borrow * (emotions @ m.emotions)
        return m.images.decode((self._latents[index] + change).astype(np.float32).reshape(1, *m.images.latent_shape))[0]

    def over(self, layer: FaceLayer, index: int, beta: np.ndarray, emotions: np.ndarray) -> FaceLayer:
        """The layer with the skin painted."""
        strongest = max(float(np.abs(beta).max(initial=0)), float(np.abs(emotions).max(initial=0)))
        weight = self._weight * np.float32(ramp(np.float64(strongest), 0, FADE))
        if not weight.any():
            return layer
        texture = np.concatenate([weight * self.picture(index, beta, emotions), weight], 2)
        carried = carry_to_picture(layer, self._corners, texture)
        patch = layer.patch.copy()
        region, cover = patch[..., :3], carried[..., 3:]
        painted = to_working(region, self._linear) * (1 - cover) + carried[..., :3]
        np.copyto(region, from_working(painted, patch.dtype, self._linear), where=cover > 0)
        return replace(layer, patch=patch)


def shot_latents(faces: ShotFaces, model: TextureModel, report: Reporter) -> np.ndarray:
    """(T, L) float32: w of every frame, smoothed within takes (section 3.5.1); zeros where there is no face. Kept in SHOT/texture/."""
    folder = faces.shot.texture_path.parent
    key, about, path = faces.key(FILE, model.hash), folder / f"{FILE}.json", folder / f"{FILE}.npz"
    count = int(np.prod(model.images.latent_shape))
    T = len(faces.solve.beta)
    try:
        if about.exists() and read_json(about).get("key") == key:
            a = read_npz(path)
            check_arrays(path, a, {"latents": (T, count)})
            return a["latents"]
    except MienError as error:
        report.warn(f"The latents of this shot are made again: {error}")
    unwrap, base = Unwrapper(faces.renderer.model, model.images.size[0]), base_texture(faces, model.images.size[0])
    solved = np.flatnonzero(faces.solve.solved)
    latents = np.zeros((T, count), np.float32)
    report.step("latents", 0, len(solved))
    for done, (index, texture) in enumerate(ordered_map(lambda f: (f.index, unwrapped(faces, f, unwrap, base)[0]), faces.frames(solved)), 1):
        latents[index] = model.images.encode(texture[None]).reshape(-1)
        report.step("latents", done, len(solved))
    for start, end in faces.solve.segments:
        latents[start:end] = smooth(latents[start:end])
    write_npz(path, {"latents": latents})
    write_json(about, {"key": key})
    return latents
