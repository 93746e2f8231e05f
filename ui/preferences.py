# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the extension: the engine's Python, how to make one, its test; the default face model."""

import textwrap

import bpy

from ..mesh.model import model_names
from ..operators import engine, engine_setup

PACKAGE = (__package__ or "").rpartition(".")[0]
WIDTH = 100
"""Letters in a line of a message."""


def _models(_self: bpy.types.AddonPreferences, _context: bpy.types.Context, _typed: str) -> list[str]:
    return model_names()


def wrapped(layout: bpy.types.UILayout, words: str, icon: str = "NONE") -> None:
    for i, line in enumerate(textwrap.wrap(words, WIDTH)):
        layout.label(text=line, icon=icon if i == 0 else "BLANK1")


class MienPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    engine_python: bpy.props.StringProperty(
        name="Engine Python", subtype="FILE_PATH", update=engine_setup.forget_test,
        description="The Python program (3.11 or 3.12, with Mien's requirements) that tracks, solves and bakes, in a process of its own")
    base_python: bpy.props.StringProperty(
        name="Made from", subtype="FILE_PATH",
        description="The Python 3.11 or 3.12 that the engine's own one is made from; empty: the first that is found on this computer")
    device: bpy.props.EnumProperty(
        name="Build", description="Which build of torch is fetched; only trained networks use it",
        items=(("CPU", "Processor", "Works everywhere; about 2 GB on disk"),
               ("CUDA", "CUDA", "For NVIDIA graphics cards; 4 GB and more on disk")))
    recognition: bpy.props.BoolProperty(
        name="Recognise Actors", description="Fetch the network that tells who is filmed as well (104 MB); a cast needs it, nothing else does")
    wheels: bpy.props.StringProperty(
        name="Packages", subtype="DIR_PATH",
        description="A folder of downloaded packages ('pip download -r requirements/engine.txt'), for a computer without network; empty: the network")
    face_model: bpy.props.StringProperty(
        name="Face Model", description="The face that a new shot is solved with: 'default', or one of your own (Track and Solve > Add Model)",
        search=_models, search_options={"SUGGESTION"})

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        self.draw_engine(context)
        self.draw_setup(context)
        layout.separator()
        layout.prop(self, "face_model", placeholder="default")

    def draw_engine(self, context: bpy.types.Context) -> None:
        layout, python = self.layout, engine.engine_python(context)
        layout.prop(self, "engine_python", placeholder=str(python or ""))
        if python is None:
            wrapped(layout.column(align=True), "Mien tracks, solves and bakes in a Python of its own, which is not there yet: set it up below, or "
                    "choose one that has Mien's requirements. Without it everything but those three steps works.", "INFO")
        row = layout.row()
        if engine.STATE.running:
            row.progress(factor=engine.STATE.fraction, text=f"{engine.STATE.title}: {engine.STATE.text}")
            row.operator("mien.cancel_job", text="", icon="CANCEL")
        else:
            row.operator("mien.selftest", icon="CHECKMARK")
            row.operator("mien.open_logs", icon="TEXT")
        if engine.STATE.error and engine.STATE.title in ("Engine test", "Engine set-up"):
            box = layout.box().column(align=True)
            wrapped(box, engine.STATE.error, "ERROR")
            box.operator("mien.copy_error", icon="COPYDOWN")
        self.draw_checks()

    def draw_checks(self) -> None:
        checks = engine_setup.MIEN_OT_selftest.report_found.get("checks", ())
        if not checks:
            return
        column = self.layout.box().column(align=True)
        for check in checks:
            wrapped(column, f"{check['name']}: {check['text']}", "CHECKMARK" if check["ok"] else "ERROR")
            if not check["ok"]:
                wrapped(column, check["fix"], "BLANK1")

    def draw_setup(self, context: bpy.types.Context) -> None:
        state = engine_setup.setup_state()
        header, body = self.layout.panel("mien_setup", default_closed=engine.engine_python(context) is not None)
        header.label(text="Set Up an Engine")
        if body is None:
            return
        body.prop(self, "base_python", placeholder=str(engine_setup.find_python() or "none found"))
        body.row().prop(self, "device", expand=True)
        body.prop(self, "recognition")
        body.prop(self, "wheels", placeholder="from the network")
        if state.get("state") == "unfinished":
            wrapped(body.column(align=True), f"The last set-up stopped at '{state.get('step')}'; press the button to go on from there.", "INFO")
        elif state.get("state") == "done":
            body.label(text=f"Set up in {engine_setup.engine_folder()}", icon="CHECKMARK")
        if not bpy.app.online_access and not self.wheels:
            body.label(text=engine_setup.NO_NETWORK + ".", icon="INTERNET_OFFLINE")
        label = {"unfinished": "Go On with the Set-up", "done": "Update Engine"}.get(state.get("state", ""), "Set Up Engine")
        body.operator("mien.setup_engine", text=label, icon="IMPORT")


CLASSES = (MienPreferences,)
