# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's last panel: files for other programs."""

import bpy

from ..operators.handover import FORMATS


class MIEN_PT_hand_over(bpy.types.Panel):
    bl_label = "Hand Over"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Mien"
    bl_parent_id = "MIEN_PT_main"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 99

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)
        column.operator_context = "INVOKE_DEFAULT"
        for kind, label, _ in FORMATS:
            column.operator("mien.hand_over", text=label, icon="EXPORT").kind = kind


CLASSES = (MIEN_PT_hand_over,)
