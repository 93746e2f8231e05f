# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact sheet: rows and columns, what it crops to, and the command."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.neural.contact_sheet import GAP, HEADER, SIDE, changed_box, contact_sheet, difference, evenly, main, mattes_of, save_sheet
from mien.neural.demo.writer import write_movie
from mien.neural.media import write_matte

PLATE = np.full((120, 160, 3), 90, np.uint8)


def edited(amount: int = 10) -> np.ndarray:
    out = PLATE.copy()
    out[40:80, 60:100] += np.uint8(amount)
    return out


def test_frames_are_spread_over_the_clip_with_its_ends():
    assert evenly(100, 5) == [0, 25, 50, 74, 99]
    assert evenly(3, 6) == [0, 1, 2]
    assert evenly(1, 6) == [0]


def test_the_box_surrounds_the_change_and_ignores_coding_noise():
    noisy = edited(20) + np.random.default_rng(0).integers(0, 3, PLATE.shape, np.uint8)
    x, y, w, h = changed_box([PLATE], [noisy])
    assert x <= 60
    assert y <= 40
    assert x + w >= 100
    assert y + h >= 80
    assert w * h < 0.5 * 120 * 160
    assert changed_box([PLATE], [PLATE]) == (0, 0, 160, 120)


def test_the_difference_is_eight_times_as_large_and_clipped():
    assert difference(PLATE, edited(10))[60, 80].tolist() == [80, 80, 80]
    assert difference(edited(100), PLATE)[60, 80].tolist() == [255, 255, 255]
    assert not difference(PLATE, PLATE).any()


def test_the_sheet_has_a_column_a_frame_and_a_row_a_kind():
    matte = np.zeros((120, 160), np.float32)
    matte[40:80, 60:100] = 1
    sheet = contact_sheet([PLATE] * 2, [edited()] * 2, [matte] * 2, ["frame 1", "frame 9"], crop=(60, 40, 40, 40), cell=80)
    assert sheet.shape == (HEADER + 4 * (80 + GAP), SIDE + 2 * (80 + GAP), 3)
    middles = [sheet[HEADER + row * (80 + GAP) + 40, SIDE + 40, 0] for row in range(4)]
    assert middles == [90, 100, 80, 255]
    assert contact_sheet([PLATE], [edited()], None, ["a"], crop=(60, 40, 40, 40), cell=80).shape[0] == HEADER + 3 * (80 + GAP)


def test_frames_without_a_baked_matte_have_an_empty_one(tmp_path: Path):
    write_matte(tmp_path / "matte.1002.exr", np.full((4, 6), 0.5, np.float32))
    mattes = mattes_of(tmp_path, [0, 1], (4, 6), 1001)
    assert not mattes[0].any()
    assert mattes[1] == pytest.approx(0.5)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    sound = np.zeros(4800, np.float32)
    write_movie(tmp_path / "plate.mp4", [PLATE] * 4, Fraction(25), sound, 48000)
    write_movie(tmp_path / "edit.mp4", [edited(60)] * 4, Fraction(25), sound, 48000)
    arguments = [str(tmp_path / "plate.mp4"), str(tmp_path / "edit.mp4"), "-o", str(tmp_path / "new" / "sheet.png")]
    assert main(arguments) == 0
    assert cv2.imread(str(tmp_path / "new" / "sheet.png")).shape[1] == SIDE + 4 * (320 + GAP)
    assert main([*arguments, "--frames", "2,9"]) == 1
    assert "4 frames" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        main([*arguments, "--crop", "1,2"])
    assert usage.value.code == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match="sheet.png"):
        save_sheet(tmp_path / "file" / "sheet.png", PLATE)
