# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien evaluate sweep, ablation, reenact, cross, takes, table`: arguments, and what is printed."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...mesh.errors import MienError
from ..arguments import unit
from ..console import Console
from ..evaluate_cli import AddCommand, add_results, add_weights, check_results, tell, tell_table, tell_written, weights_of

if TYPE_CHECKING:
    from ..edit import EditSettings

ParseEmotions = Callable[[str], dict[str, float]]


def command_name(study: str) -> str:
    return f"evaluate {study}"


def _within(low: int, high: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)
    return whole


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and dash and int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of frames; write it as 1-60")
    return int(first), int(last)


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=FOLDER, such as lambda4=actors/lambda4")
    return name, Path(folder)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def _frames(p: argparse.ArgumentParser) -> None:
    p.add_argument("--frames", type=_range, metavar="A-B", help="numbers of the first and last frame (all)")


def _settings(p: argparse.ArgumentParser) -> None:
    p.add_argument("--editor", choices=("analytic", "gan"), default="analytic", help="level 1 (analytic)")
    p.add_argument("--actor", metavar="FOLDER", default="", help="networks made by 'mien train' (those in the shot folder, or shipped)")


def add_studies(add: AddCommand, emotions: ParseEmotions) -> None:
    """Add the commands to a parser through `add(name, text)`; emotions reads "happy=0.8"."""
    def controls(p: argparse.ArgumentParser, required: bool) -> None:
        p.add_argument("--emotion", type=emotions, required=required, metavar="NAME=X[,...]", help="the edit, held over the shot: happy=0.8")
        p.add_argument("--mouth", type=unit, metavar="X", help="how strictly the lips keep to the words, 0 to 1 (0.5)")
        p.add_argument("--neutralise", type=unit, metavar="X", help="how much of the acted emotion is taken away, 0 to 1 (0)")

    p = add(command_name("sweep"),
            "Render a few frames of a solved shot at intensities from 0 to 1 and measure how linear the edit is (LIE, figure 7).")
    p.add_argument("shot", type=Path, metavar="SHOT", help="a solved shot folder")
    p.add_argument("--emotion", required=True, metavar="NAME", help="angry, contempt, disgusted, fear, happy, sad, surprised, or all of them: all")
    add_results(p)
    _settings(p)
    p.add_argument("--steps", type=_within(2, 1000), default=20, metavar="N", help="steps of intensity (20; the paper takes 100)")
    p.add_argument("--samples", type=_within(1, 100), default=5, metavar="N", help="frames of the shot, evenly chosen (5)")
    p.add_argument("--lpips-network", type=Path, metavar="FILE", help="LPIPS, for the paper's LIE: its authors' alex.pth, or a program of yours")
    p.add_argument("--alexnet", type=Path, metavar="FILE", help="with alex.pth: torchvision's alexnet-owt-7be5be79.pth")

    p = add(command_name("ablation"), "Measure an edit whole and without each of its parts (tables 1 to 3 of Sun et al. 2023).")
    p.add_argument("shot", type=Path, metavar="SHOT", help="a solved shot folder")
    controls(p, True)
    add_results(p)
    _frames(p)
    _settings(p)
    p.add_argument("--variant", type=_named_folder, action="append", default=[], metavar="NAME=FOLDER",
                   help="one more column: an actor folder, such as one trained with another lambda_mouth (more than one may be given)")
    p.add_argument("--part", action="append", default=[], metavar="NAME",
                   help="a part that is left out: level 1, level 2, smoothing, hold on the lips, teeth, soft mask (each in turn)")
    p.add_argument("--texture-borrow", type=unit, default=0.0, metavar="X",
                   help="amount of the emotion directions in the actor folder, learnt from labelled takes, 0 to 1 (0)")
    p.add_argument("--reference", type=Path, action="append", default=[], metavar="CLIP", help="a take in which the actor shows the wanted emotion")
    add_weights(p)

    p = add(command_name("reenact"), "Render a shot's frames from the pixels of its other frames and compare with the film: how true is the warp?")
    p.add_argument("shot", type=Path, metavar="SHOT", help="a solved shot folder")
    add_results(p)
    _frames(p)
    p.add_argument("--apart", type=_seconds, default=0.5, metavar="S", help="seconds between a frame and the one that it is made of (0.5)")
    p.add_argument("--still", type=int, metavar="N", help="number of the frame whose pixels make all others (the one nearest to a face at rest)")
    add_weights(p)

    p = add(command_name("cross"), "Edit a take to the emotion of another take of the same actor and measure how near it comes.")
    p.add_argument("shot", type=Path, metavar="SHOT", help="the solved shot that is edited")
    p.add_argument("truth", type=Path, metavar="TRUTH", help="the solved shot that shows the emotion")
    p.add_argument("--emotion", required=True, metavar="NAME[=X]", help="what the second take shows: sad, or sad=0.8")
    p.add_argument("--neutralise", type=unit, default=1.0, metavar="X", help="how much of the acted emotion is taken away first (1)")
    add_results(p)
    _frames(p)
    _settings(p)
    add_weights(p)

    p = add(command_name("takes"), "Measure an editor against labelled takes: each actor edited to every emotion that another take shows.")
    p.add_argument("takes", type=Path, metavar="TAKES", help="a table (clip, actor, emotion, level), or a folder of MEAD or RAVDESS")
    p.add_argument("--shots", type=Path, metavar="FOLDER", help="keep the takes' shot folders here; what is there and up to date is used")
    p.add_argument("--sources", type=_within(1, 100), default=1, metavar="N", help="takes that are edited to each true one (1)")
    p.add_argument("--most", type=_within(3, 100000), metavar="N", help="frames of each take, from its start (all)")
    p.add_argument("--model", default="default", metavar="NAME", help="face model (default)")
    add_results(p)
    _settings(p)
    add_weights(p)

    p = add(command_name("table"), "Measure several clips in one table, also in Markdown.")
    p.add_argument("clips", type=Path, nargs="+", metavar="CLIPS.csv|SHOT",
                   help="a table with plate, output[, label, shot]; or solved shots, edited on the way")
    controls(p, False)
    add_results(p)
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the table in Markdown")
    _frames(p)
    _settings(p)
    add_weights(p)


