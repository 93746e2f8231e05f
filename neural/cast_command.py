# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien cast list|who`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .console import Console


def add_cast(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """The subcommands of `mien cast`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (("list", "The actors of a cast, their shots and faces."),
                       ("who", "How far the face of a tracked shot is from each actor of a cast.")):
        sub = actions.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False)
        if name == "who":
            sub.add_argument("shot", type=Path, metavar="SHOT", help="a tracked shot folder")
        sub.add_argument("cast", type=Path, metavar="FOLDER", help="the folder of the cast, as 'mien solve --cast' makes it")


def run_cast(args: argparse.Namespace, terminal: Console) -> None:
    """Do one action. Raises MienError."""
    from ..mesh.cast import Cast
    if args.action == "list":
        cast = Cast.load(args.cast)
        if not cast.actors:
            terminal.say(f"{args.cast} has no actors yet; 'mien solve SHOT --cast {args.cast}' adds them")
        for actor in cast.actors:
            terminal.say(actor.name)
            for key, look in actor.looks.items():
                models = [face.model for face in actor.faces.values() if key in face.source]
                terminal.say(f"  {look.shot}: {len(look.frames)} frames" + (f"; its face in {', '.join(models)}" if models else ""))
        return
    from ..mesh.shot import Shot, Track
    from .casting import role_of
    shot = Shot.load(args.shot)
    role = role_of(args.cast, [shot], [Track.load(shot)], "", terminal)
    limits, look = role.network.limits, role.looks[0]
    for distance, name in role.cast.distances(look.descriptors, role.network.name, without=role.keys):
        terminal.say(f"{name:<20} {f'{distance:.2f}' if distance < float('inf') else 'by this shot alone'}")
    terminal.say(f"up to {limits.same:.2f} it is one person, from {limits.other:.2f} on another; described from {len(look.frames)} frames")
    v = role.verdict
    terminal.say({"new": "nobody of the cast: a solve adds an actor", "unsure": f"not clear ({v.reason}): a solve wants --actor NAME"}.get(
        v.how) or f"it is {v.actor}")
