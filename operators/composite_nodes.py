# SPDX-License-Identifier: GPL-3.0-or-later
"""The node groups of the composite: how the face layer is laid over the plate without touching a pixel outside the matte.

All groups carry a tag and a version, so that every scene of a file shares them and an older form is brought up to date in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import bpy

from .. import compat

OVER = "Mien Over Plate"
ALPHA = "Mien Plate Alpha"
CODED = "Mien Exact Code"
TAG, VERSION_TAG = "mien_group", "mien_version"
VERSION = 3
LINEAR, SRGB = "Linear Rec.709", "sRGB"


class Builder:
    """Adds nodes to a tree from left to right."""

    def __init__(self, tree: bpy.types.NodeTree):
        self.tree, self.column = tree, 0

    def add(self, kind: str, name: str, *, column: int | None = None, row: int = 0) -> bpy.types.Node:
        """A new node, placed in the next column unless told otherwise."""
        self.column = self.column + 1 if column is None else column
        node = self.tree.nodes.new(kind)
        node.name = node.label = name
        node.location = (self.column * 220, -row * 200)
        return node

    def link(self, source: bpy.types.NodeSocket, target: bpy.types.NodeSocket) -> None:
        self.tree.links.new(source, target)

    def math(self, operation: str, a: bpy.types.NodeSocket | float, b: bpy.types.NodeSocket | float, name: str,
             row: int = 0) -> bpy.types.NodeSocket:
        """a (operation) b."""
        node = self.add("ShaderNodeMath", name, row=row)
        node.operation = operation
        for socket, value in zip(node.inputs, (a, b)):
            if isinstance(value, bpy.types.NodeSocket):
                self.link(value, socket)
            else:
                socket.default_value = value
        node.inputs[2].default_value = 0.0  # COMPARE's tolerance
        return node.outputs[0]

    def mix(self, blend: str, a: bpy.types.NodeSocket, b: bpy.types.NodeSocket, name: str, row: int = 0) -> bpy.types.NodeSocket:
        """Colours a (blend) b in full; alpha is a's."""
        node = self.add("ShaderNodeMix", name, row=row)
        node.data_type, node.blend_type = "RGBA", blend
        socket = {s.identifier: s for s in node.inputs}
        socket["Factor_Float"].default_value = 1.0
        self.link(a, socket["A_Color"])
        self.link(b, socket["B_Color"])
        return next(s for s in node.outputs if s.identifier == "Result_Color")

    def alpha(self, image: bpy.types.NodeSocket, alpha: bpy.types.NodeSocket | float, name: str, *, multiply: bool = False,
              row: int = 0) -> bpy.types.NodeSocket:
        """`image` with its alpha replaced, or all four channels multiplied by it."""
        node = self.add("CompositorNodeSetAlpha", name, row=row)
        if multiply:
            compat.set_node_choice(node, "Type", "Apply Mask", "mode", "APPLY")
        else:
            compat.set_node_choice(node, "Type", "Replace Alpha", "mode", "REPLACE_ALPHA")
        self.link(image, node.inputs["Image"])
        if isinstance(alpha, bpy.types.NodeSocket):
            self.link(alpha, node.inputs["Alpha"])
        else:
            node.inputs["Alpha"].default_value = alpha
        return node.outputs[0]

    def convert(self, image: bpy.types.NodeSocket, source: str, target: str, name: str, row: int = 0) -> bpy.types.NodeSocket:
        """`image` from one colour space into another."""
        node = self.add("CompositorNodeConvertColorSpace", name, row=row)
        node.from_color_space, node.to_color_space = source, target
        self.link(image, node.inputs[0])
        return node.outputs[0]

    def channel(self, image: bpy.types.NodeSocket, channel: str, name: str, row: int = 0) -> bpy.types.NodeSocket:
        """One channel of `image`: "Red", "Green", "Blue" or "Alpha"."""
        node = self.add("CompositorNodeSeparateColor", name, row=row)
        self.link(image, node.inputs[0])
        return node.outputs[channel]


def over_group() -> bpy.types.NodeTree:
    """"Mien Over Plate": Plate, Face, Matte, Erode (px), Blur (px), Opacity, Occlusion, Gain, Grain, Grain Size -> Image, Matte.

    Plate and Face are scene-linear and premultiplied. With m the matte eroded, then blurred, then times opacity times (1 - occlusion):
    image = plate (1 - m c) + face' m a, where c is the face's coverage (1 within the matte) and a the plate's own alpha, which stays;
    face' is the face times gain plus grain. Where m is 0 the plate passes unchanged, and erode 0, blur 0, opacity 1, occlusion 0 leave the
    matte as it was baked, gain 1 and grain 0 the face.
    """
    return _shared(OVER, _fill_over)


def alpha_group() -> bpy.types.NodeTree:
    """"Mien Plate Alpha": premultiply a straight Image by Alpha, but keep the colour where alpha is 0, which a PNG has and premultiplying loses."""
    return _shared(ALPHA, _fill_alpha)


