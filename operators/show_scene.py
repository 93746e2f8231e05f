# SPDX-License-Identifier: GPL-3.0-or-later
"""From the shot to its composite or delivery and back: the scene in the window, and the workspace where it is worked on."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from pathlib import Path

import bpy

from .. import compat
from ..mesh.shot import main_folder
from . import composite, shot_items, shots
from .view import kept_camera_views

STAGES = (("shot", "Shot", "The scene with the face and its emotion keys"),
          (composite.COMPOSITE, "Composite", "The face over the plate, in the compositor"),
          (composite.DELIVERY, "Delivery", "The composite and the plate's sound, in the sequencer"))
WORKSPACES = {composite.COMPOSITE: "Compositing", composite.DELIVERY: "Video Editing"}
"""Blender's own names."""
TEMPLATES = {"Video Editing": "Video_Editing"}
"""Workspaces that a new file lacks, and the application template that has them."""
FIT = {"IMAGE_EDITOR": bpy.ops.image.view_all, "NODE_EDITOR": bpy.ops.node.view_all, "SEQUENCE_EDITOR": bpy.ops.sequencer.view_all}
SETTLED, PATIENCE = 0.5, 30.0
"""Seconds between two looks whether the workspace is drawn and its viewer has a picture, and after which its views stay as they are."""
CAME_FROM = "mien_workspace"
"""Custom property of a composite or delivery scene: the workspace that it was opened from."""


def stage_of(scene: bpy.types.Scene) -> str:
    """"shot", "composite" or "delivery"."""
    return scene.get(composite.STAGE_TAG, "shot")


def scene_of(context: bpy.types.Context, stage: str) -> bpy.types.Scene | None:
    """The scene of the shot in use at that stage; None when it is not made or no longer in the file."""
    if stage != "shot":
        return shots.stage_scene(context, stage)
    folder = shots.shot_folder(context)
    listed = [s for s in bpy.data.scenes if stage_of(s) == "shot" and folder]
    return next((s for f in (folder, main_folder(folder) if folder else None) for s in listed if shot_items.find(s, str(f)) >= 0), None)


def find_workspace(context: bpy.types.Context, name: str) -> bpy.types.WorkSpace:
    """The workspace of that name, from Blender's templates where the file has none; else the one in view."""
    if name not in bpy.data.workspaces and name in TEMPLATES:
        templates = bpy.utils.system_resource("SCRIPTS", path="startup/bl_app_templates_system")
        library = Path(templates, TEMPLATES[name], "startup.blend")
        if library.is_file():
            bpy.ops.workspace.append_activate(idname=name, filepath=str(library))
    return bpy.data.workspaces.get(name, context.workspace)


_fitting: Callable[[], float | None] | None = None
"""The timer that waits to fit the views."""


def fit_soon(window: bpy.types.Window, fresh: bool) -> None:
    """`fit_views` as soon as the workspace stands; a `fresh` one, which was not in the file, browses the folder of the .blend."""
    global _fitting
    unregister()
    _fitting = functools.partial(fit_views, window, fresh, time.monotonic() + PATIENCE)
    bpy.app.timers.register(_fitting, first_interval=SETTLED)


def unregister() -> None:
    if _fitting is not None and bpy.app.timers.is_registered(_fitting):
        bpy.app.timers.unregister(_fitting)


def fit_views(window: bpy.types.Window, fresh: bool, end: float) -> float | None:
    """The whole picture in each Image Editor, all nodes in each compositor, all strips in each sequencer: seconds until it should be tried again."""
    with contextlib.suppress(ReferenceError):  # the window was closed
        images = [area.spaces.active.image for area in window.screen.areas if area.type == "IMAGE_EDITOR"]
        wanted = window.scene.render.resolution_x, window.scene.render.resolution_y
        late = any(image is not None and image.type == "COMPOSITING" and tuple(image.size) != wanted for image in images)
        if late and time.monotonic() < end:
            return SETTLED  # the compositor is still at work; an empty viewer claims a size of its own
        for area in window.screen.areas:
            if area.type == "FILE_BROWSER" and fresh and bpy.data.filepath and area.spaces.active.params:
                area.spaces.active.params.directory = str(Path(bpy.data.filepath).parent).encode()
            preview = area.type == "SEQUENCE_EDITOR" and area.spaces.active.view_type == "PREVIEW"
            operator = bpy.ops.sequencer.view_all_preview if preview else FIT.get(area.type)
            region = next((r for r in area.regions if r.type == ("PREVIEW" if preview else "WINDOW")), None)
            with bpy.context.temp_override(window=window, area=area, region=region):
                if operator is not None and operator.poll():
                    operator(**({"fit_view": True} if area.type == "IMAGE_EDITOR" else {}))
    return None


class MIEN_OT_show_scene(bpy.types.Operator):
    """Show this stage of the shot in the window, in the workspace where it is worked on"""

    bl_idname = "mien.show_scene"
    bl_label = "Show Scene"

    stage: bpy.props.EnumProperty(name="Stage", description="What to show", items=STAGES, default="shot")

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = scene_of(context, self.stage)
        if scene is None:
            self.report({"ERROR"}, "That scene is not in this file any more; press Build Composite or Deliver to make it again.")
            return {"CANCELLED"}
        left = context.scene
        scene.frame_current = min(max(left.frame_current, scene.frame_start), scene.frame_end)  # the frame in view stays in view
        if context.window is None:  # a script in background mode
            return {"FINISHED"}
        name = WORKSPACES.get(self.stage, left.get(CAME_FROM, ""))
        if self.stage != "shot" and stage_of(left) == "shot":
            scene[CAME_FROM] = context.workspace.name
        with kept_camera_views(context.window):
            context.window.scene = scene
        fresh = name not in bpy.data.workspaces
        workspace = find_workspace(context, name)
        context.window.workspace = workspace
        compat.show_sequence(workspace, scene if self.stage == composite.DELIVERY else None)
        if self.stage != "shot":
            fit_soon(context.window, fresh)
        return {"FINISHED"}


CLASSES = (MIEN_OT_show_scene,)
