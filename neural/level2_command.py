# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of level 2 and of the mouth: options of `mien edit`, `mien train texture` and `mien train mouth`. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = {"texture": "Train level 2, the eigen model of an actor's texture and its emotion directions.",
         "mouth": "Train the inside of an actor's mouth from takes in which it is seen."}
SETTINGS = ("shape_strength", "texture", "texture_strength", "texture_borrow", "mouth_frame", "mouth_amount")
"""Fields of EditSettings that are options of the same name; --teeth is the field `mouth`, as --mouth is a control of the lips."""


def add_edit_arguments(p: argparse.ArgumentParser, unit: Callable[[str], float]) -> None:
    """Options of `mien edit`."""
    p.add_argument("--shape-strength", type=unit, metavar="X", help="level 1: part of the change of shape that is applied, 0 to 1 (1)")
    p.add_argument("--texture", choices=("on", "full", "off"), help="level 2: let the skin's shading follow the expression; full: show the model's "
                   "own picture of the skin, as the paper does, for models of one actor (on)")
    p.add_argument("--texture-strength", type=float, metavar="X", help="level 2: how much of it, 0 to 2 (1)")
    p.add_argument("--texture-borrow", type=unit, metavar="X", help="level 2: amount of the emotion directions in the actor folder, 0 to 1 (0)")
    p.add_argument("--teeth", choices=("fill", "off"), help="fill the inside of the mouth, or let it bend with the lips (fill)")
    p.add_argument("--teeth-amount", dest="mouth_amount", type=unit, metavar="X", help="how much of the filled mouth is laid over, 0 to 1 (1)")
    p.add_argument("--teeth-frame", dest="mouth_frame", type=int, metavar="N", help="frame whose teeth fill every opening (each frame's own)")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given."""
    given = {name: getattr(args, name) for name in SETTINGS if getattr(args, name) is not None}
    return given | ({"mouth": args.teeth} if args.teeth is not None else {})


def add_train_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("takes", type=Path, metavar="TAKES",
                   help="a solved shot folder, a table of takes (clip, actor, emotion, level), or a folder of MEAD or RAVDESS")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="ACTOR", help="the actor folder")
    p.add_argument("--model", metavar="NAME", help="face model (default)")


def params_of(args: argparse.Namespace) -> dict[str, Any]:
    """The job's parameters."""
    return {"takes": str(args.takes), "output": str(args.output)} | ({"model": args.model} if args.model else {})


def told(result: dict[str, Any]) -> list[str]:
    """What the command line prints."""
    lines = [f"frames        {result['frames']}"]
    if "explained" in result:
        lines += [f"kept          {100 * result['explained']:.1f} % of the texture's variance",
                  f"predicted     {100 * result['predicted']:.1f} % of it from the expression, on stretches of time left out",
                  f"directions    {', '.join(result['emotions']) or 'none (no labelled and neutral takes)'}"]
    return [*lines, f"written       {result['folder']}"]
