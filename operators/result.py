# SPDX-License-Identifier: GPL-3.0-or-later
"""Result preview: the finished picture of the frame in view, made by the engine in the background and drawn over the plate (ui.overlay).

It has an engine process of its own, so a running bake never waits for it nor it for a bake. Nothing of it is kept in the .blend.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..mesh.errors import MienError
from ..mesh.shot import Shot
from ..neural.client import Engine, Job
from ..neural.protocol import Error
from . import shots
from .bake import bake_params
from .emotion import FaceOperator
from .engine import NO_ENGINE, STAGES, engine_python, log_folder
from .sampling import held, sample
from .view import look_through_camera

TICK = 0.03
"""Seconds between two looks at the controls and the engine."""
SETTLE = 0.06
"""Seconds for which the controls must stand still before a picture is asked for."""
SIDE = 1024
"""The longer side of a picture at most, in pixels: more does not fit into a viewport, and its transfer would hold Blender up."""

WITHOUT = {"texture": "off", "mouth": "off"}
"""Settings of a quick picture."""
STAGE = "preview"
"""The engine's name for making the picture itself."""


@dataclass(frozen=True)
class Wanted:
    """What a picture is made from; two that are equal give the same picture."""

    folder: str
    frame: int
    controls: str
    settings: str


@dataclass(frozen=True, eq=False)
class Picture:
    """The face on one frame, 8-bit display-coded."""

    wanted: Wanted
    box: tuple[int, int, int, int] | None
    """left, top, right, bottom on the plate; None without a face on that frame."""
    pixels: np.ndarray
    """(h, w, 3) uint8, first row on top."""
    seconds: float
    """From the change of a control to the picture."""
    quick: bool = False
    """Made without skin and mouth, which the engine has still to learn from the shot; a finished one follows."""


class Preview:
    """Asks the engine for the picture that is wanted; at most one job at a time, and only the newest wish counts."""

    def __init__(self, python: Path):
        self._files = tempfile.TemporaryDirectory(prefix="mien-preview-", dir=bpy.app.tempdir)  # which Blender removes when it ends
        self._engine = Engine(python, log_folder())
        self._engine.start()
        self._number = itertools.count()
        self.job: Job | None = None
        self.picture: Picture | None = None
        self.problem = ""
        """One sentence when the last picture could not be made."""
        self._asked: tuple[Wanted, float, Path] | None = None
        self._last: tuple[Wanted | None, float] = None, 0.0
        self._stage = ""
        self._begun: set[str] = set()
        """Shot folders that a picture was asked of."""

    def close(self) -> None:
        """End the engine and remove the files."""
        self._engine.close(grace=0.5)
        with contextlib.suppress(OSError):  # Windows keeps a file that a process has open; the folder is a temporary one
            self._files.cleanup()

    def waiting_for(self, wanted: Wanted | None) -> bool:
        """Is there a picture to come?"""
        return wanted is not None and not self.problem and (self.picture is None or self.picture.quick or self.picture.wanted != wanted)

    @property
    def stage(self) -> str:
        """What the engine learns of the shot before the first finished picture, such as "learns skin 40 %"; "" otherwise."""
        progress = self.job.progress if self.job is not None else None
        if progress is None or progress.stage == STAGE or not progress.total:
            return ""
        return f"learns {STAGES.get(progress.stage, progress.stage).lower()} {10 * (10 * progress.done // progress.total)} %"

    def advance(self, face: bpy.types.Object | None, frame: int, now: float, *, ask: bool = True) -> bool:
        """Take what the engine has, and ask for what is missing; `now` in seconds. True when something new is to be drawn. Never blocks."""
        news, before = self._take(now), self._stage
        self._stage = self.stage
        news = news or self._stage != before
        wanted = wanted_of(face, frame) if face is not None else None
        if wanted != self._last[0]:
            self._last, self.problem = (wanted, now), ""
            news = True
        if face is None or wanted is None or self.job is not None or not ask or not self.waiting_for(wanted) or now - self._last[1] < SETTLE:
            return news
        try:
            self._ask(face, wanted)
        except MienError as error:
            self.problem, news = str(error), True
        return news

    def _ask(self, face: bpy.types.Object, wanted: Wanted) -> None:
        shot = shots.shot_info(Path(wanted.folder)).shot
        if shot is None:
            raise MienError(f"{wanted.folder} is no shot folder; put it back, or press Import Again.")
        curves, output = Path(self._files.name) / "curves.npz", Path(self._files.name) / f"{next(self._number)}.npy"
        sample(face, shot)[0].save(curves)
        self._quick = wanted.folder not in self._begun and not learnt(shot)
        self._begun.add(wanted.folder)
        settings = json.loads(wanted.settings) | (WITHOUT if self._quick else {})
        params: dict[str, Any] = {"folder": wanted.folder, "curves": str(curves), "index": wanted.frame - shot.plate.first_frame,
                                  "output": str(output), "settings": settings, "side": SIDE}
        self._asked = wanted, self._last[1], output
        self.job = self._engine.run("preview", params)

    def _take(self, now: float) -> bool:
        if self.job is None or not self.job.finished or self._asked is None:
            return False
        final, (wanted, since, output), self.job = self.job.final, self._asked, None
        if isinstance(final, Error) or final is None:
            self.problem = final.text if final else ""
            return True
        box = final.result["box"]
        pixels = np.load(output, allow_pickle=False) if box else np.zeros((1, 1, 3), np.uint8)
        self.picture = Picture(wanted, tuple(box) if box else None, pixels, now - since, self._quick)
        output.unlink(missing_ok=True)
        return True

    def wait(self, face: bpy.types.Object, frame: int) -> Picture:
        """For scripts and tests: block until the picture is there. Raises MienError."""
        now = 0.0
        while self.waiting_for(wanted_of(face, frame)) or self.picture is None:
            self.advance(face, frame, now := now + SETTLE)
            if self.problem:
                raise MienError(self.problem)
            if self.job is not None:
                self.job.wait()
        return self.picture


