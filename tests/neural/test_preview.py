# SPDX-License-Identifier: GPL-3.0-or-later
"""The preview of one frame is what the bake will show there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.emotion import EmotionCurves
from mien.mesh.errors import MienError
from mien.neural import preview
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.jobs import JOBS
from mien.neural.media import PlateReader
from mien.neural.progress import Silent
from mien.tests.neural.portraits import FRAMES


@pytest.fixture
def show(shot, tmp_path: Path):
    """`show(index, happy=1.0)`: the job's result and the picture, or None."""

    def run(index: int, side: int = 0, **controls: float):
        EmotionCurves.constant(FRAMES, **controls).save(tmp_path / "curves.npz")
        output = tmp_path / "out" / "preview.npy"
        output.unlink(missing_ok=True)
        params = {"folder": str(shot.folder), "curves": str(tmp_path / "curves.npz"), "index": index, "output": str(output), "side": side}
        result = JOBS["preview"](params, Silent())
        return result, np.load(output) if output.exists() else None

    return run


def test_the_picture_is_the_composited_frame(show, shot) -> None:
    frame = PlateReader(shot.plate_path, shot.plate).frame(2)
    for controls in ({"happy": 1.0}, {"sad": 0.6, "mouth": 1.0}, {}):
        result, picture = show(2, **controls)
        left, top, right, bottom = result["box"]
        editor = ShotEditor(shot, EmotionCurves.constant(FRAMES, **controls), EditSettings(), Silent())
        expected = editor.composited(frame).pixels
        assert np.array_equal(picture, expected[top:bottom, left:right])
        outside = np.ones(expected.shape[:2], bool)
        outside[top:bottom, left:right] = False
        assert np.array_equal(expected[outside], frame.pixels[outside]), "the box holds all that changes"
        assert result["edited"] == bool(controls)


def test_what_does_not_depend_on_the_curves_stays_loaded(show, shot) -> None:
    show(1, happy=0.4)
    warm = preview._warm[1]
    show(1, happy=0.9)
    assert preview._warm[1] is warm
    os.utime(shot.solve_path, (1, 1))
    show(1, happy=0.9)
    assert preview._warm[1] is not warm, "the shot was solved again"


def test_a_large_face_is_made_smaller(show) -> None:
    result, picture = show(1, side=64)
    left, top, right, bottom = result["box"]
    assert max(picture.shape[:2]) == 64
    assert picture.shape[1] / picture.shape[0] == pytest.approx((right - left) / (bottom - top), rel=0.03)


def test_a_frame_outside_the_shot_is_said(show) -> None:
    with pytest.raises(MienError, match="outside the shot"):
        show(FRAMES)


def test_learning_beforehand_leaves_nothing_to_learn(show, shot) -> None:
    first = JOBS["learn"]({"folder": str(shot.folder)}, Silent())
    made = {path.name: path.stat().st_mtime_ns for path in shot.texture_path.parent.iterdir()}
    assert {"texture_shot.json", "mouth_shot.json"} <= made.keys()
    assert first["skin"]
    show(2, happy=1.0)
    assert JOBS["learn"]({"folder": str(shot.folder)}, Silent()) == first
    assert {path.name: path.stat().st_mtime_ns for path in shot.texture_path.parent.iterdir()} == made
