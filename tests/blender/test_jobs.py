# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that run engine jobs, against a real engine process with quick stand-in jobs, and once against the real ones."""

from __future__ import annotations

import functools
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mien.mesh.emotion import EmotionCurves
from mien.neural.client import Engine

FAKE = Path(__file__).with_name("fake_jobs.py")


@pytest.fixture
def fake_engine(blender, monkeypatch):
    from mien.operators import engine
    monkeypatch.setattr(engine, "Engine", functools.partial(Engine, arguments=("--jobs", str(FAKE))))
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    return engine


def footage(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not read by these jobs")
    return path


def asked(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "asked.jsonl").read_text().splitlines()]


# -- plate --------------------------------------------------------------------------------------------------------------------

def test_a_plate_needs_a_saved_file(blender, tmp_path) -> None:
    with pytest.raises(RuntimeError, match=r"Save the \.blend file first"):
        blender.ops.mien.choose_plate(filepath=str(footage(tmp_path, "a.mp4")))


@pytest.mark.parametrize("name, plate, folder", [
    ("clip one.mp4", "clip one.mp4", "clip one.mien"),
    ("seq/shot_010.0087.exr", "seq/shot_010.####.exr", "shot_010.mien"),
    ("seq/0001.png", "seq/####.png", "seq.mien"),
    ("portrait.jpg", "portrait.jpg", "portrait.mien"),
    ("é/Über.MOV", "é/Über.MOV", "Über.mien"),
])
def test_choosing_a_plate(blender, saved, name, plate, folder) -> None:
    path = footage(saved.parent, name)
    assert blender.ops.mien.choose_plate(filepath=str(path)) == {"FINISHED"}
    settings = blender.context.scene.mien
    assert settings.plate == "//" + plate
    assert settings.shot_folder == "//" + folder
    assert not (saved.parent / folder).exists()  # nothing is made before there is something to keep


@pytest.mark.parametrize("name, words", [("notes.txt", "no movie or picture"), ("gone.mp4", "is missing")])
def test_what_is_no_plate(blender, saved, name, words) -> None:
    path = saved.parent / name
    if "gone" not in name:
        footage(saved.parent, name)
    with pytest.raises(RuntimeError, match=words):
        blender.ops.mien.choose_plate(filepath=str(path))
    assert blender.context.scene.mien.plate == ""


def test_two_plates_of_one_name_do_not_share_a_folder(blender, saved, make_shot) -> None:
    shot = make_shot(folder=saved.parent)
    from mien.operators.plate import folder_for
    assert folder_for(shot.plate_path, saved.parent) == shot.folder
    assert folder_for(saved.parent / "other" / "talk.####.png", saved.parent) == saved.parent / "talk-2.mien"


def test_opening_a_shot_that_is_there(blender, saved, make_shot, tmp_path) -> None:
    shot = make_shot(folder=saved.parent)
    assert blender.ops.mien.open_shot(directory=str(shot.folder)) == {"FINISHED"}
    assert blender.context.scene.mien.shot_folder == "//talk.mien"
    assert blender.context.scene.mien.plate == "//footage/talk.####.png"
    with pytest.raises(RuntimeError, match=r"shot\.json"):
        blender.ops.mien.open_shot(directory=str(tmp_path))


# -- the engine -----------------------------------------------------------------------------------------------------------------

def test_without_an_engine_the_button_says_what_to_do(blender, saved, monkeypatch) -> None:
    from mien.operators import engine
    blender.context.scene.mien.plate = "//a.mp4"
    monkeypatch.setenv("MIEN_PYTHON", "/nowhere/python")
    with pytest.raises(RuntimeError, match="/nowhere/python does not exist"):
        blender.ops.mien.track()
    monkeypatch.delenv("MIEN_PYTHON")
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="set it up, or choose its Python, in Edit > Preferences"):
        blender.ops.mien.track()


