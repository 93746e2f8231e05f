# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien evaluate PLATE OUTPUT`: an edited clip against its plate, frame by frame, in constant memory.

The face is tracked on both clips by a tracker that knows nothing of the edit. docs/metrics.md says what each number is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..mesh.errors import MienError
from ..mesh.files import write_json
from ..mesh.shot import Plate, Shot, Solve
from .charts import line_chart
from .clip_meter import ClipMeter
from .contact_sheet import contact_sheet, evenly, mattes_of, pick_frames
from .jobs import plain
from .media import PlateReader, display8, probe_plate, read_exr
from .metrics import face
from .metrics.coefficients import average_coefficient_distance
from .metrics.delivery import read_sound, same_rate, sound_seconds
from .metrics.frechet import Moments
from .metrics.lse import common, lip_sync, sound_features
from .metrics.measure import HIGHER, LOWER, ZERO, Measure, missing
from .metrics.networks import FeatureNetwork, feature_network
from .metrics.signs import STAND_INS, signs
from .metrics.syncnet import SOURCE as SYNCNET_SOURCE
from .metrics.syncnet import load_syncnet
from .progress import Reporter
from .report import Page, command_line, versions
from .tracking.mediapipe_tracker import MediaPipeTracker

SCHEMA = 1
SHEET_FRAMES = 6
SOUND = 0.05
"""Seconds by which the output's sound may be longer or shorter: a codec's own padding."""
SOURCES = {
    "emotion": "an emotion network trained on AffectNet, such as HSEmotion's, from its authors (--emotion-network FILE)",
    "inception": "Inception v3, such as pytorch-fid's, from its authors (--inception-network FILE)",
    "identity": "ArcFace, such as InsightFace's, from its authors (--identity-network FILE)",
}
"""Network -> what a metric without it says it needs."""


@dataclass(frozen=True)
class Weights:
    """Files that the user brings; see metrics.networks and metrics.syncnet."""

    emotion: Path | None = None
    inception: Path | None = None
    identity: Path | None = None
    syncnet: Path | None = None

    def networks(self) -> dict[str, FeatureNetwork]:
        """Name -> network, of those given. Raises MienError for one that cannot be read."""
        return {name: feature_network(path) for name in SOURCES if (path := getattr(self, name)) is not None}

    def unmeasured(self) -> list[Measure]:
        """What cannot be measured for want of a network."""
        return [missing(group, name, SOURCES[key], HIGHER if name == "ID" else LOWER)
                for group, name, key in (("Emotion", "FED", "emotion"), ("Identity and quality", "FID", "inception"),
                                         ("Identity and quality", "ID", "identity"))
                if getattr(self, key) is None]


@dataclass(frozen=True, eq=False)
class ClipResult:
    """Everything that was measured of one pair of clips."""

    plate: Plate
    output: Plate
    measures: list[Measure]
    series: dict[str, np.ndarray]
    """Name -> (T,) of the compared frames, NaN where the face was not seen in both."""


def evaluate_clip(plate_path: Path, output_path: Path, *, shot: Path | None = None, output_shot: Path | None = None, references: Sequence[Path] = (),
                  weights: Weights = Weights(), report: Reporter) -> ClipResult:
    """Measure one clip.

    shot, output_shot: shot folders of plate and output, for the distances of coefficients and the mattes of the bake; references: clips of
    the actor who shows the wanted emotion, for FED and FID. Raises MienError for files that cannot be read or do not fit each other.
    """
    plate, output = probe_plate(plate_path), probe_plate(output_path)
    if (plate.width, plate.height) != (output.width, output.height):
        raise MienError(f"{plate_path} is {plate.width} x {plate.height} and {output_path} {output.width} x {output.height}; "
                        "give the same shot before and after.")
    plate_shot = _shot_of(shot, plate)
    networks = weights.networks()
    syncnet = load_syncnet(weights.syncnet) if weights.syncnet and plate.audio else None
    mattes = plate_shot if plate_shot and any(plate_shot.bake_folder.glob("matte.*.exr")) else None
    meter = ClipMeter(float(plate.rate), networks, syncnet)
    _stream(plate, output, meter, mattes, report)
    if not meter.seen:
        raise MienError(f"No face was found in both {plate_path} and {output_path} on any frame; give clips with a face of at least about 60 pixels.")
    reference = reference_moments(references, meter.networks, report) if references else None
    measures = [*_delivery(plate, output, meter), *meter.measures(reference, by_matte=mattes is not None)]
    measures += weights.unmeasured()
    measures += _sync(plate, meter, weights)
    measures += _coefficients(plate_shot, _shot_of(output_shot, output))
    measures.append(missing("Linearity", "LIE (eq. 8)", "an intensity sweep (mien evaluate sweep SHOT --emotion NAME)", ZERO))
    return ClipResult(plate, output, measures, meter.series())


