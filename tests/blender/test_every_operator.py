# SPDX-License-Identifier: GPL-3.0-or-later
"""After every operator that Mien registers: undo and redo, save and reload. An operator without a place here fails the first test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest

from mien.mesh.model import DEFAULT_MODEL_PATH
from mien.mesh.pins import Pin
from mien.mesh.shot import Shot
from mien.tests.blender.file_picture import picture
from mien.tests.blender.synthetic import write_movie

NOT_HERE = {
    "cancel_job": "does nothing to a file; test_jobs stops jobs with it",
    "help": "opens a page in another program; test_help",
    "open_logs": "opens a folder in another program",
    "pin_landmarks": "is there only in a window; test_pins drags with it, and its undo reaches the file of pins",
    "result_preview": "draws in a window and keeps nothing in the file; test_result",
    "setup_engine": "makes a Python, not a change of the file; test_engine_setup",
}
"""Operators that are not on the way below, and why."""

BOOKKEEPING = {
    "add_model": "starts read_model, which has one",
    "bake": "notes on the face which controls are baked; the bake itself is in the shot folder",
    "new_bake_version": "the same", "use_bake_version": "the same",
    "deliver": "makes the scene that it renders; a render under way is no place for an undo step",
    "go_to_pins": "moves the playhead, as playing does",
    "show_scene": "shows another scene of the file",
    "train_actor": "notes the actor; the test chose its settings",
    "use_occlusion": "the test drew the mask",
}
"""Operators that have no undo step of their own although the file differs after them, and why."""

Step = tuple[str, Callable[[], set[str]]]


@pytest.fixture
def way(blender, saved, make_shot, quick_engine) -> list[Step]:
    """(operator and what it is called with, action) of every operator, in an order in which each has what it needs: two shots, one with sound."""
    bpy, ops = blender, blender.ops.mien
    beside = saved.parent
    talk = make_shot(folder=beside, model=str(DEFAULT_MODEL_PATH))
    sound = make_shot("sound", folder=beside, model=str(DEFAULT_MODEL_PATH), seed=2)
    write_movie(beside / "sound.mp4", frames=12, rate=Fraction(24), seconds=0.5)
    sound.plate = replace(sound.plate, path="../sound.mp4", kind="movie", audio=True)
    sound.save()

    def set_up_training() -> set[str]:
        training = bpy.context.scene.mien.training
        training.kind, training.actor, training.kimg = "stylegan", "//actor", 1.0
        return ops.train_actor()

    def use_mask() -> set[str]:
        spline = bpy.data.masks[0].layers[0].splines.new()
        spline.points.add(3 - len(spline.points))
        for point, co in zip(spline.points, ((0, 0), (0.5, 0), (0, 0.5))):
            point.co = point.handle_left = point.handle_right = co
        spline.use_cyclic = True
        return ops.use_occlusion()

    def solve_around_pins() -> set[str]:
        from mien.operators import pins, shots
        pins.set_pin(bpy.context.scene.mien.face, 1004, int(pins.points_of(talk.folder).ids[0]), Pin(20, 20, 1))
        shots.forget()
        return ops.resolve()

    def refused(operator: Callable[[], set[str]]) -> set[str]:
        with pytest.raises(RuntimeError):
            operator()
        return {"FINISHED"}

    return [
        ("demo_plate", ops.demo_plate),
        ("remove_shot", ops.remove_shot),
        ("choose_plate", lambda: ops.choose_plate(filepath=str(beside / "footage/talk.1001.png"))),
        ("track", ops.track),
        ("solve", ops.solve),
        ("open_shot", lambda: ops.open_shot(directory=str(talk.folder))),
        ("add_model", lambda: ops.add_model(filepath=str(beside / "face.npz"))),
        ("read_model", lambda: ops.read_model(source=str(beside / "face.npz"))),
        ("import_face", ops.import_face),
        ("key_pose", lambda: ops.key_pose(emotion="happy", value=1.0)),
        ("key_preset", lambda: ops.key_preset(emotion="sad", onset=2, apex=2, offset=2)),
        ("key_emotion", ops.key_emotion),
        ("write_emotion", ops.write_emotion),
        ("show_performance", lambda: ops.show_performance(edited=True)),
        ("live_edit", ops.live_edit),
        ("difference", ops.difference),
        ("compare OVER", lambda: ops.compare(mode="OVER")),
        ("compare SIDE", lambda: ops.compare(mode="SIDE")),
        ("compare off", lambda: ops.compare(mode="SIDE")),
        ("hand_over", lambda: ops.hand_over(filepath=str(beside / "face.csv"), kind="csv")),
        ("go_to_pins", lambda: ops.go_to_pins(number=1004)),
        ("resolve", solve_around_pins),
        ("clear_pins", ops.clear_pins),
        ("bake", ops.bake),
        ("new_bake_version", ops.new_bake_version),
        ("bake again", ops.bake),
        ("use_bake_version", lambda: ops.use_bake_version(version="1")),
        ("composite", ops.composite),
        ("show_scene", lambda: ops.show_scene(stage="composite")),
        ("occlusion_mask", ops.occlusion_mask),
        ("use_occlusion", use_mask),
        ("deliver", lambda: ops.deliver(render=False, handles=1)),
        ("deliver_layers", ops.deliver_layers),
        ("show_scene back", lambda: ops.show_scene(stage="shot")),
        ("deliver_report", lambda: ops.deliver_report(text="Delivered.")),
        ("selftest", lambda: refused(ops.selftest)),  # the stand-in finds a package missing
        ("copy_error", ops.copy_error),
        ("dismiss_error", ops.dismiss_error),
        ("train_actor", set_up_training),
        ("training_preview", ops.training_preview),
        ("open_shot with sound", lambda: ops.open_shot(directory=str(sound.folder))),
        ("import_face of it", ops.import_face),
        ("sound", ops.sound),
        ("copy_emotion", lambda: ops.copy_emotion(source="talk Face")),
        ("reset_emotion", lambda: ops.reset_emotion(keys=True)),
        ("import_face again", ops.import_face),
        ("remove_shot again", ops.remove_shot),
    ]


def registered() -> dict[str, type]:
    """Every operator of Mien by its name."""
    import bpy

    import mien
    return {c.bl_idname.removeprefix("mien."): c for m in mien._modules() for c in m.CLASSES if issubclass(c, bpy.types.Operator)}


def test_every_operator_is_on_the_way_or_told_why_not(blender, way) -> None:
    on_the_way = {name.split()[0] for name, _ in way}
    assert on_the_way | NOT_HERE.keys() == registered().keys()
    assert not on_the_way & NOT_HERE.keys()
    undoable = {name for name, c in registered().items() if "UNDO" in getattr(c, "bl_options", ())}
    assert not undoable & NOT_HERE.keys(), "what has an undo step is tried here"


def test_undo_and_redo_after_every_operator(blender, way, monkeypatch) -> None:
    monkeypatch.setattr(blender.context.preferences.edit, "undo_steps", 256)
    blender.ops.ed.undo_push(message="start")
    seen = [picture(blender)]
    for name, action in way:
        assert action() == {"FINISHED"}, name
        blender.ops.ed.undo_push(message=name)
        seen.append(picture(blender))
    changing = {name.split()[0] for (name, _), before, after in zip(way, seen, seen[1:]) if before != after}
    silent = {name for name in changing if "UNDO" not in getattr(registered()[name], "bl_options", ())}
    assert silent <= BOOKKEEPING.keys(), "an operator that changes the file has an undo step of its own"
    assert seen[0]["list"] == [] and len(seen[1]["list"]) == 1
    assert len({repr(state) for state in seen}) > len(seen) / 2
    for (name, _), wanted in zip(reversed(way), reversed(seen[:-1])):
        travel(blender, blender.ops.ed.undo, wanted, f"undo of {name}")
    for (name, _), wanted in zip(way, seen[1:]):
        travel(blender, blender.ops.ed.redo, wanted, f"redo of {name}")


def travel(blender, step: Callable[[], set[str]], wanted: dict, what: str) -> None:
    """One step to the state `wanted`; two where pins made one of their own."""
    step()
    if picture(blender) != wanted and what.endswith(("resolve", "clear_pins")):
        step()
    assert picture(blender) == wanted, what


def test_save_and_reload_after_every_operator(blender, saved, way) -> None:
    for name, action in way:
        assert action() == {"FINISHED"}, name
        before = picture(blender)
        blender.ops.wm.save_mainfile()
        blender.ops.wm.open_mainfile(filepath=str(saved))
        assert picture(blender) == before, name


def test_the_shot_folders_are_whole_at_the_end(blender, saved, way) -> None:
    for name, action in way:
        assert action() == {"FINISHED"}, name
    for folder in saved.parent.glob("*.mien"):
        if (folder / "shot.json").exists():
            Shot.load(folder)
            assert not list(folder.rglob("*.tmp*")), "nothing half-written is left"
