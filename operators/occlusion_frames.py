# SPDX-License-Identifier: GPL-3.0-or-later
"""The mask that the artist drew in Blender as pictures in SHOT/occlusion, where solve, texture and bake find it.

Blender itself rasterises the mask, a frame at each tick of a timer, so that its window stays alive; Esc stops and leaves what was there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import bpy

from .. import compat
from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import composite, shots
from .engine import poll_idle, show_status
from .occlusion import NODE
from .render_job import first_line

TICK = 0.01
PICTURE = "mask.{:04d}.png"
NO_MASK = "There is no mask yet: press Draw Occlusion in the Composite panel and draw one"


def drawn_mask(shot: Shot) -> bpy.types.Mask | None:
    """The mask of the shot's composite, where something is drawn on it."""
    for scene in bpy.data.scenes:
        if scene.get(composite.STAGE_TAG) == "composite" and shots.absolute(scene.get(composite.SHOT_TAG, "")) == shot.folder.absolute():
            tree = compat.existing_tree(scene)
            node = tree.nodes.get(NODE) if tree is not None else None
            mask = node.mask if node is not None else None
            return mask if mask is not None and any(len(layer.splines) for layer in mask.layers) else None
    return None


def write_frames(shot: Shot, mask: bpy.types.Mask) -> Iterator[float]:
    """Write SHOT/occlusion/mask.####.png for every frame; yields the part that is done. What was there is replaced at the end, when all is well.

    Raises MienError when a picture cannot be rendered or written.
    """
    temporary = shot.folder / ".occlusion.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    scene = _scene(shot, mask)
    try:
        for index in range(shot.plate.frame_count):
            number = shot.frame_number(index)
            scene.frame_set(number)
            scene.render.filepath = str(temporary / PICTURE.format(number))
            try:
                bpy.ops.render.render("EXEC_DEFAULT", write_still=True, scene=scene.name)
            except RuntimeError as error:
                raise MienError(f"Blender could not render the mask on frame {number} ({first_line(error)}); look at the mask "
                                f"'{mask.name}'.") from error
            yield (index + 1) / shot.plate.frame_count
        _replace(temporary, shot.folder / "occlusion")
    finally:
        compat.remove_scene(scene)
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(new: Path, old: Path) -> None:
    aside = old.with_name(".occlusion.old")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        if old.exists():
            old.rename(aside)
        new.rename(old)
    except OSError as error:
        raise MienError(f"Cannot write {old}: {error.strerror or error}; check the folder's permissions and free space.") from error
    shutil.rmtree(aside, ignore_errors=True)


def _scene(shot: Shot, mask: bpy.types.Mask) -> bpy.types.Scene:
    """A scene that renders nothing but the mask, in the plate's size."""
    scene = bpy.data.scenes.new("Mien Occlusion")
    compat.compositor_tree(scene, scene.name)[0].nodes.clear()  # before 5.0 it begins with a Render Layers node, which wants a camera
    tree, output = compat.compositor_tree(scene, scene.name)
    node = tree.nodes.new("CompositorNodeMask")
    node.mask = mask
    tree.links.new(node.outputs[0], output)
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = shot.plate.width, shot.plate.height, 100
    render.dither_intensity = 0.0
    render.use_compositing, render.use_sequencer, render.use_file_extension = True, False, False
    scene.view_settings.view_transform = "Raw"
    settings = render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth, settings.compression = "PNG", "BW", "8", 15
    return scene


class MIEN_OT_use_occlusion(bpy.types.Operator):
    """Hand the drawn mask to the engine: the solve ignores landmarks under it, no texture is learnt from it, and a bake leaves it as filmed"""

    bl_idname = "mien.use_occlusion"
    bl_label = "Use Mask in Solve and Bake"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        folder = shots.shot_folder(context)
        info = shots.shot_info(folder) if folder else None
        if info is None or info.shot is None or drawn_mask(info.shot) is None:
            cls.poll_message_set(NO_MASK)
            return False
        return poll_idle(cls)

    def _begin(self, context: bpy.types.Context) -> None:
        self._shot = Shot.load(shots.shot_folder(context))
        mask = drawn_mask(self._shot)
        if mask is None:
            raise MienError(NO_MASK + ".")
        self._frames = write_frames(self._shot, mask)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self._begin(context)
            for _ in self._frames:
                pass
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return self._done()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        try:
            self._begin(context)
        except MienError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS":
            self._leave(context)
            self.report({"WARNING"}, "Cancelled; the mask that was in use before stays.")
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}  # nobody draws on the mask while it is being written
        try:
            part = next(self._frames, None)
        except MienError as error:
            self._leave(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if part is not None:
            show_status(context, f"Mien: writing the mask {part:.0%}  (Esc cancels)")
            return {"RUNNING_MODAL"}
        self._leave(context)
        return self._done()

    def cancel(self, context: bpy.types.Context) -> None:
        self._leave(context)

    def _leave(self, context: bpy.types.Context) -> None:
        self._frames.close()
        context.window_manager.event_timer_remove(self._timer)
        show_status(context, None)

    def _done(self) -> set[str]:
        self.report({"INFO"}, f"{self._shot.plate.frame_count} frames of the mask are in use; press Solve Again, then Bake.")
        return {"FINISHED"}


CLASSES = (MIEN_OT_use_occlusion,)
