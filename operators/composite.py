# SPDX-License-Identifier: GPL-3.0-or-later
"""Composite: the baked face layer over the plate, in a scene of the shot's own, so that the artist's scenes stay as they are."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import bpy

from .. import compat
from ..mesh.errors import MienError
from ..mesh.frames import frame_ranges, ranges_text
from ..mesh.shot import Plate, Shot, main_folder
from . import composite_nodes as groups
from . import shots

SHOT_TAG = "mien_shot"
"""Custom property of the scenes made here: the shot folder, relative to the .blend where it can be."""
STAGE_TAG = "mien_stage"
"""Custom property: "composite" or "delivery"."""
COMPOSITE, DELIVERY = "composite", "delivery"
TO_LINEAR = "Linear for EXR"
HASHES = re.compile(r"#+")
WIDTHS = {"CompositorNodeImage": 200, "CompositorNodeGroup": 200}
"""Of nodes with many settings."""


def find_shot(context: bpy.types.Context, folder: str = "") -> Shot:
    """The shot in `folder`, else the one in use; of a plate with several faces the first, as all are composited together. Raises MienError."""
    path = shots.absolute(folder) if folder else shots.shot_folder(context)
    if path is None:
        raise MienError(f"The scene '{context.scene.name}' has no shot; track a plate first.")
    return Shot.load(main_folder(path))


def other_shots(shot: Shot) -> list[Shot]:
    """The shots of the further faces of the plate of which anything is baked, by number. Raises MienError."""
    others = (Shot.load(folder) for number, folder in shot.face_folders().items() if number != shot.face)
    return [other for other in others if any(other.bake_folder.glob("face.*.exr"))]


def shot_scene(shot: Shot, stage: str) -> bpy.types.Scene:
    """The scene of that shot and stage ("composite", "delivery"); made when the file has none. The scene in view stays in view."""
    for scene in bpy.data.scenes:
        if scene.get(STAGE_TAG) == stage and shots.absolute(scene.get(SHOT_TAG, "")) == shot.folder.absolute():
            return scene
    scene = bpy.data.scenes.new(f"Mien {stage.capitalize()} {shots.shot_name(shot.folder)}")
    scene[STAGE_TAG], scene[SHOT_TAG] = stage, shots.stored_path(shot.folder.absolute())
    return scene


def plate_file(shot: Shot, index: int) -> Path:
    """The picture that Blender reads for a frame: a movie's frame as the engine decoded it, or the sequence's own file."""
    if shot.plate.kind == "movie":
        return shot.plate_frame_path(index)
    path = shot.plate_path
    return path.with_name(HASHES.sub(lambda m: str(shot.frame_number(index)).zfill(len(m.group())), path.name))


def missing_frames(shot: Shot) -> dict[str, list[int]]:
    """Frame numbers whose file is missing, by layer ("plate", "face", "matte"); empty when all is there."""
    layers = {"plate": lambda i: plate_file(shot, i), "face": shot.face_path, "matte": shot.matte_path}
    present: dict[Path, set[str]] = {}
    missing: dict[str, list[int]] = {}
    for layer, path_of in layers.items():
        for index in range(shot.plate.frame_count):
            path = path_of(index)
            if path.parent not in present:  # one listing instead of a look at every file
                present[path.parent] = {p.name for p in path.parent.iterdir()} if path.parent.is_dir() else set()
            if path.name not in present[path.parent]:
                missing.setdefault(layer, []).append(shot.frame_number(index))
    return missing


def missing_report(shot: Shot) -> str:
    """One sentence that names missing frames and what to press; "" when none is missing."""
    missing = missing_frames(shot)
    if not missing:
        return ""
    sequence = shot.plate.kind == "sequence"
    if sequence and "plate" in missing:
        return f"The plate {shot.plate_path} lacks frames {_ranges(missing['plate'])}; put the files back."
    numbers = sorted({n for layer in missing.values() for n in layer})
    layers = " and ".join(missing)
    return f"{shot.folder.name} has no baked {layers} for frames {_ranges(numbers)}; press Bake."


def _ranges(numbers: list[int]) -> str:
    return textwrap.shorten(ranges_text(frame_ranges(numbers)), 80, placeholder=" and more")


def is_coded(plate: Plate) -> bool:
    """A plate of more than 8 bits that is not linear stays coded in the compositor; see `groups.coded_group`."""
    return not plate.linear and plate.bits > 8


def set_scene_output(scene: bpy.types.Scene, plate: Plate) -> bool:
    """Size, range, rate and colour settings under which an unedited pixel comes out as it came in; whether the rate can be kept exactly."""
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = plate.width, plate.height, 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.use_border = render.use_multiview = render.use_stamp = False
    render.use_compositing = True
    render.dither_intensity = 0.0
    render.compositor_device, render.compositor_precision = "CPU", "FULL"
    render.film_transparent = plate.alpha
    scene.frame_start, scene.frame_end, scene.frame_step = plate.first_frame, plate.first_frame + plate.frame_count - 1, 1
    scene.display_settings.display_device = "sRGB"
    view = scene.view_settings
    view.view_transform = "Raw" if is_coded(plate) else "Standard"
    view.look, view.exposure, view.gamma, view.use_curve_mapping = "None", 0.0, 1.0, False
    mode = "RGBA" if plate.alpha else "RGB"
    if plate.linear:
        compat.set_still_output(scene, "OPEN_EXR", mode, "32" if plate.bits == 32 else "16")
    else:
        compat.set_still_output(scene, "PNG", mode, "16" if plate.bits > 8 else "8")
        render.image_settings.compression = 15
    return compat.set_frame_rate(scene, *plate.fps)


def build_composite(scene: bpy.types.Scene, shot: Shot) -> None:
    """Make the scene's compositor tree lay the shot's face layer over its plate; frame-exact, at the plate's size, range and rate.

    Built a second time it updates the nodes made here and keeps the matte controls and whatever the artist put between.
    Raises MienError when the plate's file names cannot be read as a sequence by Blender.
    """
    plate = shot.plate
    set_scene_output(scene, plate)
    scene[SHOT_TAG] = shots.stored_path(shot.folder.absolute())
    tree, output = compat.compositor_tree(scene, f"Mien Composite {shots.shot_name(shot.folder)}")
    form = f"{is_coded(plate)} {plate.alpha} {plate.linear}"
    controls = matte_controls(tree)
    if tree.get("mien_form") != form:
        tree.nodes.clear()
        tree, output = compat.compositor_tree(scene, tree.name)
        tree["mien_form"] = form
    TreeUpdate(tree, output, shot).run()
    for node, values in controls.items():
        for name, value in values.items() if node in tree.nodes else ():
            tree.nodes[node].inputs[name].default_value = value
    set_frame_in_range(scene)


CONTROLS = ("Erode", "Blur", "Opacity", "Gain", "Grain", "Grain Size")
"""Inputs of the node group that the artist sets; Occlusion is fed by a mask."""


def matte_controls(tree: bpy.types.NodeTree) -> dict[str, dict[str, Any]]:
    """The artist's inputs as they stand in a composite tree, by the node that lays a face over; empty when it has none yet."""
    out: dict[str, dict[str, Any]] = {}
    for node in tree.nodes:
        if node.name == groups.OVER or node.name.startswith(f"{groups.OVER} "):
            found = {name: node.inputs[name].default_value for name in CONTROLS if name in node.inputs}
            out[node.name] = {name: tuple(value) if name == "Gain" else value for name, value in found.items()}
    return out