def coded_group() -> bpy.types.NodeTree:
    """"Mien Exact Code": Coded + sRGB(Result) - sRGB(Linear), all opaque.

    Blender's conversion from sRGB to linear and back is off by one in 65535 here and there, which an 8-bit plate never shows and a 16-bit one
    does. So a 16-bit plate stays coded, and only the change goes through the conversion: no change adds exactly nothing.
    """
    return _shared(CODED, _fill_coded)


def _shared(name: str, fill: Callable[[bpy.types.NodeTree], None]) -> bpy.types.NodeTree:
    """The group of that tag in this file: as it is when up to date (whoever changed it meant to), filled anew when older, made when missing."""
    tree = next((t for t in bpy.data.node_groups if t.get(TAG) == name and t.bl_idname == "CompositorNodeTree"), None)
    if tree is None:
        tree = bpy.data.node_groups.new(name, "CompositorNodeTree")
        tree[TAG] = name
    elif tree.library is not None or tree.get(VERSION_TAG, 0) >= VERSION:
        return tree
    tree.nodes.clear()
    tree.interface.clear()
    fill(tree)
    tree[VERSION_TAG] = VERSION
    tree.use_fake_user = True
    return tree


def _socket(tree: bpy.types.NodeTree, name: str, kind: str, tip: str, default: float | None = None, low: float = 0, high: float = 1) -> None:
    socket = tree.interface.new_socket(name, description=tip, in_out="INPUT", socket_type=f"NodeSocket{kind}")
    if default is not None:
        socket.default_value, socket.min_value, socket.max_value = default, low, high
        if name in ("Opacity", "Occlusion"):
            socket.subtype = "FACTOR"


def _ends(tree: bpy.types.NodeTree, outputs: dict[str, str]) -> tuple[Builder, bpy.types.NodeInputs, bpy.types.Node]:
    """Group input and output nodes, with sockets `outputs` {name: kind}."""
    for name, kind in outputs.items():
        tree.interface.new_socket(name, in_out="OUTPUT", socket_type=f"NodeSocket{kind}")
    build = Builder(tree)
    source = build.add("NodeGroupInput", "Input", column=0)
    sink = build.add("NodeGroupOutput", "Output", column=9)
    build.column = 0
    return build, source.outputs, sink


def _fill_over(tree: bpy.types.NodeTree) -> None:
    _socket(tree, "Plate", "Color", "The filmed picture")
    _socket(tree, "Face", "Color", "The baked face layer, premultiplied")
    _socket(tree, "Matte", "Color", "The baked matte: where the face replaces the plate")
    _socket(tree, "Erode", "Int", "Shrink the matte by this many pixels; negative numbers grow it", 0, -256, 256)
    _socket(tree, "Blur", "Float", "Soften the matte's edge by this many pixels, after eroding", 0.0, 0.0, 256.0)
    _socket(tree, "Opacity", "Float", "How much of the edit is seen; 0 is the plate", 1.0)
    _socket(tree, "Occlusion", "Float", "Where something stands before the face, such as a hand: 1 keeps the plate. Feed it from a mask", 0.0)
    _socket(tree, "Gain", "Color", "Multiplies the face's colour, to match a plate that was graded since; white leaves it")
    tree.interface.items_tree["Gain"].default_value = (1, 1, 1, 1)
    _socket(tree, "Grain", "Float", "Noise that is added to the face, new on each frame; the plate's own grain is kept at 0", 0.0)
    _socket(tree, "Grain Size", "Float", "How many pixels wide a grain is; its strength stays", 1.0, 1.0, 16.0)
    build, inputs, sink = _ends(tree, {"Image": "Color", "Matte": "Float"})

    size = build.math("MULTIPLY", inputs["Erode"], -1.0, "Shrink", row=1)
    erode = build.add("CompositorNodeDilateErode", "Erode", row=1)
    # One channel of a grey picture is the value itself; the conversion to a value could round it.
    build.link(build.channel(inputs["Matte"], "Red", "Matte value", row=2), erode.inputs["Mask"])
    build.link(size, erode.inputs["Size"])
    blur = build.add("CompositorNodeBlur", "Blur", row=1)
    compat.set_node_choice(blur, "Type", "Gaussian", "filter_type", "GAUSS")
    build.link(erode.outputs[0], blur.inputs["Image"])
    build.link(inputs["Blur"], blur.inputs["Size"])
    matte = build.math("MULTIPLY", build.channel(blur.outputs[0], "Red", "Soft matte", row=1), inputs["Opacity"], "Opacity", row=1)
    seen = build.math("SUBTRACT", 1.0, inputs["Occlusion"], "Not occluded", row=1)
    matte = build.math("MULTIPLY", matte, seen, "Unoccluded matte", row=1)

    plate_alpha = build.channel(inputs["Plate"], "Alpha", "Plate alpha", row=2)
    combine = build.add("CompositorNodeCombineColor", "Alpha as grey", row=2)
    for channel in ("Red", "Green", "Blue"):
        build.link(plate_alpha, combine.inputs[channel])
    graded = build.mix("MULTIPLY", inputs["Face"], inputs["Gain"], "Gain", row=2)
    face = build.mix("MULTIPLY", _grained(build, graded, inputs), combine.outputs[0], "Face within the plate", row=2)
    over = build.add("CompositorNodeAlphaOver", "Over", row=0)
    background, foreground, factor = compat.over_sockets(over)
    build.link(inputs["Plate"], background)
    build.link(face, foreground)
    build.link(matte, factor)
    build.link(build.alpha(over.outputs[0], plate_alpha, "The plate's alpha"), sink.inputs["Image"])
    build.link(matte, sink.inputs["Matte"])
    sink.location.x = (build.column + 1) * 220


