# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's panel of trainings."""

import bpy

from ..operators.actor import newest_preview
from ..operators.shots import absolute
from .common import running


class MIEN_PT_train(bpy.types.Panel):
    bl_label = "Train an Actor"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Mien"
    bl_parent_id = "MIEN_PT_main"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 95

    def draw(self, context: bpy.types.Context) -> None:
        layout, training = self.layout, context.scene.mien.training
        layout.use_property_split, layout.use_property_decorate = True, False
        for name in ("kind", "takes", "actor", *(("size", "kimg") if training.kind == "stylegan" else ())):
            layout.prop(training, name)
        if not running(layout, "Training"):
            column = layout.column()
            column.operator_context = "INVOKE_DEFAULT"
            column.operator("mien.train_actor", icon="MOD_ARMATURE")
        if training.actor and newest_preview(absolute(training.actor)) is not None:
            layout.operator("mien.training_preview", icon="IMAGE_DATA")


CLASSES = (MIEN_PT_train,)
