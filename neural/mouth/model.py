# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inside of this actor's mouth looks like: a latent image model of the atlas, and the latents of every frame of the shot."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ...mesh.errors import MienError
from ...mesh.files import check_arrays, read_npz, write_npz
from ..latent import LatentImageModel, load_latent
from ..latent.eigen import fit_masked
from .geometry import HEIGHT, WIDTH

COMPONENTS = 40
NOISE = 0.05
"""Least standard deviation, working space, by which a mouth differs from what its latents say: teeth are never in exactly the same place. What is
seen of a mouth weighs less with it, so that the few pixels of a slit do not invent colours for the rest."""
CAVITY = (0.16, 0.08, 0.08)
"""Working-space colour of an unlit mouth, where no frame shows anything else; scaled to the lips of the shot."""
SEEN_LEAST = 250.0
"""Texels of the atlas that a frame must show to count as an open mouth."""
OPEN_LEAST = 4
"""Open frames below which nothing is learnt, and the mouth stays dark."""
NEAR_WIDTH, FAR_WIDTH = 2.0, 4.0
"""Difference of two mouths, per point in hundredths of the eye distance, over which they tell about each other: neighbours in time, and any two."""
TIME_WIDTH = 2.0
"""Frames over which neighbours in time tell more about each other than a like mouth elsewhere does."""
TIME_SHARE = 0.5
RIDGE = 0.02
KNOWN_FRAMES = 4.0
"""Frames that show a texel, at which it counts as known."""


@dataclass(frozen=True, eq=False)
class MouthModel:
    """The image model, and kernel ridge regression from (shape of the mouth, time) to its latents: the encoder of toothless mouths."""

    images: LatentImageModel
    shapes: np.ndarray
    """(N, D) float32: MouthPose.shape of the frames that the regression knows."""
    frames: np.ndarray
    """(N,) int32: their indices."""
    weights: np.ndarray
    """(N, L) float32: solved; the latents are kernel @ weights + centre."""
    centre: np.ndarray
    """(L,) float32."""
    known: np.ndarray
    """(2 HEIGHT, WIDTH) float32 in 0..1: how well the frames show each texel of the atlas; what none shows the model only guesses."""

    def expected(self, shapes: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Latents (T, L) of mouths that nobody sees into: shapes (T, D), frame indices (T,)."""
        return (self.centre + kernel(shapes, frames, self.shapes, self.frames) @ self.weights).astype(np.float32)

    @cached_property
    def hash(self) -> str:
        digest = hashlib.sha256(self.images.hash.encode())
        for array in (self.shapes, self.frames, self.weights, self.centre, self.known):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def save(self, folder: Path, name: str) -> None:
        self.images.save(folder, name)
        write_npz(folder / f"{name}_encoder.npz", {"shapes": self.shapes, "frames": self.frames, "weights": self.weights, "centre": self.centre,
                                                  "known": self.known})

    @classmethod
    def load(cls, folder: Path, name: str) -> MouthModel:
        """Raises MienError when the files are damaged or do not fit together."""
        images, path = load_latent(folder, name), folder / f"{name}_encoder.npz"
        a, L = read_npz(path), int(np.prod(images.latent_shape))
        n = len(a.get("frames", ()))
        check_arrays(path, a, {"shapes": (n, None), "frames": (n,), "weights": (n, L), "centre": (L,), "known": (2 * HEIGHT, WIDTH)})
        if images.size != (2 * HEIGHT, WIDTH):
            raise MienError(f"{path} belongs to pictures of {images.size[1]} x {images.size[0]}, not {WIDTH} x {2 * HEIGHT}; train the mouth again.")
        return cls(images, a["shapes"], a["frames"], a["weights"], a["centre"], a["known"])


def kernel(shapes: np.ndarray, frames: np.ndarray, known: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(T, N) in 0..1: how much mouths tell about those that are known, by shape and by time."""
    points = max(known.shape[1] / 2, 1)
    square = (shapes**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * shapes @ known.T
    near = np.exp(-0.5 * ((frames[:, None] - at[None]) / TIME_WIDTH) ** 2)
    square = np.maximum(square, 0) / points
    return ((1 - TIME_SHARE) * np.exp(-0.5 * square / FAR_WIDTH**2) + TIME_SHARE * near * np.exp(-0.5 * square / NEAR_WIDTH**2)).astype(np.float32)


def fit_mouth(crops: np.ndarray, seen: np.ndarray, shapes: np.ndarray, frames: np.ndarray, shade: np.ndarray) -> MouthModel | None:
    """Fit to the atlases of some frames.

    crops (N, 2 HEIGHT, WIDTH, 3) float32 working space, seen (N, 2 HEIGHT, WIDTH), shapes (N, D), frames (N,) indices, shade (3,) the colour
    of the dark mouth. None when too few of them show an open mouth.
    """
    opened = seen.sum((1, 2)) > SEEN_LEAST
    if opened.sum() < OPEN_LEAST:
        return None
    crops, seen, shapes, frames = crops[opened], seen[opened], shapes[opened].astype(np.float32), frames[opened].astype(np.int32)
    background = np.broadcast_to(shade.astype(np.float32), (*seen.shape[1:], 3))
    images = fit_masked(crops, seen, background, COMPONENTS)
    images = replace(images, noise=max(images.noise, NOISE**2))
    latents = images.encode(crops, seen)
    centre = latents.mean(0)
    gram = kernel(shapes, frames, shapes, frames) + RIDGE * np.eye(len(frames))
    weights = np.linalg.solve(gram.astype(np.float64), (latents - centre).astype(np.float64)).astype(np.float32)
    known = np.clip(seen.sum(0) / KNOWN_FRAMES, 0, 1)
    known = np.concatenate([cv2.GaussianBlur(cv2.erode(half, np.ones((5, 5), np.uint8)), (0, 0), 2.0) for half in np.split(known, 2)])
    return MouthModel(images, shapes, frames, weights, centre.astype(np.float32), known.astype(np.float32))
