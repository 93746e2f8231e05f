# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine from Blender's side: where its Python is, the one client of this session, and operators that run its jobs."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import bpy

from ..mesh.errors import MienError
from ..neural.client import Engine, Job
from ..neural.protocol import Done, Error, Message, Progress, Warn
from . import shots

PACKAGE = (__package__ or "").rpartition(".")[0]
"""`bl_ext.user_default.mien` in Blender, `mien` from a checkout."""
TICK = 0.1
"""Seconds between two looks at a running job."""
STAGES = {"textures": "Skin", "mouth": "Mouth", "mouths": "Mouth"}
"""What the panels call the engine's stages whose own names would puzzle an artist."""
NO_ENGINE = "Mien has no engine: set it up, or choose its Python, in Edit > Preferences > Add-ons > Mien"


# -- where its Python is ----------------------------------------------------------------------------------------------------

def engine_python(context: bpy.types.Context) -> Path | None:
    """The Python of the preferences, else of MIEN_PYTHON, else this one where it has the engine's packages (Blender as a module)."""
    addon = context.preferences.addons.get(PACKAGE)
    chosen = addon.preferences.engine_python if addon and addon.preferences else ""
    chosen = bpy.path.abspath(chosen) if chosen else os.environ.get("MIEN_PYTHON", "")
    if chosen:
        return Path(chosen)
    if bpy.app.module and importlib.util.find_spec("mediapipe") is not None:
        return Path(sys.executable)
    return None


def log_folder() -> Path:
    """Inside the extension's own user folder; in a checkout, in Blender's temporary folder."""
    if PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(PACKAGE, path="logs", create=True))
    return Path(bpy.app.tempdir) / "mien-logs"


_engine: Engine | None = None


def session_engine(context: bpy.types.Context) -> Engine:
    """The client of this session; a new one when another Python was chosen. Raises MienError when there is no Python."""
    global _engine
    python = engine_python(context)
    if python is None:
        raise MienError(NO_ENGINE + ".")
    if _engine is not None and _engine.python != python:
        close_engine()
    if _engine is None:
        _engine = Engine(python, log_folder())
    return _engine


def close_engine() -> None:
    """End the engine's process, if there is one."""
    global _engine
    if _engine is not None:
        _engine.close()
        _engine = None


# -- what the panels show of a job --------------------------------------------------------------------------------------------

