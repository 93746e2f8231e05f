# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien evaluate ablation SHOT`: the edit whole, and each time without one of its parts (Sun et al. 2023, tables 1 to 3).

Level 1, level 2 (table 1), smoothing (table 2; measured as jitter, where the paper asked viewers), the hold on the lips (table 3), teeth and
the soft edge. Actor folders trained with other weights, such as lambda_mouth 0, 1 and 4 (figure 6), are further columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...mesh.anatomy import Anatomy
from ...mesh.editor import ShapeEdit, level1
from ...mesh.emotion import EmotionCurves
from ...mesh.errors import MienError
from ..charts import bar_chart, line_chart
from ..edit import EditSettings, ShotEditor
from ..evaluate import Weights, reference_moments
from ..metrics.measure import Measure
from ..metrics.signs import STAND_INS
from ..progress import Reporter, Silent
from ..rendering import PlateRenderer, RenderSettings
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

FULL = "full"
HARD = 1e-3
"""Band and soft edge of a hard mask, parts of the face's width: less than a pixel."""
ROWS = ("FED", "FID", "ID", *STAND_INS.values(), "FID, face network", "LSE-D", "LSE-C",
        "correlation of the gap", "gain of the gap", "jitter", "CPBD, output", "SSIM, face", "FAPD", "MAPD", "outside, largest difference", "AED",
        "APD (pose)")


@dataclass(frozen=True)
class Part:
    """One part that is taken out."""

    name: str
    what: str
    settings: Mapping[str, Any] | None = None
    """Changes of EditSettings that take it out."""
    curves: Mapping[str, float] | None = None
    """Changes of the controls that take it out."""
    change: Callable[[ShotEditor, EmotionCurves], None] | None = None
    """What takes it out where no setting does."""


def unsmoothed(editor: ShotEditor, curves: EmotionCurves) -> None:
    """Every frame as it comes, without the window of section 3.5.1."""
    solve, anatomy, edit = editor.solve, Anatomy(editor.model), editor.edit
    alpha, beta = np.zeros_like(edit.alpha), np.zeros_like(edit.beta)
    for start, end in solve.segments:
        part = slice(start, end)
        alpha[part], beta[part] = level1(anatomy, editor.shape_editor, solve.alpha, solve.beta[part], curves, part)
    editor.edit, editor.emotions = ShapeEdit(alpha, beta), curves.effective


def hard_mask(editor: ShotEditor, curves: EmotionCurves) -> None:
    """The face ends where the mesh ends: no band, no soft edge (section 3.5.3 left out)."""
    editor.renderer = PlateRenderer(editor.model, editor.solve.camera, RenderSettings(band=HARD, softness=HARD))


PARTS = (
    Part("without level 1", "the face keeps its shape; only the skin's texture changes (table 1)", settings={"shape_strength": 0.0}),
    Part("without level 2", "shape only; lines and shading stay as filmed (table 1)", settings={"texture": "off"}),
    Part("without smoothing", "each frame's residual as it comes (table 2)", change=unsmoothed),
    Part("without hold on the lips", "the control mouth at 0: the emotion opens and closes the lips as it likes (table 3)", curves={"mouth": 0.0}),
    Part("without teeth", "the mouth's inside bends with the lips", settings={"mouth": "off"}),
    Part("without soft mask", "a hard edge where the face ends, no band", change=hard_mask),
)


@dataclass(eq=False)
class Ablation:
    """What came out: measures by variant, and what could not be taken out."""

    run: Run
    controls: dict[str, float]
    measures: dict[str, list[Measure]]
    absent: dict[str, str]
    """Part -> why it is not in the table."""
    references: list[Path]


