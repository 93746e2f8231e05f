# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo` on a short plate: the whole shot through Blender in a process of its own, and how it fails."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from mien.mesh.emotion import EmotionCurves
from mien.mesh.shot import Shot
from mien.neural.demo.keys import demo_curves
from mien.neural.demo.plate import make_plate
from mien.neural.media import PlateReader, probe_plate

pytestmark = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bpy is not installed")


def demo(repository: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(repository / "build" / "demo.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.long
def test_the_demo_leaves_movie_blend_and_sheet(repository, tmp_path):
    make_plate(tmp_path / "été 1.mp4", frames=24)
    run = demo(repository, "--plate", str(tmp_path / "été 1.mp4"), "--output", str(tmp_path / "out put"))
    assert run.returncode == 0, run.stderr
    out = tmp_path / "out put"
    assert (out / "demo.blend").stat().st_size > 10_000
    assert cv2.imread(str(out / "contact_sheet.png")).shape[1] > 1900
    movie = probe_plate(out / "demo.mp4")
    assert (movie.frame_count, movie.width, movie.height, movie.fps, movie.audio) == (24, 720, 720, (25, 1), True)
    shot = Shot.load(out / "été 1.mien")
    baked, keyed = EmotionCurves.load(shot.emotion_path), demo_curves(1, 24)
    assert abs(baked.emotions - keyed.emotions).max() < 0.15  # Blender eases from key to key
    plate = PlateReader(shot.plate_path, shot.plate).frame(0).pixels
    edit = PlateReader(movie.path, movie).frame(0).pixels
    assert abs(plate.astype(int) - edit).mean() < 3


def test_a_plate_that_is_no_movie_fails_in_one_sentence(repository, tmp_path):
    (tmp_path / "text.mp4").write_text("not a movie")
    run = demo(repository, "--plate", str(tmp_path / "text.mp4"), "--output", str(tmp_path / "out"))
    assert run.returncode == 1
    assert "text.mp4" in run.stderr.splitlines()[0]
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out" / "demo.mp4").exists()
