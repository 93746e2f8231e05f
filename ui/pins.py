# SPDX-License-Identifier: GPL-3.0-or-later
"""Under Track and Solve: the method, and Repair, the panel of pinned landmarks with their dots over the plate."""

from __future__ import annotations

import bpy
import numpy as np

from ..operators import backends, pinning, pins, shots
from .common import PROBLEM, STALE, Step, current, running, text
from .drawing import Drawer, fill

ROWS = 8
"""Pinned frames that the panel lists."""
FREE, HELD, UNDER = (0.25, 0.85, 1.0, 0.75), (1.0, 0.45, 0.1, 1.0), (1.0, 1.0, 1.0, 1.0)
"""Colours of a dot, of a pinned one, and of the one under the pointer."""
RIM = (0.0, 0.0, 0.0, 0.55)
CORNERS = np.array([(-1, 0), (0, -1), (1, 0), (-1, 0), (1, 0), (0, 1)], np.float32)
"""Two triangles that make a dot."""


class MIEN_PT_method(bpy.types.Panel):
    bl_label = "Method"
    bl_parent_id = "MIEN_PT_track"
    bl_space_type, bl_region_type, bl_category = "VIEW_3D", "UI", "Mien"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.mien
        layout.use_property_split, layout.use_property_decorate = True, False
        for name in ("landmarks", "rnet", "photometric"):
            layout.prop(settings, name)
        column = layout.column(align=True)
        column.prop(settings, "cast", placeholder="none")
        if settings.cast:
            column.prop(settings, "actor_name", placeholder="recognise")
        for reason in (backends.missing_landmarks(settings), backends.missing_start(settings)):
            if reason:
                text(layout, context, reason + ".", PROBLEM)


class MIEN_PT_pins(Step, bpy.types.Panel):
    bl_label = "Repair"
    bl_parent_id = "MIEN_PT_track"
    bl_options = {"DEFAULT_CLOSED"}
    jobs = ("Solve Around Pins",)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        info = current(context)
        return info is not None and info.is_solved

    def state(self, context: bpy.types.Context) -> str:
        face = shots.active_face(context)
        return STALE if face is not None and pins.changed(shots.absolute(face.mien.shot_folder)) else "NONE"

    def draw(self, context: bpy.types.Context) -> None:
        layout, face = self.layout, shots.active_face(context)
        if face is None:
            text(layout, context, "Import the face first.", "INFO")
            return
        folder = shots.absolute(face.mien.shot_folder)
        if pins.problem_of(folder):
            text(layout, context, pins.problem_of(folder), PROBLEM)
        layout.operator_context = "INVOKE_DEFAULT"
        active = pinning.HAND is not None
        layout.operator("mien.pin_landmarks", text="Done Pinning" if active else "Pin Landmarks", icon="PINNED", depress=active)
        if active:
            text(layout, context, "Drag a dot to where it belongs. Ctrl click or X takes a pin away.")
        self.draw_list(pins.pins_of(folder))
        if not running(layout, "Solve Around Pins"):
            layout.operator("mien.resolve", icon="FILE_REFRESH")

    def draw_list(self, known: pins.Pins) -> None:
        """The pinned frames."""
        if not known.frames and not pinning.HAND:
            return
        column = self.layout.column(align=True)
        for number in sorted(known.frames)[:ROWS]:
            row = column.row(align=True)
            row.operator("mien.go_to_pins", text=f"Frame {number}: {len(known.frames[number])}", icon="KEYFRAME_HLT").number = number
            clear = row.operator("mien.clear_pins", text="", icon="X")
            clear.number, clear.everything = number, False
        row = self.layout.row()
        row.label(text=f"Pins: {known.count}")
        if known.frames:
            row.operator("mien.clear_pins", text="Clear").everything = True


def draw() -> None:
    """The draw handler of all 3D views: the dots, while landmarks are being pinned."""
    context, hand = bpy.context, pinning.HAND
    face = shots.active_face(context) if hand is not None else None
    if hand is None or face is None or shots.absolute(face.mien.shot_folder) != hand.folder:
        return
    frame = pinning.frame_of(context.area, context.scene, face)
    found = pins.dots(hand.folder, context.scene.frame_current)
    info = shots.shot_info(hand.folder)
    if frame is None or found is None or info.shot is None:
        return
    ids, places, held = found
    places = places.copy()
    under = ids == hand.hover
    if hand.dragged is not None:
        places[under] = hand.dragged
    at, scale = pinning.to_region(frame, info.shot.plate, places), context.preferences.system.ui_scale
    for which, colour, size in ((~held & ~under, FREE, 2.5), (held & ~under, HELD, 5.0), (under, UNDER if not held[under].any() else HELD, 6.5)):
        diamonds(at[which], (size + 1.2) * scale, RIM)
        diamonds(at[which], size * scale, colour)


def diamonds(at: np.ndarray, size: float, colour: tuple[float, ...]) -> None:
    """Fill a diamond at each of (n, 2) region pixels."""
    if not len(at):
        return
    corners = (at[:, None].astype(np.float32) + CORNERS * np.float32(size)).reshape(-1, 2)
    fill([(float(x), float(y)) for x, y in corners], colour, "TRIS")


DOTS = Drawer(bpy.types.SpaceView3D, draw)
register, unregister = DOTS.add, DOTS.remove


CLASSES = (MIEN_PT_method, MIEN_PT_pins)
