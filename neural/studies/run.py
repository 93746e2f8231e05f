# SPDX-License-Identifier: GPL-3.0-or-later
"""Several ways to render the same frames, measured side by side in one pass over the plate. Nothing is encoded, so no codec is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...mesh.errors import MienError
from ...mesh.files import write_json
from ...mesh.model import load_model
from ...mesh.shot import Shot, Solve, Track
from ..clip_meter import ClipMeter
from ..contact_sheet import evenly
from ..evaluate import Weights
from ..jobs import plain
from ..media import Frame, PlateReader, display8
from ..metrics import face
from ..metrics.coefficients import average_coefficient_distance
from ..metrics.delivery import SOUND_RATE, read_sound
from ..metrics.frechet import Moments
from ..metrics.lse import common, lip_sync, sound_features
from ..metrics.measure import HIGHER, LOWER, Measure, missing
from ..metrics.pixels import average_pixel_distance
from ..metrics.syncnet import SOURCE as SYNCNET_SOURCE
from ..metrics.syncnet import load_syncnet
from ..parallel import ordered_map
from ..progress import Reporter, Silent
from ..report import Page, command_line, versions
from ..solving import solve_track
from ..tracking.mediapipe_tracker import MediaPipeTracker

SCHEMA = 1
SHOWN = 6
"""Frames on a report's sheet."""
Composite = Callable[[Frame], Frame]
"""A frame of the plate -> the frame as this variant shows it."""


@dataclass(eq=False)
class Variant:
    """One way to render, and what was measured of it."""

    name: str
    what: str
    """In words, for the report."""
    composite: Composite
    meter: ClipMeter = field(init=False)
    landmarks: np.ndarray = field(init=False)
    """(T, 478, 3) of the rendered frames, pixels; NaN where no face was found."""
    crops: list[np.ndarray] = field(default_factory=list)
    """Faces of the shown frames, (256, 256, 3)."""
    from_first: float = 0.0
    """Mean RGB distance from the first variant in the face at 256 x 256, levels."""

    @property
    def same_as_first(self) -> bool:
        return self.from_first == 0


@dataclass(eq=False)
class Run:
    """The variants of one shot over the same T frames."""

    shot: Shot
    indices: list[int]
    shown: list[int]
    variants: list[Variant]
    landmarks: np.ndarray
    """(T, 478, 3) of the plate, by the same tracker."""
    crops: list[np.ndarray] = field(default_factory=list)
    """The plate's faces of the shown frames."""

    @property
    def numbers(self) -> np.ndarray:
        """(T,) frame numbers."""
        return np.array([self.shot.frame_number(i) for i in self.indices])

    @property
    def frames_text(self) -> str:
        n = self.numbers
        return f"frames {n[0]} to {n[-1]}"


def solved_shot(folder: Path) -> Shot:
    """Raises MienError when the folder is no shot, or the shot is not solved."""
    shot = Shot.load(folder)
    if not shot.solve_path.exists():
        raise MienError(f"{folder} is tracked but not solved yet; solve the shot first ('mien solve').")
    return shot


def chosen_frames(shot: Shot, wanted: tuple[int, int] | None) -> list[int]:
    """Indices of the frame numbers first..last, all frames for None. Raises MienError when the shot has no such frames."""
    if wanted is None:
        return list(range(shot.plate.frame_count))
    low, high = (n - shot.plate.first_frame for n in wanted)
    if not 0 <= low <= high < shot.plate.frame_count:
        raise MienError(f"{shot.folder} has the frames {shot.frame_number(0)} to {shot.frame_number(shot.plate.frame_count - 1)}, "
                        f"not {wanted[0]} to {wanted[1]}; choose within them.")
    return list(range(low, high + 1))


