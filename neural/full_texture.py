# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 2 as the paper shows it: the skin is the model's own picture, `dec(w + e d)` (Sun et al. 2023, section 3.4), instead of a difference
added to the plate's pixels. Meant for models of one actor.

A picture laid over a plate shows: it is of another tone, soft, and wrong where the model knows little. So of `dec(w)` only the middle is taken:
lines, folds and shading between the plate's grain and its light, which both stay the plate's; and where it is far from what the plate shows, such as
hair that has moved, or was never well seen, such as the sides of the nose, the plate stays whole. The change `dec(w + e d) - dec(w)` is added as
a difference is, where it is trusted.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np

from ..mesh.editor import smooth
from ..mesh.errors import MienError
from ..mesh.files import check_arrays, read_json, read_npz, write_json, write_npz
from ..mesh.model import FaceModel
from .appearance import ShotFaces, base_texture, unwrapped
from .hair import skin_alone
from .latent.working import from_working, to_working
from .level2 import MUTED, TextureModel, carry_to_picture, corners_of, ramp, weight_map
from .parallel import ordered_map
from .progress import Reporter
from .rendering import FaceLayer
from .texture import FACING, FULLY, Unwrapper
from .visibility import view_cosine

FADE = 0.1
"""Largest change of a coefficient, or intensity of an emotion, up to which the picture comes in, so that an edit that begins makes no jump."""
GRAIN, TONE = 0.007, 0.06
"""Standard deviations of the blurs below and above which the plate's own pixels stay, parts of the face's width."""
TEXELS = 1.5
"""The first of them is at least so many texels of the model, which shows nothing finer."""
DOUBT = (0.03, 0.09)
"""Distance of the model's picture from the plate, working space, from which on the plate stays, and at which it stays whole."""
SEEN = (0.3, 0.8)
"""How well a vertex is seen, mean of a shot's frames, from not at all to enough."""
FILE = "texture_latents"


class FullTexture:
    """Lays the model's picture of the skin over face layers of one shot; everything is loaded, so `over` is a pure function of the frame."""

    def __init__(self, model: TextureModel, latents: np.ndarray, face: FaceModel, strength: float, borrow: float, linear: bool,
                 free: np.ndarray | None = None):
        """latents (T, L): w of each frame. strength: of the change with the expression; borrow: of the emotions' directions; free (V,): see
        `weight_map`, and `well_seen`.
        """
        self._model, self._latents, self._strength, self._borrow, self._linear = model, latents, strength, borrow, linear
        unwrap = Unwrapper(face, model.images.size[0])
        self._weight, self._corners = weight_map(unwrap, free)[..., None], corners_of(unwrap)
        self._skin = skin_alone(model, self._weight[..., 0] > 0.02)[..., None] if borrow else self._weight

    @cached_property
    def hash(self) -> str:
        """Hex digits over everything that changes a picture, but for the curves."""
        digest = hashlib.sha256(repr(("full", self._model.hash, self._strength, self._borrow)).encode())
        digest.update(self._latents.tobytes() + self._weight.tobytes())
        return digest.hexdigest()[:16]

    def _decoded(self, index: int, change: np.ndarray | None = None) -> np.ndarray:
        """dec(w) of a frame, or dec(w + change) - dec(w): (S, S, 3) in the working space."""
        images = self._model.images
        w = self._latents[index].reshape(1, *images.latent_shape)
        return images.decode(w)[0] if change is None else images.delta(w, change.astype(np.float32).reshape(w.shape))[0]

    def textures(self, index: int, beta: np.ndarray, emotions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dec(w) of a frame and how it changes, each (S, S, 3) in the working space and weighted by where it is shown, for changes (B,) and (7,)."""
        m = self._model
        change = self._decoded(index, self._strength * (beta @ m.expression)) * m.trust[..., None]
        if self._borrow:
            change += self._decoded(index, self._borrow * (emotions @ m.emotions)) * self._skin
        return self._weight * self._decoded(index), self._weight * cv2.transform(change, MUTED)

    def over(self, layer: FaceLayer, index: int, beta: np.ndarray, emotions: np.ndarray) -> FaceLayer:
        """The layer with the skin painted."""
        strongest = max(float(np.abs(beta).max(initial=0)), float(np.abs(emotions).max(initial=0)))
        shown = np.float32(ramp(np.float64(strongest), 0, FADE))
        if not shown:
            return layer
        carried = carry_to_picture(layer, self._corners, np.concatenate([*self.textures(index, beta, emotions), self._weight], 2))
        own, change, cover = carried[..., :3], carried[..., 3:6], carried[..., 6:]
        patch = layer.patch.copy()
        region = patch[..., :3]
        plate = to_working(region, self._linear)
        painted = plate + shown * cover * middle(own - cover * plate, cover[..., 0], max(GRAIN, TEXELS / len(self._weight))) + change
        np.copyto(region, from_working(painted, patch.dtype, self._linear), where=cover > 0)
        return replace(layer, patch=patch)


def middle(away: np.ndarray, cover: np.ndarray, grain: float) -> np.ndarray:
    """What of the model's picture is laid over the plate, (h, w, 3): its distance from the plate between grain and tone, where that is believable.

    away (h, w, 3): the model's picture less the plate, weighted by cover (h, w) in 0..1; grain: see GRAIN.
    """
    width = float(cover.any(0).sum())

    def mean(sigma: float) -> np.ndarray:
        step = max(1, int(sigma / 4))  # a broad blur needs no fine picture
        size = (max(1, cover.shape[1] // step), max(1, cover.shape[0] // step))
        small, weight = (cv2.GaussianBlur(cv2.resize(v, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / step) for v in (away, cover))
        return cv2.resize(small / np.maximum(weight, 1e-3)[..., None], cover.shape[::-1], interpolation=cv2.INTER_LINEAR)

    between = mean(max(grain * width, 0.5)) - mean(max(TONE * width, 2.0))
    doubt = cv2.GaussianBlur(np.abs(between).max(2), (0, 0), max(2 * grain * width, 1.0))
    return between * (1 - ramp(doubt, *DOUBT))[..., None].astype(np.float32)


def well_seen(faces: ShotFaces, frames: int = 15) -> np.ndarray:
    """(V,) in 0..1: how far the shot's frames show each vertex well enough to unwrap it."""
    total, chosen, model = np.zeros(faces.renderer.model.vertex_count), faces.samples(frames), faces.renderer.model
    for index in map(int, chosen):
        cosine = view_cosine(faces.vertices(index)[1], model.triangles)
        total += np.clip((cosine - FACING) / FULLY, 0, 1) / len(chosen)
    return ramp(total, *SEEN)


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
