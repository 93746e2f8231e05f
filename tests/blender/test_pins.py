# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinned landmarks in Blender: where dots are, what is kept, undo, the frames that are solved again."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import pytest

from mien.mesh.model import FaceModel
from mien.mesh.pins import Pin, Pins, pins_path
from mien.mesh.shot import Shot, Solve

FIRST = 1001


@pytest.fixture
def shot(make_shot):
    return make_shot(lost=(4,))


@pytest.fixture
def face(blender, shot):
    from mien.operators.face import import_shot
    object = import_shot(blender.context.scene, shot).face
    blender.context.view_layer.objects.active = object
    return object


@pytest.fixture
def pins(blender):
    from mien.operators import pins
    return pins


@pytest.fixture
def pinning(blender):
    from mien.operators import pinning
    return pinning


def looked(pins):
    """As after the half second for which a look at the disk is trusted."""
    from mien.operators import shots
    shots.forget()
    return pins


def test_dots_lie_where_the_solve_has_the_landmarks(pins, shot, face):
    ids, places, held = pins.dots(shot.folder, FIRST + 2)
    assert ids.tolist() == [33, 263] and not held.any()
    solve, model = Solve.load(shot), FaceModel.load(shot.model)
    mesh = model.shape(solve.alpha, solve.beta[2])[model.landmark_vertices]
    from mien.mesh.camera import place
    want = solve.camera.project(place(mesh.astype(np.float64), solve.rotation[2].astype(np.float64), solve.translation[2].astype(np.float64)))
    assert np.allclose(places, want, atol=1e-4)
    assert pins.dots(shot.folder, FIRST + 4) is None, "a frame without a face"
    assert pins.dots(shot.folder, FIRST + 400) is None


def test_plate_and_view_are_each_others_inverse(pinning, shot):
    frame, places = (100.0, 50.0, 292.0, 158.0), np.array([[0.0, 0.0], [96.0, 54.0], [10.5, 40.25]])
    at = pinning.to_region(frame, shot.plate, places)
    assert at[0].tolist() == [100, 158] and at[1].tolist() == [292, 50], "the plate's first pixel is at the upper left"
    assert np.allclose([pinning.to_plate(frame, shot.plate, *p) for p in at], places)


def test_a_pin_is_in_the_folder_at_once_and_moves_its_dot(pins, shot, face):
    pins.set_pin(face, FIRST + 2, 33, Pin(12.5, 20.25))
    assert Pins.load(shot).frames == {FIRST + 2: {33: Pin(12.5, 20.25)}}
    ids, places, held = looked(pins).dots(shot.folder, FIRST + 2)
    assert held.tolist() == [True, False] and places[0].tolist() == [12.5, 20.25]
    assert pins.changed(shot.folder) and not pins.dots(shot.folder, FIRST + 3)[2].any()
    pins.set_pin(face, FIRST + 2, 33, None)
    assert not pins_path(shot).exists() and not looked(pins).changed(shot.folder)


def test_a_damaged_file_is_told_and_can_be_cleared(blender, pins, shot, face):
    pins_path(shot).write_text("{", encoding="utf-8")
    assert "pins.json" in looked(pins).problem_of(shot.folder)
    assert blender.ops.mien.clear_pins() == {"FINISHED"}
    assert not pins_path(shot).exists() and looked(pins).problem_of(shot.folder) == ""


def test_undo_and_redo_reach_the_file(blender, pins, shot, face):
    kept = Pins({FIRST: {263: Pin(5, 6)}})
    kept.save(shot)  # from an earlier session
    blender.ops.ed.undo_push(message="imported")
    looked(pins).remember(face, shot.folder)
    name = face.name
    for landmark in (33, 263):
        pins.set_pin(blender.data.objects[name], FIRST + 2, landmark, Pin(9, 9))
        blender.ops.ed.undo_push(message="Pin Landmark")
    counts = []
    for step in (blender.ops.ed.undo, blender.ops.ed.undo, blender.ops.ed.undo, blender.ops.ed.redo, blender.ops.ed.redo, blender.ops.ed.redo):
        step()
        counts.append(Pins.load(shot).count)
    assert counts == [2, 1, 1, 1, 2, 3], "what an earlier session pinned is never lost"
    blender.ops.mien.clear_pins(number=FIRST + 2, everything=False)
    assert Pins.load(shot).frames == kept.frames


