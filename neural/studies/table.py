# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien evaluate table`: several clips in one table, as a page, JSON and Markdown.

The clips are a CSV table (columns plate, output and, if wanted, label and shot: finished clips), or solved shots that are edited on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...mesh.emotion import EmotionCurves
from ...mesh.errors import MienError
from ...mesh.files import atomic_path
from ..charts import bar_chart
from ..contact_sheet import difference
from ..edit import EditSettings, ShotEditor
from ..evaluate import Weights, evaluate_clip
from ..metrics.face import LABELS
from ..metrics.measure import Measure, number
from ..progress import Reporter
from ..report import Page, command_line, machine
from ..tables import table_rows
from ..version import mien_version
from .run import Variant, by_name, chosen_frames, measures_json, run_variants, solved_shot, strip, variant_measures, write_study

COLUMNS = ("plate", "output", "label", "shot")
SHOWN = {"correlation of the gap": "words on the lips (r)", "gain of the gap": "lips' travel", "jitter": "jitter", "CPBD, plate": "sharpness, plate",
         "CPBD, output": "sharpness, edit", "outside, largest difference": "changed outside", "FED": "FED", "FID": "FID", "ID": "ID",
         "LSE-D, output": "LSE-D", "LSE-C, output": "LSE-C", "LSE-D": "LSE-D", "LSE-C": "LSE-C"}
"""Metric -> its short heading; those that nothing measured are left out."""
STRONGEST = "strongest sign"


@dataclass(eq=False)
class Row:
    """One clip of the table."""

    label: str
    what: str
    """What was done to it, or where the output lies."""
    frames: int
    measures: list[Measure]
    faces: list[Any]
    """A few faces: of the plate, then as many of the edit; none where clips were given."""

    @property
    def strongest(self) -> str:
        """The sign of expression that changed most: "mouth corners up +0.075"."""
        known = [m for m in self.measures if m.group == "Expression" and m.value is not None and m.name in LABELS.values()]
        if not known:
            return "–"
        best = max(known, key=lambda m: abs(m.value or 0))
        return f"{best.name} {best.value:+.3f}"


def read_clips(path: Path) -> list[dict[str, str]]:
    """The rows of a table of clips, paths relative to it made whole. Raises MienError that names the line."""
    out = []
    for line, row in enumerate(table_rows(path), 2):
        values = {c: (row.get(c) or "").strip() for c in COLUMNS}
        for name in ("plate", "output"):
            if not values[name]:
                raise MienError(f"{path}, line {line}: '{name}' is missing; the columns are plate, output and, if wanted, label and shot.")
        for name in ("plate", "output", "shot"):
            if values[name]:
                values[name] = str(path.parent / values[name])
        values["label"] = values["label"] or Path(values["output"]).stem
        out.append(values)
    if not out:
        raise MienError(f"{path} lists no clips; its columns are plate, output and, if wanted, label and shot.")
    return out


def clips_table(path: Path, weights: Weights, report: Reporter) -> list[Row]:
    """Measure every clip of a table. Raises MienError for the first that cannot be measured."""
    rows = []
    for clip in read_clips(path):
        result = evaluate_clip(Path(clip["plate"]), Path(clip["output"]), shot=Path(clip["shot"]) if clip["shot"] else None, weights=weights,
                               report=report)
        rows.append(Row(clip["label"], Path(clip["output"]).name, min(result.plate.frame_count, result.output.frame_count), result.measures, []))
    return rows


def shots_table(folders: Sequence[Path], controls: Mapping[str, float], *, settings: EditSettings = EditSettings(),
                frames: tuple[int, int] | None = None,
                weights: Weights = Weights(), report: Reporter) -> list[Row]:
    """Edit every shot in memory and measure it: nothing is encoded, so that what lies outside the face can be exactly 0."""
    rows = []
    asked = ", ".join(f"{k} {v:g}" for k, v in controls.items())
    for folder in folders:
        shot = solved_shot(folder)
        editor = ShotEditor(shot, EmotionCurves.constant(shot.plate.frame_count, **controls), settings, report)
        run = run_variants(shot, [Variant("edit", asked, editor.composited)], chosen_frames(shot, frames), weights, report, shot.folder.stem)
        edit = run.variants[0]
        rows.append(Row(shot.folder.stem, asked, len(run.indices), variant_measures(run, edit, weights), [run.crops, edit.crops]))
    return rows


def columns_of(rows: Sequence[Row]) -> dict[str, str]:
    """Metric -> heading, of what at least one row measured."""
    return {name: head for name, head in SHOWN.items() if any(m.value is not None for r in rows for m in r.measures if m.name == name)}


def markdown(rows: Sequence[Row]) -> str:
    """The table in Markdown, with the command and the class of machine under it."""
    columns = columns_of(rows)
    header = ["clip", "edit", "frames", *columns.values(), STRONGEST]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        named = by_name(row.measures)
        cells = [row.label, row.what, str(row.frames), *(_short(named.get(n)) for n in columns), row.strongest]
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines) + f"\n\nMade by `{command_line()}` (Mien {mien_version()}, {machine()}).\n"


def _short(measure: Measure | None) -> str:
    return "–" if measure is None else number(None if measure.value is None else round(measure.value, 3))


def page(rows: Sequence[Row]) -> Page:
    """The report."""
    out = Page(f"{len(rows)} clip{'s' * (len(rows) > 1)} measured", "A plate and its edit each; docs/metrics.md says what each number is.")
    columns = columns_of(rows)
    for row in rows:
        if row.faces:
            plates, edits = row.faces
            out.picture(strip({"plate": plates, "edit": edits, "difference x 8": [difference(a, b) for a, b in zip(plates, edits)]}, cell=180),
                        f"{row.label}: {row.what}")
    out.heading("Numbers")
    out.table(["Clip", "Edit", "Frames", *columns.values(), STRONGEST],
              [[row.label, row.what, row.frames, *(by_name(row.measures).get(n) for n in columns), row.strongest] for row in rows])
    signs = [LABELS[k] for k in LABELS]
    out.heading("Change of the signs of expression")
    out.chart(bar_chart("Output minus plate, mean", {r.label: [by_name(r.measures)[s].value for s in signs] for r in rows}, signs, "eye distances"))
    for row in rows:
        out.heading(row.label)
        out.measures([m for m in row.measures if not m.needs])
    out.not_measured([m for r in rows for m in r.measures])
    return out


def write(rows: Sequence[Row], *, html: Path | None, json: Path | None, md: Path | None) -> None:
    """Raises MienError when a folder cannot be written."""
    write_study("table", {"rows": [{"label": r.label, "what": r.what, "frames": r.frames, "metrics": measures_json(r.measures)} for r in rows]},
                lambda: page(rows), html=html, json=json)
    if md is not None:
        with atomic_path(md) as temporary:
            temporary.write_text(markdown(rows), encoding="utf-8")
