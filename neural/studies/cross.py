# SPDX-License-Identifier: GPL-3.0-or-later
"""An edit against takes in which the actor truly shows the emotion (Sun et al. 2023, section 4.4.2: FED, FID and ID against MEAD).

`mien evaluate cross SHOT TRUTH --emotion sad` edits one take to the emotion of another; `mien evaluate takes TAKES` does so for every actor
and emotion of a labelled collection. The words differ between takes, so sets are compared, not frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...mesh.emotion import EMOTIONS, EmotionCurves
from ...mesh.errors import MienError
from ...mesh.shot import Shot
from ..charts import bar_chart
from ..contact_sheet import evenly
from ..edit import EditSettings, ShotEditor
from ..evaluate import SOURCES, Weights
from ..media import PlateReader, display8
from ..metrics import face
from ..metrics.frechet import Moments
from ..metrics.identity import cosine_of_means
from ..metrics.measure import HIGHER, LOWER, Measure, missing
from ..metrics.signs import STAND_INS, set_distance, signs
from ..metrics.skin import PLACES
from ..progress import Reporter
from ..report import Page
from ..tracking.mediapipe_tracker import MediaPipeTracker
from .run import SHOWN, Run, Variant, chosen_frames, comparison, measures_json, run_variants, solved_again, solved_shot, strip, write_study

EDITED, NEUTRALISED, FILMED = "edited", "neutralised", "as filmed"
HALVES = "truth against itself"
SETS = {"emotion": "FED", "inception": "FID", "identity": "FID, face network", **STAND_INS}
ROWS = (*SETS.values(), "ID", "AED of the means")


@dataclass(eq=False)
class Truth:
    """What a take truly shows."""

    shot: Shot
    moments: list[dict[str, Moments]]
    """Of its first half, of its second, and of all."""
    beta: np.ndarray | None
    """(B,) mean expression, solved with the take's own identity."""
    crops: list[np.ndarray]


@dataclass(eq=False)
class Cross:
    """One take edited to another's emotion."""

    run: Run
    truth: Truth
    emotion: str
    intensity: float
    neutralise: float
    measures: dict[str, list[Measure]]
    """By FILMED, NEUTRALISED, EDITED and HALVES: each one's distance to the truth."""


def measure_truth(folder: Path, frames: tuple[int, int] | None, weights: Weights, report: Reporter) -> Truth:
    """Features of a take as filmed. Raises MienError when it shows no face."""
    shot = solved_shot(folder)
    indices, networks = chosen_frames(shot, frames), weights.networks()
    names = (*STAND_INS, *networks)
    parts = [{n: Moments() for n in names} for _ in range(3)]
    shown, crops = {indices[i] for i in evenly(len(indices), SHOWN)}, []
    landmarks = np.full((len(indices), 478, 3), np.nan, np.float32)
    stage = f"truth {folder.name}"
    with MediaPipeTracker() as tracker:
        for t, frame in enumerate(PlateReader(shot.plate_path, shot.plate).frames(indices[0], indices[-1] + 1)):
            rgb = display8(frame.pixels, shot.plate.linear)
            found = tracker.process(rgb)
            if found:
                landmarks[t] = found[0]
                box = face.square(found[0])
                crop = face.cut(rgb, box)
                values = {**signs(crop, face.into(box, found[0]), found[0]), **{n: network(crop) for n, network in networks.items()}}
                for part in (parts[int(2 * t >= len(indices))], parts[2]):
                    for name, value in values.items():
                        part[name].add(value)
                if frame.index in shown:
                    crops.append(crop)
            report.step(stage, t + 1, len(indices))
    if parts[2]["geometry"].count < 3:
        raise MienError(f"No face was found on {shot.plate_path}; give a take that shows the actor.")
    solve = solved_again(Run(shot, indices, [], [], landmarks), landmarks)
    return Truth(shot, parts, None if solve is None else np.nanmean(solve.beta, 0), crops)


def cross(folder: Path, truth: Truth, emotion: str, *, intensity: float = 1.0, neutralise: float = 1.0, settings: EditSettings = EditSettings(),
          frames: tuple[int, int] | None = None, weights: Weights = Weights(), report: Reporter) -> Cross:
    """Edit the take in `folder` to an emotion and measure how near it comes to the take that shows it. Raises MienError."""
    if emotion not in EMOTIONS:
        raise MienError(f"There is no emotion '{emotion}'; use one of {', '.join(EMOTIONS)}.")
    shot = solved_shot(folder)
    if shot.model_hash != truth.shot.model_hash:
        raise MienError(f"{folder} and {truth.shot.folder} were solved with different face models; solve them with the same one.")
    count = shot.plate.frame_count
    asked = {EDITED: {emotion: intensity, "neutralise": neutralise}}
    if neutralise:
        asked = {NEUTRALISED: {"neutralise": neutralise}, **asked}
    what = {NEUTRALISED: f"neutralise {neutralise:g}", EDITED: f"neutralise {neutralise:g} and {emotion} {intensity:g}"}
    variants = [Variant(name, what[name], ShotEditor(shot, EmotionCurves.constant(count, **controls), settings, report).composited)
                for name, controls in asked.items()]
    run = run_variants(shot, variants, chosen_frames(shot, frames), weights, report, f"{shot.folder.name} to {emotion}")
    plate = run.variants[0].meter.moments("plate")
    filmed = solved_again(run, run.landmarks)
    measures = {FILMED: _distances(plate, truth, None, _mean(filmed), weights)}
    for v in run.variants:
        again = solved_again(run, v.landmarks)
        measures[v.name] = _distances(v.meter.moments("output"), truth, plate, _mean(again), weights)
    measures[HALVES] = [Measure("Distance to the truth", SETS[n], set_distance(n, truth.moments[0][n], truth.moments[1][n]), better=LOWER)
                        for n in truth.moments[0] if min(truth.moments[0][n].count, truth.moments[1][n].count) > 1]
    return Cross(run, truth, emotion, intensity, neutralise, measures)


