# SPDX-License-Identifier: GPL-3.0-or-later
"""The eigen model: pictures as a mean and a few principal components, fitted in seconds on a CPU.

Two fits: `EigenFit` streams whole pictures, batch by batch, in constant memory (the incremental SVD of Ross et al. 2008, "Incremental
Learning for Robust Visual Tracking", with its correction of the mean); `fit_masked` takes few pictures of which each shows only a part
(principal components by expectation and maximisation, Roweis 1998, with shrinkage as in Tipping & Bishop 1999).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from pathlib import Path

import cv2
import numba
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from ...mesh.errors import MienError
from ...mesh.files import atomic_path, check_arrays, write_json
from ..parallel import ordered_map
from .model import SCHEMA, describe, model_files

BLOCK = 256
"""Texels that one thread works on at a time: few enough to stay near the processor."""
SWEEPS = 8
"""Rounds of `fit_masked`."""
ENOUGH = 2500
"""Texels that tell a picture's latents: of more, every second, third and so on is looked at. Crops have more texels than the plate has pixels."""
MEAN_TRUST = 0.3
"""Pictures that the background counts for in the mean of a masked fit."""


@dataclass(frozen=True, eq=False)
class EigenImages:
    """Implements LatentImageModel. K components over the M texels that vary; everywhere else a picture is the mean."""

    mean: np.ndarray
    """(H, W, 3) float32."""
    where: np.ndarray
    """(M,) int32: the texels that vary, in the flattened picture."""
    components: np.ndarray
    """(K, 3 M) float32, orthonormal rows; held in half precision, so that a loaded model gives the same bytes as a new one."""
    variance: np.ndarray
    """(K,) float32: of the latents over the pictures of the fit."""
    noise: float
    """Variance, a value, that the components leave over."""
    explained: float
    """Part of the variance that the components carry, 0 to 1."""

    kind = "eigen"

    @property
    def size(self) -> tuple[int, int]:
        return self.mean.shape[0], self.mean.shape[1]

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return (len(self.components),)

    @cached_property
    def hash(self) -> str:
        digest = hashlib.sha256()
        for array in (self.mean, self.where, self.components, self.variance):
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()[:16]

    def _flat(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) -> (N, 3 M)."""
        return np.take(images.reshape(len(images), -1, 3), self.where, axis=1).reshape(len(images), -1)

    @cached_property
    def _mean(self) -> np.ndarray:
        return self._flat(self.mean[None])[0]

    @cached_property
    def _texels(self) -> np.ndarray:
        """(M, 3, K): the components texel by texel."""
        return np.ascontiguousarray(self.components.T).reshape(-1, 3, len(self.components))

    def encode(self, images: np.ndarray, mask: np.ndarray | Sequence[np.ndarray] | None = None, expected: np.ndarray | None = None) -> np.ndarray:
        """The latents: exact projection without a mask; with one the most probable ones (Tipping & Bishop 1999), given what is seen."""
        if mask is None:
            return (self._flat(images) - self._mean) @ self.components.T
        prior = np.diag(max(self.noise, 1e-8) / np.maximum(self.variance.astype(np.float64), 1e-8))
        mean, texels = self._mean.reshape(-1, 3), self._texels

        def most_probable(i: int) -> np.ndarray:
            seen, start = mask[i].ravel()[self.where], expected[i].astype(np.float64) if expected is not None else np.zeros(len(prior))
            some = np.flatnonzero(seen > 0)
            if len(some) == 0:
                return start
            few = max(1, len(some) // ENOUGH)
            some = some[::few]
            part = texels[some].reshape(-1, len(prior))
            weighted = part * np.repeat(few * seen[some], 3)[:, None]
            left, values = weighted.T @ part + prior, images[i].reshape(-1, 3)[self.where[some]] - mean[some]
            return start + np.linalg.solve(left, weighted.T @ (values.ravel() - part @ start.astype(np.float32)))

        found = map(most_probable, range(len(images))) if len(images) == 1 else ordered_map(most_probable, range(len(images)))
        return np.array(list(found), np.float32).reshape(len(images), -1)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        out = np.repeat(self.mean[None], len(latents), 0)
        values = self._mean + latents.astype(np.float32) @ self.components
        out.reshape(len(out), -1, 3)[:, self.where] = values.reshape(len(out), -1, 3)
        return out

    def delta(self, latents: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Linear, so it does not depend on `latents`."""
        out = np.zeros((len(change), *self.mean.shape), np.float32)
        for picture, row in zip(out.reshape(len(out), -1, 3), change.astype(np.float32)):
            if row.any():  # one row at a time: for so few rows a matrix product is slower than its vectors
                picture[self.where] = (row @ self.components).reshape(-1, 3)
        return out

    def restricted(self, mask: np.ndarray) -> EigenImages:
        keep = np.flatnonzero(mask.ravel()[self.where])
        components = np.take(self.components.reshape(len(self.components), -1, 3), keep, axis=1).reshape(len(self.components), -1)
        return replace(self, where=self.where[keep], components=components)

    def save(self, folder: Path, name: str) -> None:
        arrays, description = model_files(folder, name)
        with atomic_path(arrays) as temporary:
            temporary.write_bytes(save({"mean": np.ascontiguousarray(self.mean), "where": np.ascontiguousarray(self.where),
                                        "variance": self.variance, "components": self.components.astype(np.float16)}))
        write_json(description, {"schema": SCHEMA, "kind": self.kind, "noise": self.noise, "explained": self.explained})

    @classmethod
    def load(cls, folder: Path, name: str) -> EigenImages:
        """Raises MienError when a file is missing, damaged or of another kind."""
        path, about = model_files(folder, name)[0], describe(folder, name)
        try:
            a = load_file(path)
        except (OSError, SafetensorError) as error:
            raise MienError(f"{path} cannot be read ({error}); delete it and train the model again.") from error
        check_arrays(path, a, {"mean": (None, None, 3), "where": (None,), "variance": (None,)})
        check_arrays(path, a, {"components": (len(a["variance"]), 3 * len(a["where"]))})
        return cls(a["mean"], a["where"], _whole(a["components"]), a["variance"], float(about["noise"]), float(about["explained"]))