def run_variants(shot: Shot, variants: Sequence[Variant], indices: Sequence[int], weights: Weights, report: Reporter, stage: str) -> Run:
    """Render and measure every variant on a run of neighbouring frames. Raises MienError when no face is seen."""
    networks = weights.networks()
    syncnet = load_syncnet(weights.syncnet) if weights.syncnet and shot.plate.audio else None
    for v in variants:
        v.meter = ClipMeter(float(shot.plate.rate), networks, syncnet)
        v.landmarks = np.full((len(indices), 478, 3), np.nan, np.float32)
    run = Run(shot, list(indices), [indices[i] for i in evenly(len(indices), SHOWN)], list(variants),
              np.full((len(indices), 478, 3), np.nan, np.float32))
    truth = Track.load(shot).landmarks[:, :468, :2].mean(1)
    linear = shot.plate.linear

    def pictures(frame: Frame) -> tuple[Frame, list[np.ndarray]]:
        return frame, [display8(f.pixels, linear) for f in (frame, *(v.composite(frame) for v in variants))]

    reader = PlateReader(shot.plate_path, shot.plate)
    report.step(stage, 0, len(indices))
    with ExitStack() as stack:
        trackers = [stack.enter_context(MediaPipeTracker()) for _ in range(1 + len(variants))]
        for t, (frame, (plate, *outputs)) in enumerate(ordered_map(pictures, reader.frames(indices[0], indices[-1] + 1))):
            found = [_nearest(tracker.process(p), truth[frame.index]) for tracker, p in zip(trackers, (plate, *outputs))]
            if found[0] is not None:
                run.landmarks[t] = found[0]
            _add(run, t, frame.index, plate, outputs, found)
            report.step(stage, t + 1, len(indices))
    if not all(v.meter.seen for v in variants):
        raise MienError(f"No face was found on {shot.plate_path} in {run.frames_text}; choose frames that show the actor.")
    return run


def _add(run: Run, t: int, index: int, plate: np.ndarray, outputs: list[np.ndarray], found: list[np.ndarray | None]) -> None:
    box = None if found[0] is None else face.square(found[0])
    first = None
    for variant, picture, landmarks in zip(run.variants, outputs, found[1:]):
        variant.meter.add(plate, picture, found[0], landmarks)
        if landmarks is not None:
            variant.landmarks[t] = landmarks
        if box is not None:
            crop = face.cut(picture, box)
            if first is None:
                first = crop
            variant.from_first += average_pixel_distance(first, crop) / len(run.indices)
            if index in run.shown:
                variant.crops.append(crop)
    if box is not None and index in run.shown:
        run.crops.append(face.cut(plate, box))


def _nearest(found: Sequence[np.ndarray] | None, centre: np.ndarray) -> np.ndarray | None:
    """Of the faces on a picture the one that the shot is about."""
    if not found:
        return None
    return min(found, key=lambda p: float(np.linalg.norm(p[:468, :2].mean(0) - centre)) if np.isfinite(centre).all() else 0.0)


# -- numbers -----------------------------------------------------------------------------------------------------------

def variant_measures(run: Run, variant: Variant, weights: Weights, reference: Mapping[str, Moments] | None = None) -> list[Measure]:
    """Everything known of a variant; distances of sets are to the reference, or to the plate without one."""
    return [*variant.meter.measures(reference), *weights.unmeasured(), *sync_measures(run, variant, weights), *coefficient_measures(run, variant)]


def sync_measures(run: Run, variant: Variant, weights: Weights) -> list[Measure]:
    """LSE-D and LSE-C of the variant with the plate's sound."""
    group, better = "Lip-sync", {"LSE-D": LOWER, "LSE-C": HIGHER}
    plate, network = run.shot.plate, variant.meter.syncnet
    if not plate.audio or weights.syncnet is None or network is None:
        needs = "sound in the plate" if not plate.audio else f"{SYNCNET_SOURCE} (--syncnet FILE)"
        return [missing(group, name, needs, b) for name, b in better.items()]
    start = round(run.indices[0] / float(plate.rate) * SOUND_RATE)
    lips, sound = common(variant.meter.lips["output"].finish(), sound_features(network, read_sound(run.shot.plate_path)[start:]))
    if not len(lips):
        return [missing(group, name, "at least six frames at 25 a second", b) for name, b in better.items()]
    sync = lip_sync(lips, sound)
    return [Measure(group, "LSE-D", sync.lse_d, better=LOWER, note=f"best at an offset of {sync.offset} frames of 1/25 s"),
            Measure(group, "LSE-C", sync.lse_c, better=HIGHER)]