def _mean(solve: Any) -> np.ndarray | None:
    return None if solve is None else np.nanmean(solve.beta, 0)


def _distances(moments: Mapping[str, Moments], truth: Truth, source: Mapping[str, Moments] | None, beta: np.ndarray | None,
               weights: Weights) -> list[Measure]:
    group, out = "Distance to the truth", []
    for key, name in SETS.items():
        if key in moments and moments[key].count > 1:
            out.append(Measure(group, name, set_distance(key, moments[key], truth.moments[2][key], (source or moments)[key]), better=LOWER))
        elif key in SOURCES:
            out.append(missing(group, name, SOURCES[key], LOWER))
    if "identity" in moments:
        other = source or moments
        out.append(Measure(group, "ID", cosine_of_means(other["identity"].mean, moments["identity"].mean), better=HIGHER,
                           note="against the take as filmed"))
    else:
        out.append(missing(group, "ID", SOURCES["identity"], HIGHER))
    value = None if beta is None or truth.beta is None else float(np.abs(beta - truth.beta).mean())
    out.append(Measure(group, "AED of the means", value, better=LOWER,
                       note="mean absolute difference of the takes' mean expression coefficients, each "
                       "solved from the pictures with its own identity"))
    return out


def nearer(result: Cross, name: str = "Frechet distance of geometry") -> float | None:
    """Part of the way to the truth that the edit went: 1 - distance edited / distance as filmed; negative when it went away from it."""
    a, b = ({m.name: m.value for m in result.measures[k]}.get(name) for k in (FILMED, EDITED))
    return None if a is None or b is None or a == 0 else 1 - b / a


def cross_page(result: Cross) -> Page:
    """The report of one edit against one take."""
    run, truth = result.run, result.truth
    out = Page(f"{run.shot.folder.stem} edited to {result.emotion}, against {truth.shot.folder.stem}",
               f"{run.frames_text.capitalize()} of {run.shot.plate_path}, edited by neutralise {result.neutralise:g} and {result.emotion} "
               f"{result.intensity:g}; the truth is {truth.shot.plate_path}. The words differ, so sets are compared, not frames.")
    labels = {"signs": "of the way to the truth: shape and skin", "geometry": "of the way to the truth: the face's signs",
              "skin": "of the way to the truth: lines and shade of the skin",
              "emotion": "of the way to the truth: FED"}
    parts = {what: nearer(result, SETS[key]) for key, what in labels.items()}
    out.cards([(what, Measure("", "", float(round(100 * part)), "%")) for what, part in parts.items() if part is not None])
    sheet = strip({FILMED: run.crops, **{v.name: v.crops for v in run.variants}, "truth": truth.crops})
    out.picture(sheet, "The take as filmed, edited, and the take that shows the emotion (other words, other moments)")
    out.heading("Distance to the truth")
    columns = {k: {m.name: m for m in ms} for k, ms in result.measures.items()}
    out.table(*comparison(ROWS, columns))
    out.text(f"'{HALVES}' is the distance between the two halves of the true take: what no edit can be asked to beat.")
    out.heading("Signs of expression")
    meter = run.variants[-1].meter
    sets = {FILMED: meter.moments("plate"), **{v.name: v.meter.moments("output") for v in run.variants}, "truth": truth.moments[2]}
    filmed = sets[FILMED]["geometry"].mean
    names = list(face.LABELS.values())
    out.chart(bar_chart("Mean of each sign, against the take as filmed",
                        {k: list((m["geometry"].mean - filmed) / 100) for k, m in sets.items() if k != FILMED},
                        names, "eye distances"),
              bar_chart("Lines of the skin, against the take as filmed", {k: list((m["skin"].mean - sets[FILMED]["skin"].mean)[:len(PLACES)])
                                                                        for k, m in sets.items() if k != FILMED}, list(PLACES), "levels"))
    out.table(["Sign", *(k for k in sets)], [[name, *(float(m["geometry"].mean[i] / 100) for m in sets.values())] for i, name in enumerate(names)])
    out.text("In distances of the outer eye corners. A head that nods or turns changes these signs too; takes are compared as they were held.")
    out.not_measured([m for ms in result.measures.values() for m in ms])
    return out


def cross_json(result: Cross) -> dict[str, Any]:
    return {"shot": result.run.shot.folder, "truth": result.truth.shot.folder, "emotion": result.emotion, "intensity": result.intensity,
            "neutralise": result.neutralise, "frames": result.run.numbers, "nearer": nearer(result),
            "distances": {k: measures_json(v) for k, v in result.measures.items()}}


def write_cross(result: Cross, *, html: Path | None, json: Path | None) -> None:
    """Raises MienError when a folder cannot be written."""
    write_study("cross", cross_json(result), lambda: cross_page(result), html=html, json=json)


