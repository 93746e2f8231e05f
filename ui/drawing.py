# SPDX-License-Identifier: GPL-3.0-or-later
"""What Mien draws into Blender's editors itself: the handlers, and the shapes that they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import bpy
import gpu
from gpu_extras.batch import batch_for_shader


class Drawer:
    """A function that draws into every editor of a kind, above what Blender draws, while the extension is on; never without a window."""

    def __init__(self, space: type[bpy.types.Space], draw: Callable[[], None]):
        self._space, self._draw = space, draw
        self._handle: object | None = None

    def add(self) -> None:
        if not bpy.app.background:
            self._handle = self._space.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")

    def remove(self) -> None:
        if self._handle is not None:
            self._space.draw_handler_remove(self._handle, "WINDOW")
            self._handle = None


def fill(points: Sequence[tuple[float, float]], colour: Sequence[float], kind: str = "TRI_FAN") -> None:
    """A shape of one colour, see-through where its alpha says so; points in pixels of the region."""
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    batch = batch_for_shader(shader, kind, {"pos": points})
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_float("color", colour)
    batch.draw(shader)
    gpu.state.blend_set("NONE")


def rectangle(left: float, bottom: float, right: float, top: float, colour: Sequence[float]) -> None:
    fill(((left, bottom), (right, bottom), (right, top), (left, top)), colour)


CLASSES = ()
