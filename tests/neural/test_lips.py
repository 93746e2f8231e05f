# SPDX-License-Identifier: GPL-3.0-or-later
"""The inner edge of the lips, found on pictures of mouths whose edge is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.neural.tracking import lips
from mien.neural.tracking.lips import LOWER, UPPER, inner_lips
from mien.neural.tracking.mediapipe_tracker import MediaPipeTracker
from mien.tests.neural.portraits import portrait

WIDTH, MIDDLE = 160.0, np.array([200.0, 150.0])
SKIN, LIPS, TEETH, DARK, TONGUE = (205, 160, 140), (178, 104, 98), (215, 205, 190), (45, 22, 22), (180, 100, 96)
TIMES = np.arange(1, 10) / 10


def arc(height: float) -> np.ndarray:
    """(9, 2): a row of landmarks from the right corner to the left, so many pixels below the middle of the mouth."""
    return MIDDLE + np.stack([(TIMES - 0.5) * WIDTH, height * 4 * TIMES * (1 - TIMES)], 1)


def face(up: float, low: float) -> np.ndarray:
    """Landmarks (478, 3) whose inner lips are at these heights, the outer edges 30 pixels above and 34 below."""
    out = np.zeros((478, 3), np.float32)
    for (lip, outer), inner in zip(((UPPER, -30.0), (LOWER, 34.0)), (up, low)):
        for k, ring in enumerate(lip):
            out[list(ring), :2] = arc(outer + (inner - outer) * k / 3)
    for corner in (*lips.OUTER_CORNERS[:1], lips.RIGHT):
        out[corner, :2] = MIDDLE - (WIDTH / 2, 0)
    for corner in (*lips.OUTER_CORNERS[1:], lips.LEFT):
        out[corner, :2] = MIDDLE + (WIDTH / 2, 0)
    return out


def picture(up: float, low: float, teeth: float = 0.6, tongue: bool = False) -> np.ndarray:
    """(300, 400, 3): a mouth with these inner edges; `teeth`: the part of its height that upper teeth cover, the rest is dark."""
    fine = 4  # times as fine, so that edges are where they are said to be
    out = np.full((300 * fine, 400 * fine, 3), SKIN, np.float32)

    def fill(top: float, bottom: float, colour: tuple[int, int, int]) -> None:
        ends = MIDDLE + np.array([[-WIDTH / 2, 0], [WIDTH / 2, 0]])
        outline = np.concatenate([ends[:1], arc(top), ends[1:], arc(bottom)[::-1]])
        cv2.fillPoly(out, [np.round((outline * fine - 0.5) * 16).astype(np.int32)], colour, shift=4)

    fill(-30, 34, LIPS)
    fill(up, low, DARK)
    fill(up, up + teeth * (low - up), TEETH)
    if tongue:
        fill(up + 0.35 * (low - up), up + 0.85 * (low - up), TONGUE)
    out = cv2.GaussianBlur(cv2.resize(out, (400, 300), interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    return np.clip(out + np.random.default_rng(0).normal(0, 2, out.shape), 0, 255).astype(np.uint8)


def heights(found: np.ndarray) -> np.ndarray:
    """(2,): mean heights of the five middle landmarks of both inner edges, against what `arc` gives for a height of 1."""
    middle = slice(2, 7)
    return np.array([((found[list(lip[-1][middle]), 1] - MIDDLE[1]) / (4 * TIMES * (1 - TIMES))[middle]).mean() for lip in (UPPER, LOWER)])


@pytest.mark.parametrize("off", [(0, 0), (-5, 6), (4, -5), (5, 5)])
@pytest.mark.parametrize("teeth", [0.0, 0.6, 1.0])
def test_the_contour_goes_to_the_edge_of_the_lips(off, teeth) -> None:
    """Teeth, the dark, or both: tracked up to 6 pixels beside it, the contour lands within 1.2."""
    found = inner_lips(picture(-10, 16, teeth), face(-10 + off[0], 16 + off[1]))
    assert np.abs(heights(found) - (-10, 16)).max() < 1.2


def test_a_tongue_is_no_lip() -> None:
    assert np.abs(heights(inner_lips(picture(-10, 18, 0.3, tongue=True), face(-10, 18))) - (-10, 18)).max() < 1.5


def test_closed_lips_meet() -> None:
    """Tracked 6 pixels apart, on a mouth of which only the line between the lips is seen."""
    up, low = heights(inner_lips(picture(1.5, 2.5), face(0, 6)))
    assert 0 <= low - up < 4 and abs((low + up) / 2 - 2) < 0.5


def test_where_the_picture_tells_nothing_the_tracker_stays() -> None:
    tracked = face(-10, 16)
    grey = np.repeat(picture(-10, 16, 1.0).mean(2, keepdims=True), 3, 2).astype(np.uint8)
    assert np.abs(heights(inner_lips(grey, tracked)) - (-10, 16)).max() < 1.5
    outside = tracked + np.float32([4000, 0, 0])
    assert np.array_equal(inner_lips(grey, outside), outside)


def test_a_black_and_white_plate_still_shows_the_dark() -> None:
    grey = np.repeat(picture(-10, 16, 0.0).mean(2, keepdims=True), 3, 2).astype(np.uint8)
    assert np.abs(heights(inner_lips(grey, face(-8, 13))) - (-10, 16)).max() < 1.5


def test_a_larger_picture_gives_the_same_places_and_a_tiny_mouth_is_left_alone() -> None:
    plate, tracked = picture(-10, 16), face(-14, 21)
    found = inner_lips(plate, tracked)
    large = cv2.resize(plate, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert np.abs(inner_lips(large, 4 * tracked) / 4 - found).max() < 0.5
    small = tracked * np.float32(0.08)
    assert inner_lips(plate, small) is small


def test_only_the_rings_inside_move_and_those_between_in_proportion() -> None:
    tracked = face(-10, 22)
    found = inner_lips(picture(-10, 16), tracked)
    moved = (found - tracked)[:, 1]
    known = sorted({i for lip in (UPPER, LOWER) for ring in lip[1:] for i in ring})
    assert not np.delete(found - tracked, known, 0).any() and not (found - tracked)[:, 2].any()
    middle = [moved[list(ring)][4] for ring in LOWER]
    assert middle[0] == 0 and middle[3] < -4
    assert np.allclose(middle[1:3], [middle[3] / 3, middle[3] * 2 / 3], atol=0.2)


def test_a_turned_head_has_a_turned_mouth() -> None:
    turn = cv2.getRotationMatrix2D(tuple(MIDDLE), 30, 1.0)
    turned = cv2.warpAffine(picture(-10, 16), turn, (400, 300), borderMode=cv2.BORDER_REPLICATE)
    tracked = face(-14, 21)
    rotated = tracked.copy()
    rotated[:, :2] = tracked[:, :2] @ turn[:, :2].T + turn[:, 2]
    back = (inner_lips(turned, rotated)[:, :2] - turn[:, 2]) @ turn[:, :2]
    assert np.abs(heights(back) - (-10, 16)).max() < 1.5


def test_a_real_mouth_is_found_again() -> None:
    """The portrait's, from contours put beside where it is found from the tracker's own."""
    rgb = portrait(size=(400, 400))
    with MediaPipeTracker() as tracker:
        tracked = tracker.process(rgb)[0]
    found = inner_lips(rgb, tracked)
    width = np.linalg.norm(tracked[lips.LEFT] - tracked[lips.RIGHT])
    down = 0.03 * width
    inner = [*UPPER[-1], *LOWER[-1]]
    for up, low in ((0, 1), (-1, 0), (-1, 1), (1, 0)):
        moved = tracked.copy()
        moved[list(UPPER[-1]), 1] += up * down
        moved[list(LOWER[-1]), 1] += low * down
        again = inner_lips(rgb, moved)
        assert np.abs(again - found)[inner, 1].mean() < 0.6 * np.abs(moved - tracked)[inner, 1].mean()
