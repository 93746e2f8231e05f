# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of MEAD, RAVDESS and tables, on trees of empty files; and takes that are solved shots already."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.camera import Camera
from mien.mesh.emotion import EMOTIONS
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.shot import Plate, Shot, Solve
from mien.neural import stages
from mien.neural.progress import Cancelled, Silent
from mien.neural.shape_gan.prepare import EDGE, shot_folder, solve_takes
from mien.neural.shape_gan.takes import Take, mead_takes, ravdess_takes, read_takes


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def mead(tmp_path):
    touch(tmp_path, *(f"M003/video/front/{e}/level_{n}/001.mp4" for e in EMOTIONS for n in (1, 2, 3)), "M003/video/front/neutral/level_1/001.mp4",
          "W009/video/front/happy/level_2/012.mp4", "W009/video/left_30/happy/level_2/012.mp4", "W009/audio/happy/level_2/012.m4a",
          "W009/video/front/joy/level_2/012.mp4", "W009/video/front/sad/level_4/012.mp4", "notes/video/front/sad/level_1/001.mp4")
    return tmp_path


def test_mead(mead):
    takes = read_takes(mead)
    assert len(takes) == 7 * 3 + 2 and {t.actor for t in takes} == {"M003", "W009"}
    assert Take(mead / "W009/video/front/happy/level_2/012.mp4", "W009", "happy", 2) in takes
    assert read_takes(mead / "M003") == [t for t in takes if t.actor == "M003"] == mead_takes(mead, actors=["M003"])
    assert [t.actor for t in mead_takes(mead, view="left_30")] == ["W009"]


def test_labels(mead):
    by = {(t.emotion, t.level): t.label for t in read_takes(mead) if t.actor == "M003"}
    assert not by["neutral", 1].any()
    for i, emotion in enumerate(EMOTIONS):
        for level in (1, 2, 3):
            label = by[emotion, level]
            assert label[i] == np.float32(level / 3) and np.count_nonzero(label) == 1


def test_ravdess(tmp_path):
    touch(tmp_path, "Actor_01/01-01-03-02-01-01-01.mp4", "Actor_01/02-01-03-02-01-01-01.mp4", "Actor_01/02-01-05-01-01-01-01.mp4",
          "Actor_01/01-01-02-01-01-01-01.mp4", "Actor_01/01-02-03-01-01-01-01.mp4", "Actor_01/03-01-03-01-01-01-01.wav",
          "Actor_02/01-01-01-01-02-01-02.mp4", "Actor_02/01-01-06-02-02-01-02.mp4", "Actor_02/readme.mp4", "Actor_02/1-1-1-1-1-1-1.mp4")
    found = {(t.actor, t.emotion, t.level, t.clip.name[:2]) for t in read_takes(tmp_path)}
    assert found == {("Actor_01", "happy", 3, "01"), ("Actor_01", "angry", 2, "02"), ("Actor_02", "neutral", 2, "01"), ("Actor_02", "fear", 3, "01")}
    assert len(ravdess_takes(tmp_path / "Actor_02")) == 2 == len(ravdess_takes(tmp_path, actors=["Actor_02"]))


def test_table(tmp_path):
    table = tmp_path / "takes é.csv"
    table.write_text("\ufeffclip,actor,emotion,level\nday 1/a.mov,Ann,happy,3\nb.####.exr,Ann,neutral,\n", encoding="utf-8")
    assert read_takes(table) == [Take(tmp_path / "day 1/a.mov", "Ann", "happy", 3), Take(tmp_path / "b.####.exr", "Ann", "neutral", 1)]


@pytest.mark.parametrize("row, words", [("a.mov,Ann,joy,1", "line 2: there is no emotion 'joy'"), ("a.mov,Ann,happy,4", "line 2: the level is '4'"),
                                        ("a.mov,,happy,1", "'actor' is missing"), ("a.mov,Ann,happy,", "'level' is missing"), ("", "no takes")])
def test_wrong_tables_are_told_by_line(tmp_path, row, words):
    (tmp_path / "t.csv").write_text(f"clip,actor,emotion,level\n{row}\n")
    with pytest.raises(MienError, match=words):
        read_takes(tmp_path / "t.csv")


def test_unknown_layouts_are_told(tmp_path):
    with pytest.raises(MienError, match="MEAD"):
        read_takes(tmp_path)
    with pytest.raises(MienError, match="does not exist"):
        read_takes(tmp_path / "none")


