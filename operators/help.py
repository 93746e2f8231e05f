# SPDX-License-Identifier: GPL-3.0-or-later
"""Help: the pages of docs/, and a plate to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..mesh.errors import MienError
from .engine import JobOperator, poll_engine
from .plate import choose_plate, poll_saved

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = (("tutorial", "Tutorial", "From a plate to a delivered movie in five minutes"),
         ("manual", "Manual", "What each panel and control does"),
         ("troubleshooting", "Troubleshooting", "What each message means and what to do"))


class MIEN_OT_help(bpy.types.Operator):
    """Open a page of Mien's documentation, which lies on this computer"""

    bl_idname = "mien.help"
    bl_label = "Help"

    page: bpy.props.EnumProperty(name="Page", description="Which page to open", items=PAGES, default="manual")

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = DOCS / f"{self.page}.md"
        if not path.is_file():
            self.report({"ERROR"}, f"{path} is missing; install Mien again.")
            return {"CANCELLED"}
        if not bpy.app.background:
            bpy.ops.wm.path_open(filepath=str(path))
        self.report({"INFO"}, str(path))
        return {"FINISHED"}


class MIEN_OT_demo_plate(JobOperator, bpy.types.Operator):
    """Make a plate to try Mien on, a portrait that talks, as demo_plate.mp4 beside the .blend, and choose it"""

    bl_idname = "mien.demo_plate"
    bl_label = "Make Demo Plate"
    bl_options = {"REGISTER", "UNDO"}
    title = "Demo plate"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_saved(cls) and poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        self._path = Path(bpy.data.filepath).with_name("demo_plate.mp4")
        if self._path.exists():
            raise MienError(f"{self._path} exists already; press Choose Plate and take it.")
        return [("demo_plate", {"output": str(self._path)})]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        choose_plate(context.scene, self._path)
        return f"The plate is {self._path}; press Track and Solve next."


CLASSES = (MIEN_OT_help, MIEN_OT_demo_plate)
