# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien evaluate reenact SHOT`: how true is the warp? The face of a frame is rendered from the pixels of another, and compared with the film.

An edit's own truth is never filmed. But every frame of the shot is the truth of an edit of another frame: the other's pixels (of half a second
before, or of one still) are moved by the product's renderer to the solved coefficients of this frame, expression and pose, laid over this frame, and
compared with what the camera saw (self-reenactment: NED 2022, section 4.4; FG-EmoTalk 2024, table 2). Without the warp, the same pixels give the
figure to beat.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ...mesh.emotion import EmotionCurves
from ...mesh.errors import MienError
from ..charts import line_chart
from ..edit import EditSettings, ShotEditor
from ..evaluate import Weights
from ..media import Frame, PlateReader
from ..metrics import face
from ..metrics.measure import Measure
from ..metrics.signs import STAND_INS
from ..progress import Reporter
from ..report import Page
from .run import (
    Run,
    Variant,
    by_name,
    chosen_frames,
    comparison,
    measures_json,
    over_time,
    run_variants,
    sheet_of,
    solved_shot,
    variant_measures,
    write_study,
)

BEFORE = "frames before"
APART = 0.5
"""Seconds between a frame and the one whose pixels it is made of."""
HELD = 12
"""Frames kept for threads that run behind."""
EDGE = 0.04
"""Erosion and blur of the mask by which the rendered face is laid over its frame (section 3.5.3), parts of the face's width."""
ROWS = ("PSNR, face", "SSIM, face", "FAPD", "MAPD", "AED", "APD (pose)", "correlation of the gap", "gain of the gap", "jitter", "CPBD, plate",
        "CPBD, output", "FED", "FID", "FID, face network", "ID", *STAND_INS.values(), "LSE-D", "LSE-C")


class Reenactor:
    """Makes each frame's face of another frame's pixels."""

    def __init__(self, editor: ShotEditor, apart: int, first: int) -> None:
        self.editor, self.apart = editor, apart
        self._reader = PlateReader(editor.shot.plate_path, editor.shot.plate)
        self._stream = self._reader.frames(first - apart)
        self._held: dict[int, Frame] = {}
        self._lock = threading.Lock()
        self._still: Frame | None = None

    def still_index(self, indices: list[int]) -> int:
        """The frame nearest to a face at rest: the one of the smallest expression, in the model's own deviations."""
        size = np.abs(self.editor.solve.beta[indices] / np.maximum(self.editor.model.expression_sigma, 1e-3)).mean(1)
        return indices[int(np.nanargmin(size))]

    def keep(self, index: int) -> None:
        """Read the still."""
        self._still = self._reader.frame(index)

    def of_still(self, frame: Frame) -> Frame:
        assert self._still is not None
        return self._made(frame, self._still, True)

    def before(self, frame: Frame) -> Frame:
        """The frame made of the one half a second before."""
        return self._made(frame, self._source(frame), True)

    def unmoved(self, frame: Frame) -> Frame:
        """The same pixels where they were: what the warp has to beat."""
        return self._made(frame, self._source(frame), False)

    def _source(self, frame: Frame) -> Frame:
        """Its frame of before, from a stream of its own that runs behind; threads ask for neighbours, not quite in order."""
        wanted = frame.index - self.apart
        with self._lock:
            while wanted not in self._held:
                held = next(self._stream)
                self._held[held.index] = held
                self._held.pop(held.index - HELD, None)
            return self._held[wanted]

    def _made(self, frame: Frame, source: Frame, warp: bool) -> Frame:
        e, s = self.editor, self.editor.solve
        i, j = source.index, frame.index
        if not (s.solved[i] and s.solved[j]):
            return frame
        pixels = source.pixels
        if warp:
            before, _ = e.renderer.project(s.alpha, s.beta[i], s.rotation[i].astype(np.float64), s.translation[i].astype(np.float64))
            after, depth = e.renderer.project(s.alpha, s.beta[j], s.rotation[j].astype(np.float64), s.translation[j].astype(np.float64))
            offset = e.renderer.lock(before, e.track.landmarks[i].astype(np.float64))  # of the source alone: the truth gives nothing but coefficients
            layer = e.renderer.render(pixels, before + offset, after + offset, depth.astype(np.float32))
            pixels = pixels if layer is None else layer.over(pixels)
        mask = soft_mask(e.track.landmarks[j], frame.pixels.shape)[..., None]
        mixed = frame.pixels * (1 - mask) + pixels * mask
        made = mixed if frame.pixels.dtype.kind == "f" else np.round(mixed)
        return replace(frame, pixels=made.astype(frame.pixels.dtype))


