# SPDX-License-Identifier: GPL-3.0-or-later
"""One frame of the edit at once, for the viewport: what does not depend on the curves stays loaded from one request to the next."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np

from ..mesh.emotion import EmotionCurves
from ..mesh.errors import MienError
from ..mesh.shot import Shot
from .edit import EditSettings, ShotEditor
from .media import Frame, PlateReader, display8, read_still
from .progress import Reporter

KEPT_FRAMES = 12
"""Plate frames kept in memory, so that moving a slider decodes nothing."""
MARGIN = 0.25
"""How far the picture reaches beyond the face, in face widths."""


class _WarmShot:
    """A shot loaded for previews: editor, reader, the last frames."""

    def __init__(self, shot: Shot, curves: EmotionCurves, settings: EditSettings, report: Reporter):
        self.shot = shot
        self.editor = ShotEditor(shot, curves, settings, report)
        self.reader = PlateReader(shot.plate_path, shot.plate)
        self.frames: OrderedDict[int, Frame] = OrderedDict()

    def frame(self, index: int) -> Frame:
        """The plate's frame; from the decoded pictures of an earlier bake where there are any, which saves seeking in the movie."""
        if index not in self.frames:
            decoded = self.shot.plate_frame_path(index)
            if self.shot.plate.kind == "movie" and decoded.exists():
                self.frames[index] = Frame(index, index / float(self.shot.plate.rate), read_still(decoded))
            else:
                self.frames[index] = self.reader.frame(index)
        self.frames.move_to_end(index)
        while len(self.frames) > KEPT_FRAMES:
            self.frames.popitem(last=False)
        return self.frames[index]


_warm: tuple[tuple, _WarmShot] | None = None


def preview(folder: Path, curves: Path, index: int, output: Path, *, settings: dict | None = None, side: int = 0, report: Reporter) -> dict:
    """The face on one frame as the bake would show it: 8-bit display-coded (h, w, 3), written to `output` as npy.

    `curves` is a file as EmotionCurves.save writes it. `side`: the longer side of the picture at most, in pixels; 0: the plate's own pixels.
    Returns {"box": [left, top, right, bottom] on the plate, "edited": whether anything moves}; box None, and nothing written, without a face
    on that frame. Raises MienError.
    """
    warm = _load(folder, EmotionCurves.load(curves), EditSettings.from_dict(settings), report)
    plate = warm.shot.plate
    if not 0 <= index < plate.frame_count:
        raise MienError(f"Frame {warm.shot.frame_number(index)} is outside the shot {folder}; go to one of its frames.")
    report.step("preview", 0, 1)
    if not warm.editor.solve.solved[index]:
        return {"box": None, "edited": False}
    frame = warm.frame(index)
    layer = warm.editor.layer(index, frame.pixels)
    left, top, right, bottom = _face_box(warm.editor, index)
    if layer is not None:
        l, t, r, b = layer.box
        left, top, right, bottom = min(left, l), min(top, t), max(right, r), max(bottom, b)
        frame = Frame(frame.index, frame.time, layer.over(frame.pixels))
    picture = display8(frame.pixels[top:bottom, left:right, :3], plate.linear)
    if side and max(picture.shape[:2]) > side:
        scale = side / max(picture.shape[:2])
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    output.parent.mkdir(parents=True, exist_ok=True)
    np.save(output, np.ascontiguousarray(picture))
    report.step("preview", 1, 1)
    return {"box": [left, top, right, bottom], "edited": layer is not None}


def _load(folder: Path, curves: EmotionCurves, settings: EditSettings, report: Reporter) -> _WarmShot:
    """The shot of the last request with these curves; loaded anew when another is asked for or a file of it changed."""
    global _warm
    shot = Shot.load(folder)
    if _warm is None or _warm[0] != (folder, settings, _stamps(shot)):
        _warm = None  # before the new one is loaded: never two in memory
        warm = _WarmShot(shot, curves, settings, report)
        _warm = (folder, settings, _stamps(shot)), warm  # loading may itself have written what an editor learns once
    else:
        _warm[1].editor.set_curves(curves)
    return _warm[1]


def _stamps(shot: Shot) -> tuple:
    """Changes when a file does that the shot is read from."""
    files = [shot.folder / "shot.json", shot.track_path, shot.solve_path,
             *(path for name in ("actor", "texture", "occlusion") for path in sorted((shot.folder / name).rglob("*")))]
    return tuple((str(path), path.stat().st_mtime_ns) for path in files if path.is_file())


def _face_box(editor: ShotEditor, index: int) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the filmed face and its margin, within the picture."""
    solve, plate = editor.solve, editor.shot.plate
    pose = solve.rotation[index].astype(np.float64), solve.translation[index].astype(np.float64)
    xy, _ = editor.renderer.project(solve.alpha, solve.beta[index], *pose)
    margin = MARGIN * np.ptp(xy[:, 0])
    low, high = np.floor(xy.min(0) - margin).astype(int), np.ceil(xy.max(0) + margin).astype(int)
    return (int(np.clip(low[0], 0, plate.width - 1)), int(np.clip(low[1], 0, plate.height - 1)),
            int(np.clip(high[0], 1, plate.width)), int(np.clip(high[1], 1, plate.height)))
