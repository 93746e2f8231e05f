# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien demo`: plate, track, solve, edit with two emotions, and a contact sheet, without Blender."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...mesh.emotion import EmotionCurves
from ...mesh.shot import Shot
from .. import stages
from ..console import Console, console
from ..contact_sheet import contact_sheet, save_sheet
from ..edit import EditSettings, ShotEditor
from ..media import PlateReader, display8, keep_frames
from ..progress import Silent
from .keys import demo_curves, frame_label, shown_frames
from .plate import make_plate


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code. Raises MienError."""
    parser = argparse.ArgumentParser(prog="mien demo", description="Make a plate, change its emotion, and show what was done.")
    parser.add_argument("plate", nargs="?", type=Path, metavar="PLATE", help="a movie or sequence to use instead of the demo's own plate")
    parser.add_argument("-o", "--output", type=Path, default=Path("mien-demo"), metavar="FOLDER", help="where to put everything (mien-demo)")
    options = parser.parse_args(argv)
    with console() as terminal:
        run(options.plate, options.output, terminal)
    return 0


def run(plate: Path | None, folder: Path, terminal: Console) -> None:
    """The demo into `folder`. Raises MienError."""
    if plate is None:
        plate = folder / "plate.mp4"
        make_plate(plate, report=terminal)
    movie = folder / "edited.mp4"
    with keep_frames():
        shot = stages.track(plate, folder / f"{plate.stem.rstrip('.#')}.mien", report=terminal)
        shot = stages.solve(shot.folder, report=terminal)
        curves = demo_curves(shot.plate.first_frame, shot.plate.frame_count)
        stages.edit(shot.folder, curves, movie, report=terminal)
    sheet = folder / "contact_sheet.png"
    save_sheet(sheet, edit_sheet(shot, curves))
    for name, path in (("plate", plate), ("shot folder", shot.folder), ("movie", movie), ("contact sheet", sheet)):
        terminal.say(f"{name:<14}{path}")


def edit_sheet(shot: Shot, curves: EmotionCurves) -> np.ndarray:
    """The contact sheet of an edit, straight from the renderer: (H, W, 3) uint8."""
    editor, reader = ShotEditor(shot, curves, EditSettings(), Silent()), PlateReader(shot.plate_path, shot.plate)
    plates, edits, mattes, labels = [], [], [], []
    for i in shown_frames(shot.plate.frame_count):
        pixels = reader.frame(i).pixels
        layer = editor.layer(i, pixels)
        matte = np.zeros(pixels.shape[:2], np.float32)
        if layer is not None:
            left, top, right, bottom = layer.box
            matte[top:bottom, left:right] = layer.matte
        plates.append(display8(pixels, shot.plate.linear))
        edits.append(display8(pixels if layer is None else layer.over(pixels), shot.plate.linear))
        mattes.append(matte)
        labels.append(frame_label(shot.frame_number(i), curves.effective[i]))
    return contact_sheet(plates, edits, mattes, labels)
