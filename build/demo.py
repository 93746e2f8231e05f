# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: the product as an artist uses it, through Blender, from a plate to a delivered movie.

    python build/demo.py [--plate clip.mp4] [--output out/demo]

Blender runs here as a Python module, with Mien enabled as an add-on in a profile of its own; every step is the operator that the
panel's button calls. Leaves the .blend, the shot folder, the movie and a contact sheet.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failed(Exception):
    """A step of the demo did not do what it should."""


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step and how long it took."""
    print(f"{text:<52}", end="", flush=True)
    start = time.perf_counter()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.perf_counter() - start:6.1f} s", flush=True)


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """What Blender and libraries print goes to a file; our own lines are the output."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in zip((1, 2), kept):
            os.dup2(copy, number)
            os.close(copy)


class Demo:
    """One run into a folder. Each method is a stage of the shot."""

    def __init__(self, folder: Path, plate: Path | None):
        self.folder = folder
        self.log = folder / "demo.log"
        self.blend, self.movie, self.sheet = folder / "demo.blend", folder / "demo.mp4", folder / "contact_sheet.png"
        self.plate = plate or folder / "plate.mp4"
        self.own_plate = plate is None
        folder.mkdir(parents=True, exist_ok=True)
        for old in (self.log, self.blend, self.movie, self.sheet):
            old.unlink(missing_ok=True)
        name = self.plate.stem.replace("#", "").rstrip("._- ")
        shutil.rmtree(folder / f"{name}.mien", ignore_errors=True)

    def run(self) -> None:
        if self.own_plate:
            with step("make the plate: a portrait that talks and blinks"), quiet(self.log):
                from mien.neural.demo.plate import make_plate
                make_plate(self.plate)
        with step("start Blender, enable Mien, save the .blend"), quiet(self.log):
            self.start()
        with step("choose the plate"):
            self.call("choose_plate", filepath=str(self.plate))
        with step("track and solve (in the engine's process)"):
            self.call("track")
        with step("import the face"):
            self.call("import_face")
        with step("key two emotions on F-curves"):
            self.key()
        with step("bake the face layer (in the engine's process)"):
            self.call("bake")
        with step("composite over the plate"):
            self.call("composite")
        with step("deliver the movie with the plate's sound"):
            self.call("deliver", filepath=str(self.movie), format="H264")
        with step("draw the contact sheet"), quiet(self.log):
            self.draw_sheet()
        with quiet(self.log):
            self.bpy.ops.wm.save_mainfile()

    def start(self) -> None:
        import bpy
        self.bpy = bpy
        bpy.ops.wm.read_factory_settings(use_empty=True)
        import addon_utils
        if addon_utils.enable("mien", default_set=True) is None:
            raise Failed("Blender could not enable Mien")
        bpy.ops.wm.save_as_mainfile(filepath=str(self.blend))

    def stop(self) -> None:
        """Disable Mien, which ends the engine's process."""
        if "addon_utils" in sys.modules:
            with quiet(self.log):
                sys.modules["addon_utils"].disable("mien")

    @property
    def scene(self):
        """The artist's own scene, not the ones made for composite and delivery."""
        return next(s for s in self.bpy.data.scenes if s.mien.shot_folder)

    @property
    def shot(self):
        from mien.mesh.shot import Shot
        return Shot.load(Path(self.bpy.path.abspath(self.scene.mien.shot_folder)))

    def call(self, name: str, **settings: object) -> None:
        """Press a button. Raises Failed with the operator's own report."""
        with quiet(self.log):
            try:
                result = getattr(self.bpy.ops.mien, name)(**settings)
            except RuntimeError as error:
                raise Failed(str(error).strip().removeprefix("Error: ")) from error
        if "FINISHED" not in result:
            raise Failed(f"mien.{name} was cancelled; see {self.log}")

    def key(self) -> None:
        from mien.neural.demo.keys import frame_keys
        face, plate = self.scene.mien.face, self.shot.plate
        for emotion, keys in frame_keys(plate.first_frame, plate.frame_count).items():
            for frame, value in keys:
                setattr(face.mien, emotion, value)
                face.keyframe_insert(f"mien.{emotion}", frame=frame)

    def draw_sheet(self) -> None:
        from mien.mesh.emotion import EmotionCurves
        from mien.neural.contact_sheet import contact_sheet, mattes_of, pick_frames, save_sheet
        from mien.neural.demo.keys import frame_label, shown_frames
        from mien.neural.media import probe_plate
        shot, curves = self.shot, EmotionCurves.load(self.shot.emotion_path)
        indices = shown_frames(shot.plate.frame_count)
        plate = probe_plate(shot.plate_path, shot.plate.first_frame, None)
        edits = self.composited(indices)
        mattes = mattes_of(shot.bake_folder, indices, (plate.height, plate.width), plate.first_frame)
        labels = [frame_label(shot.frame_number(i), curves.effective[i]) for i in indices]
        save_sheet(self.sheet, contact_sheet(pick_frames(plate, indices), edits, mattes, labels))

    def composited(self, indices: list[int]) -> list:
        """Frames of the composite scene, before any movie coding, as (H, W, 3) uint8."""
        from mien.neural.media import display8
        from mien.neural.media.stills import read_still
        scene = next(s for s in self.bpy.data.scenes if s.get("mien_stage") == "composite")
        shot, render, frames = self.shot, scene.render, []
        before, suffix = (render.filepath, scene.frame_start, scene.frame_end), ".exr" if shot.plate.linear else ".png"
        with tempfile.TemporaryDirectory(dir=self.folder) as temporary:
            render.filepath = f"{temporary}/####{suffix}"
            for i in indices:
                scene.frame_start = scene.frame_end = shot.frame_number(i)  # as an animation: a still of another scene keeps its first picture
                self.bpy.ops.render.render(animation=True, scene=scene.name)
                frames.append(display8(read_still(Path(temporary) / f"{shot.frame_number(i):04d}{suffix}"), shot.plate.linear))
        render.filepath, scene.frame_start, scene.frame_end = before
        return frames

    def check(self) -> list[str]:
        """What was made and where, in lines; raises Failed when frames are missing."""
        import numpy as np

        from mien.mesh.shot import Solve
        from mien.neural.media import probe_plate
        plate, movie, solve = self.shot.plate, probe_plate(self.movie), Solve.load(self.shot)
        if movie.frame_count != plate.frame_count or movie.audio != plate.audio:
            raise Failed(f"{self.movie} has {movie.frame_count} frames, the plate {plate.frame_count}")
        error = np.nanmedian(solve.reprojection)
        made = {"movie": self.movie, ".blend": self.blend, "contact sheet": self.sheet, "plate": self.plate, "shot folder": self.shot.folder}
        return [f"solved {int(solve.solved.sum())} of {plate.frame_count} frames, median error {error:.2%} of the eye distance",
                f"delivered {movie.frame_count} frames of {movie.width} x {movie.height} at {float(movie.rate):g} a second, "
                f"{'with' if movie.audio else 'without'} sound",
                *(f"{name:<14}{path}" for name, path in made.items())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plate", type=Path, help="a movie or an image sequence, instead of the demo's own plate")
    parser.add_argument("--output", type=Path, default=ROOT / "out" / "demo")
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as profile:
        os.environ["BLENDER_USER_RESOURCES"] = profile  # before bpy is imported: leave the user's own Blender alone
        demo = Demo(options.output.resolve(), options.plate and options.plate.resolve())
        from mien.mesh.errors import MienError
        try:
            demo.run()
            lines = demo.check()
        except (Failed, MienError) as error:
            print(f"demo: {error}\nEverything that was printed is in {demo.log}.", file=sys.stderr, flush=True)
            return 1
        finally:
            demo.stop()
    print(*lines, sep="\n")
    print(f"{time.perf_counter() - start:.0f} s in all", flush=True)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # Blender's own shutdown as a module may hang
