# SPDX-License-Identifier: GPL-3.0-or-later
"""A strip under the frame numbers of the timeline and the Dope Sheet, as Blender draws its caches: which frames are baked, out of date, missing."""

from __future__ import annotations

import bpy

from ..operators import bake_state, shots
from .drawing import Drawer, rectangle

SCRUB, HEIGHT = 23, 4
"""Pixels at a scale of 1: the row of frame numbers, and the strip below it."""
COLOURS = {bake_state.FRESH: (0.30, 0.62, 0.95, 0.9), bake_state.STALE: (0.95, 0.60, 0.15, 0.95), bake_state.MISSING: (0.0, 0.0, 0.0, 0.35)}


def draw() -> None:
    """The draw handler of all timelines and dope sheets."""
    context = bpy.context
    folder = shots.shot_folder(context)
    state = bake_state.bake_state(shots.active_face(context), shots.shot_info(folder)) if folder else None
    if state is None or state.count(bake_state.MISSING) == len(state.frames):
        return
    region, scale = context.region, context.preferences.system.ui_scale
    top = region.height - SCRUB * scale
    for (colour, first, last) in state.runs:
        left, right = (region.view2d.view_to_region(frame, 0, clip=False)[0] for frame in (first - 0.5, last + 0.5))
        left, right = max(left, 0), min(right, region.width)
        if left < right:
            rectangle(left, top - HEIGHT * scale, right, top, COLOURS[colour])


STRIP = Drawer(bpy.types.SpaceDopeSheetEditor, draw)
register, unregister = STRIP.add, STRIP.remove
CLASSES = ()
