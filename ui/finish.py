# SPDX-License-Identifier: GPL-3.0-or-later
"""The last steps of a shot, composite and delivery: in the 3D view's sidebar, and beside the compositor's nodes and the sequencer's strips."""

import bpy

from .. import compat
from ..operators import composite, composite_nodes, render_job, shots, show_scene
from .common import DONE, OPEN, Step, running

WAYS = {"composite": "Show Composite", "delivery": "Show Delivery"}


def draw_way(layout: bpy.types.UILayout, context: bpy.types.Context, stage: str) -> None:
    """The button to that stage's scene, or back to the shot where it is in view."""
    there = show_scene.stage_of(context.scene) == stage
    if there:
        layout.operator("mien.show_scene", text="Back to the Shot", icon="LOOP_BACK").stage = "shot"
    else:
        layout.operator("mien.show_scene", text=WAYS[stage], icon="SCENE_DATA").stage = stage


class CompositePanel:
    """The composite's button and its controls."""

    bl_label = "Composite"

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, shots.stage_scene(context, "composite")
        column = layout.column(align=True)
        column.operator("mien.composite", icon="NODE_COMPOSITING", text="Update Composite" if scene else "Build Composite")
        if scene is None:
            return
        draw_way(column, context, "composite")
        column.operator("mien.occlusion_mask", icon="MOD_MASK")
        column.operator("mien.use_occlusion", icon="FILE_TICK")
        tree = compat.existing_tree(scene)
        over = tree.nodes.get(composite_nodes.OVER) if tree is not None else None
        layout.use_property_split, layout.use_property_decorate = True, False
        column = layout.column(align=True)
        for name in composite.CONTROLS if over is not None else ():
            if name in over.inputs and not over.inputs[name].is_linked:
                column.prop(over.inputs[name], "default_value", text=name)


class DeliverPanel:
    """The delivery's formats."""

    bl_label = "Deliver"

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, shots.stage_scene(context, "delivery")
        layout.operator_context = "INVOKE_DEFAULT"
        column = layout.column(align=True)
        column.operator_menu_enum("mien.deliver", "format", text="Deliver", icon="SEQUENCE")
        if not running(column, "EXR layers"):
            column.operator("mien.deliver_layers", icon="RENDERLAYERS")
        if scene is not None:
            draw_way(column, context, "delivery")


class Last(Step):
    """A step that is there in the composite's and the delivery's scene as well, and done once its own scene is."""

    stage: str

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return True

    def state(self, context: bpy.types.Context) -> str:
        under_way = self.stage == "delivery" and render_job.running()
        return DONE if shots.stage_scene(context, self.stage) and not under_way else OPEN

    def word(self, context: bpy.types.Context) -> str:
        delivery = render_job.told() if self.stage == "delivery" else None
        return Step.word(self, context) if delivery is None else f"{delivery[0]:.0%}"


class MIEN_PT_composite(CompositePanel, Last, bpy.types.Panel):
    bl_parent_id = "MIEN_PT_main"
    bl_order = 60
    bl_options = {"DEFAULT_CLOSED"}
    stage = "composite"


class MIEN_PT_deliver(DeliverPanel, Last, bpy.types.Panel):
    bl_parent_id = "MIEN_PT_main"
    bl_order = 70
    bl_options = {"DEFAULT_CLOSED"}
    stage = "delivery"


class Beside:
    """In another editor's sidebar, where a shot is in use."""

    bl_region_type = "UI"
    bl_category = "Mien"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return shots.shot_folder(context) is not None and getattr(context.space_data, "tree_type", "CompositorNodeTree") == "CompositorNodeTree"


class MIEN_PT_composite_nodes(CompositePanel, Beside, bpy.types.Panel):
    bl_space_type = "NODE_EDITOR"


class MIEN_PT_deliver_nodes(DeliverPanel, Beside, bpy.types.Panel):
    bl_space_type = "NODE_EDITOR"


class MIEN_PT_deliver_sequencer(DeliverPanel, Beside, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


CLASSES = (MIEN_PT_composite, MIEN_PT_deliver, MIEN_PT_composite_nodes, MIEN_PT_deliver_nodes, MIEN_PT_deliver_sequencer)
