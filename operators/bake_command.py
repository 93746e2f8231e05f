# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake from the command line, for a farm or over night: `blender -b shot.blend --command mien bake`.

Exit codes: 0 done, 1 failed with one sentence on stderr, 2 usage, 130 cancelled with Ctrl-C.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

import bpy

from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import shots
from .bake import after_bake, bake_params, use_version
from .emotion import write_emotion
from .engine import STATE, JobFailed, JobRun, session_engine

NAME = "mien"


def frames_of(text: str) -> list[list[int]]:
    """ "101-120,131" -> [[101, 120], [131, 131]]. Raises argparse.ArgumentTypeError."""
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d+)(?:\s*-\s*(-?\d+))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise argparse.ArgumentTypeError(f"{part!r} is no frame number or range, such as 101-120,131")
        ranges.append([int(match[1]), int(match[2] or match[1])])
    return ranges


def parser() -> argparse.ArgumentParser:
    """Of what follows `--command mien`."""
    main = argparse.ArgumentParser(prog="blender -b FILE.blend --command mien", description="Mien's jobs on the shots of a .blend.",
                                   epilog="Exit code: 0 done, 1 failed, 2 wrong usage, 130 cancelled.")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "Bake what changed of every shot in the file; what was baked before is kept."
    bake = commands.add_parser("bake", help=text, description=text)
    bake.add_argument("--shot", action="append", metavar="NAME", help="only this shot, by the name of its folder; may be given several times")
    bake.add_argument("--frames", type=frames_of, metavar="A-B,C", help="only these frame numbers (all)")
    bake.add_argument("--new-version", action="store_true", help="keep the current version and bake into a new one")
    return main


def faces_of(names: Sequence[str] | None) -> list[bpy.types.Object]:
    """The faces in the file, one for each shot folder, in order; only those of these shots where names are given. Raises MienError."""
    found = {shots.absolute(o.mien.shot_folder): o for o in bpy.data.objects if shots.is_face(o) and o.users_scene}
    known = {shots.shot_name(folder) for folder in found}
    if not found:
        raise MienError(f"{bpy.data.filepath or 'This file'} has no face of Mien; track a plate and import its face first.")
    for name in names or ():
        if name not in known:
            raise MienError(f"{bpy.data.filepath} has no shot '{name}'; it has {', '.join(sorted(known))}.")
    return [found[folder] for folder in sorted(found) if not names or shots.shot_name(folder) in names]


def bake(args: argparse.Namespace) -> None:
    """Raises MienError."""
    for face in faces_of(args.shot):
        name = shots.shot_name(shots.absolute(face.mien.shot_folder))
        if args.new_version:
            shot = Shot.load(shots.absolute(face.mien.shot_folder))
            use_version(face, shot, shot.bake_versions()[-1] + 1)
        warnings = write_emotion(face)
        controls = shots.controls_hash(face)
        run = JobRun(session_engine(bpy.context), "Bake", [("bake", bake_params(face, args.frames))])
        try:
            run.wait(_Teller(name))
        except KeyboardInterrupt:
            run.cancel()
            run.wait()  # raises JobFailed once the engine has stopped
        if not args.frames:
            after_bake(face, controls)
        for warning in (*warnings, *STATE.warnings):
            print(f"{name}: warning: {warning}", file=sys.stderr)
        result = run.results[-1]
        print(f"{name}: baked {result['baked']} of {result['total']} frames into v{result['version']:03d}", flush=True)


class _Teller:
    """A line on stderr whenever another tenth of a stage is done: readable in the log of a farm."""

    def __init__(self, name: str):
        self._name, self._told = name, ("", -1)

    def __call__(self) -> None:
        tenth = STATE.stage, int(STATE.fraction * 10)
        if STATE.total and tenth != self._told:
            self._told = tenth
            print(f"{self._name}: {STATE.text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Called by Blender with what follows `--command mien`; returns the exit code."""
    try:
        args = parser().parse_args(list(argv))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    try:
        bake(args)
    except MienError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 130 if isinstance(error, JobFailed) and error.kind == "cancelled" else 1
    return 0


_handle: object = None


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command(NAME, main)


def unregister() -> None:
    bpy.utils.unregister_cli_command(_handle)


CLASSES = ()
