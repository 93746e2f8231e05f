# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 2: the skin's shading and wrinkles change with the expression (Sun et al. 2023, section 3.4), as a difference of textures.

`delta T = dec(w + d) - dec(w)` in the working space, carried from UV to the picture and added to the plate's own pixels. The direction d
comes from the change of the expression coefficients by ridge regression on the actor's own frames (ours, for a shot without labelled
takes), and from labelled takes where the actor folder has directions (the paper's d_y).
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numba
import numpy as np

from ..mesh.emotion import EMOTIONS
from ..mesh.errors import MienError
from ..mesh.files import check_arrays, read_npz, write_npz
from ..mesh.model import FaceModel
from .hair import HAIR, skin_alone
from .latent import LatentImageModel, load_latent
from .latent.eigen import EigenImages
from .latent.working import from_working, to_working
from .parallel import ordered_map
from .rendering.renderer import FaceLayer
from .texture import Unwrapper

SIZE = 512
COMPONENTS = 40
RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Candidates for the ridge, in units of the performance's own spread; the one that predicts left-out stretches of time best is taken."""
BLOCKS = 5
"""Stretches of time that are left out in turn."""
MOST_SIGMA = 1.0
"""The apex of an expression direction moves no latent by more than this many of its standard deviations in the shot."""
CHROMA = 0.5
"""Part of a difference's colour that is kept: brightness makes wrinkles, colour makes clowns."""
MUTED = CHROMA * np.eye(3) + (1 - CHROMA) / 3
BORDER = 0.025
"""Way from the texture's edge, lids and lips included, over which differences come in, as a part of its size."""
RIMS = 0.04
"""The same below and above glasses, longer: skin is pressed together there, and a difference that came in at once would be a line."""
DAMPED = {"lids_left": 0.8, "lids_right": 0.8, "brow_left": 0.6, "brow_right": 0.6, "lips": 0.6}
"""Region -> how much less it gets: lashes, hair and lips move against the skin, and a texture cannot follow them."""
FINE = 500
"""Pixels of a layer's width above which differences are carried at half of the plate's resolution: they are smooth."""
TRUST_BLUR = 48
"""Maps of where a difference is shown are smoothed over a texture's size divided by this."""
EXPLAINED, SEEN = (0.05, 0.35), (0.5, 0.95)
"""Part of a texel's variance that expression predicts, and of the frames that show it, from none to full trust."""
GROUP_ENDS = (-0.1, 0.55)
"""Heights between brows, eyes and nose, and the mouth: 0 at the eyes' corners, 1 at the mouth's."""
GROUP_REACH = 0.2
"""Part of a group's largest move from which on it changes the texture in full."""
STEPS = 32767
UNSEEN = 2e-4
"""The most that a control does to any texel below which it is left out: 1/20 of a level of 8 bits."""
TEXTURE = "texture"


@dataclass(frozen=True, eq=False)
class TextureModel:
    """A latent image model of the face's texture, and what moves its latents."""

    images: LatentImageModel
    expression: np.ndarray
    """(B, L) float32: change of the latents (flattened) at the apex of each expression direction; zeros where nothing was learnt."""
    emotions: np.ndarray
    """(7, L) float32: the paper's d_y, order of EMOTIONS; zeros where no takes were labelled so."""
    trust: np.ndarray
    """(S, S) float32 in 0..1: how far differences are believed at each texel: where the fit saw it, and expression explains what it does."""
    predicted: float
    """Part of the latents' variance that the expression explains on stretches of time left out of the regression, 0 to 1."""

    @cached_property
    def hash(self) -> str:
        digest = hashlib.sha256(self.images.hash.encode())
        digest.update(np.ascontiguousarray(self.expression).tobytes() + np.ascontiguousarray(self.emotions).tobytes() + self.trust.tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: Path, name: str = TEXTURE) -> None:
        self.images.save(folder, name)
        write_npz(folder / f"{name}_directions.npz", {"expression": self.expression.astype(np.float32), "emotions": self.emotions.astype(np.float32),
                                                      "trust": self.trust.astype(np.float32), "predicted": np.array(self.predicted)})

    @classmethod
    def load(cls, folder: Path, name: str = TEXTURE) -> TextureModel:
        """Raises MienError when the files are damaged or do not fit together."""
        images, path = load_latent(folder, name), folder / f"{name}_directions.npz"
        a, L = read_npz(path), int(np.prod(images.latent_shape))
        check_arrays(path, a, {"expression": (None, L), "emotions": (len(EMOTIONS), L), "trust": images.size, "predicted": ()})
        if images.size[0] != images.size[1]:
            raise MienError(f"{path} belongs to textures of {images.size[1]} x {images.size[0]}, textures are square; train the texture again.")
        return cls(images, a["expression"], a["emotions"], a["trust"], float(a["predicted"]))


@dataclass(frozen=True, eq=False)
class Regression:
    """What `regress` found."""

    directions: np.ndarray
    """(B, L) float32."""
    predicted: float
    """Part of the variance that is predicted on stretches of time left out, 0 to 1."""
    error: np.ndarray
    """(L, L): covariance of the latents' errors there."""
    spread: np.ndarray
    """(L, L): covariance of the latents there."""

    def trust(self, images: EigenImages, seen: np.ndarray) -> np.ndarray:
        """TextureModel.trust from seen (S, S), the mean visibility over the fit: part of each texel's variance that is predicted."""
        c = images.components.reshape(len(images.components), -1, 3).mean(2)
        wrong, all_of_it = (np.einsum("kt,kt->t", c, m.astype(np.float32) @ c) for m in (self.error, self.spread))
        size = images.size
        maps = []
        for values in (wrong, all_of_it):
            full = np.zeros(size[0] * size[1], np.float32)
            full[images.where] = values
            maps.append(cv2.GaussianBlur(full.reshape(size), (0, 0), size[0] / TRUST_BLUR))
        explained = 1 - maps[0] / np.maximum(maps[1], 1e-12)
        return (ramp(explained, *EXPLAINED) * ramp(seen, *SEEN)).astype(np.float32)


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at low to 1 at high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def regress(latents: np.ndarray, beta: np.ndarray, nuisance: np.ndarray, sigma: np.ndarray) -> Regression:
    """Ridge regression from expression coefficients to latents that is trusted as far as it predicts.

    latents (N, L), beta (N, B), nuisance (N, C) what else moves the texture (head pose, time) and is explained away, sigma (B,) how far a
    performance moves along each direction. Each latent is shrunk by how well left-out stretches of time are predicted.
    """
    L = latents.shape[1]
    if len(latents) < 4 * BLOCKS:
        return Regression(np.zeros((beta.shape[1], L), np.float32), 0.0, np.eye(L), np.eye(L))
    x = np.concatenate([beta / sigma, (nuisance - nuisance.mean(0)) / np.maximum(nuisance.std(0), 1e-9)], 1).astype(np.float64)
    y = latents.astype(np.float64)
    block = np.arange(len(y)) * BLOCKS // len(y)
    best: tuple[float, float, np.ndarray, np.ndarray] | None = None
    for ridge in RIDGES:
        error, spread = np.zeros_like(y), np.zeros_like(y)
        for b in range(BLOCKS):
            rest = block != b
            w, mx, my = _ridge(x[rest], y[rest], ridge)
            spread[~rest] = y[~rest] - my
            error[~rest] = spread[~rest] - (x[~rest] - mx) @ w
        total = float(1 - (error**2).sum() / max((spread**2).sum(), 1e-12))
        if best is None or total > best[0]:
            best = total, ridge, error, spread
    assert best is not None
    total, ridge, error, spread = best
    w, _, _ = _ridge(x, y, ridge)
    shrink = np.clip(1 - (error**2).sum(0) / np.maximum((spread**2).sum(0), 1e-12), 0, 1)
    directions = w[: beta.shape[1]] / sigma[:, None] * shrink
    most = np.abs(directions / np.maximum(y.std(0), 1e-9)).max(1, keepdims=True)
    directions = (directions * np.minimum(1, MOST_SIGMA / np.maximum(most, 1e-9))).astype(np.float32)
    return Regression(directions, max(total, 0.0), error.T @ error / len(y), spread.T @ spread / len(y))


def _ridge(x: np.ndarray, y: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mx, my = x.mean(0), y.mean(0)
    centred = x - mx
    return np.linalg.solve(centred.T @ centred + ridge * len(x) * np.eye(x.shape[1]), centred.T @ (y - my)), mx, my


@dataclass(frozen=True, eq=False)
class _Part:
    """What some controls do to a part of the texture."""

    images: LatentImageModel
    rows: slice
    weight: np.ndarray
    """(rows, S, 1)"""
    directions: np.ndarray
    """(C, L): change of the latents for each of C controls."""

    @classmethod
    def of(cls, images: LatentImageModel, weight: np.ndarray, directions: np.ndarray) -> _Part | _LinearPart:
        """weight (S, S)."""
        mask = weight > 1 / 512
        if isinstance(images, EigenImages):
            return _LinearPart.of(images.restricted(mask), weight, directions)
        used = np.flatnonzero(mask.any(1))
        rows = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
        return cls(images.restricted(mask), rows, np.where(mask, weight, 0)[rows, :, None], directions)

    def add(self, total: np.ndarray, controls: np.ndarray) -> bool:
        """Add the difference for controls (C,) to a texture (S, S, 3) in place; False where there is none."""
        change = (controls @ self.directions).astype(np.float32).reshape(1, *self.images.latent_shape)
        if not change.any():
            return False
        difference = self.images.delta(np.zeros_like(change), change)[0, self.rows] * self.weight
        total[self.rows] += cv2.transform(difference, MUTED)
        return True


@dataclass(frozen=True, eq=False)
class _LinearPart:
    """The same of a linear model: what each control does to the texture is a picture of its own, made once."""

    where: np.ndarray
    """(M,) int32: the texels that change, in the flattened texture."""
    controls: np.ndarray
    """(n,) int: those that change anything."""
    pictures: np.ndarray
    """(n, 3 M) int16: the difference at 1 of each, weighted and muted, in steps of STEPS to `strongest`: half the memory to go through a frame."""
    strongest: np.ndarray
    """(n,) float32: the most that each does to any texel."""

    @classmethod
    def of(cls, images: EigenImages, weight: np.ndarray, directions: np.ndarray) -> _LinearPart:
        controls = np.flatnonzero(directions.any(1))
        shown = weight.ravel()[images.where, None].astype(np.float32)
        pictures, strongest = np.empty((len(controls), 3 * len(images.where)), np.int16), np.zeros(len(controls), np.float32)

        def paint(k: int) -> None:
            texels = (directions[controls[k]].astype(np.float32) @ images.components).reshape(1, -1, 3)
            picture = cv2.transform(texels * shown, MUTED).ravel()
            strongest[k] = np.abs(picture).max(initial=0)
            np.rint(picture * (STEPS / max(float(strongest[k]), 1e-12)), out=pictures[k], casting="unsafe")

        deque(ordered_map(paint, range(len(controls))), 0)
        return cls(images.where, controls, pictures, strongest)

    def add(self, total: np.ndarray, controls: np.ndarray) -> bool:
        """See `_Part.add`."""
        values = controls[self.controls].astype(np.float32)
        values[np.abs(values) * self.strongest < UNSEEN] = 0
        if not values.any():
            return False
        _add_pictures(self.pictures, values * self.strongest / np.float32(STEPS), self.where, total.reshape(-1, 3))
        return True


@numba.njit(cache=True, nogil=True)
def _add_pictures(pictures, values, where, total):
    """total[where] += the sum of values times pictures, for the values that are not zero; in blocks that stay in the cache."""
    block = 2048
    line = np.zeros(3 * block, np.float32)
    for start in range(0, len(where), block):
        end = min(start + block, len(where))
        line[:] = 0
        for k in range(len(values)):
            if values[k] != 0:
                part, value = pictures[k, 3 * start : 3 * end], values[k]
                for i in range(np.uint64(len(part))):
                    line[i] += value * np.float32(part[i])
        for t in range(start, end):
            at = 3 * (t - start)
            for c in range(3):
                total[where[t], c] += line[at + c]


class TextureLayer:
    """Adds differences of texture to face layers of one shot; a pure function of the frame once loaded."""

    def __init__(self, model: TextureModel, borrowed: TextureModel | None, face: FaceModel, strength: float, borrow: float, linear: bool,
                 free: np.ndarray | None = None):
        """model moves with the expression; `borrowed` is whose emotion directions are added, `borrow` of them, in the UV that all faces share;
        free: see `weight_map`.
        """
        rims = () if free is None else (RIMS, free.tobytes())
        self._facts, self._linear = (model.hash, borrowed.hash if borrowed else "", strength, borrow, CHROMA, HAIR, *rims), linear
        self._unwrap = Unwrapper(face, model.images.size[0])
        groups = expression_groups(face)
        shown = weight_map(self._unwrap, free)
        expression = strength * model.expression
        self._parts = [_Part.of(model.images, shown * model.trust * where, group[:, None] * expression)
                       for group, where in zip(groups, group_maps(self._unwrap, groups))] if strength else []
        self._borrowed: _Part | _LinearPart | None = None
        if borrowed is not None:
            self._size = borrowed.images.size[0]
            shown = weight_map(Unwrapper(face, self._size), free)
            self._borrowed = _Part.of(borrowed.images, shown * skin_alone(borrowed, shown > 0.02), borrow * borrowed.emotions)
        self._corners = corners_of(self._unwrap)

    @cached_property
    def hash(self) -> str:
        """Hex digits over everything that changes a picture, but for the curves."""
        return hashlib.sha256(repr(self._facts).encode()).hexdigest()[:16]

    def delta(self, beta: np.ndarray, emotions: np.ndarray) -> np.ndarray | None:
        """Difference of texture (S, S, 3) in the working space for changes (B,) and (7,); None where there is none."""
        size, changed = self._unwrap.size, False
        total = np.zeros((size, size, 3), np.float32)
        for part in self._parts:
            changed |= part.add(total, beta)
        if self._borrowed is not None:
            other = total if self._size == size else np.zeros((self._size, self._size, 3), np.float32)
            if self._borrowed.add(other, emotions):
                changed = True
                if other is not total:
                    total += cv2.resize(other, (size, size), interpolation=cv2.INTER_LINEAR)
        return total if changed else None

    def over(self, layer: FaceLayer, index: int, beta: np.ndarray, emotions: np.ndarray) -> FaceLayer:
        """The layer with the difference added, which is the same for every `index`."""
        delta = self.delta(beta, emotions)
        if delta is None:
            return layer
        change = carry_to_picture(layer, self._corners, delta)
        patch = layer.patch.copy()
        if np.issubdtype(patch.dtype, np.integer):
            _add_whole(patch, change, np.float32(np.iinfo(patch.dtype).max))
        else:
            where = change.any(2)
            pixels = patch[where]
            pixels[:, :3] = from_working(to_working(pixels[:, :3], self._linear) + change[where], patch.dtype, self._linear)
            patch[where] = pixels
        return replace(layer, patch=patch)


@numba.njit(cache=True, nogil=True)
def _add_whole(pixels, change, top):
    """Add a difference (h, w, 3), 1 being `top`, to whole numbers (h, w, 3 or 4) in place, rounded and clipped."""
    for i in range(change.shape[0]):
        for j in range(change.shape[1]):
            for c in range(3):
                if change[i, j, c] != 0:
                    pixels[i, j, c] = np.rint(min(max(np.float32(pixels[i, j, c]) + change[i, j, c] * top, np.float32(0)), top))


def corners_of(unwrap: Unwrapper) -> np.ndarray:
    """(F, 3, 2) float32: the corners of the face's triangles in its texture, texels."""
    return unwrap.xy[unwrap.model.uv_triangles]


def carry_to_picture(layer: FaceLayer, corners: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """A texture (S, S, C) float32 where the face is on the picture, (h, w, C) of the layer's box, 0 elsewhere; corners see `corners_of`."""
    height, width = layer.matte.shape
    step = 2 if width > FINE else 1
    carried = layer.surface.carry_texture(texture, corners, step)
    return carried if step == 1 else cv2.resize(carried, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)[:height, :width]


def weight_map(unwrap: Unwrapper, free: np.ndarray | None = None) -> np.ndarray:
    """(S, S) float32 in 0..1: where differences of texture are shown, soft towards every edge.

    free (V,) in 0..1, as `GlassesHold.free`: skin under glasses is held still, and what is seen of it are rims that swim before it.
    """
    model = unwrap.model
    damp = np.ones((model.vertex_count, 2), np.float32)
    if free is not None:
        damp[:, 1] = free
    for name, amount in DAMPED.items():
        if name in model.regions:
            damp[:, 0] = np.minimum(damp[:, 0], 1 - amount * model.regions[name])
    carried, inside = unwrap.carry(damp)
    edge = cv2.distanceTransform(cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), cv2.DIST_L2, 5)[1:-1, 1:-1]
    way = np.clip(edge / (BORDER * unwrap.size), 0, 1)
    shown = cv2.GaussianBlur(carried[..., 0], (0, 0), unwrap.size / 128) * way * way * (3 - 2 * way)
    if free is not None:
        shown *= np.clip((cv2.GaussianBlur(np.where(inside, carried[..., 1], 1), (0, 0), RIMS * unwrap.size) - 0.5) / 0.45, 0, 1)
    return shown


def expression_groups(face: FaceModel) -> np.ndarray:
    """(3, B) of 0 and 1: directions of the brows, of eyes and nose, and of the mouth, by where on the face they move most."""
    energy = (face.expression**2).sum(2)
    height = energy @ face.mean[:, 1] / np.maximum(energy.sum(1), 1e-20)
    eyes, mouth = face.mean[face.vertices_of_landmarks([33, 263, 61, 291]), 1].reshape(2, 2).mean(1)
    unit = mouth - eyes
    group = np.digitize((height - eyes) / unit, GROUP_ENDS)
    return (np.arange(3)[:, None] == group[None]).astype(np.float32)


def group_maps(unwrap: Unwrapper, groups: np.ndarray) -> np.ndarray:
    """(3, S, S) in 0..1: where each group may change the texture: where it moves the face, so that a smile draws no lines on a forehead."""
    face, maps = unwrap.model, []
    for group in groups:
        moved = np.sqrt((face.expression[group > 0] ** 2).sum(2)).max(0) if group.any() else np.zeros(face.vertex_count)
        reach = np.clip(moved / max(GROUP_REACH * float(moved.max()), 1e-12), 0, 1).astype(np.float32)
        maps.append(cv2.GaussianBlur(unwrap.carry(reach[:, None])[0][..., 0], (0, 0), unwrap.size / TRUST_BLUR))
    return np.stack(maps)
