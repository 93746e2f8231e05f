# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the manual and the tutorial, from the real application: the tutorial itself, played on the demo's plate.

    blender --window-geometry 0 0 1600 900 --python docs/screenshots.py -- [--out docs/images] [--engine PYTHON] [--plate demo_plate.mp4]

Mien must be installed and switched on. Where Blender cannot read its own window (its pictures are black, as with software OpenGL), name a command
that takes a file name: --grab "import -window root". Works in a temporary folder, changes no preferences on disk, and ends Blender when it is
done. Exits with 1, and says why, when a step does not do what the tutorial promises.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy

WIDTH = 1280
"""Of the pictures, pixels."""
QUALITY = 82
TICK = 0.1
LIMIT = 600.0
"""Seconds that one step may take."""

Wait = Callable[[], bool] | float


def module(name: str):
    """A module of the installed extension."""
    package = next((addon.module for addon in bpy.context.preferences.addons if addon.module.endswith(".mien")), None)
    if package is None:
        raise SystemExit("Mien is not switched on; install the zip first.")
    return importlib.import_module(f"{package}.{name}")


class Tour:
    """The tutorial as a generator: it yields seconds, or what it waits for, and Blender draws meanwhile."""

    def __init__(self, out: Path, engine: str, plate: Path | None, grab: list[str]):
        self.out, self.plate, self.grab, self.folder = out, plate, grab, Path(tempfile.mkdtemp(prefix="mien-tour-"))
        self.engine, self.shots, self.result = module("operators.engine"), module("operators.shots"), module("operators.result")
        addon = bpy.context.preferences.addons[self.engine.PACKAGE].preferences
        if engine:
            addon.engine_python = engine
        view = bpy.context.preferences.view
        view.show_splash, view.ui_scale, view.render_display_type = False, 0.9, "AREA"
        bpy.context.preferences.use_preferences_save = False
        self.times: dict[str, float] = {}

    # -- the window -----------------------------------------------------------------------------------------------------------

    @property
    def window(self) -> bpy.types.Window:
        return bpy.context.window_manager.windows[0]

    def area(self, kind: str) -> bpy.types.Area:
        return max((a for a in self.window.screen.areas if a.type == kind), key=lambda a: a.width * a.height)

    def call(self, operator: Callable[..., set[str]], kind: str = "VIEW_3D", region: str = "WINDOW", **arguments: object) -> None:
        """Press a button: the operator as the panel calls it."""
        area = self.area(kind)
        with bpy.context.temp_override(window=self.window, area=area, region=next(r for r in area.regions if r.type == region)):
            ended = operator("INVOKE_DEFAULT", **arguments)
        if "CANCELLED" in ended:
            raise RuntimeError(f"{operator} was cancelled: {self.engine.STATE.error}")

    def job(self) -> Iterator[Wait]:
        """Wait for the running job; fail when it fails."""
        yield lambda: not self.engine.STATE.running
        if self.engine.STATE.error:
            raise RuntimeError(self.engine.STATE.error)

    def scroll(self, turns: int) -> None:
        """The sidebar down by that many turns of the mouse wheel."""
        area = self.area("VIEW_3D")
        with bpy.context.temp_override(window=self.window, area=area, region=next(r for r in area.regions if r.type == "UI")):
            for _ in range(turns):
                bpy.ops.view2d.scroll_down()

    def picture(self, name: str) -> Iterator[Wait]:
        """The window as a JPEG of the manual's width, once it has been drawn."""
        yield 0.5
        path = self.folder / f"{name}.png"
        with bpy.context.temp_override(window=self.window):
            bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
            if self.grab:
                time.sleep(0.5)  # the screen shows what was drawn a little later
                subprocess.run([*self.grab, str(path)], check=True)
            else:
                bpy.ops.screen.screenshot(filepath=str(path))
        image = bpy.data.images.load(str(path))
        image.scale(WIDTH, round(image.size[1] * WIDTH / image.size[0]))
        image.file_format = "JPEG"
        self.out.mkdir(parents=True, exist_ok=True)
        image.save(filepath=str(self.out / f"{name}.jpg"), quality=QUALITY)
        bpy.data.images.remove(image)
        print(f"tour: {name}.jpg", flush=True)

    # -- the tutorial -----------------------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[Wait]:
        yield 2.0
        bpy.ops.wm.save_as_mainfile(filepath=str(self.folder / "tutorial.blend"))
        area = self.area("VIEW_3D")
        area.spaces.active.show_region_ui = True
        yield 1.0
        next(r for r in area.regions if r.type == "UI").active_panel_category = "Mien"
        yield from self.picture("tutorial_1_panel")
        yield from self.footage()
        yield from self.animate()
        yield from self.look()
        yield from self.finish()

    def footage(self) -> Iterator[Wait]:
        plate = self.folder / "demo_plate.mp4"
        if self.plate is None:
            self.call(bpy.ops.mien.demo_plate)
            yield from self.job()
        else:
            shutil.copyfile(self.plate, plate)
            if self.plate.with_suffix(".mien").exists():
                shutil.copytree(self.plate.with_suffix(".mien"), plate.with_suffix(".mien"))
            self.call(bpy.ops.mien.choose_plate, filepath=str(plate))
        if not (plate.with_suffix(".mien") / "solve.npz").exists():
            yield from self.track()
        start = time.perf_counter()
        self.call(bpy.ops.mien.import_face)
        self.times["import"] = time.perf_counter() - start
        yield from self.picture("tutorial_3_face")

    def track(self) -> Iterator[Wait]:
        self.call(bpy.ops.mien.track)
        yield lambda: self.engine.STATE.fraction > 0.4 or not self.engine.STATE.running
        yield from self.picture("tutorial_2_track")
        yield from self.job()

    @property
    def face(self) -> bpy.types.Object:
        return self.shots.scene_face(self.window.scene)

    def animate(self) -> Iterator[Wait]:
        area = self.area("VIEW_3D")
        with bpy.context.temp_override(window=self.window, area=area, region=area.regions[-1]):
            bpy.ops.screen.area_split(direction="HORIZONTAL", factor=0.3)
        yield 0.5
        low = min((a for a in self.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.y)
        low.type = "GRAPH_EDITOR"
        yield 0.5
        for frame, emotion, strength in ((20, "happy", 0.9), (70, "sad", 1.0)):
            self.window.scene.frame_set(frame)
            self.call(bpy.ops.mien.key_preset, emotion=emotion, strength=strength, onset=12, apex=20, offset=12)
        self.window.scene.frame_set(40)
        with bpy.context.temp_override(window=self.window, area=low, region=next(r for r in low.regions if r.type == "WINDOW")):
            bpy.ops.graph.view_all()
        self.recentre()
        yield 1.0
        self.scroll(11)
        yield from self.picture("tutorial_4_emotion")

    def recentre(self) -> None:
        module("operators.view").look_through_camera(bpy.context)
        area = self.area("VIEW_3D")
        with bpy.context.temp_override(window=self.window, area=area, region=next(r for r in area.regions if r.type == "WINDOW")):
            bpy.ops.view3d.view_center_camera()

    def look(self) -> Iterator[Wait]:
        self.call(bpy.ops.mien.difference)
        yield from self.picture("manual_difference")
        self.call(bpy.ops.mien.difference)
        self.call(bpy.ops.mien.compare, mode="OVER")
        yield from self.picture("manual_overlay")
        self.call(bpy.ops.mien.compare, mode="OVER")
        self.call(bpy.ops.mien.result_preview)
        self.recentre()
        yield self.shown
        yield from self.picture("tutorial_5_result")
        for value in (0.3, 0.6, 0.9):  # how long an artist waits
            self.face.mien.fear = value
            yield self.shown
            self.times[f"slider to picture {value}"] = self.result.running().picture.seconds
        self.face.mien.fear = 0.0
        yield self.shown
        self.call(bpy.ops.mien.result_preview)

    def shown(self) -> bool:
        """Is the picture of what is set now in the view?"""
        preview = self.result.running()
        if preview.problem:
            raise RuntimeError(preview.problem)
        return not preview.waiting_for(self.result.wanted_of(self.face, self.window.scene.frame_current))

    def finish(self) -> Iterator[Wait]:
        self.call(bpy.ops.mien.bake)
        yield lambda: self.engine.STATE.fraction > 0.5 or not self.engine.STATE.running
        self.scroll(9)
        yield from self.picture("tutorial_6_bake")
        yield from self.job()
        self.call(bpy.ops.mien.composite)
        before, self.window.scene = self.window.scene, self.shots.stage_scene(bpy.context, "composite")
        large = self.area("VIEW_3D")
        large.type, large.ui_type = "NODE_EDITOR", "CompositorNodeTree"
        large.spaces.active.show_region_ui = False
        yield 1.0
        with bpy.context.temp_override(window=self.window, area=large, region=next(r for r in large.regions if r.type == "WINDOW")):
            bpy.ops.node.view_all()
        yield from self.picture("tutorial_7_composite")
        self.window.scene, large.type = before, "VIEW_3D"
        yield 0.5
        movie = self.folder / "review.mp4"
        self.call(bpy.ops.mien.deliver, filepath=str(movie), format="REVIEW")
        yield lambda: not module("operators.render_job").running()
        if not movie.exists():
            raise RuntimeError(self.engine.STATE.error or "nothing was delivered")
        self.window.scene = self.shots.stage_scene(bpy.context, "delivery")
        self.area("GRAPH_EDITOR").ui_type = "SEQUENCE_EDITOR"
        yield from self.picture("tutorial_8_deliver")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "images")
    arguments.add_argument("--engine", default="")
    arguments.add_argument("--plate", type=Path, help="a demo plate made before; tracking is left out with its shot folder beside it")
    arguments.add_argument("--grab", default="", help="a command that writes a picture of the screen")
    options = arguments.parse_args(sys.argv[sys.argv.index("--") + 1:] if "--" in sys.argv else [])
    tour = Tour(options.out.resolve(), options.engine, options.plate, shlex.split(options.grab))
    steps = tour.steps()
    state: dict[str, object] = {"wait": 0.0, "since": time.monotonic()}

    def tick() -> float:
        wait, waited = state["wait"], time.monotonic() - float(state["since"])
        try:
            if waited > LIMIT:
                raise TimeoutError("a step of the tour did not end")
            if wait() if callable(wait) else waited >= float(wait):
                state.update(wait=next(steps), since=time.monotonic())
        except StopIteration:
            print("tour: done", {name: round(seconds, 2) for name, seconds in tour.times.items()}, flush=True)
            leave(0)
        except Exception:  # noqa: BLE001 - whatever it is, it is told, and Blender ends: nobody watches the window
            traceback.print_exc()
            leave(1)
        return TICK

    bpy.app.timers.register(tick, first_interval=1.0, persistent=True)


def leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


main()