def test_track_and_solve(fake_engine, blender, saved) -> None:
    with pytest.raises(RuntimeError, match="Choose a plate first"):
        blender.ops.mien.track()
    path = footage(saved.parent, "clip é.mp4")
    blender.ops.mien.choose_plate(filepath=str(path))
    settings = blender.context.scene.mien
    settings.face_number, settings.focal_mm = 1, 50.0
    assert blender.ops.mien.track() == {"FINISHED"}
    folder = saved.parent / "clip é.mien"
    assert asked(folder) == [{"job": "track", "plate": str(path), "folder": str(folder), "face": 1, "all_faces": True},
                             {"job": "solve", "folder": str(folder), "model": "default", "focal_mm": 50.0},
                             {"job": "learn", "folder": str(folder)}]
    assert fake_engine.STATE.warnings == ["A second face enters at frame 9; face 0 is followed."]
    assert not fake_engine.STATE.running
    from mien.operators.track import solve_sentence
    text = solve_sentence({"frames": 9, "solved": 7, "reprojection": 0.0123, "lost": [[3, 4]]})
    assert text == ("Solved 7 of 9 frames, median error 1.23% of the eye distance; no face on frames 3-4, which stay as filmed; "
                    "press Import Face next.")


def test_further_faces_are_listed_although_the_last_step_was_stopped(fake_engine, blender, saved) -> None:
    blender.ops.mien.choose_plate(filepath=str(footage(saved.parent, "couple.mp4")))
    with pytest.raises(RuntimeError, match="Nothing can be learnt"):
        blender.ops.mien.track()
    listed = blender.context.scene.mien.shots
    assert [Path(blender.path.abspath(item.shot_folder)).relative_to(saved.parent).as_posix() for item in listed] == \
        ["couple.mien", "couple.mien/faces/1.mien"]
    assert [item.face_number for item in listed] == [0, 1]


def test_an_error_is_one_sentence_and_the_next_job_runs(fake_engine, blender, saved) -> None:
    blender.ops.mien.choose_plate(filepath=str(footage(saved.parent, "noface.mp4")))
    with pytest.raises(RuntimeError, match=r"noface\.mp4 shows no face\.") as caught:
        blender.ops.mien.track()
    assert str(caught.value).count("\n") <= 1
    assert fake_engine.STATE.error.endswith("shows no face.")
    assert Path(fake_engine.STATE.log).is_file()
    blender.ops.mien.dismiss_error()
    assert fake_engine.STATE.error == ""
    blender.ops.mien.choose_plate(filepath=str(footage(saved.parent, "good.mp4")))
    assert blender.ops.mien.track() == {"FINISHED"}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL as POSIX has it")
def test_a_killed_engine_is_one_clear_error_and_the_next_job_starts_another(fake_engine, blender, saved) -> None:
    blender.ops.mien.choose_plate(filepath=str(footage(saved.parent, "crash.mp4")))
    with pytest.raises(RuntimeError, match=r"was killed \(SIGKILL"):
        blender.ops.mien.track()
    assert not fake_engine.STATE.running
    blender.ops.mien.choose_plate(filepath=str(footage(saved.parent, "good.mp4")))
    assert blender.ops.mien.track() == {"FINISHED"}


class Window:
    """What a modal JobOperator touches of Blender's window manager, which background mode lacks."""

    def __init__(self):
        self.timers: list[object] = []
        self.handlers: list[object] = []
        self.window_manager = SimpleNamespace(event_timer_add=self.add, event_timer_remove=self.timers.remove,
                                              modal_handler_add=self.handlers.append, windows=())
        self.window, self.screen = None, SimpleNamespace(is_animation_playing=False)

    def add(self, step, window):
        self.timers.append(step)
        return step


def modal_operator(engine, plate: Path, context: Window, monkeypatch):
    """A JobOperator started as from a window."""
    class Operator(engine.JobOperator):
        title = "Track and Solve"
        reports: list = []

        def report(self, kind, text):
            self.reports.append((*kind, text))

        def steps(self, context):
            return [("track", {"plate": str(plate), "folder": str(plate.parent / "x.mien")})]

        def finished(self, context, results):
            return f"{results[0]['frames']} frames."

    client = Engine(Path(sys.executable), plate.parent / "logs", arguments=("--jobs", str(FAKE)))
    monkeypatch.setattr(engine, "session_engine", lambda context: client)
    monkeypatch.setattr(engine.bpy, "app", SimpleNamespace(background=False))
    operator = Operator()
    assert operator.invoke(context, None) == {"RUNNING_MODAL"}
    return operator