def _shot_of(folder: Path | None, plate: Plate) -> Shot | None:
    if folder is None:
        return None
    shot = Shot.load(folder)
    if (shot.plate.width, shot.plate.height, shot.plate.frame_count) != (plate.width, plate.height, plate.frame_count):
        raise MienError(f"{folder} is the shot of other footage than {plate.path}; give the shot made from it.")
    return shot


def _face_of(tracker: MediaPipeTracker, rgb: np.ndarray) -> np.ndarray | None:
    found = tracker.process(rgb)
    return found[0] if found else None


def _stream(plate: Plate, output: Plate, meter: ClipMeter, mattes: Shot | None, report: Reporter) -> None:
    total = min(plate.frame_count, output.frame_count)
    report.step("measure", 0, total)
    with MediaPipeTracker() as first, MediaPipeTracker() as second, ThreadPoolExecutor(2) as pool:
        pairs = zip(PlateReader(plate.path, plate).frames(0, total), PlateReader(output.path, output).frames(0, total))
        for a, b in pairs:
            pictures = display8(a.pixels, plate.linear), display8(b.pixels, output.linear)
            found = list(pool.map(_face_of, (first, second), pictures))
            inside = None
            if mattes is not None:
                path = mattes.matte_path(a.index)
                inside = read_exr(path)[:, :] > 0 if path.exists() else np.zeros((plate.height, plate.width), bool)
            meter.add(*pictures, *found, inside)
            report.step("measure", a.index + 1, total)


def reference_moments(paths: Sequence[Path], networks: Mapping[str, FeatureNetwork], report: Reporter) -> dict[str, Moments]:
    """Features of the reference clips' faces: network name (and STAND_INS) -> moments. Raises MienError when no face is found."""
    moments = {name: Moments() for name in (*STAND_INS, *networks)}
    for path in paths:
        plate = probe_plate(path)
        report.step(f"reference {Path(path).name}", 0, plate.frame_count)
        with MediaPipeTracker() as tracker:
            for frame in PlateReader(plate.path, plate).frames():
                rgb = display8(frame.pixels, plate.linear)
                landmarks = _face_of(tracker, rgb)
                if landmarks is not None:
                    box = face.square(landmarks)
                    crop = face.cut(rgb, box)
                    for name, value in signs(crop, face.into(box, landmarks), landmarks).items():
                        moments[name].add(value)
                    for name, network in networks.items():
                        moments[name].add(network(crop))
                report.step(f"reference {Path(path).name}", frame.index + 1, plate.frame_count)
    if moments["geometry"].count < 2:
        raise MienError(f"No face was found on the reference clips ({', '.join(str(p) for p in paths)}); give clips that show the actor.")
    return moments


def _delivery(plate: Plate, output: Plate, meter: ClipMeter) -> list[Measure]:
    group = "Delivery"
    lengths = [sound_seconds(p) for p in (plate, output)]
    out = [Measure(group, "frames of the plate", float(plate.frame_count)),
           Measure(group, "frames of the output", float(output.frame_count), limits=(float(plate.frame_count),) * 2),
           Measure(group, "frames with the face in both", float(meter.seen)),
           Measure(group, "frame rates equal", float(same_rate(plate, output)), better=HIGHER, limits=(1.0, 1.0),
                   note=f"{plate.fps[0]}/{plate.fps[1]} and {output.fps[0]}/{output.fps[1]}; 1 is yes")]
    if lengths[0] is not None and lengths[1] is not None:
        out.append(Measure(group, "length of the sound, output minus plate", lengths[1] - lengths[0], "s", ZERO, limits=(-SOUND, SOUND)))
    else:
        has = [("has" if n is not None else "has no") + " sound" for n in lengths]
        out.append(missing(group, "length of the sound, output minus plate", f"sound in both clips (the plate {has[0]}, the output {has[1]})", ZERO))
    return out


def _sync(plate: Plate, meter: ClipMeter, weights: Weights) -> list[Measure]:
    group, names = "Lip-sync", ("LSE-D", "LSE-C")
    better = dict(zip(names, (LOWER, HIGHER)))
    if not plate.audio or weights.syncnet is None or meter.syncnet is None:
        needs = "sound in the plate" if not plate.audio else f"{SYNCNET_SOURCE} (--syncnet FILE)"
        return [missing(group, name, needs, better[name]) for name in names]
    sound = sound_features(meter.syncnet, read_sound(plate.path))
    out = []
    for what, lips in meter.lips.items():
        pair = common(lips.finish(), sound)
        if not len(pair[0]):
            return [missing(group, name, "at least six frames at 25 a second", better[name]) for name in names]
        sync = lip_sync(*pair)
        note = f"with the plate's sound; best at an offset of {sync.offset} frames of 1/25 s" + (
            f"; {lips.gaps} frames without a face" if lips.gaps else "")
        out += [Measure(group, f"LSE-D, {what}", sync.lse_d, better=LOWER, note=note), Measure(group, f"LSE-C, {what}", sync.lse_c, better=HIGHER)]
    return out


