# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiled loops of the renderer against OpenCV, numpy and a direct solver."""

import cv2
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from mien.neural.rendering.band import solve_laplace
from mien.neural.rendering.sampling import lanczos_taps, sample
from mien.neural.rendering.sharpness import scales

PEAK = {np.uint8: 255, np.uint16: 65535, np.float32: 1}


def plate(kind: type, channels: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((90, 120, channels)).astype(np.float32)
    picture = cv2.GaussianBlur(noise, (0, 0), 1.2)
    picture = (picture - picture.min()) / np.ptp(picture)
    return picture if kind is np.float32 else np.rint(picture * PEAK[kind]).astype(kind)


def field(height: int, width: int, seed: int = 1) -> np.ndarray:
    """A smooth displacement of some pixels, in steps of 1/32 pixel, that leaves the upper rows alone."""
    out = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 60, (height, width, 2)).astype(np.float32), (0, 0), 8)
    out[:10] = 0
    return np.rint(out * 32) / 32


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [3, 4])
def test_sample_is_opencvs_lanczos(kind, channels):
    picture, move, (l, t, r, b) = plate(kind, channels), field(60, 80), (0, 5, 80, 65)  # the box touches the picture's border
    x = np.arange(l, r, dtype=np.float32)[None] + move[..., 0]
    y = np.arange(t, b, dtype=np.float32)[:, None] + move[..., 1]
    want = cv2.remap(picture, x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    if kind is np.float32:
        want = np.maximum(want, 0)
    got = sample(picture, (l, t, r, b), move)
    level = 1e-5 if kind is np.float32 else 1
    assert np.abs(move).max() > 3 and got.dtype == kind
    assert np.abs(got.astype(np.float64) - want).max() <= level
    assert np.array_equal(got[:10], picture[t : t + 10, l:r])


def test_the_taps_are_lanczos_windows_and_sum_to_one():
    taps = lanczos_taps()
    assert np.abs(taps.sum(1) - 1).max() < 1e-6
    assert np.allclose(taps[0], [0, 0, 0, 1, 0, 0, 0, 0], atol=1e-7)
    assert np.allclose(taps[16], taps[16][::-1], atol=1e-7)


def test_a_displacement_under_a_64th_of_a_pixel_copies_the_pixel():
    picture = plate(np.uint8, 3)
    move = np.full((40, 40, 2), 1 / 65, np.float32)
    assert np.array_equal(sample(picture, (10, 10, 50, 50), move), picture[10:50, 10:50])


def test_scales_are_the_singular_values_of_opencvs_derivatives():
    move = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 300, (50, 70, 2)).astype(np.float32), (0, 0), 9)
    dx, dy = (cv2.Sobel(move.astype(np.float64), cv2.CV_64F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    jacobian = np.stack([dx, dy], -1) + np.eye(2)
    larger, smaller = scales(move)
    singular = np.linalg.svd(jacobian, compute_uv=False)
    assert np.allclose(np.stack([larger, smaller], -1), singular**2, rtol=1e-3, atol=1e-3)


def test_the_band_is_the_solution_of_laplaces_equation():
    mask = np.zeros((70, 70), np.uint8)
    cv2.circle(mask, (35, 35), 15, 1, -1)
    inside, free = mask > 0, np.zeros((70, 70), bool)
    free[6:-6, 6:-6] = ~inside[6:-6, 6:-6]
    y, x = np.mgrid[:70, :70].astype(np.float32)
    known = np.stack([3 + 0.1 * x, -2 + 0.05 * y], -1)
    cells, number = np.flatnonzero(free), np.full(70 * 70, -1)
    number[cells] = np.arange(len(cells))
    matrix, right = sp.lil_matrix((len(cells), len(cells))), np.zeros((len(cells), 2))
    for n, cell in enumerate(cells):
        matrix[n, n] = 4
        for neighbour in (cell - 70, cell + 70, cell - 1, cell + 1):
            if number[neighbour] >= 0:
                matrix[n, number[neighbour]] = -1
            elif inside.ravel()[neighbour]:
                right[n] += known.reshape(-1, 2)[neighbour]
    want = spsolve(matrix.tocsc(), right)
    got = solve_laplace(known, inside, free).reshape(-1, 2)[cells]
    assert np.abs(got - want).max() < 0.01 * np.abs(want).max()
