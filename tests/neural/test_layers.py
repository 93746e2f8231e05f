# SPDX-License-Identifier: GPL-3.0-or-later
"""EXR layers: the parts put together are the edit, and the ST map moves the plate as the edit does."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from mien.mesh.emotion import EmotionCurves
from mien.mesh.errors import MienError
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.jobs import JOBS
from mien.neural.media import PlateReader, srgb_to_linear
from mien.neural.progress import Silent
from mien.tests.neural.portraits import FRAMES


def planes(path: Path) -> dict[str, np.ndarray]:
    return {name: c.pixels for name, c in OpenEXR.File(str(path), separate_channels=True).parts[0].channels.items()}


def rgb(found: dict[str, np.ndarray], layer: str = "") -> np.ndarray:
    return np.stack([found[layer + c] for c in "RGB"], -1).astype(np.float32)


@pytest.fixture
def written(shot, tmp_path):
    curves = EmotionCurves.constant(FRAMES, happy=1.0)
    curves.emotions[:3] = 0
    curves.save(shot.emotion_path)
    output = tmp_path / "layers" / "x.####.exr"
    assert JOBS["layers"]({"folder": str(shot.folder), "output": str(output)}, Silent())["frames"] == FRAMES
    return [planes(output.with_name(f"x.{shot.frame_number(i):04d}.exr")) for i in range(FRAMES)]


def test_an_unedited_frame_is_the_plate_with_an_identity_map(written, shot) -> None:
    found, plate = written[0], PlateReader(shot.plate_path, shot.plate).frame(0).pixels
    height, width = plate.shape[:2]
    assert np.array_equal(rgb(found), srgb_to_linear(plate / np.float32(255)).astype(np.float16))
    assert not rgb(found, "patch.").any()
    assert not found["matte.Y"].any()
    assert found["st.R"].dtype == np.float32
    assert np.allclose(found["st.R"][0] * width - 0.5, np.arange(width), atol=1e-3)
    assert np.allclose((1 - found["st.G"][:, 0]) * height - 0.5, np.arange(height), atol=1e-3)


def test_the_parts_are_the_edit(written, shot) -> None:
    editor = ShotEditor(shot, EmotionCurves.load(shot.emotion_path), EditSettings(), Silent())
    frame = PlateReader(shot.plate_path, shot.plate).frame(6)
    found, edited = written[6], srgb_to_linear(editor.composited(frame).pixels / np.float32(255))
    assert np.array_equal(rgb(found), edited.astype(np.float16))
    plate, matte = srgb_to_linear(frame.pixels / np.float32(255)), found["matte.Y"].astype(np.float32)[..., None]
    assert matte.max() == 1
    assert np.abs(plate * (1 - matte) + rgb(found, "patch.") * matte - edited).max() < 2e-3


def test_the_st_map_moves_the_plate_as_the_edit_does(written, shot) -> None:
    plate = PlateReader(shot.plate_path, shot.plate).frame(6).pixels
    found, (height, width) = written[6], plate.shape[:2]
    moved = cv2.remap(plate, found["st.R"] * width - 0.5, (1 - found["st.G"]) * height - 0.5, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    edited = rgb(found)
    changed = np.abs(edited - srgb_to_linear(plate / np.float32(255))).max(2) > 0.02
    assert changed.sum() > 200
    near = np.abs(srgb_to_linear(moved / np.float32(255)) - edited)[changed]
    far = np.abs(srgb_to_linear(plate / np.float32(255)) - edited)[changed]
    assert near.mean() < 0.25 * far.mean()


def test_a_name_without_a_number_is_refused(shot, tmp_path) -> None:
    with pytest.raises(MienError, match="one picture a frame"):
        JOBS["layers"]({"folder": str(shot.folder), "output": str(tmp_path / "x.exr")}, Silent())