def solved_again(run: Run, landmarks: np.ndarray) -> Solve | None:
    """Coefficients of T frames from landmarks seen by the independent tracker, with the shot's focal length; None without a face."""
    found = np.isfinite(landmarks[:, 0, 0])
    if found.sum() < 3 or run.shot.camera is None:
        return None
    T = len(landmarks)
    cuts = np.array([c - run.indices[0] for c in Track.load(run.shot).cuts if run.indices[0] < c <= run.indices[-1]], np.int32)
    track = Track("mediapipe478", landmarks, found.astype(np.float32), cuts, found.astype(np.int32), np.arange(T) / float(run.shot.plate.rate))
    return solve_track(load_model(run.shot.model), track, run.shot.plate, Silent(), focal=run.shot.camera.focal)


def coefficient_measures(run: Run, variant: Variant) -> list[Measure]:
    """AED and APD: both clips tracked and solved in the same way (FG-EmoTalk 2024)."""
    a, b = solved_again(run, run.landmarks), solved_again(run, variant.landmarks)
    group = "Coefficients"
    if a is None or b is None:
        return [missing(group, name, "three frames with the face", LOWER) for name in ("AED", "APD (pose)")]
    return [Measure(group, "AED", average_coefficient_distance(a.beta, b.beta), better=LOWER,
                    note="mean absolute difference of the expression coefficients; plate and variant solved alike"),
            Measure(group, "APD (pose)", average_coefficient_distance(a.rotation, b.rotation), "rad", LOWER, "of the rotation vectors")]


def by_name(measures: Iterable[Measure]) -> dict[str, Measure]:
    return {m.name: m for m in measures}


def comparison(names: Sequence[str], columns: Mapping[str, Mapping[str, Measure]]) -> tuple[list[str], list[list[Any]]]:
    """A table: a row for each metric that at least one column measured, a column for each name. -> header, rows."""
    rows = []
    for name in names:
        cells = [c.get(name) for c in columns.values()]
        known = [m for m in cells if m is not None and m.value is not None]
        if known:
            unit = f" ({known[0].unit})" if known[0].unit else ""
            rows.append([name + unit, *(m.value if m is not None else None for m in cells), known[0].better])
    return ["Metric", *columns, "Better"], rows


# -- pictures and files ------------------------------------------------------------------------------------------------

def strip(rows: Mapping[str, Sequence[np.ndarray]], labels: Sequence[str] = (), cell: int = 224) -> np.ndarray:
    """Faces as a sheet: a row for each name, its name at the left edge. -> (H, W, 3) uint8."""
    side, head = 26, 24 if labels else 0
    count = max(len(r) for r in rows.values())
    sheet = np.full((head + len(rows) * (cell + 4), side + count * (cell + 4), 3), 24, np.uint8)
    for i, label in enumerate(labels):
        cv2.putText(sheet, label, (side + i * (cell + 4) + 2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA)
    for r, (name, pictures) in enumerate(rows.items()):
        top = head + r * (cell + 4)
        for i, picture in enumerate(pictures):
            left = side + i * (cell + 4)
            sheet[top:top + cell, left:left + cell] = cv2.resize(picture, (cell, cell), interpolation=cv2.INTER_AREA)
        scale = min(0.45, 0.45 * (cell - 8) / max(cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0], 1))
        tag = np.full((side, cell, 3), 24, np.uint8)
        cv2.putText(tag, name, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, scale, (230, 230, 230), 1, cv2.LINE_AA)
        sheet[top:top + cell, :side] = cv2.rotate(tag, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return sheet


def sheet_of(run: Run) -> np.ndarray:
    """The plate and every variant on the shown frames."""
    return strip({"plate": run.crops, **{v.name: v.crops for v in run.variants}}, [f"frame {run.shot.frame_number(i)}" for i in run.shown])


def measures_json(measures: Iterable[Measure]) -> list[dict[str, Any]]:
    return [{"group": m.group, "name": m.name, "value": m.value, "unit": m.unit, "better": m.better, "note": m.note,
             "text": m.text} for m in measures]


def write_study(kind: str, data: Mapping[str, Any], page: Callable[[], Page], *, html: Path | None, json: Path | None) -> None:
    """Write the report and the numbers, those of the two that are asked for. Raises MienError when a folder cannot be written."""
    if json is not None:
        write_json(json, plain({"schema": SCHEMA, "kind": kind, "command": command_line(), "versions": versions(), **data}))
    if html is not None:
        page().write(html, command_line())


def over_time(run: Run, variants: Iterable[Variant], name: str) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """(variant, (frame numbers, series)) for a chart."""
    for v in variants:
        yield v.name, (run.numbers, v.meter.series()[name])
