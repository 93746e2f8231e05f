# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's way to the documentation and to a plate to try things on."""

import bpy

from ..operators.help import PAGES
from .common import running


class MIEN_PT_help(bpy.types.Panel):
    bl_label = "Help"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Mien"
    bl_parent_id = "MIEN_PT_main"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 100

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)
        for page, label, _ in PAGES:
            column.operator("mien.help", text=label, icon="HELP").page = page
        if not running(self.layout, "Demo plate"):
            self.layout.operator("mien.demo_plate", icon="FILE_MOVIE")


CLASSES = (MIEN_PT_help,)