def ticks(operator, context, until=lambda result: result != {"PASS_THROUGH"}):
    """Send timer events until the operator ends; each must return at once."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        result = operator.modal(context, SimpleNamespace(type="TIMER", value="NOTHING"))
        if until(result):
            return result
        time.sleep(0.005)
    raise TimeoutError


def test_the_modal_operator(fake_engine, tmp_path, monkeypatch) -> None:
    context = Window()
    operator = modal_operator(fake_engine, footage(tmp_path, "good.mp4"), context, monkeypatch)
    assert fake_engine.STATE.running
    assert operator.modal(context, SimpleNamespace(type="MOUSEMOVE", value="NOTHING")) == {"PASS_THROUGH"}
    assert ticks(operator, context) == {"FINISHED"}
    assert operator.reports[-1] == ("INFO", "2 frames.")
    assert context.timers == []
    operator._run.engine.close()


@pytest.mark.parametrize("way", ["escape", "button", "blender"])
def test_cancelling(fake_engine, tmp_path, monkeypatch, way) -> None:
    context = Window()
    operator = modal_operator(fake_engine, footage(tmp_path, "slow.mp4"), context, monkeypatch)
    ticks(operator, context, lambda result: fake_engine.STATE.total > 0)
    assert "Track" in fake_engine.STATE.text
    if way == "blender":
        operator.cancel(context)
    else:
        if way == "escape":
            operator.modal(context, SimpleNamespace(type="ESC", value="PRESS"))
        else:
            fake_engine._run.cancel()
        assert fake_engine.STATE.text == "Cancelling"
        assert ticks(operator, context) == {"CANCELLED"}
        assert operator.reports[-1][0] == "WARNING"
    assert not fake_engine.STATE.running
    assert fake_engine.STATE.error == ""
    assert context.timers == []
    operator._run.engine.close()


# -- bake -------------------------------------------------------------------------------------------------------------------------

def test_bake_writes_the_curves_and_knows_when_it_is_out_of_date(fake_engine, blender, saved, make_shot) -> None:
    from mien.operators import bake, bake_state, shots
    shot = make_shot(folder=saved.parent)
    with pytest.raises(RuntimeError, match="press Import Face"):
        blender.ops.mien.bake()
    blender.ops.mien.open_shot(directory=str(shot.folder))
    blender.ops.mien.import_face()
    face = blender.context.scene.mien.face
    face.mien.happy = 0.0
    face.keyframe_insert("mien.happy", frame=1001)
    face.mien.happy = 1.0
    face.keyframe_insert("mien.happy", frame=1012)
    face.mien.glasses = "off"
    assert blender.ops.mien.bake() == {"FINISHED"}
    (call,) = asked(shot.folder)
    assert call == {"job": "bake", **bake.bake_params(face)}
    assert (call["folder"], call["settings"]["editor"], call["settings"]["glasses"]) == (str(shot.folder), "analytic", "off")
    curves = EmotionCurves.load(shot.emotion_path)
    assert np.all(np.diff(curves.emotions[:, 4]) > 0)
    assert bake_state.bake_state(face, shots.shot_info(shot.folder)).text == "12 of 12 frames baked"
    face.mien.sad = 0.1
    state = bake_state.bake_state(face, shots.shot_info(shot.folder))
    assert state.text == "0 of 12 frames baked; 12 out of date (1001-1012): an emotion changed since"


# -- the real jobs ------------------------------------------------------------------------------------------------------------------

def test_the_real_engine(blender, saved, monkeypatch) -> None:
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    text = footage(saved.parent, "text.mp4")
    blender.ops.mien.choose_plate(filepath=str(text))
    with pytest.raises(RuntimeError, match=r"text\.mp4"):
        blender.ops.mien.track()
    assert sorted(p.name for p in saved.parent.iterdir()) == ["scene.blend", "text.mp4"]
