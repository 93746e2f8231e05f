# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes laid over one another: what has moved is found, what has changed stays, and strangers are left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.neural.registration import shift_between, shifted

SIZE = 256


def skin(seed: int) -> np.ndarray:
    """(SIZE, SIZE, 3): pores and blotches."""
    noise = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE)).astype(np.float32)
    grey = 0.6 + 0.3 * cv2.GaussianBlur(noise, (0, 0), 1.5) + 0.6 * cv2.GaussianBlur(noise, (0, 0), 8)
    return np.repeat(grey[..., None], 3, 2)


@pytest.fixture
def mask() -> np.ndarray:
    there = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(there, (SIZE // 2, SIZE // 2), (100, 115), 0, 0, 360, 1, -1)
    return there > 0


def raised(by: float) -> np.ndarray:
    """(SIZE, SIZE, 2): a forehead pushed up, texels; soft all around."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    bump = np.exp(-((x - 128) / 45) ** 2 - ((y - 90) / 35) ** 2)
    return np.stack([0 * bump, -by * bump], 2)


def test_a_raised_forehead_is_found_and_laid_back(mask: np.ndarray) -> None:
    reference, truth = skin(1), raised(8)
    # The other take's skin at p + truth(p) is the reference's at p: where its texels come from is found by going back.
    came_from = truth.copy()
    for _ in range(20):
        came_from = shifted(truth, -came_from)
    take = shifted(reference, -came_from)
    assert np.abs(take - reference)[mask].mean() > 0.01, "the takes are not apart"
    found = shift_between(0.7 * take + 0.1, reference, mask)  # under another light
    inner = cv2.erode(mask.astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    assert np.abs(found - truth)[inner].mean() < 0.3
    assert np.abs(found - truth)[inner].max() < 2.5
    assert np.abs(shifted(take, found) - reference)[inner].mean() < 0.25 * np.abs(take - reference)[inner].mean()


def test_the_same_texture_has_no_shift(mask: np.ndarray) -> None:
    assert np.abs(shift_between(skin(2), skin(2), mask)).max() < 0.05


def test_other_skin_is_left_where_it_is(mask: np.ndarray) -> None:
    assert np.linalg.norm(shift_between(skin(3), skin(4), mask), axis=2)[mask].mean() < 0.3


def test_a_new_line_stays_in_the_difference(mask: np.ndarray) -> None:
    reference, line = skin(5), np.zeros((SIZE, SIZE), np.float32)
    cv2.line(line, (70, 90), (190, 90), 0.2, 4, cv2.LINE_AA)
    take = reference - cv2.GaussianBlur(line, (0, 0), 1.5)[..., None]
    laid = shifted(take, shift_between(take, reference, mask))
    before, after = ((t - reference)[86:95, 80:180].mean() for t in (take, laid))
    assert after == pytest.approx(before, rel=0.1)


def test_a_texture_without_shift_is_the_very_same(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(shifted(skin(6), np.zeros((SIZE, SIZE, 2), np.float32)), skin(6))
