# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures from the real application: how long jobs hold its main thread, how soon a slider is seen in the result, live edit, import.

    blender --window-geometry 0 0 1600 900 --python benchmarks/app_figures.py -- [--plate clip.mp4] [--engine PYTHON] [--frames 300]

Mien must be installed and switched on. Without --plate the demo's plate is made first. Prints a table, wall time and the main thread's CPU time,
and ends Blender. A software renderer draws in the main thread as well: its share is told apart by a timer that ticks while no job runs.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))
from hands import Steps, Wait, arguments, module, play  # pyright: ignore[reportMissingImports]

TICK = 0.005
SLIDERS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)
PLAYED = 4.0
"""Seconds of playback that are measured."""


class Held:
    """The longest single calls of Mien's own functions on the main thread: (wall, CPU) seconds by name."""

    def __init__(self) -> None:
        self.longest: dict[str, tuple[float, float]] = {}

    def watch(self, owner: object, name: str) -> None:
        """Put a watch around a function that Blender calls."""
        inner = getattr(owner, name)

        label = f"{getattr(owner, '__name__', '').rpartition('.')[2]}.{name}"

        def timed(*args, **kwargs):
            wall, used = time.perf_counter(), time.thread_time()
            try:
                return inner(*args, **kwargs)
            finally:
                spent = time.perf_counter() - wall, time.thread_time() - used
                self.longest[label] = max(self.longest.get(label, (0.0, 0.0)), spent, key=lambda s: s[1])

        def draw(panel, context):  # Blender counts the arguments that a panel's function takes
            timed(panel, context)
        setattr(owner, name, draw if name == "draw" else timed)

    def worst(self) -> str:
        if not self.longest:
            return "-"
        name, (wall, used) = max(self.longest.items(), key=lambda item: item[1][1])
        return f"{1000 * used:6.1f} ms CPU ({1000 * wall:6.1f} ms wall) in {name}"


