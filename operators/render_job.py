# SPDX-License-Identifier: GPL-3.0-or-later
"""A delivery rendered in Blender's window: Blender's own render job takes Esc, a timer waits for its end and lets the panels tell how far it is.

Blender keeps no picture of a sequence that it renders, so no render view is opened: it would stay empty. No modal operator waits: Blender
frees an operator that its file browser has run, whatever it returned.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import bpy

from ..mesh.errors import MienError
from .delivery_output import Output
from .engine import STATE, show_panels
from .view import kept_camera_views

TICK = 0.25
"""Seconds between two looks at the render job."""


class _Job:
    """One render in the window. `stack` undoes what was set up for it, in reverse."""

    def __init__(self, window: bpy.types.Window, path: Path, prepared: AbstractContextManager[tuple[bpy.types.Scene, Output]]):
        self.path, self.ended = path, ""
        self.stack = contextlib.ExitStack()
        self.scene, self.output = self.stack.enter_context(prepared)
        # Blender 5.2 crashes when its window renders a movie with sound of a scene that is not the one in view.
        before = window.scene
        self.stack.enter_context(_seen_through(self.scene, before.camera))
        with kept_camera_views(window):
            window.scene = self.scene
        self.stack.callback(_show_again, window, before, self.scene)
        for handlers, function in ((bpy.app.handlers.render_complete, self._on_complete), (bpy.app.handlers.render_cancel, self._on_cancel)):
            handlers.append(function)
            self.stack.callback(_remove, handlers, function)

    def render(self, window: bpy.types.Window) -> None:
        preferences = bpy.context.preferences
        before = preferences.view.render_display_type, preferences.is_dirty
        preferences.view.render_display_type = "NONE"
        try:
            with bpy.context.temp_override(window=window):
                started = bpy.ops.render.render("INVOKE_DEFAULT", animation=True, scene=self.scene.name)
        finally:
            preferences.view.render_display_type, preferences.is_dirty = before
        if "CANCELLED" in started:
            raise RuntimeError("Blender did not start to render")

    def _on_complete(self, *_: object) -> None:
        self.ended = "complete"

    def _on_cancel(self, *_: object) -> None:
        self.ended = "cancelled"

    def finish(self) -> None:
        """After the render, however it ended: rename or remove. Raises MienError when there is no delivery."""
        with self.stack:
            if self.ended != "complete":
                self.output.discard()
                raise MienError(f"{self.path} was not delivered ({self.ended or 'the render did not finish'}); press Deliver to render it again.")
            self.output.commit()


_job: _Job | None = None


def running() -> bool:
    """Is a delivery being rendered in a window?"""
    return _job is not None


def told() -> tuple[float, str] | None:
    """How far the delivery under way is, as a part and in words; None when there is none."""
    if _job is None:
        return None
    first, last = _job.scene.frame_start, _job.scene.frame_end
    frame = min(max(_job.scene.frame_current, first), last)
    return (frame - first) / (last - first + 1), f"Delivering {_job.path.name}: frame {frame} of {first}-{last}"


def start(window: bpy.types.Window, path: Path, prepared: AbstractContextManager[tuple[bpy.types.Scene, Output]]) -> None:
    """Begin to render `prepared` (deliver.delivery) in `window`. Raises MienError when it cannot begin; then nothing is left."""
    global _job
    _job = job = _Job(window, path, prepared)
    try:
        job.render(window)
    except RuntimeError as error:
        abandon()
        raise MienError(f"Blender could not render {path} ({first_line(error)}); look at the scene '{job.scene.name}'.") from error
    bpy.app.timers.register(_look, first_interval=TICK)


def abandon() -> None:
    """Drop a delivery that is still rendered and leave nothing of it: the extension is being switched off."""
    global _job
    if _job is not None:
        job, _job = _job, None
        job.output.discard()
        job.stack.close()
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)


def _look() -> float | None:
    global _job
    show_panels(whole=True)
    if _job is None or bpy.app.is_job_running("RENDER"):
        return TICK if _job is not None else None
    job, _job = _job, None
    try:
        job.finish()
        _report(f"Delivered {job.path}.", failed=False)
    except MienError as error:
        if not STATE.running:
            STATE.error, STATE.title, STATE.log, STATE.details = str(error), "Deliver", "", ""
        _report(str(error), failed=True)
    return None


def _report(text: str, *, failed: bool) -> None:
    """Reports belong to operators, so one is called; in a window, as a timer has none."""
    windows = bpy.context.window_manager.windows
    # An ERROR report comes back as an exception to whoever called the operator from Python.
    with contextlib.suppress(RuntimeError), bpy.context.temp_override(window=windows[0] if windows else None):
        bpy.ops.mien.deliver_report("EXEC_DEFAULT", text=text, failed=failed)


def first_line(error: Exception) -> str:
    """The reason within an error of bpy.ops, without its label."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^Error: ", "", lines[0]).rstrip(".") if lines else type(error).__name__


def _show_again(window: bpy.types.Window, before: bpy.types.Scene, delivered: bpy.types.Scene) -> None:
    """Back to the scene that was in view, unless the artist went elsewhere meanwhile."""
    with contextlib.suppress(ReferenceError):  # a scene or window may be gone by now
        if window.scene == delivered:
            window.scene = before


@contextlib.contextmanager
def _seen_through(delivered: bpy.types.Scene, camera: bpy.types.Object | None) -> Iterator[None]:
    """The shot's camera in the scene meanwhile: its 3D views go on showing the plate, and would be empty otherwise."""
    before = delivered.camera
    stranger = camera is not None and delivered.objects.get(camera.name) != camera
    if stranger:
        delivered.collection.objects.link(camera)
    delivered.camera = camera or before
    try:
        yield
    finally:
        with contextlib.suppress(ReferenceError, RuntimeError):  # the artist may have deleted either by now
            delivered.camera = before
            if stranger:
                delivered.collection.objects.unlink(camera)


def _remove(handlers: list, function: object) -> None:
    if function in handlers:
        handlers.remove(function)
