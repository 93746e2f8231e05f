# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inside of this actor's mouth looks like: a latent image model of the atlas, and the latents of every frame of the shot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ...mesh.errors import MienError
from ...mesh.files import check_arrays, read_npz, write_npz
from ..latent import LatentImageModel, load_latent
from ..latent.eigen import fit_masked
from .crops import MouthCrop, lip_shade
from .geometry import AROUND, HEIGHT, RIM, WIDTH

COMPONENTS = 40
NOISE = 0.05
"""Least standard deviation, working space, by which a mouth differs from what its latents say: teeth are never in exactly the same place. What is
seen of a mouth weighs less with it, so that the few pixels of a slit do not invent colours for the rest."""
SEEN_LEAST = 250.0
"""Texels of the atlas that a frame must show to count as an open mouth."""
OPEN_LEAST = 4
"""Open frames below which nothing is learnt, and the mouth stays dark."""
SHAPE_WIDTH = 4.0
"""Difference of two mouths, per point in hundredths of the eye distance, over which they tell about each other."""
AROUND_WIDTH, AROUND_COMPONENTS = 1.0, 40
"""The same for what lies around them, in standard deviations of the shot, and by how many numbers that is told."""
TIME_WIDTH = 3.0
"""Frames over which neighbours in time tell more about each other than a like mouth elsewhere does."""
TIME_SHARE = 0.5
RIDGE = 0.01
KNOWN_FRAMES = 4.0
"""Frames that show a texel, at which it counts as known."""


@dataclass(frozen=True, eq=False)
class MouthModel:
    """The image model, and the encoder of toothless mouths: kernel ridge regression from (shape, what lies around, time) to its latents."""

    images: LatentImageModel
    shapes: np.ndarray
    """(N, D) float32: MouthPose.shape of the frames that the regression knows."""
    frames: np.ndarray
    """(N,) int32: their indices."""
    around: np.ndarray
    """(N, F) float32: what lies around them, projected by `surround`."""
    surround: np.ndarray
    """(1 + F, A) float32: the mean of `MouthGeometry.around`, and its principal directions, scaled to a variance of 1 in all."""
    weights: np.ndarray
    """(N, L) float32: solved; the latents are kernel @ weights + centre."""
    centre: np.ndarray
    """(L,) float32."""
    known: np.ndarray
    """(2 HEIGHT, WIDTH) float32 in 0..1: how well the frames show each texel of the atlas; what none shows the model only guesses."""

    def expected(self, shapes: np.ndarray, around: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Latents (T, L) of mouths that nobody sees into: shapes (T, D), `MouthGeometry.around` (T, A), frame indices (T,)."""
        near = kernel((shapes, (around - self.surround[0]) @ self.surround[1:].T, frames), (self.shapes, self.around, self.frames))
        return (self.centre + near @ self.weights).astype(np.float32)

    @cached_property
    def hash(self) -> str:
        digest = hashlib.sha256(self.images.hash.encode())
        for array in (self.shapes, self.frames, self.around, self.surround, self.weights, self.centre, self.known):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: Path, name: str) -> None:
        self.images.save(folder, name)
        write_npz(folder / f"{name}_encoder.npz", {"shapes": self.shapes, "frames": self.frames, "around": self.around,
                                                  "surround": self.surround, "weights": self.weights, "centre": self.centre, "known": self.known})

    @classmethod
    def load(cls, folder: Path, name: str) -> MouthModel:
        """Raises MienError when the files are damaged or do not fit together."""
        images, path = load_latent(folder, name), folder / f"{name}_encoder.npz"
        a, L = read_npz(path), int(np.prod(images.latent_shape))
        n, F = len(a.get("frames", ())), np.shape(a.get("around", ((),)))[-1]
        check_arrays(path, a, {"shapes": (n, None), "frames": (n,), "around": (n, F), "surround": (1 + F, 3 * AROUND[0] * AROUND[1]),
                               "weights": (n, L), "centre": (L,), "known": (2 * HEIGHT, WIDTH)})
        if images.size != (2 * HEIGHT, WIDTH):
            raise MienError(f"{path} belongs to pictures of {images.size[1]} x {images.size[0]}, not {WIDTH} x {2 * HEIGHT}; train the mouth again.")
        return cls(images, a["shapes"], a["frames"], a["around"], a["surround"], a["weights"], a["centre"], a["known"])


def kernel(mouths: tuple[np.ndarray, np.ndarray, np.ndarray], known: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """(T, N) in 0..1: how much mouths tell about those that are known; each (shapes, what lies around, frame indices)."""
    shapes = _squares(mouths[0], known[0]) / max(known[0].shape[1] / 2, 1) / SHAPE_WIDTH**2
    alike = np.exp(-0.5 * (shapes + _squares(mouths[1], known[1]) / AROUND_WIDTH**2))
    near = np.exp(-0.5 * ((mouths[2][:, None] - known[2][None]) / TIME_WIDTH) ** 2)
    return ((1 - TIME_SHARE) * alike + TIME_SHARE * near * np.sqrt(alike)).astype(np.float32)


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(T, D), (N, D) -> (T, N) squared distances."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0)


def fit_mouth(crops: Sequence[MouthCrop]) -> MouthModel | None:
    """Fit to what some frames show; None when too few of them show an open mouth."""
    chosen = [c for c in crops if c.opened > SEEN_LEAST]
    if len(chosen) < OPEN_LEAST:
        return None
    atlases, seen = [c.atlas for c in chosen], [c.seen for c in chosen]
    shapes, frames = np.stack([c.shape for c in chosen]).astype(np.float32), np.array([c.index for c in chosen], np.int32)
    images = fit_masked(atlases, seen, np.broadcast_to(lip_shade(crops).astype(np.float32), atlases[0].shape), COMPONENTS)
    images = replace(images, noise=max(images.noise, NOISE**2))
    latents = images.encode(atlases, seen)
    surround = _surround(np.stack([c.around for c in chosen]).astype(np.float32))
    around = (np.stack([c.around for c in chosen]) - surround[0]) @ surround[1:].T
    centre = latents.mean(0)
    gram = kernel((shapes, around, frames), (shapes, around, frames)) + RIDGE * np.eye(len(frames))
    weights = np.linalg.solve(gram.astype(np.float64), (latents - centre).astype(np.float64)).astype(np.float32)
    known = np.clip(sum(seen) / np.float32(KNOWN_FRAMES), 0, 1)
    known = np.concatenate([cv2.GaussianBlur(cv2.erode(half, np.ones((RIM + 4, RIM + 4), np.uint8)), (0, 0), 2.0) for half in np.split(known, 2)])
    return MouthModel(images, shapes, frames, around, surround, weights, centre.astype(np.float32), known.astype(np.float32))


def _surround(rows: np.ndarray) -> np.ndarray:
    """MouthModel.surround of rows (N, A)."""
    mean = rows.mean(0)
    centred = rows - mean
    squares, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))  # few rows of many values: faster than their singular values
    kept = np.argsort(squares)[::-1][: min(AROUND_COMPONENTS, len(rows) - 1)]
    directions = (vectors[:, kept] / np.sqrt(np.maximum(squares[kept], 1e-12))).T @ centred
    return np.concatenate([mean[None], directions / max(float(np.sqrt(squares.sum() / len(rows))), 1e-6)]).astype(np.float32)
