# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the extension: the engine's Python and its test."""

import textwrap

import bpy

from ..operators import engine

PACKAGE = (__package__ or "").rpartition(".")[0]


class MienPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    engine_python: bpy.props.StringProperty(
        name="Engine Python", subtype="FILE_PATH",
        description="The Python program (3.10 to 3.12, with Mien's requirements) that tracks, solves and bakes, in a process of its own")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.prop(self, "engine_python")
        python = engine.engine_python(context)
        if python is None:
            box = layout.box().column(align=True)
            box.label(text="Mien tracks, solves and bakes in a Python of its own (3.10 to 3.12). Make it once, in a terminal:", icon="INFO")
            box.label(text="python3.11 -m venv mien-engine")
            box.label(text="mien-engine/bin/pip install -r requirements/engine.txt -c requirements/constraints.txt")
            box.label(text="Then choose mien-engine/bin/python above. Without it, everything but those three steps works.")
            return
        if not self.engine_python:
            layout.label(text=f"In use: {python}", icon="INFO")
        row = layout.row()
        if engine.STATE.running:
            row.progress(factor=engine.STATE.fraction, text=f"{engine.STATE.title}: {engine.STATE.text}")
            row.operator("mien.cancel_job", text="", icon="CANCEL")
        else:
            row.operator("mien.selftest", icon="CHECKMARK")
        report, icon = (engine.STATE.error, "ERROR") if engine.STATE.error else (engine.MIEN_OT_selftest.report_text, "CHECKMARK")
        column = layout.column(align=True)
        for i, line in enumerate(textwrap.wrap(report, 110)):
            column.label(text=line, icon=icon if i == 0 else "BLANK1")


CLASSES = (MienPreferences,)