def _finished(mean: np.ndarray, where: np.ndarray, components: np.ndarray, variance: np.ndarray, total: float) -> EigenImages:
    """total: the variance of a whole picture."""
    kept = float(variance.sum())
    left = max(total - kept, 0.0)
    return EigenImages(mean.astype(np.float32), where.astype(np.int32), _halved(components),
                       variance.astype(np.float32), left / max(3 * len(where), 1), kept / max(total, 1e-12))


def _halved(values: np.ndarray) -> np.ndarray:
    """(n, M) float32 as half precision holds it; OpenCV converts several times as fast as numpy."""
    out = np.empty_like(values, np.float32)
    for row, target in zip(values, out):
        target[:] = cv2.convertFp16(cv2.convertFp16(row)).ravel()
    return out


def _whole(values: np.ndarray) -> np.ndarray:
    """(n, M) float16 -> the same as float32."""
    out = np.empty(values.shape, np.float32)
    for row, target in zip(values.view(np.int16), out):
        target[:] = cv2.convertFp16(row).ravel()
    return out


class EigenFit:
    """Principal components of pictures that come in batches; memory holds K components and one batch."""

    def __init__(self, mask: np.ndarray, components: int, background: np.ndarray):
        """mask (H, W) bool: texels that vary; background (H, W, 3): what the others are."""
        self._where, self._most, self._background = np.flatnonzero(mask), components, background
        self._count, self._total = 0, 0.0
        self._mean = np.zeros(3 * len(self._where), np.float32)
        self._scaled = np.zeros((0, len(self._mean)), np.float32)

    def add(self, images: np.ndarray) -> None:
        """images (n, H, W, 3) float32 0..1."""
        self.add_rows(np.take(images.reshape(len(images), -1, 3), self._where, axis=1).reshape(len(images), -1))

    def add_rows(self, rows: np.ndarray) -> None:
        """rows (n, 3 M) float32: the texels of the mask of n pictures. Their mean is taken off, in place."""
        n, m = self._count, len(rows)
        mean = rows.mean(0)
        rows -= mean
        self._total += float(np.einsum("ij,ij->", rows, rows, dtype=np.float64))
        stack = rows
        if n:
            drift = np.float32(np.sqrt(n * m / (n + m))) * (mean - self._mean)
            self._total += float(drift.astype(np.float64) @ drift)
            stack = np.concatenate([self._scaled, rows, drift[None]])
        self._mean += np.float32(m / (n + m)) * (mean - self._mean)
        self._count = n + m
        values, vectors = np.linalg.eigh((stack @ stack.T).astype(np.float64))
        keep = np.argsort(values)[::-1][: self._most]
        keep = keep[values[keep] > 1e-9 * max(values.max(), 1e-12)]
        self._scaled = vectors[:, keep].T.astype(np.float32) @ stack

    def model(self) -> EigenImages:
        """What was learnt so far."""
        squared = np.einsum("ij,ij->i", self._scaled, self._scaled, dtype=np.float64)
        components = np.empty_like(self._scaled)
        for row, out, square in zip(self._scaled, components, squared):
            # The largest value of a component is positive: the sign of an eigenvector is nobody's choice.
            sign = 1 if row.max() >= -row.min() else -1
            np.multiply(row, np.float32(sign / np.sqrt(max(square, 1e-20))), out=out)
        mean = self._background.reshape(-1, 3).astype(np.float32).copy()
        mean[self._where] = self._mean.reshape(-1, 3)
        scale = max(self._count - 1, 1)
        return _finished(mean.reshape(self._background.shape), self._where, components, squared / scale, self._total / scale)