def _coefficients(plate: Shot | None, output: Shot | None) -> list[Measure]:
    group = "Coefficients"
    if plate is None or output is None or not plate.solve_path.exists() or not output.solve_path.exists():
        needs = "the solved shots of both clips (--shot and --output-shot; mien track and mien solve make them)"
        return [missing(group, name, needs, LOWER) for name in ("AED", "APD (pose)")]
    if plate.model_hash != output.model_hash:
        raise MienError(f"{plate.folder} and {output.folder} were solved with different face models; solve them with the same one.")
    a, b = Solve.load(plate), Solve.load(output)
    n = min(len(a.beta), len(b.beta))
    return [Measure(group, "AED", average_coefficient_distance(a.beta[:n], b.beta[:n]), better=LOWER,
                    note="mean absolute difference of the expression coefficients; an edit is meant to change them"),
            Measure(group, "APD (pose)", average_coefficient_distance(a.rotation[:n], b.rotation[:n]), "rad", LOWER,
                    "mean absolute difference of the rotation vectors")]


# -- what the user gets -------------------------------------------------------------------------------------------------

def as_json(result: ClipResult) -> dict[str, Any]:
    """Everything, in JSON's types; `series` by frame."""
    return plain({"schema": SCHEMA, "kind": "clip", "command": command_line(), "versions": versions(), "plate": asdict(result.plate),
                  "output": asdict(result.output), "metrics": [{**asdict(m), "text": m.text} for m in result.measures],
                  "series": {name: np.round(values, 6) for name, values in result.series.items()}})


def write_results(result: ClipResult, *, html: Path | None, json: Path | None, shot: Path | None = None) -> None:
    """Write the report and the numbers, those of the two that are asked for. Raises MienError when a folder cannot be written."""
    if json is not None:
        write_json(json, as_json(result))
    if html is not None:
        clip_page(result, shot).write(html, command_line())


def clip_page(result: ClipResult, shot: Path | None = None) -> Page:
    """The report of one clip."""
    plate, output = result.plate, result.output
    page = Page(f"{Path(output.path).name} against {Path(plate.path).name}",
                f"{plate.width} x {plate.height}, {float(plate.rate):.6g} frames a second. Plate: {plate.path}. Output: {output.path}.")
    total = min(plate.frame_count, output.frame_count)
    indices = evenly(total, SHEET_FRAMES)
    mattes = None
    if shot is not None and any((Path(shot) / "bake").glob("matte.*.exr")):
        mattes = mattes_of(Path(shot) / "bake", indices, (plate.height, plate.width), plate.first_frame)
    labels = [f"frame {plate.first_frame + i}" for i in indices]
    sheet = contact_sheet(pick_frames(plate, indices), pick_frames(output, indices), mattes, labels)
    named = {m.name: m for m in result.measures}
    page.cards([("correlation of the lips' gap: words on the lips", named["correlation of the gap"]),
                ("gain of the lips' gap", named["gain of the gap"]),
                ("jitter over the plate's", named["jitter"]), ("sharpness (CPBD) of the output", named["CPBD, output"]),
                ("largest difference outside the face", named["outside, largest difference"]),
                ("frames with the face in both", named["frames with the face in both"])])
    page.picture(sheet, "Plate, edit, and eight times their difference" + (", matte" if mattes else ""))
    page.measures(result.measures)
    page.heading("Over time")
    numbers = plate.first_frame + np.arange(total)

    def chart(title: str, unit: str, **lines: str) -> str:
        return line_chart(title, {label.replace("_", " "): (numbers, result.series[name]) for label, name in lines.items()}, "frame", unit)

    page.chart(chart("Gap of the lips", "eye distances", plate="lips_open_plate", output="lips_open_output"),
               chart("Height of the mouth corners", "eye distances", plate="corner_up_plate", output="corner_up_output"),
               chart("Height of the inner brows", "eye distances", plate="brow_inner_plate", output="brow_inner_output"),
               chart("Gap of the eyelids", "eye distances", plate="eye_open_plate", output="eye_open_output"),
               chart("Difference in the face (FAPD) and the mouth (MAPD)", "levels of 255", FAPD="fapd", MAPD="mapd"),
               chart("Difference outside, 99th percentile", "levels of 255", outside="outside_p99"))
    return page