def ablation(folder: Path, controls: Mapping[str, float], *, settings: EditSettings = EditSettings(), actors: Mapping[str, Path] | None = None,
             references: Sequence[Path] = (), frames: tuple[int, int] | None = None, parts: Sequence[str] = (), weights: Weights = Weights(),
             report: Reporter) -> Ablation:
    """Measure the edit without each of its parts.

    controls: of EmotionCurves, held over the shot; actors: name -> actor folder, each a further column with the shape GAN; references: takes
    that show the wanted emotion; parts: what to leave out, one at a time, all of PARTS where empty. Raises MienError.
    """
    wanted = [p for p in PARTS if not parts or p.name.removeprefix("without ") in parts]
    for name in parts:
        if name not in {p.name.removeprefix("without ") for p in PARTS}:
            raise MienError(f"There is no part '{name}'; use one of {', '.join(p.name.removeprefix('without ') for p in PARTS)}.")
    shot = solved_shot(folder)
    indices = chosen_frames(shot, frames)
    count = shot.plate.frame_count
    absent: dict[str, str] = {}
    variants = []

    def add(name: str, what: str, chosen: EditSettings, values: Mapping[str, float], part: Part | None = None) -> None:
        curves = EmotionCurves.constant(count, **values)
        editor = ShotEditor(shot, curves, chosen, report if name == FULL else Silent())
        if part is not None and part.change is not None:
            part.change(editor, curves)
        variants.append(Variant(name, what, editor.composited))

    add(FULL, "the edit as it is delivered", settings, controls)
    known = set(settings.__dataclass_fields__)
    for part in wanted:
        lacking = [n for n in part.settings or {} if n not in known]
        if lacking:
            absent[part.name] = f"this version of Mien has no setting {', '.join(lacking)}"
            continue
        add(part.name, part.what, replace(settings, **(part.settings or {})), {**controls, **(part.curves or {})}, part)
    for name, actor in (actors or {}).items():
        if name in {v.name for v in variants}:
            raise MienError(f"There are two variants named '{name}'; give the actor folder {actor} another name.")
        add(name, f"the shape GAN of {actor}", replace(settings, editor="gan", actor=str(actor)), controls)
    run = run_variants(shot, variants, indices, weights, report, "ablation")
    against = reference_moments(references, variants[0].meter.networks, report) if references else None
    kept = []
    for v in run.variants:
        if v.name != FULL and v.same_as_first:
            absent[v.name] = "it gives the same pictures as the whole edit here: that part does nothing on this shot, or is not in this version"
        else:
            kept.append(v)
    run.variants = kept
    return Ablation(run, dict(controls), {v.name: variant_measures(run, v, weights, against) for v in kept}, absent, [Path(p) for p in references])


def page(result: Ablation) -> Page:
    """The report."""
    run = result.run
    asked = ", ".join(f"{k} {v:g}" for k, v in result.controls.items())
    out = Page(f"What each part of the edit does, {run.shot.folder.name}",
               f"{asked}; {run.frames_text} of {run.shot.plate_path}. Nothing was encoded.")
    columns = {name: by_name(m) for name, m in result.measures.items()}
    out.picture(sheet_of(run), "The plate, the whole edit, and the edit without one part each")
    out.heading("Numbers")
    out.table(*comparison(ROWS, columns))
    against = "the plate, so that they say how much changed, not how well"
    if result.references:
        against = f"the takes {', '.join(p.name for p in result.references)}"
    out.text(f"Distances of sets (FED, FID, Frechet) are to {against}.")
    out.heading("The variants")
    rows = [[v.name, v.what, v.from_first if v.name != FULL else 0.0] for v in run.variants]
    out.table(["Variant", "What it is", "Mean difference from the whole edit, levels"], rows)
    for name, why in result.absent.items():
        out.text(f"{name[:1].upper()}{name[1:]}: {why}.")
    signs = [m for m in result.measures[FULL] if m.group == "Expression"]
    out.heading("Charts")
    out.chart(bar_chart("Change of the signs of expression, output minus plate",
                        {n: [c[m.name].value for m in signs] for n, c in columns.items()}, [m.name for m in signs], "eye distances"),
              bar_chart("Words on the lips (1 is the plate's)", {"correlation": [c["correlation of the gap"].value for c in columns.values()],
                                                                 "gain": [c["gain of the gap"].value for c in columns.values()]}, list(columns), ""),
              line_chart("Gap of the lips", {"plate": (run.numbers, run.variants[0].meter.series()["lips_open_plate"]),
                                             **dict(over_time(run, run.variants, "lips_open_output"))}, "frame", "eye distances"),
              bar_chart("Jitter over the plate's", {"jitter": [c["jitter"].value for c in columns.values()]}, list(columns), ""))
    out.not_measured([m for ms in result.measures.values() for m in ms])
    return out


def write(result: Ablation, *, html: Path | None, json: Path | None) -> None:
    """Raises MienError when a folder cannot be written."""
    run = result.run
    data = {"shot": run.shot.folder, "controls": result.controls, "frames": run.numbers, "absent": result.absent, "references": result.references,
            "variants": {v.name: {"what": v.what, "from_full": v.from_first, "metrics": measures_json(result.measures[v.name]),
                                  "series": v.meter.series()} for v in run.variants}}
    write_study("ablation", data, lambda: page(result), html=html, json=json)


