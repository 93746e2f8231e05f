# SPDX-License-Identifier: GPL-3.0-or-later
"""The lips' edge inside a tracked contour: found by colour, smooth, and only near the contour."""

import numpy as np
import pytest

from mien.neural.mouth.rim import REACH, within_lips

LIP, DARK, TOOTH = np.float32([0.72, 0.42, 0.40]), np.float32([0.10, 0.06, 0.06]), np.float32([0.92, 0.90, 0.86])
HEIGHT, WIDTH, FACE, SOFT = 60, 140, 330.0, 1.7
TRACKED = slice(15, 45)
"""Rows of the tracked opening."""


def filmed(rows: slice, inside: np.ndarray = DARK) -> tuple[np.ndarray, np.ndarray]:
    """A picture of lips with `inside` in some rows, and the tracked opening."""
    picture, opening = np.broadcast_to(LIP, (HEIGHT, WIDTH, 3)).copy(), np.zeros((HEIGHT, WIDTH), bool)
    picture[rows, 10:130] = inside
    opening[TRACKED, 10:130] = True
    return picture, opening


@pytest.mark.parametrize("inside", [DARK, TOOTH])
def test_a_strip_of_lip_is_not_the_inside(inside):
    """The contour lies 4 rows too low at the lower lip: those rows stay lip, the rest is the inside."""
    picture, opening = filmed(slice(15, 41), inside)
    found = within_lips(picture, opening, FACE, SOFT)[:, 30:110]
    assert found[42:].max() < 0.3 and found[20:36].min() > 0.95 and not found[:15].any()


def test_a_true_contour_loses_its_soft_edge_alone():
    picture, opening = filmed(TRACKED)
    found = within_lips(picture, opening, FACE, SOFT)
    assert found[19:41, 30:110].min() > 0.95 and found[~opening].max() == 0


def test_gaps_between_teeth_bite_no_notches_into_the_lip():
    """Lip-coloured gums between white teeth: the edge goes on straight."""
    picture, opening = filmed(TRACKED, TOOTH)
    picture[15:20, 20:130:12] = LIP
    found = within_lips(picture, opening, FACE, SOFT)
    assert found[19:22, 30:110].min() > 0.9


def test_a_tongue_far_from_the_lips_is_inside():
    """The colour of lips counts near the contour only."""
    picture, opening = filmed(TRACKED)
    picture[26:34, 30:110] = LIP
    assert within_lips(picture, opening, FACE, SOFT)[26:34, 40:100].min() > 0.95
    assert 2 * REACH * FACE < 15  # the contour is 15 rows away from the middle


def test_a_mouth_that_is_no_mouth_stays_lip_near_its_contour():
    picture, opening = filmed(slice(0, 0))
    found = within_lips(picture, opening, FACE, SOFT)
    assert found[15:20].max() < 0.3 and found[40:45].max() < 0.3
    assert not within_lips(picture, np.zeros_like(opening), FACE, SOFT).any()