def set_linear(scene: bpy.types.Scene, linear: bool) -> None:
    """Let the composite of a coded plate (see `is_coded`) come out scene-linear, as an EXR delivery needs it; others are linear anyway."""
    tree, _ = compat.compositor_tree(scene, scene.name)
    if TO_LINEAR in tree.nodes:
        tree.nodes[TO_LINEAR].mute = not linear


def set_frame_in_range(scene: bpy.types.Scene) -> None:
    """A new scene stands at frame 1, which the shot may not have."""
    if not scene.frame_start <= scene.frame_current <= scene.frame_end:
        scene.frame_current = scene.frame_start


class TreeUpdate:
    """One pass over a composite tree: nodes are found by name or added, and only sockets that nothing feeds are linked."""

    def __init__(self, tree: bpy.types.NodeTree, output: bpy.types.NodeSocket, shot: Shot):
        self.tree, self.output, self.shot = tree, output, shot

    def run(self) -> None:
        plate = self.shot.plate
        coded = is_coded(plate)
        space = "Non-Color" if coded else groups.LINEAR if plate.linear else groups.SRGB
        straight = plate.alpha and not plate.linear
        x = 280 + 220 * straight + 220 * coded
        footage = self.image("Plate", (0, 0), self.plate_file(0), space, "CHANNEL_PACKED" if straight else "PREMUL" if plate.alpha else "NONE")
        picture = footage.outputs["Image"]
        if straight:
            opaque = self.node("Opaque plate", "CompositorNodeSetAlpha", (280, 0))
            compat.set_node_choice(opaque, "Type", "Replace Alpha", "mode", "REPLACE_ALPHA")
            picture = self.feed(picture, opaque.inputs["Image"], opaque.outputs[0])
        original = picture
        if coded:
            linear = self.node("Linear plate", "CompositorNodeConvertColorSpace", (x - 220, 0))
            linear.from_color_space, linear.to_color_space = groups.SRGB, groups.LINEAR
            picture = self.feed(picture, linear.inputs[0], linear.outputs[0])
        over = self.lay(self.shot, "", (x, -100))
        self.feed(picture, over.inputs["Plate"])
        result = over.outputs["Image"]
        for step, other in enumerate(other_shots(self.shot), 1):
            x += 260
            result = self.insert(result, self.lay(other, f" {other.face}", (x, -100 - 150 * step)))
        x += 260
        if coded:
            exact = self.group("Exact code", groups.coded_group(), (x, 0))
            self.feed(original, exact.inputs["Coded"])
            self.feed(picture, exact.inputs["Linear"])
            result = self.feed(result, exact.inputs["Result"], exact.outputs["Image"])
            linear = self.node(TO_LINEAR, "CompositorNodeConvertColorSpace", (x + 220, 0))
            linear.from_color_space, linear.to_color_space, linear.mute = groups.SRGB, groups.LINEAR, True
            result = self.feed(result, linear.inputs[0], linear.outputs[0])
        if straight:
            alpha = self.group("Plate alpha", groups.alpha_group(), (x + 440 * coded, 0))
            self.feed(footage.outputs["Alpha"], alpha.inputs["Alpha"])
            result = self.feed(result, alpha.inputs["Image"], alpha.outputs["Image"])
        self.feed(result, self.output)
        self.output.node.location = (x + 440 * coded + 220 * straight, 0)
        viewer = self.node("Viewer", "CompositorNodeViewer", (self.output.node.location.x, -150))
        self.feed(result, viewer.inputs[0])

    def lay(self, shot: Shot, suffix: str, place: tuple[float, float]) -> bpy.types.Node:
        """The group that lays a face over what is fed to it, with the face's layer and matte, which are folded: nothing is set there."""
        x, y = place[0] - 280, place[1] - 320
        face = self.image(f"Face{suffix}", (x, y), shot.face_path(0), groups.LINEAR, "PREMUL", shot)
        matte = self.image(f"Matte{suffix}", (x, y - 50), shot.matte_path(0), "Non-Color", "NONE", shot)
        over = self.group(f"{groups.OVER}{suffix}", groups.over_group(), place)
        self.feed(face.outputs["Image"], over.inputs["Face"])
        self.feed(matte.outputs["Image"], over.inputs["Matte"])
        return over

    def insert(self, source: bpy.types.NodeSocket, over: bpy.types.Node) -> bpy.types.NodeSocket:
        """Put a group between `source` and whatever it feeds; returns the group's output. One that is fed already stays where the artist has it."""
        if not over.inputs["Plate"].is_linked:
            for target in [link.to_socket for link in source.links]:
                self.tree.links.new(over.outputs["Image"], target)
            self.tree.links.new(source, over.inputs["Plate"])
        return over.outputs["Image"]

    def plate_file(self, index: int) -> Path:
        """As the module's function. Raises MienError where Blender would take another number of the name for the frame's."""
        path = plate_file(self.shot, index)
        if self.shot.plate.kind == "sequence" and re.search(r"#.*\d", self.shot.plate_path.stem):
            raise MienError(f"The plate {self.shot.plate_path.name} has digits after the frame number, which Blender takes for the frame number; "
                            "rename the files so that the frame number comes last.")
        return path

    def node(self, name: str, kind: str, location: tuple[float, float]) -> bpy.types.Node:
        """The tree's node of that name, added when it is not there or of another kind."""
        node = self.tree.nodes.get(name)
        if node is None or node.bl_idname != kind:
            node = self.tree.nodes.new(kind)
            node.name = node.label = name
            node.location, node.select, node.show_preview = location, False, False
            node.hide = name.startswith(("Mien Face", "Mien Matte"))
            node.width = max(node.width, WIDTHS.get(kind, 0))  # or their labels are cut off
        return node

    def group(self, name: str, tree: bpy.types.NodeTree, location: tuple[float, float]) -> bpy.types.Node:
        node = self.node(name, "CompositorNodeGroup", location)
        if node.node_tree != tree:
            node.node_tree = tree
        return node

    def feed(self, source: bpy.types.NodeSocket, target: bpy.types.NodeSocket, result: bpy.types.NodeSocket | None = None) -> bpy.types.NodeSocket:
        """Link where nothing is linked; returns `result`, or `source` where the chain has no further node."""
        if not target.is_linked:
            self.tree.links.new(source, target)
        return result or source

    def image(self, layer: str, location: tuple[float, float], first: Path, space: str, alpha_mode: str,
              shot: Shot | None = None) -> bpy.types.Node:
        """An image node that shows, at each frame of the shot, the file with that frame's number."""
        shot = shot or self.shot
        plate = shot.plate
        node = self.node(f"Mien {layer}", "CompositorNodeImage", location)
        name = f"Mien {shots.shot_name(shot.folder)} {layer.split()[0].lower()}"
        image = node.image or bpy.data.images.new(name, 1, 1)
        path = shots.stored_path(first)
        source = "SEQUENCE" if layer != "Plate" or plate.kind == "movie" or HASHES.search(plate.path) else "FILE"
        if image.source != source:
            image.source = source
        if image.filepath != path:
            image.filepath = path
        else:
            image.reload()  # the frames may have been baked again
        image.colorspace_settings.name = space
        image.alpha_mode = alpha_mode
        node.image = image
        node.frame_start, node.frame_duration, node.frame_offset = plate.first_frame, plate.frame_count, plate.first_frame - 1
        node.use_cyclic, node.use_auto_refresh = False, True
        return node


