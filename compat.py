# SPDX-License-Identifier: GPL-3.0-or-later
"""Every difference between Blender 4.5 LTS, 5.0 and 5.2 LTS."""

from __future__ import annotations

from fractions import Fraction

import bpy
import numpy as np

MAX_FPS = 32767
"""Blender keeps fps in 16 bits."""


# --- compositor, sequencer and output: operators.composite and operators.deliver ---

def compositor_tree(scene: bpy.types.Scene, name: str) -> tuple[bpy.types.NodeTree, bpy.types.NodeSocket]:
    """The scene's compositor tree, made when it has none, and the input socket of its output node.

    5.0 and later: a node group called `name`, ending in a group output. 4.5: the scene's own tree, ending in a Composite node.
    """
    if bpy.app.version >= (5, 0, 0):
        tree = scene.compositing_node_group
        if tree is None:
            tree = scene.compositing_node_group = bpy.data.node_groups.new(name, "CompositorNodeTree")
        if not any(item.item_type == "SOCKET" and item.in_out == "OUTPUT" for item in tree.interface.items_tree):
            tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        kind = "NodeGroupOutput"
    else:
        scene.use_nodes = True
        tree, kind = scene.node_tree, "CompositorNodeComposite"
    output = next((node for node in tree.nodes if node.bl_idname == kind), None)
    if output is None:
        output = tree.nodes.new(kind)
    return tree, output.inputs[0]


def existing_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """The scene's compositor tree, for panels, which may not make one."""
    return scene.compositing_node_group if bpy.app.version >= (5, 0, 0) else scene.node_tree


def remove_scene(scene: bpy.types.Scene) -> None:
    """Delete a scene with its compositor tree, which from 5.0 on is a data-block of its own."""
    tree = scene.compositing_node_group if bpy.app.version >= (5, 0, 0) else None
    bpy.data.scenes.remove(scene)
    if tree is not None:
        bpy.data.node_groups.remove(tree)


def over_sockets(node: bpy.types.Node) -> tuple[bpy.types.NodeSocket, bpy.types.NodeSocket, bpy.types.NodeSocket]:
    """(background, foreground, factor) of an Alpha Over node; their order differs between 4.5 and 5.0."""
    if bpy.app.version >= (5, 0, 0):
        return node.inputs[0], node.inputs[1], node.inputs[2]
    return node.inputs[1], node.inputs[2], node.inputs[0]


def set_node_choice(node: bpy.types.Node, socket: str, menu: str, attribute: str, value: str) -> None:
    """Choose a node's option: the menu socket `socket` of 5.0 and later, or the property `attribute` of 4.5."""
    if socket in node.inputs:
        node.inputs[socket].default_value = menu
    else:
        setattr(node, attribute, value)


def show_sequence(workspace: bpy.types.WorkSpace, scene: bpy.types.Scene | None) -> None:
    """Let the workspace's sequencers show that scene's strips; before 5.0 they show the scene of the window."""
    if scene is not None and hasattr(workspace, "sequencer_scene"):
        workspace.sequencer_scene = scene


def set_still_output(scene: bpy.types.Scene, file_format: str, color_mode: str, color_depth: str) -> None:
    """Write pictures: "PNG" or "OPEN_EXR", "RGB" or "RGBA", depth "8", "16" or "32"."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = file_format
    settings.color_mode, settings.color_depth = color_mode, color_depth


def set_movie_output(scene: bpy.types.Scene, color_mode: str) -> None:
    """Write a movie; the codec stands in `scene.render.ffmpeg`, which decides whether "RGBA" is allowed."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    settings.color_mode = color_mode


def set_frame_rate(scene: bpy.types.Scene, numerator: int, denominator: int) -> bool:
    """Give the scene an exact frame rate; False when Blender's movie writer can only come close to it.

    Blender keeps fps as an integer and fps_base as a float32, and its movie writer cuts fps_base off to about seven decimal digits. So a pair is
    chosen whose base is a short decimal, and the float is rounded up, so that cutting it off gives the decimal itself (1000000/33333 is 30 over
    0.99999; the nearest float, 0.99998999, would be written as 0.99998).
    """
    rate = Fraction(numerator, denominator)
    fps, base, exact = _frame_rate(rate)
    scene.render.fps = fps
    nearest = np.float32(base)
    scene.render.fps_base = float(nearest if Fraction(float(nearest)) >= base else np.nextafter(nearest, np.float32(np.inf)))
    return exact


def frame_rate_is_exact(numerator: int, denominator: int) -> bool:
    """Can Blender's movie writer keep this rate?"""
    return _frame_rate(Fraction(numerator, denominator))[2]


def _frame_rate(rate: Fraction) -> tuple[int, Fraction, bool]:
    """(fps, base, exact) with fps / base == rate; the fps nearest to the rate is preferred, as it is what people expect to read."""
    nominal = max(1, round(rate))
    part = rate.numerator
    for prime in (2, 5):
        while part % prime == 0:
            part //= prime
    first = -(-nominal // part) * part
    for fps in (nominal, *range(first, MAX_FPS + 1, part), *range(part, first, part)):
        base = fps / rate
        places = 7 - len(str(int(base)))
        if base < 1_000_000 and (base * 10**places).denominator == 1:
            return fps, base, True
    return nominal, nominal / rate, False


# --- materials: operators.face ---

def use_nodes(material: bpy.types.Material) -> None:
    """Needed in 4.5; always so, and deprecated, from 5.0 on."""
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True


# --- animation: operators.face and operators.emotion ---

def channelbag(data: bpy.types.ID) -> bpy.types.ActionChannelbag | None:
    """Where the F-curves of `data` lie: its action's first key-frame strip, its own slot. None when it has no action.

    Actions are layered in all supported versions; `action.fcurves` is gone in 5.0.
    """
    animation = data.animation_data
    if animation is None or animation.action is None or animation.action_slot is None:
        return None
    return _slot_bag(animation.action, animation.action_slot)


def slot_curves(action: bpy.types.Action | None, slot: bpy.types.ActionSlot | None) -> list[bpy.types.FCurve]:
    """The F-curves of an action's slot; none where there is no action or slot."""
    bag = _slot_bag(action, slot) if action is not None and slot is not None else None
    return list(bag.fcurves) if bag is not None else []


def _slot_bag(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> bpy.types.ActionChannelbag | None:
    for layer in action.layers:
        for strip in layer.strips:
            if strip.type == "KEYFRAME":
                return strip.channelbag(slot)
    return None


def ensure_channelbag(data: bpy.types.ID, name: str) -> bpy.types.ActionChannelbag:
    """As `channelbag`; an action called `name`, a slot, a layer and a strip are made where there are none."""
    animation = data.animation_data or data.animation_data_create()
    if animation.action is None:
        animation.action = bpy.data.actions.new(name)
    action = animation.action
    if animation.action_slot is None:
        suitable = list(animation.action_suitable_slots)
        animation.action_slot = suitable[0] if suitable else action.slots.new(id_type=data.id_type, name=data.name)
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(animation.action_slot, ensure=True)


def share_action(source: bpy.types.ID, target: bpy.types.ID) -> None:
    """Let `target`, a data-block of the same type, play the curves of `source`: its action, its slot."""
    animation = target.animation_data or target.animation_data_create()
    animation.action = source.animation_data.action
    animation.action_slot = source.animation_data.action_slot
