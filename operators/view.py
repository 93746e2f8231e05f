# SPDX-License-Identifier: GPL-3.0-or-later
"""The 3D views of the window: through the shot's camera, and free of what would hide the face."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector

from . import shots


def look_through_camera(context: bpy.types.Context) -> None:
    """Show the textured face over the plate in the 3D views of this screen."""
    for area in context.screen.areas if context.screen else ():
        if area.type == "VIEW_3D":
            space = area.spaces.active
            space.shading.color_type, space.shading.light = "TEXTURE", "FLAT"
            space.clip_start = min(space.clip_start, 0.01)
            space.region_3d.view_perspective = "CAMERA"
            with context.temp_override(area=area, region=next(r for r in area.regions if r.type == "WINDOW")):
                if bpy.ops.view3d.view_center_camera.poll():
                    bpy.ops.view3d.view_center_camera()


@contextlib.contextmanager
def kept_camera_views(window: bpy.types.Window) -> Iterator[None]:
    """While another scene is put into the window: 3D views that look through the camera turn away when that scene has none, and stay so when the
    artist comes back."""
    views = [area.spaces.active.region_3d for area in window.screen.areas if area.type == "VIEW_3D"]
    through = [view for view in views if view is not None and view.view_perspective == "CAMERA"]
    yield
    for view in through:
        view.view_perspective = "CAMERA"


def picture_corners(scene: bpy.types.Scene, region: bpy.types.Region, space: bpy.types.SpaceView3D,
                    camera: bpy.types.Object | None) -> tuple[float, float, float, float] | None:
    """left, bottom, right, top of the camera's picture in a region, pixels; None when its view does not look through that camera."""
    view = space.region_3d
    if camera is None or view is None or view.view_perspective != "CAMERA" or space.camera != camera:
        return None
    corners = [location_3d_to_region_2d(region, view, camera.matrix_world @ corner) for corner in camera.data.view_frame(scene=scene)]
    if None in corners:
        return None
    xs, ys = [c.x for c in corners], [c.y for c in corners]
    return min(xs), min(ys), max(xs), max(ys)


def clear_view(context: bpy.types.Context, camera: bpy.types.Object) -> list[str]:
    """Hide in the viewport what encloses the shot's camera, such as the cube of a new file: one would see nothing but its inside.

    Returns a sentence for each object hidden.
    """
    hidden = []
    for thing in context.view_layer.objects:
        if thing.type != "MESH" or thing.hide_get() or shots.is_face(thing):
            continue
        corners = np.array([thing.matrix_world @ Vector(corner) for corner in thing.bound_box])
        place = np.array(camera.matrix_world.translation)
        if (corners.min(0) < place).all() and (place < corners.max(0)).all():
            thing.hide_set(True)
            hidden.append(f"'{thing.name}' is hidden in the viewport, it stands around the shot's camera; Alt H shows it again.")
    return hidden
