# SPDX-License-Identifier: GPL-3.0-or-later
"""How a shot's landmarks err, measured on the shot itself.

A tracker's error has two parts. White noise differs on every frame and landmark and averages out. Structured error is shared by
neighbouring landmarks and by frames that look alike (a network's idea of a face, a face the model cannot make); it does not average out, so
many landmarks must not be counted as many witnesses. The white part is what neither time nor neighbours explain:

    w = median |n| / (0.6745 c),   n = third difference in time of a landmark less that of its neighbours' mean

and the structured part is the rest of the residuals, s^2 = total^2 - w^2. Each group of about k neighbours shares one structured error, so
the sum of squares over landmarks is a likelihood with

    sigma^2 = w^2 + k s^2.

The noise's share w^2 / sigma^2 says how far perspective can be believed: the prior's width of log focal is geometric between that of
structured errors and that of noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .problem import SolveSettings

NEAR = 6
"""Neighbours whose mean a landmark is compared with."""
TO_SIGMA = 1.4826
"""Standard deviation over median absolute value of a Gaussian."""


@dataclass(frozen=True)
class Errors:
    """Standard deviations in eye distances, on each axis."""

    white: float
    structured: float
    settings: SolveSettings

    @property
    def sigma(self) -> float:
        """Of a landmark in the sum of squares."""
        return float(np.hypot(self.white, np.sqrt(self.settings.neighbours) * self.structured))

    @property
    def noise_share(self) -> float:
        """White noise's part of sigma squared, 0 to 1."""
        return min(1.0, (self.white / max(self.sigma, 1e-12)) ** 2)

    @property
    def focal_sigma(self) -> float:
        """Of log focal length around the usual one."""
        s = self.settings
        return float(s.focal_sigma ** (1 - self.noise_share) * s.focal_sigma_free**self.noise_share)


def near_landmarks(points: np.ndarray) -> np.ndarray:
    """(L, 3) -> (L, NEAR) positions of the nearest others."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return np.argsort(distance, axis=1, kind="stable")[:, 1 : NEAR + 1]


def white_noise(xy: np.ndarray, eye: np.ndarray, runs: list[tuple[int, int]], near: np.ndarray) -> float | None:
    """Of landmarks (T, L, 2), pixels, over `runs` [start, end) of consecutive frames, in eye distances; None for runs too short to tell."""
    found = []
    for start, end in runs:
        if end - start >= 4:
            third = np.diff(xy[start:end] / eye[start:end, None, None], 3, axis=0)
            found.append(third - third[:, near].mean(2))
    if not found:
        return None
    gain = np.sqrt(20 * (1 + 1 / near.shape[1]))  # of (1, -3, 3, -1) and of the mean that is taken off
    return float(np.median(np.abs(np.concatenate(found))) * TO_SIGMA / gain)


def measured(residual: np.ndarray, white: float, settings: SolveSettings) -> Errors:
    """From residuals (..., 2) and the white noise, eye distances."""
    total = float(np.median(np.abs(residual))) * TO_SIGMA
    noise = min(white, total)
    return Errors(noise, float(np.sqrt(total**2 - noise**2)), settings)