def fit_masked(images: Sequence[np.ndarray], seen: Sequence[np.ndarray], background: np.ndarray, components: int) -> EigenImages:
    """A model of pictures that each show only a part.

    images: N of (H, W, 3), 0..1; seen: N of (H, W) 0..1, how far a texel counts; background (H, W, 3): what is expected of a texel
    that few pictures show. Texels that none shows stay the background.
    """
    where = np.flatnonzero(reduce(np.maximum, seen) > 0)
    N, M = len(images), len(where)
    x, w = np.empty((N, M, 3), np.float32), np.empty((N, M), np.float32)
    for n in range(N):
        x[n], w[n] = images[n].reshape(-1, 3)[where], seen[n].ravel()[where]
    ground = background.reshape(-1, 3)[where].astype(np.float32)
    mean = np.zeros((M, 3), np.float32)
    _masked_mean(x, w, ground, np.float32(MEAN_TRUST), mean)
    K = max(min(components, N - 1), 0)
    step = max(1, M // ENOUGH)
    few = slice(0, M, step)  # neighbouring texels are alike: a part of them tells how pictures are
    told, variance, total = _scores(np.ascontiguousarray(x[:, few]), np.ascontiguousarray(w[:, few]), mean[few], K, M / len(range(0, M, step)))
    basis = np.zeros((K, 3 * M), np.float32)

    def paint(start: int) -> None:
        block = slice(start, min(start + BLOCK, M))
        texels, weights = np.ascontiguousarray(x[:, block]), np.ascontiguousarray(w[:, block])
        filled, guess = np.empty_like(texels), np.zeros_like(texels)
        for to_basis, shrunk in told:
            _fill(texels, weights, mean[block], guess, filled)
            found = to_basis @ filled.reshape(N, -1)
            np.matmul(shrunk, found, out=guess.reshape(N, -1))
        basis[:, 3 * block.start : 3 * block.stop] = found

    if K:
        deque(ordered_map(paint, range(0, M, BLOCK)), 0)
    picture = background.reshape(-1, 3).astype(np.float32).copy()
    picture[where] = mean
    return _finished(picture.reshape(background.shape), where, basis, variance, total / max(N - 1, 1))


def _scores(x: np.ndarray, w: np.ndarray, mean: np.ndarray, K: int, share: float) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, float]:
    """How pictures vary, from some of their texels x (N, M, 3), seen by w (N, M), each standing for `share` of them.

    Returns for each round what turns filled pictures (N, .) into the basis (K, .) and the basis into the pictures' most probable values, (K, N)
    and (N, K), the variances (K,), and that of a whole picture.
    """
    N = len(x)
    told, variance, total = [], np.zeros(K), 0.0
    filled, guess = np.empty_like(x), np.zeros_like(x)
    flat = filled.reshape(N, -1)
    for _ in range(SWEEPS if K else 0):
        _fill(x, w, mean, guess, filled)
        values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64) * share)
        total = float(values.sum())
        values, vectors = np.maximum(values[::-1][:K], 1e-12), vectors[:, ::-1][:, :K]
        noise = max(total - values.sum(), 0) / max(N - K, 1)
        shrunk = vectors * np.sqrt(values) * np.maximum(values - noise, 0) / values
        told.append(((vectors / np.sqrt(values)).T.astype(np.float32), shrunk.astype(np.float32)))
        np.matmul(told[-1][1], told[-1][0] @ flat, out=guess.reshape(N, -1))
        variance = values / max(N - 1, 1)
    return told, variance, total


@numba.njit(cache=True, nogil=True)
def _masked_mean(x, w, ground, trust, mean):
    """The mean (M, 3) of pictures (N, M, 3) by their weights (N, M), with the background counting for `trust` pictures."""
    weight = np.full(len(mean), trust, np.float32)
    for t in range(len(mean)):
        for c in range(3):
            mean[t, c] = trust * ground[t, c]
    for n in range(len(x)):
        for t in range(len(mean)):
            weight[t] += w[n, t]
            for c in range(3):
                mean[t, c] += w[n, t] * x[n, t, c]
    for t in range(len(mean)):
        for c in range(3):
            mean[t, c] /= weight[t]


@numba.njit(cache=True, nogil=True)
def _fill(x, w, mean, guess, out):
    """Pictures less their mean where they are seen, the guess (N, M, 3) where they are not."""
    for n in range(len(x)):
        for t in range(len(mean)):
            for c in range(3):
                out[n, t, c] = w[n, t] * (x[n, t, c] - mean[t, c]) + (1 - w[n, t]) * guess[n, t, c]