class Figures:
    """Measures one thing after the other; a generator of waits, as Blender has to draw between."""

    def __init__(self, options: argparse.Namespace, folder: Path):
        self.options, self.folder = options, folder
        names = ("engine", "shots", "result", "live", "bake", "track", "face", "emotion")
        self.operators = {name: module(f"operators.{name}") for name in names}
        self.engine, self.shots, self.result = (self.operators[n] for n in ("engine", "shots", "result"))
        if options.engine:
            bpy.context.preferences.addons[self.engine.PACKAGE].preferences.engine_python = options.engine
        bpy.context.preferences.view.show_splash = False
        bpy.context.preferences.use_preferences_save = False
        self.window = bpy.context.window_manager.windows[0]
        self.gaps: list[float] = []
        self.last = time.perf_counter()
        self.held = Held()
        for owner, name in ((self.engine.JobRun, "advance"), (self.engine.JobOperator, "_finish"), (self.engine, "show_status"),
                            (self.result.Preview, "advance"), (module("ui.overlay"), "draw_result"), (module("ui.overlay"), "draw_legend")):
            self.held.watch(owner, name)
        for panels in ("panels", "steps", "lists", "finish"):
            for cls in (c for c in module(f"ui.{panels}").CLASSES if issubclass(c, bpy.types.Panel)):
                self.held.watch(cls, "draw")

    def ticked(self) -> None:
        """Note the time since the timer's last tick."""
        now = time.perf_counter()
        self.gaps.append(now - self.last)
        self.last = now

    def tell(self, label: str, words: str) -> None:
        print(f"figures: {label:<34} {words}", flush=True)

    def call(self, operator: Callable[..., set[str]], **arguments: object) -> None:
        area = max((a for a in self.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width * a.height)
        with bpy.context.temp_override(window=self.window, area=area, region=next(r for r in area.regions if r.type == "WINDOW")):
            operator("INVOKE_DEFAULT", **arguments)

    def during(self, label: str, wait: Wait) -> Steps:
        """Wait, and tell the longest gap between two ticks of the timer and the longest call of Mien's."""
        self.gaps.clear()
        self.held.longest.clear()
        start = time.perf_counter()
        yield wait
        gaps = sorted(self.gaps)
        self.tell(label, f"{time.perf_counter() - start:6.1f} s; longest call of Mien {self.held.worst()}; "
                         f"gaps between ticks: median {1000 * np.median(gaps):4.0f}, longest {1000 * gaps[-1]:5.0f} ms")
        if self.engine.STATE.error:
            raise RuntimeError(self.engine.STATE.error)

    def idle(self) -> bool:
        return not self.engine.STATE.running

    @property
    def face(self) -> bpy.types.Object:
        return self.shots.scene_face(self.window.scene)

    def steps(self) -> Steps:
        self.tell("machine", f"Blender {bpy.app.version_string}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
        bpy.ops.wm.save_as_mainfile(filepath=str(self.folder / "figures.blend"))
        area = max((a for a in self.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width * a.height)
        area.spaces.active.show_region_ui = True
        yield 1.0
        next(r for r in area.regions if r.type == "UI").active_panel_category = "Mien"
        yield 1.0
        yield from self.during("nothing runs (Blender's own gaps)", 5.0)
        plate = self.folder / "plate.mp4"
        if self.options.plate:
            shutil.copyfile(self.options.plate, plate)
            self.call(bpy.ops.mien.choose_plate, filepath=str(plate))
        else:
            self.call(bpy.ops.mien.demo_plate)
            yield 0.5
            yield from self.during("demo plate", self.idle)
        self.call(bpy.ops.mien.track)
        yield from self.during("track, solve, learn", self.idle)
        yield from self.imports()
        yield from self.live()
        yield from self.preview()
        self.call(bpy.ops.mien.bake)
        yield from self.during("bake", self.idle)

    def imports(self) -> Steps:
        """The shot itself, and one of as many frames as asked for, made of its performance over and over."""
        operators = self.operators["face"]
        shot_type, solve_type = module("mesh.shot").Shot, module("mesh.shot").Solve
        shot = shot_type.load(self.shots.shot_folder(bpy.context))
        solve = solve_type.load(shot)
        count = self.options.frames
        long = shot_type.load(shot.folder)
        long.folder = self.folder / "long.mien"
        long.plate = replace(shot.plate, frame_count=count)
        index = np.arange(count) % len(solve.beta)
        repeated = {name: getattr(solve, name)[index] for name in ("beta", "rotation", "translation", "reprojection")}
        replace(solve, **repeated, cuts=solve.cuts[:0]).save(long.solve_path)
        long.save()
        scene = bpy.data.scenes.new("Import")
        for label in ("first", "again"):
            wall, used = time.perf_counter(), time.thread_time()
            operators.import_shot(scene, long)
            self.tell(f"import of {count} frames, {label}", f"{time.perf_counter() - wall:6.3f} s wall, {time.thread_time() - used:6.3f} s CPU")
        for thing in list(scene.objects):
            bpy.data.objects.remove(thing)
        bpy.data.scenes.remove(scene)
        self.call(bpy.ops.mien.import_face)
        yield 1.0

    def live(self) -> Steps:
        """Frames a second while the timeline plays as fast as it can, with the live edit and without."""
        scene, emotion = self.window.scene, self.operators["emotion"]
        rng = np.random.default_rng(2)
        for frame in range(scene.frame_start, scene.frame_end + 1, 10):
            for name in emotion.EMOTIONS:
                setattr(self.face.mien, name, rng.uniform(0, 0.5))
            emotion.key_controls(self.face, frame)
        rate, scene.sync_mode = scene.render.fps, "NONE"
        scene.render.fps = 240
        for on in (True, False):
            self.operators["live"].set_live(self.face, on, scene.frame_current)
            seen: list[int] = []
            counter = functools.partial(lambda seen, *_: seen.append(1), seen)
            bpy.app.handlers.frame_change_post.append(counter)
            wall, used = time.perf_counter(), time.thread_time()
            self.call(bpy.ops.screen.animation_play)
            yield PLAYED
            wall, used = time.perf_counter() - wall, time.thread_time() - used
            self.call(bpy.ops.screen.animation_cancel, restore_frame=False)
            bpy.app.handlers.frame_change_post.remove(counter)
            each = 1000 * used / max(len(seen), 1)
            self.tell(f"playing, live edit {'on' if on else 'off'}",
                      f"{len(seen) / wall:6.1f} frames/s; the main thread used {each:.1f} ms CPU a frame")
        scene.render.fps = rate
        self.operators["live"].set_live(self.face, True, scene.frame_current)

    def preview(self) -> Steps:
        """From a slider's change to its picture, of the frame in the middle."""
        scene = self.window.scene
        bpy.ops.mien.reset_emotion(keys=True)
        scene.frame_set((scene.frame_start + scene.frame_end) // 2)
        self.call(bpy.ops.mien.result_preview)
        self.face.mien.happy = SLIDERS[0]
        yield 0.2
        yield from self.during("first result preview", self.shown)
        times, used = [], []
        for value in SLIDERS[1:]:
            before = self.engine_cpu()
            self.face.mien.happy = value
            yield 0.02
            yield self.shown
            times.append(self.result.running().picture.seconds)
            used.append(self.engine_cpu() - before)
        self.tell("slider to picture", f"median {np.median(times):.2f} s, longest {max(times):.2f} s; "
                                       f"the engine used {np.median(used):.2f} s CPU for each")
        self.held.longest.clear()
        self.call(bpy.ops.mien.result_preview)
        self.tell("result preview switched off", f"longest call of Mien {self.held.worst()}")

    def shown(self) -> bool:
        preview = self.result.running()
        if preview.problem:
            raise RuntimeError(preview.problem)
        return not preview.waiting_for(self.result.wanted_of(self.face, self.window.scene.frame_current))

    def engine_cpu(self) -> float:
        """Seconds that the preview's engine has used so far; 0 where the system does not tell."""
        hello = self.result.running()._engine.hello
        try:
            fields = Path(f"/proc/{hello.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, AttributeError):
            return 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plate", type=Path)
    parser.add_argument("--engine", default="")
    parser.add_argument("--frames", type=int, default=300, help="of the import that is measured")
    options = parser.parse_args(arguments())
    folder = Path(tempfile.mkdtemp(prefix="mien-figures-"))
    figures = Figures(options, folder)
    play(figures.steps(), folder, pause=TICK, ticked=figures.ticked)


main()