def test_frames_around_pins_are_solved_again_and_imported(blender, pins, shot, face, quick_engine):
    face.mien.happy = 0.7
    face.keyframe_insert("mien.happy", frame=FIRST + 2)
    with pytest.raises(RuntimeError, match="poll"):
        blender.ops.mien.resolve()
    pins.set_pin(face, FIRST + 2, 33, Pin(12.5, 20.25))
    looked(pins)
    scene = blender.context.scene
    scene.frame_set(FIRST + 2)
    height, before = face.matrix_world.translation.z, Solve.load(shot)
    assert blender.ops.mien.resolve() == {"FINISHED"}
    scene.frame_set(FIRST + 2)
    assert face.matrix_world.translation.z == pytest.approx(height + 0.01, abs=1e-5)
    assert not pins.changed(shot.folder) and len(face.animation_data.action.slots) and face.mien.happy == pytest.approx(0.7)
    after = Solve.load(Shot.load(shot.folder))
    assert np.array_equal(after.beta, before.beta, equal_nan=True) and after.pins.tolist() == [[2, 33, 12.5, 20.25, 1]]
    from mien.operators import shots
    assert not shots.face_stale(face, shots.shot_info(shot.folder))


class Panes:
    """An area whose picture fills a region of 192 x 108 pixels at (10, 20) of the window; its sidebar lies on its right end."""

    type = "VIEW_3D"
    regions = [SimpleNamespace(type="WINDOW", x=10, y=20, width=192, height=108), SimpleNamespace(type="UI", x=182, y=20, width=20, height=108)]


def event(kind, value="PRESS", at=(0, 0), ctrl=False):
    return SimpleNamespace(type=kind, value=value, mouse_x=at[0], mouse_y=at[1], ctrl=ctrl)


def test_dragging_a_dot_pins_it_and_x_takes_it_away(pins, pinning, shot, face):
    """The operator's own handling of events, over a view that is known."""
    frame = (0.0, 0.0, 192.0, 108.0)
    solve = Solve.load(shot)
    solve.rotation[:], solve.translation[:] = 0, (-0.02, 0.01, 0.6)
    solve.save(shot.solve_path)
    looked(pins)
    context = SimpleNamespace(scene=SimpleNamespace(frame_current=FIRST + 2), preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0)),
                              screen=SimpleNamespace(areas=[]))
    hand = pinning.Hand(shot.folder)
    me = SimpleNamespace(_area=Panes, _mine=hand, report=lambda *_: None)
    for name in ("_inside", "_nearest", "_set"):
        setattr(me, name, functools.partial(getattr(pinning.MIEN_OT_pin_landmarks, name), me))

    def send(*args, **more):
        return pinning.MIEN_OT_pin_landmarks._handle(me, context, event(*args, **more), face, frame)

    place = pins.dots(shot.folder, FIRST + 2)[1][1]
    x, y = pinning.to_region(frame, shot.plate, place[None])[0] + (10, 20)
    assert send("LEFTMOUSE", at=(x + 40, y - 40)) == {"PASS_THROUGH"}, "beside every dot a click is Blender's"
    assert send("MOUSEMOVE", "NOTHING", at=(x + 3, y)) == {"PASS_THROUGH"} and hand.hover == 263
    assert send("LEFTMOUSE", at=(x, y)) == {"RUNNING_MODAL"} and hand.dragged is not None
    assert send("MOUSEMOVE", "NOTHING", at=(x + 6, y - 4)) == {"RUNNING_MODAL"} and not pins_path(shot).exists()
    assert send("LEFTMOUSE", "RELEASE", at=(x + 6, y - 4)) == {"RUNNING_MODAL"}
    pin = Pins.load(shot).frames[FIRST + 2][263]
    assert (pin.x, pin.y) == pytest.approx((place[0] + 3, place[1] + 2), abs=0.01)
    looked(pins)
    hand.hover = 263
    assert send("X", at=(x + 6, y - 4)) == {"RUNNING_MODAL"} and not pins_path(shot).exists()
    looked(pins)
    assert send("LEFTMOUSE", at=(185, 60)) == {"PASS_THROUGH"}, "the sidebar's clicks are its own"
