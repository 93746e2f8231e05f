# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of shots, at the top of the sidebar."""

import bpy

from ..operators import engine, shot_items, shots
from .common import OPEN, current


def progress_of(scene: bpy.types.Scene, item: bpy.types.PropertyGroup) -> str:
    """How far a shot is, in a word or two."""
    info = shots.shot_info(shots.absolute(item.shot_folder))
    if info.problem:
        return "problem"
    if info.shot is None or not info.is_tracked:
        return "not tracked"
    if not info.is_solved:
        return "not solved"
    if not shot_items.faces_of(scene, item):
        return "solved"
    if info.baked < info.shot.plate.frame_count:
        return f"{info.baked / info.shot.plate.frame_count:.0%} baked" if info.baked else "imported"
    return "baked"


class MIEN_UL_shots(bpy.types.UIList):
    """One shot a row: its name, how far it is, and which one the panels follow."""

    bl_idname = "MIEN_UL_shots"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        info = current(context)
        here = info is not None and info.folder == shots.absolute(item.shot_folder)
        row = layout.row(align=True)
        row.label(text=item.name, icon="RADIOBUT_ON" if here else OPEN)
        state, tail = engine.STATE, row.row()
        tail.alignment, tail.active = "RIGHT", False
        busy = state.running and state.folder and state.folder == str(shots.absolute(item.shot_folder))
        tail.label(text=f"{state.fraction:.0%}" if busy else progress_of(item.id_data, item))


class MIEN_PT_shots(bpy.types.Panel):
    bl_label = "Shots"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Mien"
    bl_parent_id = "MIEN_PT_main"
    bl_order = 0

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(context.scene.mien.shots)

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.mien
        row = layout.row()
        row.template_list("MIEN_UL_shots", "", settings, "shots", settings, "shot_index", rows=max(2, min(5, len(settings.shots))))
        column = row.column(align=True)
        column.operator("mien.choose_plate", text="", icon="ADD")
        column.operator("mien.open_shot", text="", icon="FILE_FOLDER")
        column.operator("mien.remove_shot", text="", icon="REMOVE")


CLASSES = (MIEN_UL_shots, MIEN_PT_shots)