@dataclass
class JobState:
    """The job under way or the last one. Kept out of the .blend: undo and loading a file must not touch it."""

    title: str = ""
    folder: str = ""
    """The shot folder that it works on."""
    running: bool = False
    cancelling: bool = False
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    step: int = 0
    steps: int = 1
    error: str = ""
    log: str = ""
    details: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def fraction(self) -> float:
        """0..1 of this stage."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def text(self) -> str:
        """Such as "track 43 %, 12 s left"."""
        if self.cancelling:
            return "Cancelling"
        words = STAGES.get(self.stage, self.stage.capitalize())
        if not self.total:
            return words or "Starting the engine"
        left = f", {_duration(self.seconds_left)} left" if self.seconds_left is not None else ""
        return f"{words} {self.fraction:.0%}{left}"


def _duration(seconds: float) -> str:
    seconds = max(0, round(seconds))
    return f"{seconds} s" if seconds < 90 else f"{seconds // 60} min {seconds % 60:02d} s"


STATE = JobState()


class JobFailed(MienError):
    """A job ended with an ERROR; `kind` is one of neural.protocol.KINDS."""

    def __init__(self, error: Error):
        super().__init__(error.text)
        self.kind, self.log, self.details = error.kind, error.log, error.details


class JobRun:
    """Jobs one after the other, told to STATE. `advance` never blocks."""

    def __init__(self, engine: Engine, title: str, steps: Sequence[tuple[str, dict[str, Any]]]):
        self.engine, self.todo = engine, list(steps)
        self.results: list[dict[str, Any]] = []
        self.job: Job | None = None
        vars(STATE).update(vars(JobState(title, self.todo[0][1].get("folder", ""), running=True, steps=len(self.todo))))

    def advance(self) -> bool:
        """Take what came; True when all jobs are done. Raises JobFailed."""
        if self.job is None:
            self._start()
        while self.job is not None:
            for message in self.job.poll():
                self._take(message)
            final = self.job.final
            if final is None:
                return False
            if isinstance(final, Error):
                self.close()
                STATE.error, STATE.log, STATE.details = final.text, final.log, final.details
                if final.kind == "cancelled":
                    STATE.error = ""
                raise JobFailed(final)
            self._start()
        self.close()
        return True

    def wait(self, tell: Callable[[], None] = lambda: None) -> None:
        """Block until all jobs are done; `tell` is called whenever STATE has news. Raises JobFailed."""
        def take(message: Message) -> None:
            self._take(message)
            tell()

        while not self.advance():
            if self.job is not None:
                self.job.wait(take)

    def cancel(self) -> None:
        if self.job is not None and STATE.running:
            STATE.cancelling = True
            self.job.cancel()

    def close(self) -> None:
        STATE.running = STATE.cancelling = False
        shots.forget()

    def _start(self) -> None:
        if not self.todo:
            self.job = None
            return
        name, params = self.todo.pop(0)
        STATE.step, STATE.stage, STATE.done, STATE.total, STATE.seconds_left = STATE.step + 1, "", 0, 0, None
        self.job = self.engine.run(name, params)

    def _take(self, message: Message) -> None:
        if isinstance(message, Progress):
            STATE.stage, STATE.done, STATE.total, STATE.seconds_left = message.stage, message.done, message.total, message.seconds_left
        elif isinstance(message, Warn):
            STATE.warnings.append(message.text)
        elif isinstance(message, Done):
            self.results.append(message.result)


_run: JobRun | None = None
"""The run of a modal operator, for the cancel button."""


# -- operators ----------------------------------------------------------------------------------------------------------------

def poll_idle(cls: type[bpy.types.Operator]) -> bool:
    """For polls: False, with the reason, while a job is running."""
    if STATE.running:
        cls.poll_message_set(f"Wait for '{STATE.title}' to finish, or cancel it")
    return not STATE.running


def poll_engine(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """For polls: False, with the reason, when no job can start."""
    python = engine_python(context)
    if python is None:
        cls.poll_message_set(NO_ENGINE)
        return False
    if not python.is_file():
        cls.poll_message_set(f"The engine's Python {python} does not exist; choose it in Edit > Preferences > Add-ons > Mien")
        return False
    return poll_idle(cls)


class JobOperator:
    """Mix-in of operators that run engine jobs: modal with a timer in the window, blocking in background mode and from scripts.

    A subclass gives `title`, `steps(context)` and `finished(context, results)`; where the engine is not the session's, `engine(context)` and
    `release()` as well. Anything of the .blend must be looked up again in `finished`: undo or a loaded file may have replaced it meanwhile.
    """

    title: ClassVar[str]

    def engine(self, context: bpy.types.Context) -> Engine:
        """Who runs the jobs. Raises MienError when there is nobody."""
        return session_engine(context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        """[(job, params)] in order. Raises MienError when something is missing."""
        raise NotImplementedError

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        """Use the jobs' results; returns one sentence for the report. Raises MienError."""
        raise NotImplementedError

    def kept(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> None:
        """Use the results of the jobs that were done, also where a later one failed or was cancelled; before `finished`."""

    def release(self) -> None:
        """After the last job, however it ended."""

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            run = JobRun(self.engine(context), self.title, self.steps(context))
            try:
                run.wait()
            finally:
                self.kept(context, run.results)
        except MienError as error:
            return self._failed(error)
        return self._finish(context, run)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        global _run
        if bpy.app.background:
            return self.execute(context)
        try:
            _run = self._run = JobRun(self.engine(context), self.title, self.steps(context))
        except MienError as error:
            return self._failed(error)
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC" and event.value == "PRESS" and not context.screen.is_animation_playing:
            self._run.cancel()
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            done = self._run.advance()
        except MienError as error:
            self._leave(context)
            self.kept(context, self._run.results)
            return self._failed(error)
        show_status(context, f"Mien: {STATE.title}: {STATE.text}  (Esc cancels)")
        if not done:
            return {"PASS_THROUGH"}
        self._leave(context)
        self.kept(context, self._run.results)
        return self._finish(context, self._run)

    def cancel(self, context: bpy.types.Context) -> None:
        """Called by Blender when it ends the operator itself, as when another file is loaded."""
        self._run.cancel()
        self._run.close()
        self.release()
        self._leave(context)

    def _leave(self, context: bpy.types.Context) -> None:
        global _run
        _run = None
        context.window_manager.event_timer_remove(self._timer)
        show_status(context, None)

    def _finish(self, context: bpy.types.Context, run: JobRun) -> set[str]:
        self.release()
        try:
            text = self.finished(context, run.results)
        except MienError as error:
            return self._failed(error)
        for warning in STATE.warnings:
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, text)
        return {"FINISHED"}

    def _failed(self, error: MienError) -> set[str]:
        """Report. What a job said stays in the panel (see JobRun.advance): in a window no ERROR, which would pop up in the way, says it again."""
        self.release()
        told = isinstance(error, JobFailed) and (error.kind == "cancelled" or hasattr(self, "_timer"))
        self.report({"WARNING"} if told else {"ERROR"}, str(error))
        return {"CANCELLED"}


