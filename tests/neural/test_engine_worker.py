# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker without a process: estimates, throttling, jobs' parameters. With one: see test_engine_process."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.emotion import EmotionCurves
from mien.mesh.errors import MienError
from mien.neural import jobs
from mien.neural.engine_process import exit_in_words
from mien.neural.failures import told
from mien.neural.progress import Cancelled, Silent
from mien.neural.protocol import Progress, Warn
from mien.neural.worker import PipeReporter, Rate


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sent():
    return []


def test_rate_of_a_steady_stage_is_exact():
    rate = Rate(0.0, 0)
    assert rate.seconds_left(100) is None
    for i in range(1, 41):
        rate.update(i * 0.25, i)
    assert rate.seconds_left(100) == pytest.approx(15.0, abs=0.1)


def test_rate_forgets_a_slow_start():
    rate = Rate(0.0, 0)
    rate.update(20.0, 1)  # a network warming up
    for i in range(2, 302):
        rate.update(20.0 + (i - 1) * 0.1, i)
    assert rate.seconds_left(401) == pytest.approx(10.0, rel=0.1)


def test_the_first_unit_is_not_taken_for_the_rest():
    rate = Rate(0.0, 0)
    rate.update(8.0, 1)  # a compiler at work
    assert rate.seconds_left(101) == pytest.approx(800)
    rate.update(8.1, 2)
    assert rate.seconds_left(101) == pytest.approx(9.9)
    rate.update(8.3, 3)
    rate.update(8.4, 4)
    assert rate.seconds_left(101) == pytest.approx(97 * 0.4 / 3, rel=0.02), "every unit but the first counts"


def test_first_and_last_of_a_stage_are_always_sent_and_the_rest_ten_times_a_second(clock, sent):
    report = PipeReporter(sent.append, threading.Event(), clock)
    for stage in ("track", "solve"):
        for done in range(1001):
            clock.now += 0.001
            report.step(stage, done, 1000)
    for stage in ("track", "solve"):
        of_stage = [m for m in sent if m.stage == stage]
        assert (of_stage[0].done, of_stage[0].seconds_left) == (0, None)
        assert (of_stage[-1].done, of_stage[-1].seconds_left) == (1000, 0.0)
        assert 10 <= len(of_stage) <= 12


def test_the_same_stage_again_starts_anew(clock, sent):
    report = PipeReporter(sent.append, threading.Event(), clock)
    for _ in range(2):
        for done in range(3):
            report.step("track", done, 2)
    assert [m.done for m in sent] == [0, 2, 0, 2]


def test_a_finished_step_is_sent_once(clock, sent):
    report = PipeReporter(sent.append, threading.Event(), clock)
    report.step("x", 1, 1)
    report.step("x", 1, 1)
    assert sent == [Progress("x", 1, 1, None)]


def test_cancel_raises_at_the_next_step(clock, sent):
    cancelled = threading.Event()
    report = PipeReporter(sent.append, cancelled, clock)
    report.step("x", 0, 9)
    cancelled.set()
    report.warn("still heard")
    with pytest.raises(Cancelled):
        report.step("x", 1, 9)
    assert Warn("still heard") in sent


@pytest.mark.parametrize(("job", "params", "word"), [
    ("track", {"plate": "a.mp4"}, "needs the parameter 'folder'"),
    ("track", {"plate": "a.mp4", "folder": "b", "speed": 3}, "'speed'"),
    ("track", {"plate": 3, "folder": "b"}, "'plate'"),
    ("track", {"plate": "a.mp4", "folder": "b", "face": -1}, "'face'"),
    ("track", {"plate": "a.mp4", "folder": "b", "fps": "0"}, "'fps'"),
    ("track", {"plate": "a.mp4", "folder": "b", "fps": [25, 0]}, "'fps'"),
    ("track", {"plate": "a.mp4", "folder": "b", "first_frame": True}, "'first_frame'"),
    ("solve", {"folder": "b", "focal_mm": float("inf")}, "'focal_mm'"),
    ("bake", {"folder": "b", "settings": "on"}, "'settings'"),
    ("edit", {"folder": "b", "output": "c.mp4", "controls": {"happy": 1.5}}, "'controls'"),
    ("edit", {"folder": "b", "output": "c.mp4", "codec": "prores"}, "prores"),
    ("edit", {"folder": "b", "output": "c.gif"}, "c.gif"),
    ("edit", {"folder": "b", "output": "c"}, ".mp4"),
    ("selftest", {"x": 1}, "takes none"),
])
def test_a_wrong_parameter_is_named(job, params, word):
    with pytest.raises(MienError) as caught:
        jobs.JOBS[job](params, Silent())
    assert word in str(caught.value)
    assert f"'{job}'" in str(caught.value) or "output" in params


