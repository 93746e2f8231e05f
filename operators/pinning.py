# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinning: the operators that drag points of the solved face over the plate, and have the frames around solved again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..mesh.errors import MienError
from ..mesh.pins import Pin
from ..mesh.shot import Shot
from . import shots
from .emotion import FaceOperator
from .engine import JobOperator, poll_engine, poll_idle
from .face import import_shot
from .pins import changed, clear, dots, pins_of, points_of, remember, set_pin
from .view import look_through_camera, picture_corners

GRAB = 12
"""Pixels, at a scale of 1, within which a dot is taken hold of."""


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
        here = any(area == self._area for area in context.screen.areas)  # not closed, nor in another workspace
        frame = frame_of(self._area, context.scene, face) if here and self._area.type == "VIEW_3D" else None
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


def unregister() -> None:
    global HAND
    HAND = None


CLASSES = (MIEN_OT_pin_landmarks, MIEN_OT_clear_pins, MIEN_OT_go_to_pins, MIEN_OT_resolve)