class MIEN_OT_composite(bpy.types.Operator):
    """Lay the baked face over the plate in a compositor scene of its own; press again after the plate or the shot folder moved"""

    bl_idname = "mien.composite"
    bl_label = "Build Composite"
    bl_options = {"REGISTER", "UNDO"}

    folder: bpy.props.StringProperty(name="Shot", description="Shot folder; empty: that of the scene in view", subtype="DIR_PATH", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_shot(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            shot = find_shot(context, self.folder)
            scene = shot_scene(shot, COMPOSITE)
            build_composite(scene, shot)
            missing = next(filter(None, map(missing_report, (shot, *other_shots(shot)))), "")
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"WARNING"} if missing else {"INFO"}, missing or f"The composite is in the scene '{scene.name}'.")
        return {"FINISHED"}


def poll_shot(operator: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Is there a baked shot in use? A script in background mode may have none and name the shot folder itself."""
    folder = shots.shot_folder(context)
    if folder is None:
        operator.poll_message_set("This scene has no shot: open a plate and press Track")
        return bpy.app.background
    info = shots.shot_info(folder)
    if not info.baked and not bpy.app.background:
        operator.poll_message_set(info.problem or "Nothing is baked yet: press Bake")
        return False
    return True


CLASSES = (MIEN_OT_composite,)
