# SPDX-License-Identifier: GPL-3.0-or-later
"""Solving with pins: the mesh goes where the artist says, the frames around follow, everything else stays."""

import numpy as np
import pytest

from mien.mesh.camera import place
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.pins import REACH, Pin, Pins
from mien.mesh.shot import Shot, Solve, Track
from mien.neural import cli
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.jobs import JOBS
from mien.neural.progress import Silent
from mien.neural.solving import Footage, solve_again, solve_shots
from mien.neural.solving.local import BLEND, blend_weights, widened_runs
from mien.neural.solving.truth import make_take
from mien.tests.neural.portraits import FRAMES

CORNER, ASTRAY = 61, (50, 66)
"""The mouth's right corner, and the frames on which the tracker errs."""


@pytest.fixture(scope="module")
def model():
    return load_model("default")


@pytest.fixture(scope="module")
def take(model):
    """A take on which the tracker sees the corner of the mouth and what is around it 0.1 eye distances too low for a while."""
    track, plate, truth = make_take(model, 3, frames=110, noise=0.3)
    eye = float(np.median(np.linalg.norm(track.landmarks[:, 33, :2] - track.landmarks[:, 263, :2], axis=1)))
    near = np.linalg.norm(model.mean[model.landmark_vertices] - model.mean[model.vertices_of_landmarks([CORNER])[0]], axis=1)
    pull = np.exp(-((near / 0.012) ** 2) / 2)
    right = track.landmarks[:, CORNER, :2].copy()
    for i in range(*ASTRAY):
        way = np.sin(np.pi * (i - ASTRAY[0] + 1) / (ASTRAY[1] - ASTRAY[0] + 1))
        track.landmarks[i, model.landmark_ids, 1] += 0.1 * eye * way * pull
    first = solve_shots(model, [Footage(track, plate, truth.camera.focal)], Silent())[0]
    return track, plate, right, eye, first


def corner(model, solve, index):
    """(2,) pixels: the corner of the solved mouth."""
    vertex = model.vertices_of_landmarks([CORNER])
    shape = model.shape(solve.alpha, solve.beta[index])[vertex].astype(np.float64)
    return solve.camera.project(place(shape, solve.rotation[index].astype(np.float64), solve.translation[index].astype(np.float64)))[0]


def pinned(track, right, *frames):
    return np.array([(i, CORNER, *right[i], 1.0) for i in frames], np.float64)


def test_the_mesh_goes_where_the_pin_is_and_nothing_jumps(model, take):
    track, plate, right, eye, first = take
    rows, frames = pinned(track, right, 58), np.zeros(110, bool)
    frames[58 - REACH : 58 + REACH + 1] = True
    again = solve_again(model, Footage(track, plate, pins=rows), first, frames, Silent())
    was, now = (np.linalg.norm(corner(model, s, 58) - right[58]) / eye for s in (first, again))
    assert was > 0.05 and now < 0.01
    for i in (54, 62):
        was, now = (np.linalg.norm(corner(model, s, i) - right[i]) / eye for s in (first, again))
        assert now < 0.5 * was, "the frames around follow"
    same = np.r_[0 : 58 - REACH - BLEND, 58 + REACH + BLEND + 1 : 110]
    for name in ("beta", "rotation", "translation"):
        assert np.array_equal(getattr(again, name)[same], getattr(first, name)[same])
    assert np.array_equal(again.alpha, first.alpha) and again.camera == first.camera and np.array_equal(again.pins, rows)
    paths = [np.array([corner(model, s, i) for i in range(30, 90)]) for s in (first, again)]
    steps = [np.abs(np.diff(p, 2, axis=0)).max() / eye for p in paths]
    assert steps[1] < 1.3 * steps[0] + 0.004, "no jump where the old solve takes over"
    turned = np.linalg.norm(again.rotation - first.rotation, axis=1).max()
    assert turned < np.radians(1.5), "one corner of a mouth does not turn a head"