def made_up_shot(folder, model, frames=12):
    """A solved shot without footage."""
    pose = np.zeros((frames, 3), np.float32)
    beta = np.random.default_rng(0).normal(0.1, 0.1, (frames, model.expression_count)).astype(np.float32)
    shot = Shot(folder, Plate("none.mov", "movie", 64, 36, (25, 1), 1, frames), model_hash=model.hash, camera=Camera.centred(64, 36, 70))
    Solve(np.ones(model.identity_count, np.float32), beta, pose, pose + (0, 0, 1), np.zeros(frames), np.array([], int), shot.camera,
          model.hash).save(shot.solve_path)
    shot.save()
    return shot, beta


def test_solved_takes_become_coefficients(tmp_path):
    """A take may be a shot folder; one that cannot be solved is left out with a warning."""
    model = load_model()
    _, beta = made_up_shot(tmp_path / "shot.mien", model)
    table = tmp_path / "takes.csv"
    table.write_text("clip,actor,emotion,level\nshot.mien,Ann,happy,2\ngone.mov,Ann,neutral,1\n")
    takes, report = read_takes(table), Silent()
    assert shot_folder(takes[0], tmp_path / "cache") == tmp_path / "shot.mien"
    data = solve_takes(takes, model, "default", tmp_path / "cache", report)
    assert len(report.warnings) == 1 and "gone.mov" in report.warnings[0]
    assert np.array_equal(data.beta, beta[EDGE:-EDGE]) and (data.alpha == 1).all()
    assert (data.emotion == takes[0].label).all()
    with pytest.raises(MienError, match="None of the takes"):
        solve_takes(takes[1:], model, "default", tmp_path / "cache", report)


def test_plates_are_solved_once(tmp_path, monkeypatch):
    model, calls = load_model(), []
    monkeypatch.setattr(stages, "track", lambda plate, folder, report: calls.append(plate) or report.step("track", 1, 2))
    monkeypatch.setattr(stages, "solve", lambda folder, model, report: made_up_shot(folder, load_model(model)))
    touch(tmp_path, "a.mov")
    take = Take(tmp_path / "a.mov", "Ann", "sad", 3)
    first = solve_takes([take], model, "default", tmp_path / "cache", Silent())
    again = solve_takes([take], model, "default", tmp_path / "cache", Silent())
    assert calls == [take.clip] and np.array_equal(first.c, again.c)


def test_takes_are_solved_side_by_side(tmp_path):
    """In engine processes of their own; what cannot be read is left out with its reason; what is there is not made again."""
    model = load_model()
    _, beta = made_up_shot(tmp_path / "shot.mien", model)
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("no movie")
    takes = [Take(tmp_path / "shot.mien", "Ann", "happy", 3), Take(tmp_path / "a.mp4", "Ann", "sad", 1), Take(tmp_path / "b.mp4", "Ann", "sad", 2)]
    report = Silent()
    data = solve_takes(takes, model, "default", tmp_path / "cache", report, jobs=2)
    assert np.array_equal(data.beta, beta[EDGE:-EDGE])
    assert sorted(w.split(" is left out")[0] for w in report.warnings) == [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    for take in takes[1:]:
        made_up_shot(shot_folder(take, tmp_path / "cache"), model)
    assert len(solve_takes(takes, model, "default", tmp_path / "cache", report, jobs=2)) == 3 * len(data) and len(report.warnings) == 2


def test_a_cancel_ends_the_processes(tmp_path):
    class Impatient(Silent):
        steps = 0

        def step(self, stage: str, done: int, total: int) -> None:
            self.steps += 1
            if self.steps > 2:
                raise Cancelled

    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("no movie")
    takes = [Take(tmp_path / name, "Ann", "sad", 1) for name in ("a.mp4", "b.mp4")]
    with pytest.raises(Cancelled):
        solve_takes(takes, load_model(), "default", tmp_path / "cache", Impatient(), jobs=2)
    assert not running_engines()


def running_engines() -> list[str]:
    """Command lines of this process' engines that still run."""
    try:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    except OSError:
        pytest.skip("no list of child processes here")
    return [line for c in children if "bootstrap" in (line := Path(f"/proc/{c}/cmdline").read_text())]
