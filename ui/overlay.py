# SPDX-License-Identifier: GPL-3.0-or-later
"""What Mien draws into the 3D viewport: the result preview over the plate, its state, and the legend of the difference map."""

from __future__ import annotations

import blf
import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from ..operators import render_job, result, shots
from ..operators.difference import COLOURS
from ..operators.view import picture_corners
from .drawing import Drawer, rectangle

MARGIN, LINE = 14, 18
"""Pixels at a scale of 1."""
WORKING = ("working...", "starting, the first picture takes some seconds...")
QUICK = "without the change of skin and mouth yet; "
TEXT, PANE = (1.0, 1.0, 1.0, 0.9), (0.0, 0.0, 0.0, 0.55)

_texture: tuple[result.Picture, gpu.types.GPUTexture] | None = None


def draw() -> None:
    """The draw handler of all 3D views."""
    context = bpy.context
    delivery = render_job.told()
    if delivery is not None:  # its scene is in view, which has nothing to show here but the plate, through the shot's camera
        say(context, [delivery[1], "The view shows the plate meanwhile, and the shot again when it is done. Esc stops it"])
        return
    face = shots.active_face(context)
    if face is None:
        return
    preview = result.running()
    if preview is not None:
        draw_result(context, face, preview)
    if face.mien.difference and face.mien.live and context.space_data.overlay.show_overlays:
        draw_legend(context, face)


def camera_frame(context: bpy.types.Context, face: bpy.types.Object) -> tuple[float, float, float, float] | None:
    """left, bottom, right, top of the shot's picture in this region; None when the view does not look through the shot's camera."""
    return picture_corners(context.scene, context.region, context.space_data, face.mien.camera)


def draw_result(context: bpy.types.Context, face: bpy.types.Object, preview: result.Preview) -> None:
    """The picture, where the plate shows that part of the frame, and one line on its state."""
    frame = context.scene.frame_current
    place = camera_frame(context, face)
    wanted = result.wanted_of(face, frame)
    if place is None:
        say(context, ["Result preview: press Numpad 0 to look through the shot's camera"])
        return
    picture = preview.picture
    if picture is not None and wanted is not None and (picture.wanted.folder, picture.wanted.frame) == (wanted.folder, wanted.frame) and picture.box:
        draw_picture(context, face, picture, place)
    if not context.space_data.overlay.show_overlays:
        return
    if preview.problem:
        state = preview.problem
    elif wanted is None:
        state = "Result preview: this frame is outside the shot"
    elif preview.waiting_for(wanted):
        state = "Result preview: " + (QUICK if picture is not None and picture.quick else "") + (
            "waits for the playback to stop" if result.playing() else preview.stage or WORKING[picture is None])
    else:
        state = f"Result preview: frame {frame}" + ("" if picture is None or picture.box else " has no face, it stays as filmed")
    say(context, [state])


def draw_picture(context: bpy.types.Context, face: bpy.types.Object, picture: result.Picture, place: tuple[float, float, float, float]) -> None:
    """Lay the picture over the camera frame."""
    info = shots.shot_info(shots.absolute(face.mien.shot_folder))
    if info.shot is None or picture.box is None:
        return
    (left, bottom, right, top), (x0, y0, x1, y1) = place, picture.box
    across, down = (right - left) / info.shot.plate.width, (top - bottom) / info.shot.plate.height
    corners = [(left + x * across, top - y * down) for x, y in ((x0, y1), (x1, y1), (x1, y0), (x0, y0))]
    shader = gpu.shader.from_builtin("IMAGE")
    batch = batch_for_shader(shader, "TRI_FAN", {"pos": corners, "texCoord": ((0, 0), (1, 0), (1, 1), (0, 1))})
    gpu.state.blend_set("NONE")
    shader.bind()
    shader.uniform_sampler("image", texture_of(picture))
    batch.draw(shader)