def test_a_whole_solve_takes_pins_as_well_and_a_removed_pin_is_undone(model, take):
    track, plate, right, eye, first = take
    rows = pinned(track, right, 55, 61)
    whole = solve_shots(model, [Footage(track, plate, first.camera.focal, pins=rows)], Silent(), alpha=first.alpha)[0]
    assert max(np.linalg.norm(corner(model, whole, i) - right[i]) / eye for i in (55, 58, 61)) < 0.02
    frames = np.zeros(110, bool)
    frames[55 - REACH : 61 + REACH + 1] = True
    back = solve_again(model, Footage(track, plate), whole, frames, Silent())
    assert back.pins is None
    assert np.linalg.norm(corner(model, back, 58) - corner(model, first, 58)) / eye < 0.01


def test_a_pin_of_little_weight_gives_way(model, take):
    track, plate, right, eye, first = take
    frames = np.zeros(110, bool)
    frames[46:71] = True
    rows = pinned(track, right, 58)
    weak = rows * (1, 1, 1, 1, 0.02)
    off = [np.linalg.norm(corner(model, solve_again(model, Footage(track, plate, pins=p), first, frames, Silent()), 58) - right[58]) / eye
           for p in (rows, weak)]
    assert off[1] > 2 * off[0]


def test_weights_and_runs_stay_within_takes():
    frames = np.zeros(60, bool)
    frames[[20, 21, 50]] = True
    weight = blend_weights(frames, [(0, 25), (25, 52)])
    assert weight[20] == weight[21] == weight[50] == 1 and weight[25 : 50 - BLEND].max() == 0 and weight[52:].max() == 0
    assert 0 < weight[24] < 1 and (np.diff(weight[10:21]) >= 0).all() and weight[20 - BLEND - 1] == 0
    assert widened_runs(frames, [(0, 25), (25, 52)], 5) == [(15, 25), (45, 52)]


def test_the_stage_solves_around_changed_pins_only(shot: Shot, capsys):
    with pytest.raises(MienError, match="No pin"):
        JOBS["resolve"]({"folder": str(shot.folder)}, Silent())
    track, before = Track.load(shot), Solve.load(shot)
    where = track.landmarks[4, CORNER, :2] + (0, -6)
    pins = Pins()
    pins.put(shot.frame_number(4), CORNER, Pin(*map(float, where)))
    pins.save(shot)
    assert cli.main(["solve", str(shot.folder), "--pins"]) == 0
    assert "of them again" in capsys.readouterr().out
    after, model = Solve.load(shot), load_model("default")
    assert np.linalg.norm(corner(model, after, 4) - where) < 1.0 and np.array_equal(after.pins, pins.rows(shot))
    assert cli.main(["solve", str(shot.folder), "--pins"]) == 1
    assert cli.main(["solve", str(shot.folder), "--frames", "2:4"]) == 0
    assert cli.main(["solve", str(shot.folder), "--frames", "2:4", "--focal-mm", "35"]) == 1
    assert "--focal-mm" in capsys.readouterr().err
    assert np.array_equal(before.alpha, after.alpha)
    track.landmarks[7:] = np.nan
    track.save(shot.track_path)
    with pytest.raises(MienError, match="shows a face"):
        JOBS["resolve"]({"folder": str(shot.folder), "frames": [[shot.frame_number(8), shot.frame_number(9)]]}, Silent())


def test_an_edit_follows_the_solve_beside_a_pin(shot: Shot):
    """Before, every edit is locked onto the tracked landmarks: beside a pin these are wrong, and the mesh stays where it was solved."""
    from mien.mesh.emotion import EmotionCurves
    track, curves = Track.load(shot), EmotionCurves.constant(FRAMES, happy=1.0)
    plain = ShotEditor(shot, curves, EditSettings(texture="off", mouth="off"), Silent())
    hashes = [plain.content_hash(i) for i in range(FRAMES)]
    pins = Pins()
    pins.put(shot.frame_number(2), CORNER, Pin(*map(float, track.landmarks[2, CORNER, :2] + (0, -8))))
    pins.save(shot)
    assert [plain.content_hash(i) for i in range(FRAMES)] == hashes, "a pin alone, not yet solved, changes no picture"
    JOBS["resolve"]({"folder": str(shot.folder)}, Silent())
    editor = ShotEditor(shot, curves, EditSettings(texture="off", mouth="off"), Silent())
    vertex = load_model("default").vertices_of_landmarks([CORNER])[0]
    assert np.linalg.norm(editor.shapes(2)[0][vertex] - (track.landmarks[2, CORNER, :2] + (0, -8))) < 1.0
    assert editor.content_hash(2) != hashes[2]