def _grained(build: Builder, face: bpy.types.NodeSocket, inputs: bpy.types.NodeInputs) -> bpy.types.NodeSocket:
    """The face plus noise of its own for each frame. As in a camera's file it grows with the square root of the light.

    White noise, blurred by a Gaussian of 0.3 grain sizes (Blender's blur of a radius has a third of it as its deviation), whose correlation falls
    to one half at half a grain's width; made stronger by 2 sqrt(pi) deviations, by which the blur weakens it.
    """
    place = build.add("CompositorNodeImageCoordinates", "Pixel", row=3)
    build.link(inputs["Plate"], place.inputs[0])
    time = build.add("CompositorNodeSceneTime", "Frame", row=4)
    frame = build.add("ShaderNodeCombineXYZ", "Frame as z", row=4)
    build.link(time.outputs["Frame"], frame.inputs["Z"])
    seed = build.add("ShaderNodeVectorMath", "Pixel and frame", row=3)
    build.link(next(s for s in place.outputs if s.name == "Pixel"), seed.inputs[0])
    build.link(frame.outputs[0], seed.inputs[1])
    noise = build.add("ShaderNodeTexWhiteNoise", "Noise", row=3)
    noise.noise_dimensions = "3D"
    build.link(seed.outputs[0], noise.inputs["Vector"])
    centred = build.add("ShaderNodeVectorMath", "Noise around 0", row=3)
    centred.operation = "SUBTRACT"
    build.link(noise.outputs["Color"], centred.inputs[0])
    centred.inputs[1].default_value = (0.5, 0.5, 0.5)
    soft = build.add("CompositorNodeBlur", "Grain size", row=3)
    compat.set_node_choice(soft, "Type", "Gaussian", "filter_type", "GAUSS")
    build.link(centred.outputs[0], soft.inputs["Image"])
    build.link(build.math("MULTIPLY", inputs["Grain Size"], 0.9, "Three deviations", row=4), soft.inputs["Size"])
    light = build.math("MAXIMUM", build.channel(face, "Green", "Light", row=4), 0.0, "Not below 0", row=4)
    light = build.math("MINIMUM", light, 64.0, "Finite", row=4)
    strength = build.math("MULTIPLY", build.math("POWER", light, 0.5, "Root of the light", row=4), inputs["Grain"], "Grain", row=4)
    kept = build.math("MAXIMUM", build.math("MULTIPLY", inputs["Grain Size"], 0.6 * math.sqrt(math.pi), "Weakened by", row=4), 1.0, "Kept", row=4)
    strength = build.math("MULTIPLY", strength, kept, "Strength", row=4)
    scaled = build.add("ShaderNodeVectorMath", "Grain of the frame", row=3)
    scaled.operation = "SCALE"
    build.link(soft.outputs[0], scaled.inputs[0])
    build.link(strength, scaled.inputs["Scale"])
    return build.mix("ADD", face, scaled.outputs[0], "Face and grain", row=2)


def _fill_alpha(tree: bpy.types.NodeTree) -> None:
    _socket(tree, "Image", "Color", "Straight colours, opaque")
    _socket(tree, "Alpha", "Float", "The plate's alpha", 1.0)
    build, inputs, sink = _ends(tree, {"Image": "Color"})
    empty = build.math("COMPARE", inputs["Alpha"], 0.0, "Alpha is 0", row=1)
    factor = build.math("MAXIMUM", inputs["Alpha"], empty, "Alpha, or 1", row=1)
    scaled = build.alpha(inputs["Image"], factor, "Premultiply", multiply=True)
    build.link(build.alpha(scaled, inputs["Alpha"], "Alpha"), sink.inputs["Image"])


def _fill_coded(tree: bpy.types.NodeTree) -> None:
    _socket(tree, "Coded", "Color", "The plate as its file has it")
    _socket(tree, "Linear", "Color", "The plate in linear light")
    _socket(tree, "Result", "Color", "The composite in linear light")
    build, inputs, sink = _ends(tree, {"Image": "Color"})
    after = build.convert(inputs["Result"], LINEAR, SRGB, "Result, coded")
    before = build.convert(inputs["Linear"], LINEAR, SRGB, "Plate, coded", row=1)
    change = build.mix("SUBTRACT", after, before, "Change")
    build.link(build.mix("ADD", inputs["Coded"], change, "Plate + change"), sink.inputs["Image"])
