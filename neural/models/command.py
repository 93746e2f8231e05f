# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien model list|add|info`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..console import Console


def add_arguments(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """The subcommands of `mien model`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (("list", "Names and files of the face models there are."),
                       ("add", "Read a model from its makers' files and keep it in the folder of models."),
                       ("info", "Sizes, landmarks and expression names of a model.")):
        sub = actions.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False)
        if name == "add":
            sub.add_argument("source", type=Path, metavar="SOURCE", help="an ICT-FaceKit folder, or a model's file; its kind is found out")
            sub.add_argument("--name", metavar="NAME", help="what to call it (its kind: ict ...)")
        if name == "info":
            sub.add_argument("model", metavar="MODEL", help="a name from 'mien model list', or the path of a model's .npz file")


def run(args: argparse.Namespace, terminal: Console) -> None:
    """Do one action. Raises MienError."""
    from .add import add_model, list_models, model_info
    if args.action == "list":
        for row in list_models():
            terminal.say(f"{row['name']:<13} {row['path']}")
        return
    info = model_info(str(add_model(args.source, args.name, terminal)) if args.action == "add" else args.model)
    terminal.say(f"model         {Path(info['path']).stem if args.action == 'add' else info['name']} (hash {info['hash']})")
    terminal.say(f"file          {info['path']}")
    terminal.say(f"mesh          {info['vertices']} vertices, {info['triangles']} triangles, openings: {', '.join(info['openings'])}")
    terminal.say(f"directions    {info['identity']} of identity, {info['expression']} of expression")
    terminal.say(f"landmarks     {info['landmarks']}")
    if args.action == "info":
        terminal.say(f"expressions   {', '.join(info['expressions'])}")
