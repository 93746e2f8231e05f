# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of `mien evaluate` and `mien evaluate sweep`, and what they print."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..mesh.errors import MienError
from .console import Console
from .jobs import check_place

if TYPE_CHECKING:
    from .metrics.measure import Measure

SWEEP = "evaluate sweep"
AddCommand = Callable[[str, str], argparse.ArgumentParser]


def _within(low: int, high: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)
    return whole


def _page(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .html")
    return path


def _results(p: argparse.ArgumentParser) -> None:
    p.add_argument("-o", "--output", type=_page, dest="html", metavar="REPORT.html", help="write a report, one file with charts and pictures")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every number, by frame where there is one")


def add_evaluate(add: AddCommand) -> None:
    """Add both commands to a parser through `add(name, text)`."""
    p = add("evaluate", "Measure an edited clip against its plate ('mien evaluate sweep': an emotion's intensity from 0 to 1).")
    p.add_argument("plate", type=Path, metavar="PLATE", help="the footage: a movie or name.####.png")
    p.add_argument("edited", type=Path, metavar="OUTPUT", help="the edited clip, of the same size")
    _results(p)
    p.add_argument("--shot", type=Path, metavar="SHOT", help="the plate's shot folder: its baked mattes, and its solve for AED and APD")
    p.add_argument("--output-shot", type=Path, metavar="SHOT", help="a shot folder of the edited clip, tracked and solved, for AED and APD")
    p.add_argument("--reference", type=Path, action="append", default=[], metavar="CLIP",
                   help="a take in which the actor shows the wanted emotion; FED and FID are then against it (more than one may be given)")
    for name, what in (("emotion", "FED: emotions, trained on AffectNet"), ("inception", "FID: Inception"), ("identity", "ID: ArcFace")):
        p.add_argument(f"--{name}-network", type=Path, metavar="FILE", help=f"your network for {what} (TorchScript or .pt2; docs/metrics.md)")
    p.add_argument("--syncnet", type=Path, metavar="FILE", help="SyncNet's public checkpoint syncnet_v2.model, for LSE-D and LSE-C")

    p = add(SWEEP, "Render a few frames of a solved shot at intensities from 0 to 1 and measure how linear the edit is (LIE).")
    p.add_argument("shot", type=Path, metavar="SHOT", help="a solved shot folder")
    p.add_argument("--emotion", required=True, metavar="NAME", help="angry, contempt, disgusted, fear, happy, sad, surprised, or all of them: all")
    _results(p)
    p.add_argument("--steps", type=_within(2, 1000), default=20, metavar="N", help="steps of intensity (20; the paper takes 100)")
    p.add_argument("--samples", type=_within(1, 100), default=5, metavar="N", help="frames of the shot, evenly chosen (5)")
    p.add_argument("--lpips-network", type=Path, metavar="FILE", help="your LPIPS, for the paper's LIE (TorchScript or .pt2; docs/metrics.md)")


def _tell(measures: Sequence[Measure], terminal: Console) -> None:
    width = max(len(m.name) for m in measures) + 2
    for group in dict.fromkeys(m.group for m in measures):
        terminal.say(group)
        for m in (m for m in measures if m.group == group):
            better = f"  ({m.better} is better)" if m.better in ("higher", "lower") else f"  (best {m.better})" if m.better else ""
            terminal.say(f"  {m.name:<{width}}{m.text}{better if m.value is not None else ''}")


def _check(args: argparse.Namespace) -> None:
    """Raises MienError, before the work, for results that cannot be written."""
    places = [p for p in (args.html, args.json) if p is not None]
    for place in places:
        check_place(place)
    if len(places) == 2 and places[0].absolute() == places[1].absolute():
        raise MienError(f"{places[0]} cannot be both the report and the numbers; choose another name for one of them.")


def _written(args: argparse.Namespace, terminal: Console) -> None:
    for path in (args.html, args.json):
        if path is not None:
            terminal.say(f"written  {path}")


def run_evaluate(args: argparse.Namespace, terminal: Console) -> None:
    """`mien evaluate PLATE OUTPUT`."""
    _check(args)
    from . import evaluate
    weights = evaluate.Weights(args.emotion_network, args.inception_network, args.identity_network, args.syncnet)
    result = evaluate.evaluate_clip(args.plate, args.edited, shot=args.shot, output_shot=args.output_shot, references=args.reference,
                                    weights=weights, report=terminal)
    evaluate.write_results(result, html=args.html, json=args.json, shot=args.shot)
    _tell(result.measures, terminal)
    _written(args, terminal)


def run_sweep(args: argparse.Namespace, terminal: Console) -> None:
    """`mien evaluate sweep SHOT`."""
    _check(args)
    from ..mesh.emotion import EMOTIONS
    from . import sweep
    results = [sweep.sweep(args.shot, emotion, steps=args.steps, samples=args.samples, lpips=args.lpips_network, report=terminal)
               for emotion in (EMOTIONS if args.emotion == "all" else (args.emotion,))]
    sweep.write_results(results, html=args.html, json=args.json)
    for result in results:
        if len(results) > 1:
            terminal.say(f"-- {result.emotion}")
        _tell(result.measures(), terminal)
    _written(args, terminal)
