# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins: what the file holds, and what they make of a track."""

import json

import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.mesh.pins import LANDMARKS, NEAR, REACH, Pin, Pins, changed_frames, correct, pins_path
from mien.mesh.shot import Plate, Shot

T = 60


@pytest.fixture
def shot(tmp_path):
    return Shot(tmp_path / "s.mien", Plate("x.mov", "movie", 640, 480, (25, 1), 1001, T))


@pytest.fixture
def landmarks():
    rng = np.random.default_rng(1)
    points = rng.uniform(100, 300, (478, 3))
    points[33, :2], points[263, :2] = (100, 200), (300, 200)  # 200 pixels between the eyes
    return (points + np.arange(T)[:, None, None] * 0.5).astype(np.float32)


def rows(*pins):
    return np.array(pins, np.float64).reshape(-1, 5)


def test_pins_survive_and_leave_no_empty_file(shot):
    pins = Pins()
    pins.put(1012, 61, Pin(512.5, 300.25))
    pins.put(1012, 291, Pin(600, 301, 0.5))
    pins.put(1040, 61, Pin(510, 299))
    pins.save(shot)
    again = Pins.load(shot)
    assert again.frames == pins.frames and again.count == 3
    assert np.array_equal(again.rows(shot), [[11, 61, 512.5, 300.25, 1], [11, 291, 600, 301, 0.5], [39, 61, 510, 299, 1]])
    assert again.remove(1012, 61) and not again.remove(1012, 61) and again.remove(1012, 291) and again.remove(1040, 61)
    again.save(shot)
    assert not pins_path(shot).exists() and Pins.load(shot).count == 0


def test_pins_outside_the_shot_are_left_out(shot):
    pins = Pins({1000: {1: Pin(1, 1)}, 1001: {1: Pin(1, 1)}, 1001 + T: {1: Pin(1, 1)}})
    assert pins.rows(shot)[:, 0].tolist() == [0]


@pytest.mark.parametrize("frames, words", [
    ({"twelve": {"1": [1, 2, 1]}}, "frame 'twelve'"), ({"1012": [1, 2]}, "frame '1012'"), ({"1012": {str(LANDMARKS): [1, 2, 1]}}, "landmark '468'"),
    ({"1012": {"61": [1, 2]}}, "frame 1012"), ({"1012": {"61": [1, float("nan"), 1]}}, "frame 1012"), ({"1012": {"61": [1, 2, 0]}}, "frame 1012"),
    ({"1012": {"61": ["1", 2, 1]}}, "frame 1012"), ([], "schema 1")])
def test_a_wrong_file_is_named(shot, frames, words):
    shot.folder.mkdir()
    pins_path(shot).write_text(json.dumps({"schema": 1, "frames": frames}), encoding="utf-8")
    with pytest.raises(MienError, match=words):
        Pins.load(shot)


def test_what_a_pin_says_fades_over_the_frames_around(landmarks):
    want = landmarks[30, 61, :2] + (8, -4)
    fixed = correct(landmarks, [(0, T)], rows((30, 61, *want, 1)))
    moved = fixed.landmarks[:, 61, :2] - landmarks[:, 61, :2]
    assert np.allclose(fixed.landmarks[30, 61, :2], want, atol=1e-4)
    assert np.allclose(moved[[30 - REACH - 1, 30 + REACH + 1]], 0) and (np.diff(moved[17:31, 0]) > -1e-6).all()
    assert np.abs(np.diff(moved, axis=0)).max() < 8 * 0.15, "no jump"
    others = np.arange(478) != 61
    assert np.array_equal(fixed.landmarks[:, others], landmarks[:, others]) and sorted(fixed.sure) == list(range(30 - REACH, 30 + REACH + 1))
    assert fixed.sure[30][61] == 1 and fixed.sure[30][others].max() == 0
    distance = np.linalg.norm(landmarks[30, :, :2] - landmarks[30, 61, :2], axis=1) / 200
    assert fixed.trust[30][distance < NEAR / 3].max() < 0.1 and fixed.trust[30][distance > 4 * NEAR].min() > 0.99


def test_between_two_pins_one_goes_over_into_the_other(landmarks):
    a, b = landmarks[20, 61, :2] + (10, 0), landmarks[30, 61, :2] + (0, 6)
    fixed = correct(landmarks, [(0, T)], rows((20, 61, *a, 1), (30, 61, *b, 1)))
    moved = fixed.landmarks[:, 61, :2] - landmarks[:, 61, :2]
    assert np.allclose(moved[[20, 25, 30]], [(10, 0), (5, 3), (0, 6)], atol=1e-3)
    assert all(fixed.sure[i][61] == 1 for i in range(20, 31))
    far = correct(landmarks, [(0, T)], rows((5, 61, *landmarks[5, 61, :2] + 9, 1), (50, 61, *landmarks[50, 61, :2] + 9, 1)))
    assert 28 not in far.sure and np.array_equal(far.landmarks[28], landmarks[28])


def test_a_cut_and_a_lost_face_stop_a_pin(landmarks):
    landmarks[40:] = np.nan
    fixed = correct(landmarks, [(0, 28), (28, 40)], rows((30, 61, 5, 5, 1), (45, 61, 5, 5, 1)))
    assert min(fixed.sure) == 28 and max(fixed.sure) == 39
    assert correct(landmarks, [(0, 40)], None).landmarks is landmarks


def test_which_frames_two_sets_of_pins_change(landmarks):
    one, two = rows((10, 61, 50, 50, 1)), rows((10, 61, 50, 50, 1), (40, 291, 60, 60, 1))
    assert not changed_frames(landmarks, [(0, T)], one, one.copy()).any()
    assert np.flatnonzero(changed_frames(landmarks, [(0, T)], one, two)).tolist() == list(range(40 - REACH, 40 + REACH + 1))
    assert changed_frames(landmarks, [(0, T)], one, None)[10] and changed_frames(landmarks, [(0, T)], None, rows((10, 61, 50, 51, 1)))[10]
