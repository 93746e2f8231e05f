# SPDX-License-Identifier: GPL-3.0-or-later
"""The band outside the face: the displacement at its edge fades to zero by a harmonic extension (design: no double contour)."""

from __future__ import annotations

import cv2
import numba
import numpy as np

GRID = 72
"""Cells across a face: the band is smooth, so it is solved coarse and interpolated."""
SWEEPS = 36
COARSE_SWEEPS = 80
OVER_RELAXATION = 1.86


def _relax(field: np.ndarray, free: np.ndarray, sweeps: int) -> None:
    """Successive over-relaxation of Laplace's equation on the cells of `free`, the border of the grid left out.

    In red and black: cells of one colour do not depend on each other, so that a processor works on several at a time.
    """
    height, width, channels = field.shape
    inner = np.zeros_like(free)
    inner[1:-1, 1:-1] = free[1:-1, 1:-1]
    cells = np.flatnonzero(inner)
    odd = (cells // width + cells % width) % 2 == 1
    _sweep(field.reshape(height * width, channels), cells[odd], cells[~odd], width, sweeps, np.float32(OVER_RELAXATION))


@numba.njit(cache=True, nogil=True)
def _sweep(field, red, black, width, sweeps, omega):
    for _ in range(sweeps):
        for cells in (red, black):
            for i in cells:
                for k in range(field.shape[1]):
                    mean = np.float32(0.25) * (field[i - width, k] + field[i + width, k] + field[i - 1, k] + field[i + 1, k])
                    field[i, k] += omega * (mean - field[i, k])


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
    _relax(field, free, SWEEPS)
    return field


def solve_coarse(known: np.ndarray, inside: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The same on a small grid, to convergence from zero: the first guess of the fine grid."""
    field = np.ascontiguousarray(np.where(inside[..., None], known, np.float32(0)), np.float32)
    _relax(field, free & ~inside, COARSE_SWEEPS)
    return field


def extend(displacement: np.ndarray, mask: np.ndarray, face_width: float, band: float) -> tuple[np.ndarray, np.ndarray]:
    """Continue a displacement beyond the face.

    displacement (H, W, 2) float32 pixels, valid on mask (H, W) bool; face_width in pixels; band as a part of it.
    Returns the field (H, W, 2), zero beyond the band, exact on the face, and the distance to the face (H, W) in face widths.
    """
    height, width = mask.shape
    step = max(1, int(round(face_width / GRID)))
    gw, gh = -(-width // step), -(-height // step)
    cover, mean = np.zeros((gh, gw), np.float32), np.zeros((gh, gw, 2), np.float32)
    _coarsen(displacement, mask, step, cover, mean)
    inside = cover >= 0.5
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    free = ~inside & ((distance + 1.5) * step < band * face_width)  # a cell's value reaches to its neighbours' middles
    free[[0, -1]] = False
    free[:, [0, -1]] = False
    grid = solve_laplace(mean, inside, free)
    full = cv2.resize(grid, (gw * step, gh * step), interpolation=cv2.INTER_LINEAR)[:height, :width]
    away = cv2.resize(distance, (gw * step, gh * step), interpolation=cv2.INTER_LINEAR)[:height, :width] * (step / face_width)
    # A few pixels inside the edge the exact field takes over from the coarse one, so that no seam is drawn between them.
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    _keep_inside(displacement, mask, depth, np.float32(1.5 * step), full)
    return full, away


@numba.njit(cache=True, nogil=True)
def _coarsen(displacement, mask, step, cover, mean):
    """Part of each step x step cell that the mask covers, and the mean displacement there."""
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            if mask[i, j]:
                cover[i // step, j // step] += 1
                mean[i // step, j // step, 0] += displacement[i, j, 0]
                mean[i // step, j // step, 1] += displacement[i, j, 1]
    for i in range(cover.shape[0]):
        for j in range(cover.shape[1]):
            if cover[i, j]:
                mean[i, j, 0] /= cover[i, j]
                mean[i, j, 1] /= cover[i, j]
                cover[i, j] /= step * step


@numba.njit(cache=True, nogil=True)
def _keep_inside(displacement, mask, depth, soft, full):
    """Writes the exact displacement over `full` inside the mask, from its edge on over `soft` pixels."""
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            if mask[i, j]:
                own = min(depth[i, j] / soft, np.float32(1))
                full[i, j, 0] = own * displacement[i, j, 0] + (1 - own) * full[i, j, 0]
                full[i, j, 1] = own * displacement[i, j, 1] + (1 - own) * full[i, j, 1]
