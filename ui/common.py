# SPDX-License-Identifier: GPL-3.0-or-later
"""What all panels of the sidebar share: a step's state, wrapped sentences, the progress of a job."""

import textwrap

import bpy

from ..operators import engine, shots

OPEN, DONE, STALE, PROBLEM = "RADIOBUT_OFF", "CHECKMARK", "FILE_REFRESH", "ERROR"
"""Icons of a step's state."""


def text(layout: bpy.types.UILayout, context: bpy.types.Context, words: str, icon: str = "NONE") -> None:
    """A sentence, wrapped to the width of the sidebar."""
    scale = context.preferences.system.ui_scale or 1.0  # 0 without a window
    width = max(20, int((context.region.width / scale - 50) / 6.3))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for i, line in enumerate(textwrap.wrap(words, width - (4 if icon != "NONE" else 0)) or [""]):
        column.label(text=line, icon=icon if i == 0 else "BLANK1" if icon != "NONE" else "NONE")


def current(context: bpy.types.Context) -> shots.ShotInfo | None:
    """What is known of the shot in use."""
    folder = shots.shot_folder(context)
    return shots.shot_info(folder) if folder else None


def running(layout: bpy.types.UILayout, title: str) -> bool:
    """Draw the progress of the job of that title in the place of its button; False when it is not running."""
    state = engine.STATE
    if not (state.running and state.title == title):
        return False
    row = layout.row(align=True)
    row.progress(factor=state.fraction, text=state.text + (f" ({state.step} of {state.steps})" if state.steps > 1 else ""))
    row.operator("mien.cancel_job", text="", icon="CANCEL")
    return True


def has_operator(name: str) -> bool:
    return hasattr(bpy.types, f"MIEN_OT_{name}")


class Step:
    """What the panels of the sidebar share. `state` gives the icon of the panel's header."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Mien"

    def state(self, context: bpy.types.Context) -> str:
        return "NONE"

    def draw_header(self, context: bpy.types.Context) -> None:
        self.layout.label(text="", icon=self.state(context))
