# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of `mien solve` and `mien check`, and what they print."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..mesh.errors import MienError
from ..mesh.frames import ranges_text
from .console import Console
from .jobs import CODECS, JobFunction

SOLVE_OPTIONS = ("model", "focal_mm", "distortion", "mask", "identity", "rnet", "photometric", "cast")
AddCommand = Callable[[str, str], argparse.ArgumentParser]


def _millimetres(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no focal length in mm")
    return value


def frame_range(text: str) -> list[int]:
    """"12:40" or "12" as [first, last]."""
    first, _, last = text.partition(":")
    try:
        found = [int(first), int(last or first)]
    except ValueError:
        found = [1, 0]
    if found[0] > found[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of frames such as 12:40")
    return found


def add_solve_options(p: argparse.ArgumentParser) -> None:
    """Options of the solve, for `mien solve` and for `mien edit PLATE`."""
    p.add_argument("--model", metavar="NAME", help="face model (default)")
    p.add_argument("--focal-mm", type=_millimetres, metavar="F", help="focal length on a 36 mm wide sensor, where it is known (solved)")
    p.add_argument("--distortion", type=float, nargs=2, metavar=("K1", "K2"), help="radial distortion of the lens, as Blender's or OpenCV's (none)")
    p.add_argument("--mask", metavar="MATTE", help="pictures or a movie, white where something hides the face: matte.####.png; 'none' forgets it")
    p.add_argument("--identity", type=Path, metavar="SHOT", help="keep the face of this solved shot of the same person")
    p.add_argument("--cast", type=Path, metavar="FOLDER", help="the production's actors: who is recognised gets the face of earlier shots")
    p.add_argument("--rnet", type=Path, metavar="PTH", help="with a Basel Face Model: start from what R-Net says, by this checkpoint")
    p.add_argument("--photometric", action="store_true", default=None, help="refine every frame on the plate's own pixels (slower)")


def add_solve(add: AddCommand) -> None:
    """Add both commands to a parser through `add(name, text)`."""
    p = add("solve", "Solve identity, expression, pose and camera of tracked shots.")
    p.add_argument("shot", type=Path, nargs="+", metavar="SHOT", help="a shot folder; several are solved one after the other")
    p.add_argument("--shared-identity", action="store_true", help="the shots show one person: solve one face for all")
    p.add_argument("--actor", metavar="NAME", help="with --cast: who it is, known or new, instead of recognising")
    p.add_argument("--pins", action="store_true", help="solve only the frames around landmarks pinned since, with identity and camera as they are")
    p.add_argument("--frames", type=frame_range, action="append", metavar="A:B", help="the same for the frames A to B; may be given several times")
    add_solve_options(p)

    p = add("check", "Lay a checker texture on the solved mesh over the plate, to see whether it swims.")
    p.add_argument("shot", type=Path, metavar="SHOT", help="a solved shot folder")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="OUT.mp4, .mov or OUT.####.png")
    p.add_argument("--codec", choices=CODECS, help="as for 'mien edit'")


def solve_given(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_solve_options` that were given, as parameters of the job."""
    given = {name: getattr(args, name) for name in SOLVE_OPTIONS if getattr(args, name) is not None}
    return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}


def tell_shot(summary: dict[str, Any], terminal: Console) -> None:
    """Cuts and lost frames."""
    terminal.say(f"cuts          {', '.join(map(str, summary['cuts'])) or 'none'}")
    terminal.say(f"lost frames   {ranges_text(summary['lost']) or 'none'}")


def tell_solve(summary: dict[str, Any], terminal: Console) -> None:
    """What was solved, and how well."""
    error = "unknown" if summary["reprojection"] is None else f"{summary['reprojection'] * 100:.2f} % of the inter-ocular distance (median)"
    if "mesh" in summary:
        error += f", less each landmark's own offset; {summary['mesh'] * 100:.2f} % with it"
    terminal.say(f"reprojection  {error}")
    if summary.get("photometric"):
        terminal.say(f"refined       on the plate's pixels, by {summary['photometric']}")
    if verdict := summary.get("cast"):
        from ..mesh.cast import told  # brings numpy, which --help can do without
        terminal.say(f"actor         {told(verdict)}")
    terminal.say(f"focal length  {summary['focal']:.0f} px ({summary['focal_mm']:.1f} mm on a 36 mm wide sensor)")
    if lids := summary.get("lids"):
        terminal.say(f"lids          as on the plate in {lids['agree'] * 100:.1f} % of eyes and frames; {lids['closed']} closed, "
                     f"{lids['found'] * 100:.0f} % of these found")
    again = f", {summary['again']} of them again" if "again" in summary else ""
    terminal.say(f"solved        {summary['solved']} of {summary['frames']} frames{again}")
    tell_shot(summary, terminal)


def run_solve(args: argparse.Namespace, terminal: Console, jobs: Mapping[str, JobFunction]) -> None:
    """`mien solve SHOT [SHOT ...]`, by the job `solve`; a part of shots by `resolve`."""
    first, *others = map(str, args.shot)
    given = solve_given(args) | ({"actor": args.actor} if args.actor is not None else {})
    if args.pins or args.frames:
        if wrong := [*given, *(["shared_identity"] if args.shared_identity else [])]:
            raise MienError(f"--{wrong[0].replace('_', '-')} is for a solve of the whole shot; leave out --pins and --frames.")
        summaries = [jobs["resolve"]({"folder": folder, **({"frames": args.frames} if args.frames else {})}, terminal) for folder in (first, *others)]
    elif args.shared_identity:
        summary = jobs["solve"]({"folder": first, "together": others, **given}, terminal)
        summaries = [summary, *summary.get("together", [])]
    else:
        summaries = [jobs["solve"]({"folder": folder, **given}, terminal) for folder in (first, *others)]
    for folder, summary in zip(args.shot, summaries):
        if others:
            terminal.say(f"-- {folder}")
        tell_solve(summary, terminal)


def run_check(args: argparse.Namespace, terminal: Console, check: JobFunction) -> None:
    """`mien check SHOT`, by the job `check`."""
    params = {"folder": str(args.shot), "output": str(args.output), **({"codec": args.codec} if args.codec else {})}
    result = check(params, terminal)
    if "slide" in result:
        later = f", {result['slide_later'] * 100:.2f} % over 12" if "slide_later" in result else ""
        terminal.say(f"slides        {result['slide'] * 100:.2f} % of the inter-ocular distance from frame to frame{later} (median, against the "
                     "plate's optical flow)")
    terminal.say(f"written       {result['output']}")
