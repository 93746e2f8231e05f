# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of `mien evaluate` and what it and its studies print."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..mesh.errors import MienError
from .console import Console
from .jobs import check_place

if TYPE_CHECKING:
    from .evaluate import Weights
    from .metrics.measure import Measure

AddCommand = Callable[[str, str], argparse.ArgumentParser]
NETWORKS = (("emotion", "FED: emotions, trained on AffectNet"), ("inception", "FID: Inception"), ("identity", "ID: ArcFace"))


def _page(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .html")
    return path


def add_results(p: argparse.ArgumentParser) -> None:
    """-o and --json."""
    p.add_argument("-o", "--output", type=_page, dest="html", metavar="REPORT.html", help="write a report, one file with charts and pictures")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every number, by frame where there is one")


def add_weights(p: argparse.ArgumentParser) -> None:
    """The networks that the user brings."""
    for name, what in NETWORKS:
        p.add_argument(f"--{name}-network", type=Path, metavar="FILE", help=f"your network for {what} (TorchScript or .pt2; docs/metrics.md)")
    p.add_argument("--syncnet", type=Path, metavar="FILE", help="SyncNet's public checkpoint syncnet_v2.model, for LSE-D and LSE-C")


def weights_of(args: argparse.Namespace) -> Weights:
    """Of `add_weights`."""
    from .evaluate import Weights
    return Weights(args.emotion_network, args.inception_network, args.identity_network, args.syncnet)


def add_evaluate(add: AddCommand) -> None:
    """Add the command to a parser through `add(name, text)`."""
    p = add("evaluate", "Measure an edited clip against its plate; studies: mien evaluate sweep, ablation, reenact, cross, takes, table.")
    p.add_argument("plate", type=Path, metavar="PLATE", help="the footage: a movie or name.####.png")
    p.add_argument("edited", type=Path, metavar="OUTPUT", help="the edited clip, of the same size")
    add_results(p)
    p.add_argument("--shot", type=Path, metavar="SHOT", help="the plate's shot folder: its baked mattes, and its solve for AED and APD")
    p.add_argument("--output-shot", type=Path, metavar="SHOT", help="a shot folder of the edited clip, tracked and solved, for AED and APD")
    p.add_argument("--reference", type=Path, action="append", default=[], metavar="CLIP",
                   help="a take in which the actor shows the wanted emotion; FED and FID are then against it (more than one may be given)")
    add_weights(p)


def tell(measures: Sequence[Measure], terminal: Console) -> None:
    """The measures as lines under their groups' names."""
    width = max(len(m.name) for m in measures) + 2
    for group in dict.fromkeys(m.group for m in measures):
        terminal.say(group)
        for m in (m for m in measures if m.group == group):
            better = f"  ({m.better} is better)" if m.better in ("higher", "lower") else f"  (best {m.better})" if m.better else ""
            terminal.say(f"  {m.name:<{width}}{m.text}{better if m.value is not None else ''}")


def tell_table(header: Sequence[str], rows: Sequence[Sequence[object]], terminal: Console) -> None:
    """Rows under their header, in columns."""
    from .metrics.measure import number
    cells = [[number(v) if isinstance(v, float) or v is None else str(v) for v in row] for row in rows]
    widths = [max(len(row[i]) for row in (list(header), *cells)) + 2 for i in range(len(header))]
    for row in (list(header), *cells):
        terminal.say("".join(f"{cell:<{w}}" for cell, w in zip(row, widths)).rstrip())


def check_results(*places: Path | None) -> None:
    """Raises MienError, before the work, for results that cannot be written."""
    given = [p for p in places if p is not None]
    for place in given:
        check_place(place)
    if len({p.absolute() for p in given}) < len(given):
        raise MienError(f"{given[0]} cannot be both the report and the numbers; choose another name for one of them.")


def tell_written(terminal: Console, *places: Path | None) -> None:
    """Which files there are now."""
    for path in places:
        if path is not None:
            terminal.say(f"written  {path}")


def run_evaluate(args: argparse.Namespace, terminal: Console) -> None:
    """`mien evaluate PLATE OUTPUT`."""
    check_results(args.html, args.json)
    from . import evaluate
    result = evaluate.evaluate_clip(args.plate, args.edited, shot=args.shot, output_shot=args.output_shot, references=args.reference,
                                    weights=weights_of(args), report=terminal)
    evaluate.write_results(result, html=args.html, json=args.json, shot=args.shot)
    tell(result.measures, terminal)
    tell_written(terminal, args.html, args.json)