def learnt(shot: Shot) -> bool:
    """Has the engine learnt skin and mouth of the shot as it is solved now? Otherwise a finished picture is a while in coming."""
    solved = shot.solve_path.stat().st_mtime
    found = [shot.texture_path.with_name(name) for name in ("texture_shot.json", "mouth_shot.json")]
    return all(path.exists() and path.stat().st_mtime >= solved for path in found)


def wanted_of(face: bpy.types.Object, frame: int) -> Wanted | None:
    """The picture for a face's frame; None outside the shot."""
    params = bake_params(face)
    info = shots.shot_info(Path(params["folder"]))
    if info.shot is None or not 0 <= frame - info.shot.plate.first_frame < info.shot.plate.frame_count:
        return None
    controls = shots.controls_hash(face)
    if shots.layered(face):  # what a driver reads elsewhere shows in the values
        now = held(face, 1)
        controls += repr((now.emotions.tolist(), now.master.tolist(), now.neutralise.tolist(), now.mouth.tolist()))
    return Wanted(params["folder"], frame, controls + info.solve_hash, json.dumps(params["settings"], sort_keys=True))


_preview: Preview | None = None


def running() -> Preview | None:
    """The preview, while it is switched on."""
    return _preview


def start(python: Path) -> None:
    """Switch the preview on."""
    global _preview
    stop()
    _preview = Preview(python)
    if not bpy.app.background:
        bpy.app.timers.register(_tick, first_interval=TICK)


def stop() -> None:
    """Switch it off and end its engine."""
    global _preview
    if _preview is not None:
        preview, _preview = _preview, None
        preview.close()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)


def playing() -> bool:
    """Is the timeline playing? Frames then go by faster than pictures are made."""
    return any(w.screen.is_animation_playing for w in bpy.context.window_manager.windows)


def _tick() -> float | None:
    if _preview is None:
        return None
    window = bpy.context.window_manager.windows[0]
    scene = window.scene
    active = window.view_layer.objects.active
    face = active if shots.is_face(active) else shots.scene_face(scene)
    if _preview.advance(face, scene.frame_current, time.monotonic(), ask=not playing()):
        redraw()
    return TICK


def redraw() -> None:
    """Draw the 3D views again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


class MIEN_OT_result_preview(FaceOperator, bpy.types.Operator):
    """Show the finished picture of this frame over the plate in the camera view, and renew it after each change of a control"""

    bl_idname = "mien.result_preview"
    bl_label = "Result Preview"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if engine_python(context) is None:
            cls.poll_message_set(NO_ENGINE)
            return False
        return super().poll(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        python = engine_python(context)
        if running() is not None or python is None:
            stop()
        else:
            start(python)
            look_through_camera(context)
        redraw()
        return {"FINISHED"}


@persistent
def before_load(_path: object = None, _more: object = None) -> None:
    """Timers end with the file, so the preview does."""
    stop()


def register() -> None:
    bpy.app.handlers.load_pre.append(before_load)


def unregister() -> None:
    stop()
    if before_load in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(before_load)


CLASSES = (MIEN_OT_result_preview,)
