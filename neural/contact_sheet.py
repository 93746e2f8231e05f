# SPDX-License-Identifier: GPL-3.0-or-later
"""A contact sheet of an edited clip: plate, edit, eight times the difference, matte, side by side for a few frames.

    python -m mien.neural.contact_sheet PLATE OUTPUT -o sheet.png [--frames 6] [--crop x,y,w,h] [--matte-dir SHOT.mien/bake]

PLATE and OUTPUT are movies or image sequences (`name.####.png`). The sheet shows the part of the picture that changed, so
that faces are large. Pictures are arrays (H, W, 3) uint8 sRGB, mattes (H, W) float in 0..1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..mesh.errors import MienError
from ..mesh.shot import Plate
from .failures import tells_errors
from .media import PlateReader, display8, probe_plate, read_exr

ROWS = ("plate", "edit", "difference x 8", "matte")
GAP = 4
HEADER = 26
"""Height of the line with a frame's label, pixels."""
SIDE = 26
"""Width of the column with the rows' names, pixels."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


def evenly(count: int, wanted: int) -> list[int]:
    """`wanted` indices spread over `count` frames, ends included; all of them when there are fewer."""
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(wanted, count)).round())]


def changed_box(plate_frames: Sequence[np.ndarray], edit_frames: Sequence[np.ndarray], mattes: Sequence[np.ndarray] | None = None) -> Box:
    """The square box around the mattes or, without them, around the pixels that differ visibly on any of the frames; with a margin.

    Small differences are ignored, they are the coding noise of a lossy movie. Nothing changed: the whole picture.
    """
    h, w = plate_frames[0].shape[:2]
    changed = np.zeros((h, w), bool)
    for matte in mattes or ():
        changed |= matte > 0
    margin = 0.25
    if changed.any():
        margin = 0.05  # a matte has one of its own
    else:
        for plate, edit in zip(plate_frames, edit_frames, strict=True):
            changed |= cv2.blur(cv2.absdiff(plate, edit).max(-1), (5, 5)) > 5
    ys, xs = np.nonzero(changed)
    if len(xs) < 100:
        return 0, 0, w, h
    (x0, x1), (y0, y1) = np.percentile(xs, (0.5, 99.5)), np.percentile(ys, (0.5, 99.5))
    size = max(x1 - x0, y1 - y0) * (1 + 2 * margin)
    bw, bh = min(w, int(size)), min(h, int(size))
    x, y = int((x0 + x1) / 2 - bw / 2), int((y0 + y1) / 2 - bh / 2)
    return min(max(x, 0), w - bw), min(max(y, 0), h - bh), bw, bh


def difference(plate: np.ndarray, edit: np.ndarray, gain: int = 8) -> np.ndarray:
    """|edit - plate| x gain, (H, W, 3) uint8, clipped."""
    return (cv2.absdiff(plate, edit).astype(np.uint16) * gain).clip(0, 255).astype(np.uint8)


def _text(image: np.ndarray, text: str, x: int, y: int, scale: float = 0.45) -> None:
    cv2.putText(image, text, (x, y), FONT, scale, (230, 230, 230), 1, cv2.LINE_AA)


def contact_sheet(plate_frames: Sequence[np.ndarray], edit_frames: Sequence[np.ndarray], mattes: Sequence[np.ndarray] | None,
                  labels: Sequence[str], *, crop: Box | None = None, cell: int = 320) -> np.ndarray:
    """One picture (H, W, 3) uint8: a column a frame under its label, a row each of ROWS.

    plate_frames, edit_frames: N pictures (H, W, 3) uint8; mattes: N arrays (H, W) in 0..1, or None for a sheet without that row.
    crop: the box to show, by default the one of `changed_box`. cell: width of a column in pixels.
    """
    x, y, w, h = crop or changed_box(plate_frames, edit_frames, mattes)
    height = max(1, round(h * cell / w))
    rows = ROWS if mattes is not None else ROWS[:3]
    count = len(plate_frames)
    sheet = np.full((HEADER + len(rows) * (height + GAP), SIDE + count * (cell + GAP), 3), 24, np.uint8)
    for i in range(count):
        plate, edit = (np.ascontiguousarray(f[y:y + h, x:x + w]) for f in (plate_frames[i], edit_frames[i]))
        cells = [plate, edit, difference(plate, edit)]
        if mattes is not None:
            matte = np.asarray(mattes[i], np.float32)[y:y + h, x:x + w]
            cells.append(np.repeat((matte.clip(0, 1) * 255).round().astype(np.uint8)[..., None], 3, -1))
        left = SIDE + i * (cell + GAP)
        for row, picture in enumerate(cells):
            top = HEADER + row * (height + GAP)
            method = cv2.INTER_AREA if w > cell else cv2.INTER_CUBIC
            sheet[top:top + height, left:left + cell] = cv2.resize(picture, (cell, height), interpolation=method)
        _text(sheet, labels[i], left, HEADER - 8)
    for row, name in enumerate(rows):
        strip = np.full((SIDE, height, 3), 24, np.uint8)
        _text(strip, name, 6, SIDE - 9)
        top = HEADER + row * (height + GAP)
        sheet[top:top + height, :SIDE] = cv2.rotate(strip, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return sheet


def save_sheet(path: Path | str, sheet: np.ndarray) -> None:
    """Write a sheet as PNG. Raises MienError when the folder cannot be written."""
    data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data.tobytes())
    except OSError as error:
        raise MienError(f"Cannot write the contact sheet {path} ({error.strerror or error}); choose another folder.") from error


def pick_frames(plate: Plate, indices: Sequence[int]) -> list[np.ndarray]:
    """Some frames of a movie or sequence as (H, W, 3) uint8 sRGB. Raises MienError when it has fewer."""
    if max(indices) >= plate.frame_count:
        raise MienError(f"{plate.path} has {plate.frame_count} frames, frame {max(indices) + 1} is asked for; choose frames that both clips have.")
    reader = PlateReader(plate.path, plate)
    return [display8(reader.frame(i).pixels, plate.linear) for i in indices]


def mattes_of(folder: Path | str, indices: Sequence[int], shape: tuple[int, int], first_frame: int) -> list[np.ndarray]:
    """The mattes `matte.####.exr` of a bake folder; frames without one (no edit) are empty."""
    paths = [Path(folder) / f"matte.{first_frame + i:04d}.exr" for i in indices]
    return [read_exr(p) if p.exists() else np.zeros(shape, np.float32) for p in paths]


def _numbers(text: str) -> list[int]:
    numbers = sorted({int(v) for v in text.split(",")})
    if numbers[0] < 1:
        raise ValueError(text)
    return numbers


def _box(text: str) -> Box:
    x, y, w, h = (int(v) for v in text.split(","))
    if min(w, h) < 1 or min(x, y) < 0:
        raise ValueError(text)
    return x, y, w, h


@tells_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mien-contact-sheet", description="Plate, edit, difference and matte of a few frames on one picture.")
    parser.add_argument("plate", help="movie or name.####.png")
    parser.add_argument("output", help="the edited movie or sequence")
    parser.add_argument("-o", "--out", required=True, help="PNG to write")
    parser.add_argument("--frames", type=_numbers, default=[6], help="how many frames, evenly chosen, or their numbers from 1: 12,40,77")
    parser.add_argument("--crop", type=_box, metavar="X,Y,W,H", help="part of the picture to show, in pixels")
    parser.add_argument("--matte-dir", help="bake folder with matte.####.exr")
    parser.add_argument("--first-frame", type=int, default=1, help="number of the first frame in the mattes' names")
    parser.add_argument("--cell", type=int, default=320, help="width of one picture on the sheet, pixels")
    options = parser.parse_args(arguments)
    plate, output = probe_plate(options.plate), probe_plate(options.output)
    if (plate.width, plate.height) != (output.width, output.height):
        raise MienError(f"{options.plate} and {options.output} differ in size; give the same shot before and after.")
    total = min(plate.frame_count, output.frame_count)
    indices = [i - 1 for i in options.frames] if len(options.frames) > 1 else evenly(total, options.frames[0])
    mattes = mattes_of(options.matte_dir, indices, (plate.height, plate.width), options.first_frame) if options.matte_dir else None
    sheet = contact_sheet(pick_frames(plate, indices), pick_frames(output, indices), mattes, [f"frame {i + 1}" for i in indices],
                          crop=options.crop, cell=options.cell)
    save_sheet(options.out, sheet)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
