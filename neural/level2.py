# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 2: the skin's shading and wrinkles change with the expression (Sun et al. 2023, section 3.4), as a difference of textures.

`delta T = dec(w + d) - dec(w)` in the working space, carried from UV to the picture and added to the plate's own pixels. The direction d
comes from the change of the expression coefficients by ridge regression on the actor's own frames (ours, for a shot without labelled
takes), and from labelled takes where the actor folder has directions (the paper's d_y).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ..mesh.emotion import EMOTIONS
from ..mesh.errors import MienError
from ..mesh.files import check_arrays, read_npz, write_npz
from ..mesh.model import FaceModel
from .latent import LatentImageModel, load_latent
from .latent.working import from_working, to_working
from .rendering.raster import rasterise
from .rendering.renderer import FaceLayer
from .texture import Unwrapper

SIZE = 512
COMPONENTS = 40
RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Candidates for the ridge, in units of the performance's own spread; the one that predicts left-out stretches of time best is taken."""
BLOCKS = 5
"""Stretches of time that are left out in turn."""
MOST_SIGMA = 2.5
"""The apex of an expression direction moves no latent by more than this many of its standard deviations in the shot."""
CHROMA = 0.5
"""Part of a difference's colour that is kept: brightness makes wrinkles, colour makes clowns."""
BORDER = 0.025
"""Way from the texture's edge, lids and lips included, over which differences come in, as a part of its size."""
DAMPED = {"lids_left": 0.8, "lids_right": 0.8, "brow_left": 0.6, "brow_right": 0.6, "lips": 0.6}
"""Region -> how much less it gets: lashes, hair and lips move against the skin, and a texture cannot follow them."""
FINE = 350.0
"""Pixels of face width above which differences are carried at half of the plate's resolution: they are smooth."""
TEXTURE = "texture"


@dataclass(frozen=True, eq=False)
class TextureModel:
    """A latent image model of the face's texture, and what moves its latents."""

    images: LatentImageModel
    expression: np.ndarray
    """(B, L) float32: change of the latents (flattened) at the apex of each expression direction; zeros where nothing was learnt."""
    emotions: np.ndarray
    """(7, L) float32: the paper's d_y, order of EMOTIONS; zeros where no takes were labelled so."""
    predicted: float
    """Part of the latents' variance that the expression explains on stretches of time left out of the regression, 0 to 1."""

    def change(self, beta: np.ndarray, emotions: np.ndarray, strength: float, borrow: float) -> np.ndarray:
        """(L,): change of the latents for a change of the coefficients beta (B,) and an emotion vector (7,); linear in both."""
        return strength * (beta @ self.expression) + borrow * (emotions @ self.emotions)

    @cached_property
    def hash(self) -> str:
        digest = hashlib.sha256(self.images.hash.encode())
        digest.update(np.ascontiguousarray(self.expression).tobytes() + np.ascontiguousarray(self.emotions).tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: Path, name: str = TEXTURE) -> None:
        self.images.save(folder, name)
        write_npz(folder / f"{name}_directions.npz", {"expression": self.expression.astype(np.float32), "emotions": self.emotions.astype(np.float32),
                                                      "predicted": np.array(self.predicted)})

    @classmethod
    def load(cls, folder: Path, name: str = TEXTURE) -> TextureModel:
        """Raises MienError when the files are damaged or do not fit together."""
        images, path = load_latent(folder, name), folder / f"{name}_directions.npz"
        a, L = read_npz(path), int(np.prod(images.latent_shape))
        check_arrays(path, a, {"expression": (None, L), "emotions": (len(EMOTIONS), L), "predicted": ()})
        if images.size[0] != images.size[1]:
            raise MienError(f"{path} belongs to textures of {images.size[1]} x {images.size[0]}, textures are square; train the texture again.")
        return cls(images, a["expression"], a["emotions"], float(a["predicted"]))


def regress(latents: np.ndarray, beta: np.ndarray, nuisance: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, float]:
    """Ridge regression from expression coefficients to latents that is trusted as far as it predicts.

    latents (N, L), beta (N, B), nuisance (N, C) what else moves the texture (head pose, time) and is explained away, sigma (B,) how far a
    performance moves along each direction. Returns (B, L), each latent shrunk by how well left-out stretches of time are
    predicted, and the part of the variance predicted there.
    """
    if len(latents) < 4 * BLOCKS:
        return np.zeros((beta.shape[1], latents.shape[1]), np.float32), 0.0
    x = np.concatenate([beta / sigma, (nuisance - nuisance.mean(0)) / np.maximum(nuisance.std(0), 1e-9)], 1).astype(np.float64)
    y = latents.astype(np.float64)
    block = np.arange(len(y)) * BLOCKS // len(y)
    best: tuple[float, float, np.ndarray] | None = None
    for ridge in RIDGES:
        error = np.zeros(y.shape[1])
        spread = np.zeros(y.shape[1])
        for b in range(BLOCKS):
            rest = block != b
            w, mx, my = _ridge(x[rest], y[rest], ridge)
            error += ((y[~rest] - my - (x[~rest] - mx) @ w) ** 2).sum(0)
            spread += ((y[~rest] - my) ** 2).sum(0)
        total = 1 - error.sum() / max(spread.sum(), 1e-12)
        if best is None or total > best[0]:
            best = total, ridge, np.clip(1 - error / np.maximum(spread, 1e-12), 0, 1)
    assert best is not None
    w, _, _ = _ridge(x, y, best[1])
    directions = w[: beta.shape[1]] / sigma[:, None] * best[2]
    most = np.abs(directions / np.maximum(y.std(0), 1e-9)).max(1, keepdims=True)
    return (directions * np.minimum(1, MOST_SIGMA / np.maximum(most, 1e-9))).astype(np.float32), float(max(best[0], 0))


def _ridge(x: np.ndarray, y: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mx, my = x.mean(0), y.mean(0)
    centred = x - mx
    return np.linalg.solve(centred.T @ centred + ridge * len(x) * np.eye(x.shape[1]), centred.T @ (y - my)), mx, my


class TextureLayer:
    """Adds differences of texture to face layers of one shot; a pure function of the frame once loaded."""

    def __init__(self, model: TextureModel, face: FaceModel, strength: float, borrow: float, linear: bool):
        self._model, self._strength, self._borrow, self._linear = model, strength, borrow, linear
        self._unwrap = Unwrapper(face, model.images.size[0])
        self._weight = weight_map(self._unwrap)[..., None]
        self._triangles = face.uv_triangles.astype(np.int32)

    @cached_property
    def hash(self) -> str:
        """Hex digits over everything that changes a picture, but for the curves."""
        return hashlib.sha256(repr((self._model.hash, self._strength, self._borrow)).encode()).hexdigest()[:16]

    def delta(self, beta: np.ndarray, emotions: np.ndarray) -> np.ndarray | None:
        """Difference of texture (S, S, 3) in the working space for changes (B,) and (7,); None where there is none."""
        change = self._model.change(beta, emotions, self._strength, self._borrow).reshape(1, *self._model.images.latent_shape)
        if not change.any():
            return None
        difference = self._model.images.delta(np.zeros_like(change), change)[0]
        difference *= self._weight
        return CHROMA * difference + (1 - CHROMA) * difference.mean(2, keepdims=True)

    def over(self, layer: FaceLayer, beta: np.ndarray, emotions: np.ndarray, xy: np.ndarray, depth: np.ndarray) -> FaceLayer:
        """The layer with the difference added; xy (V, 2) pixels and depth (V,) of the edited face."""
        delta = self.delta(beta, emotions)
        if delta is None:
            return layer
        l, t, r, b = layer.box
        step = 2 if np.ptp(xy[:, 0]) > FINE else 1
        size = -(-(b - t) // step), -(-(r - l) // step)
        points = ((xy - np.array([l, t])) / step).astype(np.float32)[self._unwrap.vertex_of_uv]
        uv, z = np.full((*size, 2), -1e4, np.float32), np.full(size, np.inf, np.float32)
        rasterise(points, depth.astype(np.float32)[self._unwrap.vertex_of_uv], self._triangles, self._unwrap.xy, uv, z, 0.0)
        carried = cv2.remap(delta, uv[..., 0] - 0.5, uv[..., 1] - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        if step > 1:
            carried = cv2.resize(carried, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)[: b - t, : r - l]
        where = np.abs(carried).max(2) > 1e-4
        patch = layer.patch.copy()
        patch[where, :3] = from_working(to_working(patch[where][:, :3], self._linear) + carried[where], patch.dtype, self._linear)
        return replace(layer, patch=patch)


def weight_map(unwrap: Unwrapper) -> np.ndarray:
    """(S, S) float32 in 0..1: where differences of texture are shown, soft towards every edge."""
    model = unwrap.model
    damp = np.ones((model.vertex_count, 1), np.float32)
    for name, amount in DAMPED.items():
        if name in model.regions:
            damp[:, 0] = np.minimum(damp[:, 0], 1 - amount * model.regions[name])
    carried, inside = unwrap.carry(damp)
    edge = cv2.distanceTransform(cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), cv2.DIST_L2, 5)[1:-1, 1:-1]
    way = np.clip(edge / (BORDER * unwrap.size), 0, 1)
    return cv2.GaussianBlur(carried[..., 0], (0, 0), unwrap.size / 128) * way * way * (3 - 2 * way)