def soft_mask(landmarks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) float32: 1 in the face, falling to 0 at its outline: eroded, then blurred."""
    width = float(np.ptp(landmarks[list(face.OVAL), 0]))
    mask = face.oval_mask(landmarks, shape).astype(np.uint8)
    n = max(3, int(EDGE * width) | 1)
    return cv2.GaussianBlur(cv2.erode(mask, np.ones((n, n), np.uint8)).astype(np.float32), (0, 0), n / 4)


@dataclass(eq=False)
class Reenactment:
    """What came out, by way of making the frames."""

    run: Run
    still: int
    """Frame number of the still."""
    apart: int
    measures: dict[str, list[Measure]]


def reenact(folder: Path, *, frames: tuple[int, int] | None = None, still: int | None = None, apart: float = APART, weights: Weights = Weights(),
            report: Reporter) -> Reenactment:
    """Render every frame of other frames' pixels and compare.

    still: number of the frame whose pixels make all others; the one nearest to rest where None; apart: seconds to the frame before. Raises
    MienError.
    """
    shot = solved_shot(folder)
    editor = ShotEditor(shot, EmotionCurves.constant(shot.plate.frame_count), EditSettings(glasses="off"), report)
    back = max(1, round(apart * float(shot.plate.rate)))
    indices = [i for i in chosen_frames(shot, frames) if i >= back]
    if len(indices) < 3:
        raise MienError(f"{folder} has too few frames for a reenactment, which looks {apart:g} s back; choose more frames or a shorter way back.")
    maker = Reenactor(editor, back, indices[0])
    index = maker.still_index(indices) if still is None else chosen_frames(shot, (still, still))[0]
    maker.keep(index)
    number = shot.frame_number(index)
    variants = [Variant(BEFORE, f"pixels of {back} frames before, moved to this frame's coefficients", maker.before),
                Variant("from one still", f"pixels of frame {number} alone, moved to every frame's coefficients", maker.of_still),
                Variant("not moved", f"pixels of {back} frames before, not moved: the figure to beat", maker.unmoved)]
    run = run_variants(shot, variants, indices, weights, report, "reenact")
    return Reenactment(run, number, back, {v.name: variant_measures(run, v, weights) for v in run.variants})


def page(result: Reenactment) -> Page:
    """The report."""
    run = result.run
    out = Page(f"How true is the warp? {run.shot.folder.name}",
               f"{run.frames_text.capitalize()} of {run.shot.plate_path}, each made of another frame's pixels and compared with the film.")
    columns = {name: by_name(m) for name, m in result.measures.items()}
    best = columns[run.variants[0].name]
    out.cards([("PSNR in the face, made of frames before", best["PSNR, face"]), ("SSIM of the face", best["SSIM, face"]),
               ("mean RGB distance in the face (FAPD)", best["FAPD"]), ("AED, expression", best["AED"]),
               ("correlation of the lips' gap", best["correlation of the gap"])])
    out.picture(sheet_of(run), "The film, and its frames made of other frames' pixels")
    out.heading("Numbers")
    out.table(*comparison(ROWS, columns))
    for v in run.variants:
        out.text(f"{v.name[:1].upper()}{v.name[1:]}: {v.what}.")
    out.text("Only the solved coefficients of a frame are known to the warp, not its pixels or landmarks. Light that changes between the "
             "frames, lines of the skin, the gaze, and eyes or a mouth that were shut in the source are errors of a warp by nature; level 2 and "
             "the mouth's filling are not part of this study.")
    out.heading("Over time")
    out.chart(*(line_chart(title, dict(over_time(run, run.variants, name)), "frame", unit)
                for title, name, unit in (("PSNR in the face", "psnr_face", "dB"), ("Mean RGB distance in the face (FAPD)", "fapd", "levels of 255"),
                                          ("Mean RGB distance around the mouth (MAPD)", "mapd", "levels of 255"))),
              line_chart("Gap of the lips", {"film": (run.numbers, run.variants[0].meter.series()["lips_open_plate"]),
                                             **dict(over_time(run, run.variants, "lips_open_output"))}, "frame", "eye distances"))
    out.not_measured([m for ms in result.measures.values() for m in ms])
    return out


def write(result: Reenactment, *, html: Path | None, json: Path | None) -> None:
    """Raises MienError when a folder cannot be written."""
    run = result.run
    variants: Mapping[str, object] = {v.name: {"what": v.what, "metrics": measures_json(result.measures[v.name]), "series": v.meter.series()}
                                      for v in run.variants}
    write_study("reenactment", {"shot": run.shot.folder, "frames": run.numbers, "still": result.still, "apart": result.apart, "variants": variants},
                lambda: page(result), html=html, json=json)