def _chosen(args: argparse.Namespace) -> EditSettings:
    from ..edit import EditSettings
    return EditSettings.from_dict({"editor": args.editor, "actor": args.actor})


def _controls(args: argparse.Namespace) -> dict[str, float]:
    return {**(args.emotion or {}), **{n: getattr(args, n) for n in ("mouth", "neutralise") if getattr(args, n) is not None}}


def _sweep(args: argparse.Namespace, terminal: Console) -> None:
    from ...mesh.emotion import EMOTIONS
    from ..edit import EditSettings
    from . import sweep
    if args.alexnet is not None and args.lpips_network is None:
        raise MienError("--alexnet is a part of LPIPS; give its heads alex.pth with --lpips-network.")
    results = [sweep.sweep(args.shot, emotion, steps=args.steps, samples=args.samples, lpips=args.lpips_network, alexnet=args.alexnet,
                           settings=EditSettings(editor=args.editor, actor=args.actor), report=terminal)
               for emotion in (EMOTIONS if args.emotion == "all" else (args.emotion,))]
    sweep.write_results(results, html=args.html, json=args.json)
    for result in results:
        if len(results) > 1:
            terminal.say(f"-- {result.emotion}")
        tell(result.measures(), terminal)


def _ablation(args: argparse.Namespace, terminal: Console) -> None:
    from . import ablation
    from .run import by_name, comparison
    settings = replace(_chosen(args), texture_borrow=args.texture_borrow)
    result = ablation.ablation(args.shot, _controls(args), settings=settings, actors=dict(args.variant), references=args.reference,
                               frames=args.frames, parts=args.part, weights=weights_of(args), report=terminal)
    ablation.write(result, html=args.html, json=args.json)
    tell_table(*comparison(ablation.ROWS, {k: by_name(v) for k, v in result.measures.items()}), terminal)
    for name, why in result.absent.items():
        terminal.say(f"{name}: {why}")


def _reenact(args: argparse.Namespace, terminal: Console) -> None:
    from . import reenact
    from .run import by_name, comparison
    result = reenact.reenact(args.shot, frames=args.frames, still=args.still, apart=args.apart, weights=weights_of(args), report=terminal)
    reenact.write(result, html=args.html, json=args.json)
    tell_table(*comparison(reenact.ROWS, {k: by_name(v) for k, v in result.measures.items()}), terminal)


def _cross(args: argparse.Namespace, terminal: Console) -> None:
    from . import cross
    from .run import by_name, comparison
    name, equals, value = args.emotion.partition("=")
    try:
        intensity = unit(value) if equals else 1.0
    except argparse.ArgumentTypeError as error:
        raise MienError(f"The intensity {error}.") from error
    weights = weights_of(args)
    truth = cross.measure_truth(args.truth, None, weights, terminal)
    result = cross.cross(args.shot, truth, name.strip(), intensity=intensity, neutralise=args.neutralise, settings=_chosen(args), frames=args.frames,
                         weights=weights, report=terminal)
    cross.write_cross(result, html=args.html, json=args.json)
    tell_table(*comparison(cross.ROWS, {k: by_name(v) for k, v in result.measures.items()}), terminal)


def _takes(args: argparse.Namespace, terminal: Console) -> None:
    from . import collection
    with tempfile.TemporaryDirectory(prefix="mien-") as temporary:
        result = collection.collection(args.takes, args.shots or Path(temporary), settings=_chosen(args), model=args.model, sources=args.sources,
                                       most=args.most, weights=weights_of(args), report=terminal)
        collection.write(result, html=args.html, json=args.json)
    total = collection.means(result)
    names = [n for n in collection.ROWS if any(n in v for v in total.values())]
    tell_table(["Mean distance to the truth", *total], [[n, *(v[n].value if n in v else None for v in total.values())] for n in names], terminal)


def _table(args: argparse.Namespace, terminal: Console) -> None:
    from . import table
    shots = [c for c in args.clips if c.is_dir()]
    if shots and len(shots) < len(args.clips):
        raise MienError("Give either one table of clips or shot folders, not both.")
    if shots:
        if not _controls(args):
            raise MienError("Say how the shots are edited, with --emotion NAME=X.")
        rows = table.shots_table(shots, _controls(args), settings=_chosen(args), frames=args.frames, weights=weights_of(args), report=terminal)
    else:
        if _controls(args) or args.frames:
            raise MienError("--emotion, --mouth, --neutralise and --frames are for shot folders; a table lists finished clips.")
        rows = [row for path in args.clips for row in table.clips_table(path, weights_of(args), terminal)]
    table.write(rows, html=args.html, json=args.json, md=args.markdown)
    terminal.say(table.markdown(rows))


RUN: dict[str, Callable[[argparse.Namespace, Console], Any]] = {
    "sweep": _sweep, "ablation": _ablation, "reenact": _reenact, "cross": _cross, "takes": _takes, "table": _table}
"""Study -> what runs it."""


def run_study(study: str, args: argparse.Namespace, terminal: Console) -> None:
    """Run a study and say which files it wrote."""
    places = (args.html, args.json, getattr(args, "markdown", None))
    check_results(*places)
    RUN[study](args, terminal)
    tell_written(terminal, *places)