@pytest.mark.parametrize(("given", "rate"), [
    (25, Fraction(25)), ("25", Fraction(25)), ("23.976", Fraction(2997, 125)), ("24000/1001", Fraction(24000, 1001)),
    ([30000, 1001], Fraction(30000, 1001))])
def test_frame_rates(given, rate):
    assert jobs.frame_rate(given) == rate


@pytest.mark.parametrize(("name", "codec", "wanted"), [
    ("a.mp4", None, "h264"), ("a.MOV", None, "prores"), ("a.mov", "ffv1", "ffv1"), ("a.####.png", None, "png"), ("a.####.exr", "exr", "exr")])
def test_the_codec_of_an_output(name, codec, wanted):
    assert jobs.check_delivery(Path(name), codec) == wanted


def test_the_writer_agrees_on_containers_and_codecs():
    from mien.neural.media import writer
    assert {suffix: codecs for suffix, codecs in jobs.DELIVERIES.items() if suffix not in jobs.PICTURES} == {
        suffix: writer.CODECS[muxer] for suffix, muxer in writer.MUXERS.items()}


def test_pictures_of_many_frames_need_many_names():
    jobs.check_pattern(Path("o.png"), 1)
    jobs.check_pattern(Path("o.####.exr"), 9)
    with pytest.raises(MienError, match="o.####.exr"):
        jobs.check_pattern(Path("o.exr"), 9)


def test_an_output_that_cannot_be_written_is_found_first(tmp_path):
    jobs.check_place(tmp_path / "new" / "deeper" / "out.mp4")
    with pytest.raises(MienError, match="is a folder"):
        jobs.check_place(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(MienError, match="is no folder"):
        jobs.check_place(tmp_path / "file" / "out.mp4")


def test_results_become_plain():
    found = jobs.plain({"a": np.float32(1.5), "b": np.array([1, 2]), "c": Path("x"), "d": float("nan"), "e": (np.bool_(True), None)})
    assert found == {"a": 1.5, "b": [1, 2], "c": "x", "d": None, "e": [True, None]}


def test_frame_ranges():
    assert jobs.frame_ranges([]) == []
    assert jobs.frame_ranges([3, 4, 5, 9, 11, 12]) == [[3, 5], [9, 9], [11, 12]]


def test_told_never_shows_a_traceback():
    assert told(MienError("Say this."), "x") == ("Say this.", "user")
    text, kind = told(ValueError("first\nsecond"), "bake")
    assert kind == "defect"
    assert "first" in text
    assert "second" not in text
    assert told(MemoryError(), "bake")[1] == "user"
    text, kind = told(ModuleNotFoundError("no", name="cv9.sub"), "bake")
    assert kind == "user"
    assert "'cv9.sub'" in text
    assert told(ModuleNotFoundError("no", name="mien.nothing"), "bake")[1] == "defect"


def test_exit_codes_in_words():
    assert "killed (SIGKILL" in exit_in_words(-9)
    assert "segmentation fault" in exit_in_words(-11)
    assert exit_in_words(3) == "ended with exit code 3"
    assert "access violation" in exit_in_words(0xC0000005)


@pytest.fixture
def shot(tmp_path):
    from mien.mesh.shot import Plate, Shot
    shot = Shot(tmp_path / "a.mien", Plate("../a.mp4", "movie", 64, 48, (25, 1), 11, 5))
    shot.save()
    shot.solve_path.touch()
    return shot


def test_a_shot_that_is_not_solved_says_so(shot, tmp_path):
    shot.solve_path.unlink()
    for job, params in (("bake", {}), ("edit", {"output": str(tmp_path / "o.mp4"), "controls": {"happy": 1}})):
        with pytest.raises(MienError, match="not solved yet"):
            jobs.JOBS[job]({"folder": str(shot.folder), **params}, Silent())


def test_curves_of_an_edit(shot, tmp_path):
    table = tmp_path / "curves.csv"
    table.write_text("frame,happy\n11,0\n15,1\n", encoding="utf-8")
    curves = jobs._curves(shot.folder, table, {"mouth": 1.0})
    np.testing.assert_allclose(curves.emotions[:, 4], [0, 0.25, 0.5, 0.75, 1])
    assert (curves.mouth == 1).all()
    assert (jobs._curves(shot.folder, None, {"sad": 0.5}).emotions[:, 5] == 0.5).all()
    EmotionCurves.constant(5, angry=1).save(shot.emotion_path)
    assert (jobs._curves(shot.folder, None, None).emotions[:, 0] == 1).all()
    EmotionCurves.constant(4).save(shot.emotion_path)
    with pytest.raises(MienError, match="4 frames"):
        jobs._curves(shot.folder, None, None)
    with pytest.raises(MienError, match="hapy"):
        jobs._curves(shot.folder, table, {"hapy": 1.0})