def texture_of(picture: result.Picture) -> gpu.types.GPUTexture:
    """The picture on the graphics card, sent there once."""
    global _texture
    if _texture is None or _texture[0] is not picture:
        height, width = picture.pixels.shape[:2]
        rgba = np.ones((height, width, 4), np.float32)
        rgba[..., :3] = picture.pixels[::-1] / np.float32(255)
        data = gpu.types.Buffer("FLOAT", rgba.size, rgba.ravel())
        _texture = picture, gpu.types.GPUTexture((width, height), format="RGBA8", data=data)
    return _texture[1]


def draw_legend(context: bpy.types.Context, face: bpy.types.Object) -> None:
    """The colours of the difference map from 0 mm to the range, at the lower right."""
    scale = context.preferences.system.ui_scale
    width, height, margin = 180 * scale, 12 * scale, MARGIN * scale
    x, y = context.region.width - width - 2 * margin - sidebar(context), 2.5 * margin
    stops = [x + width * i / (len(COLOURS) - 1) for i in range(len(COLOURS))]
    shades = np.where(COLOURS < 0.0031308, COLOURS * 12.92, 1.055 * np.maximum(COLOURS, 1e-6) ** (1 / 2.4) - 0.055)
    places = [(px, py) for px in stops for py in (y, y + height)]
    colours = [(*map(float, shade), 1.0) for shade in shades for _ in range(2)]
    backdrop(x - margin, y - 1.6 * margin, width + 2 * margin, height + 4 * margin)
    shader = gpu.shader.from_builtin("SMOOTH_COLOR")
    batch_for_shader(shader, "TRI_STRIP", {"pos": places, "color": colours}).draw(shader)
    most = face.mien.difference_range
    for part, words in ((0.0, "0 mm"), (0.5, f"{most / 2:.1f} mm"), (1.0, f"{most:.1f} mm +")):
        write(words, x + part * width, y - margin, scale, back=part)
    write("How far the edit moves the face", x, y + height + 6 * scale, scale)


def sidebar(context: bpy.types.Context) -> float:
    """Pixels of the region that the sidebar covers."""
    region = next((r for r in context.area.regions if r.type == "UI"), None)
    overlaps = context.preferences.system.use_region_overlap
    return region.width if region is not None and overlaps and region.width > 1 else 0


def say(context: bpy.types.Context, lines: list[str]) -> None:
    """Lines at the lower left of the view, beside the toolbar."""
    scale = context.preferences.system.ui_scale
    tools = next((r.width for r in context.area.regions if r.type == "TOOLS"), 0)
    undo = next((r.height + r.y - context.region.y for r in context.area.regions if r.type == "HUD" and r.height > 1), 0)  # Adjust Last Operation
    x, y = tools + MARGIN * scale, max(undo, 0) + MARGIN * scale
    blf.size(0, 12 * scale)
    backdrop(x - 6 * scale, y - 6 * scale, max(blf.dimensions(0, line)[0] for line in lines) + 12 * scale, len(lines) * LINE * scale + 4 * scale)
    for i, line in enumerate(reversed(lines)):
        write(line, x, y + i * LINE * scale, scale)


def backdrop(x: float, y: float, width: float, height: float) -> None:
    """A dark pane behind text, which a bright plate would swallow."""
    rectangle(x, y, x + width, y + height, PANE)


def write(words: str, x: float, y: float, scale: float, *, back: float = 0.0) -> None:
    """One line of text with a shadow, readable on any plate; it begins that part of its width before x."""
    font = 0
    blf.size(font, 12 * scale)
    blf.enable(font, blf.SHADOW)
    blf.shadow(font, 5, 0, 0, 0, 1)
    blf.color(font, *TEXT)
    blf.position(font, x - back * blf.dimensions(font, words)[0], y, 0)
    blf.draw(font, words)
    blf.disable(font, blf.SHADOW)


PICTURE = Drawer(bpy.types.SpaceView3D, draw)
register = PICTURE.add


def unregister() -> None:
    global _texture
    _texture = None
    PICTURE.remove()


CLASSES = ()
