# SPDX-License-Identifier: GPL-3.0-or-later
"""The band outside the face: the displacement at its edge fades to zero by a harmonic extension (design: no double contour)."""

from __future__ import annotations

import cv2
import numba
import numpy as np

GRID = 96
"""Cells across a face: the band is smooth, so it is solved coarse and interpolated."""
SWEEPS = 60
COARSE_SWEEPS = 80
OVER_RELAXATION = 1.9


@numba.njit(cache=True, nogil=True)
def _relax(field: np.ndarray, free: np.ndarray, sweeps: int, omega: float) -> None:
    """Successive over-relaxation of Laplace's equation on the cells of `free`; the border of the grid is never free."""
    height, width, channels = field.shape
    for _ in range(sweeps):
        for i in range(1, height - 1):
            for j in range(1, width - 1):
                if free[i, j]:
                    for k in range(channels):
                        mean = 0.25 * (field[i - 1, j, k] + field[i + 1, j, k] + field[i, j - 1, k] + field[i, j + 1, k])
                        field[i, j, k] += omega * (mean - field[i, j, k])


def solve_laplace(known: np.ndarray, inside: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Harmonic extension on a grid: `known` (h, w, C) float32 holds on `inside`, zero holds elsewhere, `free` cells are solved."""
    field = np.where(inside[..., None], known, np.float32(0))
    height, width = inside.shape
    if min(height, width) >= 24:
        size = (width // 4, height // 4)
        some = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        small = cv2.resize(field, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1) / np.maximum(some, 1e-6)[..., None]
        coarse = solve_coarse(small.astype(np.float32), some > 0.5, cv2.resize(free.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)
        guess = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)
        field = np.where(free[..., None], guess, field)
    field = np.ascontiguousarray(field, np.float32)
    _relax(field, free, SWEEPS, OVER_RELAXATION)
    return field


def solve_coarse(known: np.ndarray, inside: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The same on a small grid, to convergence from zero: the first guess of the fine grid."""
    field = np.ascontiguousarray(np.where(inside[..., None], known, np.float32(0)), np.float32)
    _relax(field, free & ~inside, COARSE_SWEEPS, OVER_RELAXATION)
    return field


def extend(displacement: np.ndarray, mask: np.ndarray, face_width: float, band: float) -> tuple[np.ndarray, np.ndarray]:
    """Continue a displacement beyond the face.

    displacement (H, W, 2) float32 pixels, valid on mask (H, W) bool; face_width in pixels; band as a part of it.
    Returns the field (H, W, 2), zero beyond the band, exact on the face, and the distance to the face (H, W) in face widths.
    """
    height, width = mask.shape
    step = max(1, int(round(face_width / GRID)))
    gw, gh = -(-width // step), -(-height // step)
    padded_mask = cv2.copyMakeBorder(mask.astype(np.uint8), 0, gh * step - height, 0, gw * step - width, cv2.BORDER_CONSTANT, value=0)
    field = np.where(mask[..., None], displacement, np.float32(0))
    padded = cv2.copyMakeBorder(field, 0, gh * step - height, 0, gw * step - width, cv2.BORDER_CONSTANT, value=0)
    cover = cv2.resize(padded_mask.astype(np.float32), (gw, gh), interpolation=cv2.INTER_AREA)
    mean = cv2.resize(padded, (gw, gh), interpolation=cv2.INTER_AREA) / np.maximum(cover, 1e-6)[..., None]
    inside = cover >= 0.5
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    free = ~inside & (distance * step < band * face_width)
    free[[0, -1]] = False
    free[:, [0, -1]] = False
    grid = solve_laplace(mean, inside, free)
    full = cv2.resize(grid, (gw * step, gh * step), interpolation=cv2.INTER_LINEAR)[:height, :width]
    away = cv2.resize(distance, (gw * step, gh * step), interpolation=cv2.INTER_LINEAR)[:height, :width] * (step / face_width)
    # A few pixels inside the edge the exact field takes over from the coarse one, so that no seam is drawn between them.
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    own = np.minimum(depth / (1.5 * step), 1.0)[..., None]
    return np.where(mask[..., None], own * displacement + (1 - own) * full, full), away
