# SPDX-License-Identifier: GPL-3.0-or-later
import json
from dataclasses import replace

import numpy as np
import pytest

from mien.mesh.camera import Camera
from mien.mesh.errors import MienError
from mien.mesh.shot import Plate, Shot, Solve, Track, takes

PLATE = Plate("../clip.mp4", "movie", 64, 48, (30000, 1001), 1001, 5, fingerprint="abc")


@pytest.fixture
def shot(tmp_path):
    shot = Shot(tmp_path / "take 1 é.mien", PLATE, camera=Camera.centred(64, 48, 70), model_hash="m")
    shot.save()
    return shot


def _track(fingerprint="abc"):
    landmarks = np.zeros((5, 478, 3), np.float32)
    landmarks[2] = np.nan
    return Track("mediapipe478", landmarks, np.ones(5), np.array([4]), np.ones(5), np.arange(5) / 25, fingerprint)


def _solve(frames=5, model_hash="m", width=64):
    return Solve(np.zeros(3), np.zeros((frames, 4)), np.zeros((frames, 3)), np.ones((frames, 3)), np.zeros(frames), np.array([], int),
                 Camera.centred(width, 48, 70), model_hash)


def test_shot_round_trip(shot):
    again = Shot.load(shot.folder)
    assert again.plate == PLATE and again.camera == shot.camera
    assert again.plate_path == shot.folder.parent / "clip.mp4"
    assert again.face_path(0).name == "face.1001.exr"


def test_takes_break_at_gaps_and_cuts():
    present = np.array([1, 1, 0, 1, 1, 1, 0], bool)
    assert takes(present, np.array([4])) == [(0, 2), (3, 4), (4, 6)]
    assert _track().segments == [(0, 2), (3, 4), (4, 5)]


def test_track_of_other_footage_is_refused(shot):
    _track("other").save(shot.track_path)
    with pytest.raises(MienError, match="other footage"):
        Track.load(shot)


def test_track_round_trip(shot):
    _track().save(shot.track_path)
    assert np.array_equal(Track.load(shot).found, [True, True, False, True, True])


@pytest.mark.parametrize("solve, word", [(_solve(frames=4), "expected"), (_solve(model_hash="x"), "face model"), (_solve(width=32), "plate")])
def test_files_that_do_not_fit_are_refused(shot, solve, word):
    solve.save(shot.solve_path)
    with pytest.raises(MienError, match=word):
        Solve.load(shot)


def test_damaged_files_are_named(shot):
    shot.solve_path.write_bytes(b"not an npz")
    with pytest.raises(MienError, match="solve.npz is damaged"):
        Solve.load(shot)
    (shot.folder / "shot.json").write_text("{")
    with pytest.raises(MienError, match=r"shot\.json"):
        Shot.load(shot.folder)


def test_another_schema_is_refused(shot):
    data = json.loads((shot.folder / "shot.json").read_text())
    (shot.folder / "shot.json").write_text(json.dumps({**data, "schema": 99}))
    with pytest.raises(MienError, match="schema 99"):
        Shot.load(shot.folder)


def test_a_failed_write_leaves_the_old_file(shot, monkeypatch):
    before = (shot.folder / "shot.json").read_bytes()
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(MienError, match="No space left"):
        replace(shot, face=3).save()
    assert (shot.folder / "shot.json").read_bytes() == before
    assert sorted(p.name for p in shot.folder.iterdir()) == ["shot.json"]