PANELS = {"VIEW_3D": "UI", "GRAPH_EDITOR": "UI", "DOPESHEET_EDITOR": "WINDOW", "PREFERENCES": "WINDOW"}
"""Editor -> its region that shows something of a running job. Not the 3D view itself: drawing it anew at each tick would slow the artist down."""
_shown: str | None = None


def show_status(context: bpy.types.Context, text: str | None) -> None:
    """Put a text into the status bar (None: give it back to Blender) and draw the panels again, when it is another text than the last time."""
    global _shown
    if text == _shown:
        return
    _shown = text
    for workspace in bpy.data.workspaces:
        workspace.status_text_set(text)
    show_panels(whole=text is None)


def show_panels(*, whole: bool = False) -> None:
    """Draw anew what shows something of a running job; `whole`: the editors as well."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if whole and area.type in PANELS:
                area.tag_redraw()
            for region in area.regions:
                if region.type == PANELS.get(area.type):
                    region.tag_redraw()


class MIEN_OT_cancel_job(bpy.types.Operator):
    """Stop the running job; what it finished is kept"""

    bl_idname = "mien.cancel_job"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not STATE.running:
            cls.poll_message_set("No job is running")
        return STATE.running

    def execute(self, context: bpy.types.Context) -> set[str]:
        if _run is not None:
            _run.cancel()
        return {"FINISHED"}


class MIEN_OT_dismiss_error(bpy.types.Operator):
    """Take this message away"""

    bl_idname = "mien.dismiss_error"
    bl_label = "Dismiss"

    def execute(self, context: bpy.types.Context) -> set[str]:
        STATE.error = STATE.log = STATE.details = ""
        STATE.warnings.clear()
        return {"FINISHED"}


class MIEN_OT_copy_error(bpy.types.Operator):
    """Copy the message and its technical details to the clipboard"""

    bl_idname = "mien.copy_error"
    bl_label = "Copy Details"

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.window_manager.clipboard = "\n".join(filter(None, (STATE.error, STATE.log, STATE.details)))
        self.report({"INFO"}, "Copied.")
        return {"FINISHED"}


CLASSES = (MIEN_OT_cancel_job, MIEN_OT_dismiss_error, MIEN_OT_copy_error)


def unregister() -> None:
    close_engine()
    vars(STATE).update(vars(JobState()))
