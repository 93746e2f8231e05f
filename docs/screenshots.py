# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the manual and the tutorial, from the real application: the tutorial itself, played with mouse and keyboard.

    blender --enable-event-simulate --window-geometry 0 0 1600 900 --python docs/screenshots.py -- [--engine PYTHON] [--plate clip.mp4]
        [--out docs/images] [--all FOLDER] [--quick] [--pace 2]

Mien must be installed and switched on. Without --plate the demo's plate is made first, as the tutorial does; a shot folder beside a given plate is
taken along. --quick calls the buttons' operators in the place of looking for them with the pointer. --out takes the pictures that the docs show,
--all every step's, as PNG. Where Blender cannot read its own window (its pictures are black, as with software OpenGL), name a command that takes a
file name: --grab "import -window root". Works in a temporary folder, changes no preferences on disk, and ends Blender when it is done. Exits with 1,
and says why, when a step does not do what the tutorial promises.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from hands import Desk, Steps, arguments, module, play

WIDTH = 1280
"""Of the docs' pictures, pixels."""
QUALITY = 82


class Tour(Desk):
    """The tutorial as a generator: it yields seconds, or what it waits for, and Blender draws meanwhile."""

    def __init__(self, options: argparse.Namespace, folder: Path):
        self.options, self.folder = options, folder
        self.engine, self.shots, self.result = module("operators.engine"), module("operators.shots"), module("operators.result")
        if options.engine:
            bpy.context.preferences.addons[self.engine.PACKAGE].preferences.engine_python = options.engine
        view = bpy.context.preferences.view
        view.show_splash, view.ui_scale, view.render_display_type, view.filebrowser_display_type = False, 0.9, "AREA", "SCREEN"
        bpy.context.preferences.use_preferences_save = False
        super().__init__(bpy.context.window_manager.windows[0], options.quick)
        self.number = 0
        self.times: dict[str, float] = {}

    # -- the window -----------------------------------------------------------------------------------------------------------

    def job(self) -> Steps:
        """Wait for the running job; fail when it fails."""
        yield 0.5
        yield lambda: not self.engine.STATE.running
        if self.engine.STATE.error:
            raise RuntimeError(self.engine.STATE.error)

    def picture(self, name: str) -> Steps:
        """The window, once it has been drawn: into --all, and where `name` is a file of the docs, as a JPEG of their width into --out."""
        yield 0.7
        self.number += 1
        path = self.folder / f"{self.number:02d} {name}.png"
        with bpy.context.temp_override(window=self.window):
            bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
            if self.options.grab:
                time.sleep(0.5)  # the screen shows what was drawn a little later
                subprocess.run([*shlex.split(self.options.grab), str(path)], check=True)
            else:
                bpy.ops.screen.screenshot(filepath=str(path))
        if self.options.all:
            self.options.all.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, self.options.all / path.name)
        if self.options.out and name.startswith(("tutorial_", "manual_")):
            image = bpy.data.images.load(str(path))
            image.scale(WIDTH, round(image.size[1] * WIDTH / image.size[0]))
            image.file_format = "JPEG"
            self.options.out.mkdir(parents=True, exist_ok=True)
            image.save(filepath=str(self.options.out / f"{name}.jpg"), quality=QUALITY)
            bpy.data.images.remove(image)
        print(f"tour: {path.stem}", flush=True)

    # -- the tutorial ---------------------------------------------------------------------------------------------------------

    def steps(self) -> Steps:
        yield 1.0
        area = self.area("VIEW_3D")
        yield from self.hands.move(area.x + area.width / 2, area.y + area.height / 2)
        yield from self.hands.key("N")
        yield 1.0
        next(r for r in area.regions if r.type == "UI").active_panel_category = "Mien"  # a tab's letters have no button to find
        yield 0.5
        yield from self.picture("tutorial_1_panel")
        yield from self.press("wm.save_as_mainfile", filepath=str(self.folder / "tutorial.blend"))
        yield from self.browse(self.folder / "tutorial.blend")
        yield 0.5
        if Path(bpy.data.filepath) != self.folder / "tutorial.blend":
            raise RuntimeError(f"the .blend was saved as {bpy.data.filepath or 'nothing'}")
        yield from self.footage()
        yield from self.animate()
        yield from self.look()
        yield from self.finish()
        print("tour: done", {name: round(seconds, 2) for name, seconds in self.times.items()}, flush=True)

    def footage(self) -> Steps:
        plate = self.options.plate
        if plate is None:
            if not self.quick:
                yield from self.open_panel("mien.demo_plate", "mien.track")
            yield from self.press("mien.demo_plate")
            yield from self.job()
        else:
            beside = self.folder / plate.name
            shutil.copyfile(plate, beside)
            if plate.with_suffix(".mien").exists():
                shutil.copytree(plate.with_suffix(".mien"), beside.with_suffix(".mien"))
            yield from self.press("mien.choose_plate", filepath=str(beside))
            yield from self.browse(beside)
        yield 0.5
        yield from self.away()
        yield from self.picture("plate chosen")
        folder = self.shots.shot_folder(bpy.context)
        if not (folder / "solve.npz").exists():
            yield from self.press("mien.track")
            yield from self.away()
            yield lambda: self.engine.STATE.fraction > 0.4 or not self.engine.STATE.running
            yield from self.picture("tutorial_2_track")
            yield from self.job()
            yield from self.picture("tracked and solved")
        yield from self.press("mien.import_face")
        yield from self.away()
        yield from self.picture("tutorial_3_face")

    def open_panel(self, wanted: str, below: str) -> Steps:
        """Open closed panels below the button `below`, one after the other, until the one with the button `wanted` is open."""
        area = self.area("VIEW_3D")
        yield from self.hands.find(below, area)
        region = next(r for r in area.regions if r.type == "UI")
        x, y = self.hands.place
        pitch = round(24.5 * bpy.context.preferences.view.ui_scale)
        for _ in range(24):
            y -= pitch
            if y < region.y + 4:
                yield from self.hands.wheel(4)
                yield from self.hands.find(below, area, scroll=False)
                y = self.hands.place[1]
                continue
            yield from self.hands.click(x - 60, y)
            yield 0.4
            found = []
            for step in range(1, 9):
                yield from self.hands.move(x, y - step * 11)
                found.append(self.hands.under(area, region))
            if any(seen.startswith(wanted) for seen in found):
                return
            yield from self.hands.click(x - 60, y)
            yield 0.4
        raise RuntimeError(f"no panel has {wanted}")

    def close_panel(self, first: str) -> Steps:
        """Fold the panel whose first button is `first`, so that no button of it is taken for the header of a closed panel."""
        yield from self.hands.find(first, self.area("VIEW_3D"))
        x, y = self.hands.place
        yield from self.hands.click(x - 60, y + round(30 * bpy.context.preferences.view.ui_scale))
        yield 0.4

    @property
    def face(self) -> bpy.types.Object:
        return self.shots.scene_face(self.window.scene)

    def animate(self) -> Steps:
        for frame, letter, emotion in ((20, "H", "happy"), (70, "S", "sad")):
            yield from self.go_to(frame)
            if self.quick:
                self.call("mien.key_preset", emotion=emotion)
                continue
            yield from self.hands.find("mien.key_emotion", self.area("VIEW_3D"), across=0.25)
            x, top = self.hands.place
            yield from self.hands.find("mien.sound", self.area("VIEW_3D"))
            yield from self.hands.click(x, (top + self.hands.place[1]) / 2)  # the menu between the two
            yield 0.4
            yield from self.picture(f"menu {emotion}")
            yield from self.hands.key("C")
            yield 0.4
            yield from self.picture(f"menu {emotion} emotions")
            yield from self.hands.key(letter)
            yield 0.4
            yield lambda emotion=emotion: emotion in self.shots.control_curves(self.face)
            curve = self.shots.control_curves(self.face)[emotion]
            if len(curve.keyframe_points) != 4:
                raise RuntimeError(f"no four keys of {emotion}")
        yield from self.away()
        yield from self.picture("keyed")
        if not self.quick:
            yield from self.slide()
        yield from self.go_to(40)
        yield from self.curves()

    def slide(self) -> Steps:
        """Drag a slider: the mesh follows at once; undo."""
        yield from self.go_to(40)
        before = self.mesh()
        yield from self.point("mien.surprised")
        yield from self.hands.drag(60)
        yield 0.3
        value = self.face.mien.surprised
        if not 0.1 < value <= 1 or self.mesh() == before:
            raise RuntimeError(f"the slider stands at {value} and the mesh did not follow")
        yield from self.picture("slider dragged")
        yield from self.hands.key("Z", ctrl=True)
        yield lambda: not self.face.mien.surprised
        yield 0.3
        if self.mesh() != before:
            raise RuntimeError("undo brought the slider back and not the mesh")

    def mesh(self) -> bytes:
        """The edited points of the frame in view."""
        points = self.face.data.shape_keys.key_blocks["Mien Edit"].points
        buffer = np.empty(3 * len(points), np.float32)
        points.foreach_get("co", buffer)
        return buffer.tobytes()

    def curves(self) -> Steps:
        """A Graph Editor between view and timeline, as an artist would lay it out."""
        area = self.area("VIEW_3D")
        with bpy.context.temp_override(window=self.window, area=area, region=area.regions[-1]):
            bpy.ops.screen.area_split(direction="HORIZONTAL", factor=0.3)
        yield 0.5
        low = min((a for a in self.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.y)
        low.type = "GRAPH_EDITOR"
        yield 0.5
        low.spaces.active.show_region_ui = False
        yield from self.hands.move(low.x + low.width / 2, low.y + low.height / 2)
        yield from self.hands.key("HOME")
        yield from self.centre()
        if self.quick:
            self.roll(13)
        else:
            yield from self.hands.find("mien.key_emotion", self.area("VIEW_3D"), across=0.25)
        yield from self.away()
        yield from self.picture("tutorial_4_emotion")

    def centre(self) -> Steps:
        """The camera's frame in the middle of the view."""
        area = self.area("VIEW_3D")
        yield from self.hands.move(area.x + area.width / 2, area.y + area.height / 2)
        yield from self.hands.key("HOME")
        yield 0.3

    def look(self) -> Steps:
        for wanted, across, name in (("mien.difference", 0.5, "manual_difference"), ("mien.compare(mode='OVER'", 0.75, "manual_overlay")):
            yield from self.press(wanted, across)
            yield from self.away()
            yield from self.picture(name)
            yield from self.press(wanted, across)
        if self.quick:
            self.roll(6)
        yield from self.press("mien.result_preview")
        yield from self.centre()
        yield 0.5
        yield from self.picture("first preview")
        start = time.perf_counter()
        yield self.shown
        self.times["first picture"] = time.perf_counter() - start
        yield from self.picture("tutorial_5_result")
        for value in (0.3, 0.6, 0.9):  # how long an artist waits
            if self.quick:
                self.face.mien.fear = value
            else:
                yield from self.point("mien.fear")
                yield from self.hands.drag(25)
            start = time.perf_counter()
            yield self.shown
            self.times[f"slider at {self.face.mien.fear:.2f} to picture"] = self.result.running().picture.seconds
        yield from self.away()
        yield from self.picture("preview of a dragged slider")
        self.face.mien.fear = 0.0
        yield self.shown
        yield from self.press("mien.result_preview")

    def through_camera(self) -> None:
        """The 3D view looks at the plate."""
        if self.area("VIEW_3D").spaces.active.region_3d.view_perspective != "CAMERA":
            raise RuntimeError(f"the view of {self.window.scene.name} does not look through the camera")

    def shown(self) -> bool:
        """Is the picture of what is set now in the view?"""
        preview = self.result.running()
        if preview.problem:
            raise RuntimeError(preview.problem)
        return not preview.waiting_for(self.result.wanted_of(self.face, self.window.scene.frame_current))

    def finish(self) -> Steps:
        if self.quick:
            self.roll(-60)
        yield from self.press("mien.bake")
        yield from self.away()
        yield lambda: self.engine.STATE.fraction > 0.5 or not self.engine.STATE.running
        yield from self.picture("tutorial_6_bake")
        yield from self.job()
        yield from self.picture("baked")
        yield from self.press("mien.composite")
        yield 1.0
        yield from self.away()
        yield from self.picture("composite built")
        if not self.quick:
            yield from self.open_panel("mien.show_scene", "mien.bake(")
        yield from self.away()
        yield from self.picture("composite panel")
        yield from self.press("mien.show_scene(stage='composite'")
        yield lambda: any(a.type == "NODE_EDITOR" for a in self.window.screen.areas)
        yield 1.0
        nodes = self.area("NODE_EDITOR")
        nodes.spaces.active.show_region_asset_shelf, nodes.spaces.active.show_region_ui = False, True
        yield 0.5
        next(r for r in nodes.regions if r.type == "UI").active_panel_category = "Mien"
        yield from self.hands.move(nodes.x + nodes.width / 3, nodes.y + nodes.height / 2)
        yield from self.hands.key("HOME")
        yield 1.0
        yield from self.away()
        yield from self.picture("tutorial_7_composite")
        movie = self.folder / "review.mp4"
        if self.quick:
            bpy.ops.mien.show_scene(stage="shot")
        else:
            yield from self.hands.find("mien.show_scene", nodes)
            yield from self.hands.click()
        yield lambda: any(a.type == "VIEW_3D" for a in self.window.screen.areas)
        self.through_camera()
        yield from self.press("mien.deliver", filepath=str(movie))
        yield from self.browse(movie)
        render = module("operators.render_job")
        yield lambda: not render.running() or render.told()[0] > 0.1
        yield from self.away()
        self.through_camera()
        yield from self.picture("delivering")
        yield lambda: not render.running()
        if not movie.exists():
            raise RuntimeError(self.engine.STATE.error or "nothing was delivered")
        self.through_camera()
        yield from self.picture("delivered")
        if not self.quick:
            yield from self.close_panel("mien.composite")
            yield from self.open_panel("mien.show_scene(stage='delivery'", "mien.bake(")
        yield from self.press("mien.show_scene(stage='delivery'")
        yield lambda: any(a.type == "SEQUENCE_EDITOR" for a in self.window.screen.areas)
        yield 2.0  # its views are fitted once they are there
        yield from self.away()
        yield from self.picture("tutorial_8_deliver")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, help="folder for the pictures that the docs show")
    parser.add_argument("--all", type=Path, help="folder for a picture of every step")
    parser.add_argument("--engine", default="")
    parser.add_argument("--quick", action="store_true", help="call operators, do not look for their buttons")
    parser.add_argument("--plate", type=Path, help="footage in the place of the demo's; not tracked with a shot folder beside it")
    parser.add_argument("--pace", type=float, default=1.0, help="of every wait; 2 and more for a computer that draws slowly")
    parser.add_argument("--grab", default="", help="a command that writes a picture of the screen")
    options = parser.parse_args(arguments())
    folder = Path(tempfile.mkdtemp(prefix="mien-tour-"))
    play(Tour(options, folder).steps(), folder, pace=options.pace)


main()
