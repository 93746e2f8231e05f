# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien evaluate takes TAKES`: an editor against labelled takes, actor by actor and emotion by emotion (Sun et al. 2023, 4.4.2, table 5).

Each actor's neutral takes (or, where there is none, takes of other emotions, neutralised first) are edited to every emotion and level that the actor
shows in another take, and the edited frames are compared with the true ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...mesh.errors import MienError
from ...mesh.shot import Shot
from ..edit import EditSettings
from ..evaluate import Weights
from ..media import probe_plate
from ..metrics.measure import Measure
from ..progress import Reporter
from ..report import Page
from ..shape_gan.takes import NEUTRAL, Take, read_takes
from ..stages import solve, track
from .cross import EDITED, FILMED, HALVES, ROWS, SETS, Cross, Truth, cross, cross_json, measure_truth, nearer
from .run import strip, write_study


@dataclass(frozen=True, eq=False)
class Pair:
    """A take to edit and the take that shows what it should become."""

    source: Take
    truth: Take


def pairs_of(takes: Sequence[Take], sources: int = 1) -> list[Pair]:
    """For each take with an emotion the first `sources` takes of that actor that can be edited to it. Raises MienError when there is none.

    Neutral takes where the actor has some, else takes of other emotions.
    """
    out = []
    for truth in (t for t in takes if t.emotion != NEUTRAL):
        own = [t for t in takes if t.actor == truth.actor and t.emotion != truth.emotion]
        rest = [t for t in own if t.emotion == NEUTRAL]
        out += [Pair(source, truth) for source in (rest or own)[:sources]]
    if not out:
        raise MienError("No actor has two takes of different emotions; add a neutral take (or one of another emotion) beside each emotion.")
    return out


def shot_of(take: Take, folder: Path, model: str, report: Reporter) -> Path:
    """The solved shot of a take in `folder`; made when it is not there or is of other footage."""
    name = "_".join((take.actor, take.emotion, str(take.level), take.clip.stem))
    place = folder / f"{name}.mien"
    if place.is_dir():
        shot = Shot.load(place)
        if shot.solve_path.exists() and shot.model == model and shot.plate.fingerprint == probe_plate(take.clip).fingerprint:
            return place
    folder.mkdir(parents=True, exist_ok=True)
    track(take.clip, place, report=report)
    solve(place, model=model, report=report)
    return place


@dataclass(eq=False)
class Collection:
    """All pairs of a collection of takes."""

    source: Path
    settings: EditSettings
    pairs: list[Pair]
    crosses: list[Cross]


def collection(source: Path, folder: Path, *, settings: EditSettings = EditSettings(), model: str = "default", sources: int = 1,
               most: int | None = None,
               weights: Weights = Weights(), report: Reporter) -> Collection:
    """Edit and compare every pair. folder: where the takes' shots are kept; most: frames of each take from its start. Raises MienError."""
    pairs, crosses = pairs_of(read_takes(source), sources), []
    truths: dict[Path, Truth] = {}
    for pair in pairs:
        shots = [shot_of(t, folder, model, report) for t in (pair.source, pair.truth)]
        if pair.truth.clip not in truths:
            truths[pair.truth.clip] = measure_truth(shots[1], _part(shots[1], most), weights, report)
        crosses.append(cross(shots[0], truths[pair.truth.clip], pair.truth.emotion, intensity=pair.truth.intensity,
                             neutralise=0.0 if pair.source.emotion == NEUTRAL else 1.0, settings=settings, frames=_part(shots[0], most),
                             weights=weights, report=report))
    return Collection(source, settings, pairs, crosses)


def _part(folder: Path, most: int | None) -> tuple[int, int] | None:
    shot = Shot.load(folder)
    if most is None or shot.plate.frame_count <= most:
        return None
    return shot.frame_number(0), shot.frame_number(most - 1)


def means(result: Collection) -> dict[str, dict[str, Measure]]:
    """Mean over the pairs of each distance, by FILMED, EDITED and HALVES."""
    out: dict[str, dict[str, Measure]] = {}
    for kind in (FILMED, EDITED, HALVES):
        out[kind] = {}
        for name in ROWS:
            found = [m for c in result.crosses for m in c.measures[kind] if m.name == name and m.value is not None]
            if found:
                out[kind][name] = Measure("Mean", name, float(np.mean([m.value for m in found])), better=found[0].better)
    return out


def page(result: Collection) -> Page:
    """The report."""
    s = result.settings
    actors = list(dict.fromkeys(p.truth.actor for p in result.pairs))
    out = Page(f"The editor '{s.editor}' against labelled takes",
               f"{len(result.pairs)} edits of {len(actors)} actor{'s' * (len(actors) > 1)} ({', '.join(actors)}) "
               f"from {result.source}{f', networks of {s.actor}' if s.actor else ''}. The words differ between takes: sets are compared, not frames.")
    total = means(result)
    out.heading("Mean over all pairs")
    known = [n for n in ROWS if n in total[EDITED]]
    out.table(["Distance to the truth", FILMED, EDITED, HALVES, "Better"],
              [[n, *(total[k][n].value if n in total[k] else None for k in (FILMED, EDITED, HALVES)), total[EDITED][n].better] for n in known])
    out.heading("Every pair")
    rows: list[list[Any]] = []
    for pair, one in zip(result.pairs, result.crosses):
        by_kind = {k: {m.name: m.value for m in ms} for k, ms in one.measures.items()}
        rows.append([pair.truth.actor, f"{pair.source.emotion} → {pair.truth.emotion} {pair.truth.level}",
                     *(by_kind[k].get(n) for n in known if n in SETS.values() for k in (FILMED, EDITED)), by_kind[EDITED].get("ID"),
                     by_kind[FILMED].get("AED of the means"), by_kind[EDITED].get("AED of the means")])
    header = ["Actor", "Edit", *(f"{n}, {k}" for n in known if n in SETS.values() for k in (FILMED, EDITED)), "ID", f"AED, {FILMED}",
              f"AED, {EDITED}"]
    out.table(header, rows)
    for pair, one in zip(result.pairs, result.crosses):
        out.subheading(f"{pair.truth.actor}: {pair.source.emotion} to {pair.truth.emotion}, level {pair.truth.level}")
        out.picture(strip({FILMED: one.run.crops, EDITED: one.run.variants[-1].crops, "truth": one.truth.crops}, cell=180),
                    f"{pair.source.clip.name} as filmed and edited; {pair.truth.clip.name}")
    out.not_measured([m for c in result.crosses for ms in c.measures.values() for m in ms])
    return out


def write(result: Collection, *, html: Path | None, json: Path | None) -> None:
    """Raises MienError when a folder cannot be written."""
    total = {k: {n: m.value for n, m in v.items()} for k, v in means(result).items()}
    pairs = [{"actor": p.truth.actor, "source": p.source.clip, "source_emotion": p.source.emotion, "truth_clip": p.truth.clip, "level": p.truth.level,
              **cross_json(c)} for p, c in zip(result.pairs, result.crosses)]
    write_study("takes", {"takes": result.source, "editor": result.settings.editor, "actor": result.settings.actor, "means": total, "pairs": pairs,
                          "nearer": [nearer(c) for c in result.crosses]}, lambda: page(result), html=html, json=json)
