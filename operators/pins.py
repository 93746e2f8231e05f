# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins: the artist drags points of the solved face to where they belong on the plate, and the frames around are solved again.

They are kept in SHOT/pins.json and written at once, so they survive whatever happens to the session. The face object remembers them as text, and
when undo or redo changes that text the file follows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..mesh.camera import place
from ..mesh.errors import MienError
from ..mesh.pins import LANDMARKS, Pin, Pins, pins_path
from ..mesh.shot import Shot, Solve
from . import shots
from .emotion import FaceOperator
from .engine import JobOperator, poll_engine, poll_idle
from .face import cached_model, import_shot
from .view import look_through_camera, picture_corners

GRAB = 12
"""Pixels, at a scale of 1, within which a dot is taken hold of."""


# -- what is pinned -------------------------------------------------------------------------------------------------------

def pins_of(folder: Path) -> Pins:
    """The pins of a shot folder; none where its file cannot be read (`problem_of` tells). Quick enough to draw with."""
    return _look(folder)[0]


def problem_of(folder: Path) -> str:
    """Why the file of pins cannot be read, one sentence; "" where it can."""
    return _look(folder)[1]


_pins: dict[Path, tuple[object, Pins, str]] = {}


def _look(folder: Path) -> tuple[Pins, str]:
    info = shots.shot_info(folder)
    if info.shot is None:
        return Pins(), ""
    path = pins_path(info.shot)
    stamp = (path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None
    if folder not in _pins or _pins[folder][0] != stamp:
        try:
            _pins[folder] = stamp, Pins.load(info.shot), ""
        except MienError as error:
            _pins[folder] = stamp, Pins(), str(error)
    return _pins[folder][1:]


def changed(folder: Path) -> bool:
    """Are there pins that the solve was not made with, or did it have some that are gone?"""
    points = points_of(folder)
    if points is None:
        return False
    rows, used = pins_of(folder).rows(points.shot), points.solve.pins
    return len(rows) != (0 if used is None else len(used)) or (used is not None and not np.allclose(rows, used))


def set_pin(face: bpy.types.Object, number: int, landmark: int, pin: Pin | None) -> None:
    """Pin a landmark on a frame, or take its pin away (None). Raises MienError for a file of pins that is damaged or cannot be written."""
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    pins = Pins.load(shot)
    if pin is None:
        pins.remove(number, landmark)
    else:
        pins.put(number, landmark, pin)
    keep(face, shot, pins)


def clear(face: bpy.types.Object, number: int | None = None) -> int:
    """Take away the pins of a frame, or all; how many there were. A file that cannot be read goes too. Raises MienError."""
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    pins = pins_of(shot.folder)
    gone = pins.count if number is None else len(pins.frames.get(number, {}))
    keep(face, shot, Pins() if number is None else Pins({n: dict(p) for n, p in pins.frames.items() if n != number}))
    return gone


def keep(face: bpy.types.Object, shot: Shot, pins: Pins) -> None:
    """Write the pins, and remember them on the face for undo."""
    pins.save(shot)
    face.mien.pins = as_text(pins)
    _written[shots.absolute(face.mien.shot_folder)] = face.mien.pins


def remember(face: bpy.types.Object, folder: Path) -> None:
    """Before the first change of a session: an undo step that knows the pins which are there, so that undo comes back to them."""
    text = as_text(pins_of(folder))
    if face.mien.pins != text or folder not in _written:
        face.mien.pins = _written[folder] = text
        bpy.ops.ed.undo_push(message="Pins")


def as_text(pins: Pins) -> str:
    return json.dumps([[n, k, p.x, p.y, p.weight] for n, found in sorted(pins.frames.items()) for k, p in sorted(found.items())])


def from_text(text: str) -> Pins:
    pins = Pins()
    for number, landmark, *values in json.loads(text or "[]"):
        pins.put(number, landmark, Pin(*values))
    return pins


_written: dict[Path, str] = {}
"""Shot folder -> what this session has written last: another text on a face means that undo or redo was there."""


@persistent
def after_undo(_scene: object = None, _more: object = None) -> None:
    """Bring the files to what undo or redo has made of the faces."""
    for face in bpy.data.objects:
        if not shots.is_face(face):
            continue
        folder = shots.absolute(face.mien.shot_folder)
        if folder in _written and face.mien.pins and face.mien.pins != _written[folder]:  # "" is from before there was anything to remember
            try:
                keep(face, Shot.load(folder), from_text(face.mien.pins))
            except MienError as error:  # nobody is there to tell but the panel
                _pins[folder] = None, Pins(), str(error)


# -- where the solve has the landmarks ------------------------------------------------------------------------------------

@dataclass(eq=False)
class Points:
    """The landmarks of a solved shot, ready to be drawn."""

    shot: Shot
    solve: Solve
    ids: np.ndarray
    """(L,) the tracker's numbers."""
    neutral: np.ndarray
    """(L, 3)"""
    directions: np.ndarray
    """(B, L, 3)"""

    def on(self, number: int) -> np.ndarray | None:
        """(L, 2) plate pixels on a frame; None where no face is solved."""
        index, s = number - self.shot.plate.first_frame, self.solve
        if not 0 <= index < len(s.beta) or not s.solved[index]:
            return None
        points = self.neutral + np.tensordot(s.beta[index].astype(np.float64), self.directions, 1)
        return s.camera.project(place(points, s.rotation[index].astype(np.float64), s.translation[index].astype(np.float64)))


_points: dict[Path, tuple[str, Points]] = {}


def points_of(folder: Path) -> Points | None:
    """None for a shot that is not solved, or whose files do not fit."""
    info = shots.shot_info(folder)
    if info.shot is None or not info.is_solved or info.problem:
        return None
    # The hash of a solve does not know its pins: a re-solve that moved nothing must still be read again.
    key = f"{info.solve_hash} {info.shot.solve_path.stat().st_mtime_ns}"
    if folder not in _points or _points[folder][0] != key:
        try:
            model, solve = cached_model(info.shot.model), Solve.load(info.shot)
        except MienError:
            return None
        chosen = np.flatnonzero(model.landmark_ids < LANDMARKS)
        vertices = model.landmark_vertices[chosen]
        _points.clear()
        _points[folder] = key, Points(info.shot, solve, model.landmark_ids[chosen], model.neutral(solve.alpha)[vertices].astype(np.float64),
                                      model.expression[:, vertices].astype(np.float64))
    return _points[folder][1]


def dots(folder: Path, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """On a frame: landmarks (L,), places (L, 2) on the plate, a pin's own where there is one, and (L,) bool: pinned. None without a face."""
    points = points_of(folder)
    places = None if points is None else points.on(number)
    if points is None or places is None:
        return None
    pinned = pins_of(folder).frames.get(number, {})
    held = np.isin(points.ids, list(pinned))
    for i in np.flatnonzero(held):
        pin = pinned[int(points.ids[i])]
        places[i] = pin.x, pin.y
    return points.ids, places, held


# -- dragging -------------------------------------------------------------------------------------------------------------

@dataclass
class Hand:
    """What the running operator holds; drawn by ui.pins. Not part of the .blend."""

    folder: Path
    hover: int | None = None
    """Landmark under the pointer."""
    dragged: tuple[float, float] | None = None
    """Where it is dragged to, plate pixels."""


HAND: Hand | None = None


def frame_of(area: bpy.types.Area, scene: bpy.types.Scene, face: bpy.types.Object) -> tuple[float, float, float, float] | None:
    """left, bottom, right, top of the plate in the area's main region, region pixels; None when it does not look through the face's camera."""
    region = main_region(area)
    return picture_corners(scene, region, area.spaces.active, face.mien.camera) if region else None


def main_region(area: bpy.types.Area) -> bpy.types.Region | None:
    return next((r for r in area.regions if r.type == "WINDOW"), None)


def to_plate(frame: tuple[float, float, float, float], plate: Any, x: float, y: float) -> tuple[float, float]:
    """Region pixels -> plate pixels."""
    left, bottom, right, top = frame
    return (x - left) / (right - left) * plate.width, (top - y) / (top - bottom) * plate.height


def to_region(frame: tuple[float, float, float, float], plate: Any, places: np.ndarray) -> np.ndarray:
    """Plate pixels (n, 2) -> region pixels (n, 2)."""
    left, bottom, right, top = frame
    return np.stack([left + places[:, 0] / plate.width * (right - left), top - places[:, 1] / plate.height * (top - bottom)], 1)


class MIEN_OT_pin_landmarks(FaceOperator, bpy.types.Operator):
    """Drag points of the face to where they belong on the plate; Ctrl click or X takes a pin away, Esc ends"""

    bl_idname = "mien.pin_landmarks"
    bl_label = "Pin Landmarks"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context) or not poll_idle(cls):
            return False
        if not any(area.type == "VIEW_3D" for area in (context.screen.areas if context.screen else ())):
            cls.poll_message_set("Landmarks are pinned in a 3D viewport; open one")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        global HAND
        if HAND is not None:  # the button ends what it began
            HAND = None
            redraw(context)
            return {"FINISHED"}
        face = shots.active_face(context)
        folder = shots.absolute(face.mien.shot_folder)
        if points_of(folder) is None:
            self.report({"ERROR"}, f"{folder.name} is not solved; press Track and Solve.")
            return {"CANCELLED"}
        look_through_camera(context)
        remember(face, folder)
        self._mine = HAND = Hand(folder)
        self._area = context.area if context.area and context.area.type == "VIEW_3D" else next(a for a in context.screen.areas if a.type == "VIEW_3D")
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set("Drag a dot to where it belongs.  Ctrl click or X: unpin.  Esc or Enter: done")
        redraw(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        face = shots.active_face(context)
        if HAND is not self._mine or face is None or shots.absolute(face.mien.shot_folder) != self._mine.folder:
            return self._end(context)
        if event.type in ("ESC", "RET", "NUMPAD_ENTER") and event.value == "PRESS":
            if event.type == "ESC" and self._mine.dragged is not None:
                self._mine.dragged = None
                redraw(context)
                return {"RUNNING_MODAL"}
            return self._end(context)
        frame = frame_of(self._area, context.scene, face) if self._area.type == "VIEW_3D" else None
        if frame is None:
            return {"PASS_THROUGH"}
        return self._handle(context, event, face, frame)

    def _handle(self, context: bpy.types.Context, event: bpy.types.Event, face: bpy.types.Object, frame: tuple[float, ...]) -> set[str]:
        """One event within the view."""
        hand, region = self._mine, main_region(self._area)
        x, y = event.mouse_x - region.x, event.mouse_y - region.y
        plate = shots.shot_info(hand.folder).shot.plate
        if event.type == "MOUSEMOVE":
            if hand.dragged is None:
                hand.hover = self._nearest(context, frame, plate, x, y) if self._inside(event) else None
            else:
                hand.dragged = to_plate(frame, plate, x, y)
            redraw(context)
            return {"RUNNING_MODAL"} if hand.dragged else {"PASS_THROUGH"}
        if event.type == "LEFTMOUSE" and event.value == "RELEASE" and hand.dragged is not None:
            place, hand.dragged = hand.dragged, None
            self._set(context, face, hand.hover, Pin(*map(float, place)))
            return {"RUNNING_MODAL"}
        if event.value != "PRESS" or not self._inside(event):
            return {"PASS_THROUGH"}
        if event.type == "LEFTMOUSE":
            hand.hover = self._nearest(context, frame, plate, x, y)
        if hand.hover is None or event.type not in ("LEFTMOUSE", "X", "DEL"):
            return {"PASS_THROUGH"}
        if event.type == "LEFTMOUSE" and not event.ctrl:
            hand.dragged = to_plate(frame, plate, x, y)
        elif hand.hover in pins_of(hand.folder).frames.get(context.scene.frame_current, {}):
            self._set(context, face, hand.hover, None)
        return {"RUNNING_MODAL"}

    def _set(self, context: bpy.types.Context, face: bpy.types.Object, landmark: int | None, pin: Pin | None) -> None:
        if landmark is None:
            return
        try:
            set_pin(face, context.scene.frame_current, landmark, pin)
        except MienError as error:
            self.report({"ERROR"}, str(error))
        bpy.ops.ed.undo_push(message="Unpin Landmark" if pin is None else "Pin Landmark")
        redraw(context)

    def _inside(self, event: bpy.types.Event) -> bool:
        """Is the pointer over the view itself, not over the sidebar or a header that lies on it?"""
        def holds(region: bpy.types.Region) -> bool:
            return region.width > 1 and 0 <= event.mouse_x - region.x < region.width and 0 <= event.mouse_y - region.y < region.height
        return holds(main_region(self._area)) and not any(holds(r) for r in self._area.regions if r.type in ("UI", "TOOLS", "HEADER", "TOOL_HEADER"))

    def _nearest(self, context: bpy.types.Context, frame: tuple[float, ...], plate: Any, x: float, y: float) -> int | None:
        """The landmark whose dot is under the pointer."""
        found = dots(self._mine.folder, context.scene.frame_current)
        if found is None:
            return None
        ids, places, _ = found
        away = np.linalg.norm(to_region(frame, plate, places) - (x, y), axis=1)
        nearest = int(np.argmin(away))
        return int(ids[nearest]) if away[nearest] <= GRAB * context.preferences.system.ui_scale else None

    def _end(self, context: bpy.types.Context) -> set[str]:
        global HAND
        if HAND is self._mine:
            HAND = None
        context.workspace.status_text_set(None)
        redraw(context)
        return {"FINISHED"}

    def cancel(self, context: bpy.types.Context) -> None:
        self._end(context)


def redraw(context: bpy.types.Context) -> None:
    """Draw the 3D views again."""
    for area in context.screen.areas if context.screen else ():
        if area.type == "VIEW_3D":
            area.tag_redraw()


class MIEN_OT_clear_pins(FaceOperator, bpy.types.Operator):
    """Take pins away. The solve keeps what it has until the frames are solved again"""

    bl_idname = "mien.clear_pins"
    bl_label = "Clear Pins"
    bl_options = {"REGISTER", "UNDO"}

    number: bpy.props.IntProperty(name="Frame", description="Frame whose pins go", options={"SKIP_SAVE"})
    everything: bpy.props.BoolProperty(name="All", description="Those of all frames go", default=True, options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        face = shots.active_face(context)
        folder = shots.absolute(face.mien.shot_folder)
        remember(face, folder)
        try:
            gone = clear(face, None if self.everything else self.number)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{gone} pin(s) taken away; press Solve Around Pins to solve those frames without them.")
        return {"FINISHED"}


class MIEN_OT_go_to_pins(bpy.types.Operator):
    """Go to this frame"""

    bl_idname = "mien.go_to_pins"
    bl_label = "Go to Pinned Frame"

    number: bpy.props.IntProperty(name="Frame", description="Where to go", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.frame_set(self.number)
        return {"FINISHED"}


class MIEN_OT_resolve(JobOperator, bpy.types.Operator):
    """Solve the frames around changed pins again, with the face and the lens as they are, and import the result; emotion keys stay"""

    bl_idname = "mien.resolve"
    bl_label = "Solve Around Pins"
    bl_options = {"REGISTER", "UNDO"}
    title = "Solve Around Pins"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        face = shots.active_face(context)
        if face is None or not changed(shots.absolute(face.mien.shot_folder)):
            cls.poll_message_set("No pin has changed since the shot was solved; press Pin Landmarks")
            return False
        return poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        folder = shots.absolute(shots.active_face(context).mien.shot_folder)
        self._scene, self._folder = context.scene.name, folder
        return [("resolve", {"folder": str(folder)})]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        scene = bpy.data.scenes.get(self._scene)
        if scene is not None:
            import_shot(scene, Shot.load(self._folder))
        return f"Solved {results[-1]['again']} frames again; the edit there is baked again at the next bake."


def register() -> None:
    bpy.app.handlers.undo_post.append(after_undo)
    bpy.app.handlers.redo_post.append(after_undo)


def unregister() -> None:
    global HAND
    HAND = None
    for handlers in (bpy.app.handlers.undo_post, bpy.app.handlers.redo_post):
        if after_undo in handlers:
            handlers.remove(after_undo)
    for kept in (_pins, _points, _written):
        kept.clear()


CLASSES = (MIEN_OT_pin_landmarks, MIEN_OT_clear_pins, MIEN_OT_go_to_pins, MIEN_OT_resolve)
