# SPDX-License-Identifier: GPL-3.0-or-later
"""Occlusion: a mask, drawn by the artist, where something stands before the face and the plate is to stay."""

from __future__ import annotations

import bpy

from .. import compat
from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import composite, shots
from .composite_nodes import OVER

NODE = "Occlusion mask"


def add_mask(scene: bpy.types.Scene, shot: Shot) -> bpy.types.Mask:
    """The mask that feeds Occlusion in this composite scene; made, with one layer, where there is none. What is linked there stays."""
    tree, _ = compat.compositor_tree(scene, scene.name)
    node = tree.nodes.get(NODE)
    if node is None or node.bl_idname != "CompositorNodeMask":
        node = tree.nodes.new("CompositorNodeMask")
        node.name = node.label = NODE
        node.location = (450, -700)
    if node.mask is None:
        node.mask = bpy.data.masks.new(f"{shots.shot_name(shot.folder)} Occlusion")
        node.mask.layers.new(name="Hand")
    node.mask.frame_start, node.mask.frame_end = scene.frame_start, scene.frame_end
    target = tree.nodes[OVER].inputs["Occlusion"]
    if not target.is_linked:
        tree.links.new(node.outputs[0], target)
    return node.mask


def show_mask(context: bpy.types.Context, scene: bpy.types.Scene, mask: bpy.types.Mask) -> bool:
    """Open the mask over the plate in an Image Editor of this screen; False when the screen has none."""
    tree, _ = compat.compositor_tree(scene, scene.name)
    for area in context.screen.areas if context.screen else ():
        if area.type == "IMAGE_EDITOR":
            space = area.spaces.active
            space.image = tree.nodes["Mien Plate"].image
            space.image_user.frame_start, space.image_user.frame_duration = scene.frame_start, scene.frame_end - scene.frame_start + 1
            space.image_user.frame_offset, space.image_user.use_auto_refresh = scene.frame_start - 1, True
            space.mode, space.mask = "MASK", mask
            return True
    return False


class MIEN_OT_occlusion_mask(bpy.types.Operator):
    """Draw where a hand or hair is before the face: there the plate stays. Opens the mask over the plate in an Image Editor, where there is one"""

    bl_idname = "mien.occlusion_mask"
    bl_label = "Draw Occlusion"
    bl_options = {"REGISTER", "UNDO"}

    folder: bpy.props.StringProperty(name="Shot", description="Shot folder; empty: that of the scene in view", subtype="DIR_PATH", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if shots.stage_scene(context, composite.COMPOSITE) is None:
            cls.poll_message_set("There is no composite yet: press Build Composite")
            return bpy.app.background
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            shot = composite.find_shot(context, self.folder)
            scene = composite.shot_scene(shot, composite.COMPOSITE)
            composite.build_composite(scene, shot)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        mask = add_mask(scene, shot)
        if show_mask(context, scene, mask):
            self.report({"INFO"}, "Ctrl click in the Image Editor to draw around the hand; key the points with I.")
        else:
            self.report({"INFO"}, f"The mask '{mask.name}' is linked; open an Image Editor, press Draw Occlusion again, and draw it there.")
        return {"FINISHED"}


CLASSES = (MIEN_OT_occlusion_mask,)
