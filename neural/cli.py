# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line `mien`: the engine's jobs without Blender.

Exit codes: 0 done, 1 failed with one sentence on stderr, 2 usage, 130 cancelled with Ctrl-C, 143 ended by SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ..mesh.errors import MienError
from . import blas  # noqa: F401  before anything imports numpy
from . import level2_command as level2
from .arguments import unit
from .cast_command import add_cast, run_cast
from .console import Console, console
from .evaluate_cli import add_evaluate, run_evaluate
from .failures import told
from .jobs import CODECS, JOBS, check_delivery, check_pattern, check_place, frame_rate
from .models import command as model_command
from .progress import Cancelled
from .shape_gan import command as shape_command
from .solve_cli import SOLVE_OPTIONS, add_solve, add_solve_options, run_check, run_solve, solve_given, tell_shot, tell_solve
from .studies import command as studies
from .stylegan import command as stylegan
from .version import mien_version

TRACK_OPTIONS = ("face", "all_faces", "landmarks", "first_frame", "fps")
PLATE_OPTIONS = (*TRACK_OPTIONS, *SOLVE_OPTIONS, "shot")
"""Of `mien edit`: they have a meaning only where a plate is given."""


# -- arguments ----------------------------------------------------------------------------------------------------------

def _emotions(text: str) -> dict[str, float]:
    """ "happy=0.8,sad=0.2" -> {"happy": 0.8, "sad": 0.2}"""
    from ..mesh.emotion import EMOTIONS  # brings numpy, which --help can do without
    out = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in EMOTIONS:
            raise argparse.ArgumentTypeError(f"there is no emotion {name!r}; use one of {', '.join(EMOTIONS)}")
        if not equals:
            raise argparse.ArgumentTypeError(f"{name} needs an intensity, such as {name}=0.8")
        out[name] = unit(value)
    return out


def _of_face(text: str) -> tuple[int | None, str]:
    """ "1:happy=0.8" -> (1, "happy=0.8"); (None, text) for the shot's own face. A drive's letter is no number."""
    number, colon, rest = text.partition(":")
    return (int(number), rest) if colon and number.isdecimal() else (None, text)


def _face_emotions(text: str) -> tuple[int | None, dict[str, float]]:
    number, rest = _of_face(text)
    return number, _emotions(rest)


def _rate(text: str) -> str:
    try:
        frame_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} must be {error}") from error
    return text


def _face(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a face; 0 is the largest")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks and what the libraries print")
    parser = argparse.ArgumentParser(prog="mien", description="Direct the emotion of a filmed performance.",
                                     epilog="Exit code: 0 done, 1 failed, 2 wrong usage, 130 cancelled.")
    parser.add_argument("--version", action="version", version=f"mien {mien_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False)
        sub.set_defaults(parser=sub)
        return sub

    def add_track(p: argparse.ArgumentParser) -> None:
        p.add_argument("--face", type=_face, metavar="N", help="which face, counted from the largest on the first frame that shows one (0)")
        p.add_argument("--all-faces", action="store_true", default=None, help="track every face; the others get shot folders in SHOT/faces")
        p.add_argument("--landmarks", choices=("mediapipe", "face-alignment"), help="who finds the landmarks (mediapipe)")
        p.add_argument("--first-frame", type=int, metavar="N", help="number of the plate's first frame (1; a sequence has its own)")
        p.add_argument("--fps", type=_rate, metavar="R", help="frame rate, such as 25 or 24000/1001 (the plate's own; 24 for a sequence)")

    p = add("track", "Find the face on every frame of a plate; makes a shot folder.")
    p.add_argument("plate", type=Path, metavar="PLATE", help="a movie, or an image sequence such as name.####.exr")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="SHOT", help="the shot folder, NAME.mien by custom")
    add_track(p)

    add_solve(add)
    p = add("edit", "Change the emotion of a solved shot, or of a plate in one go.")
    p.add_argument("target", type=Path, metavar="SHOT|PLATE", help="a solved shot folder; or a plate, then all the stages are done")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="OUT.mp4, .mov, .avi, .mkv, OUT.####.png or OUT.####.exr")
    p.add_argument("--codec", choices=CODECS, help="mp4: h264; mov: prores, h264, ffv1 (lossless); mkv: ffv1, h264; avi: ffv1; first is default")
    what = p.add_mutually_exclusive_group()
    what.add_argument("--emotion", type=_face_emotions, action="append", metavar="[N:]NAME=X[,...]",
                      help="intensities 0 to 1 for the whole shot: happy=0.8; of another face by its number: 1:sad=0.5")
    what.add_argument("--curves", type=_of_face, action="append", metavar="[N:]CSV",
                      help="a table with a column 'frame' and any of the emotions and controls")
    p.add_argument("--mouth", type=unit, metavar="X", help="how strictly the lips keep to the words, 0 to 1 (0.5)")
    p.add_argument("--neutralise", type=unit, metavar="X", help="how much of the acted emotion is taken away, 0 to 1 (0)")
    p.add_argument("--editor", choices=("analytic", "gan"), help="level 1: recipes of facial actions, or the trained shape GAN (analytic)")
    p.add_argument("--actor", metavar="FOLDER", help="with --editor gan: networks made by 'mien train' (those in the shot folder, or shipped)")
    level2.add_edit_arguments(p, unit)
    p.add_argument("--glasses", choices=("auto", "on", "off"), help="keep the rims of glasses straight (auto)")
    p.add_argument("--shot", type=Path, metavar="SHOT", help="with a plate: keep the shot in this folder")
    add_track(p)
    add_solve_options(p)

    add_evaluate(add)
    studies.add_studies(add, _emotions)
    p = add("train", "Train a network on an actor's takes or on a virtual cast.")
    kinds = p.add_subparsers(dest="kind", required=True, metavar="KIND")
    text = "Train level 1, the shape GAN that the editor 'gan' uses."
    shape_command.add_arguments(kinds.add_parser("shape", help=text, description=text, parents=[common], allow_abbrev=False))
    for kind, text in level2.KINDS.items():
        level2.add_train_arguments(kinds.add_parser(kind, help=text, description=text, parents=[common], allow_abbrev=False))
    stylegan.add_arguments(kinds.add_parser("stylegan", help=stylegan.TEXT, description=stylegan.TEXT, parents=[common], allow_abbrev=False))

    commands.add_parser("demo", help="Make a plate and run everything on it.", add_help=False)
    p = commands.add_parser("model", help="Face models: list, add, info.", description="Face models: those there are, and adding your own.",
                            allow_abbrev=False)
    p.set_defaults(parser=p)
    model_command.add_arguments(p, common)
    p = commands.add_parser("cast", help="Actors of a production: list, who.", description="The actors that the shots of a production share.",
                            allow_abbrev=False)
    p.set_defaults(parser=p)
    add_cast(p, common)
    add("selftest", "Check that the engine's packages are there and work.")
    return parser


# -- commands -----------------------------------------------------------------------------------------------------------

def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given, as parameters of a job."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _tell_track(summary: dict[str, Any], terminal: Console) -> None:
    (width, height), (num, den), first, frames = summary["size"], summary["fps"], summary["first_frame"], summary["frames"]
    rate = f"{num}" if den == 1 else f"{num}/{den}"
    terminal.say(f"plate         {frames} frames ({first}-{first + frames - 1}), {width} x {height}, {rate} frames a second")
    terminal.say(f"face          number {summary['face']}, found on {summary['tracked']} of {frames} frames")
    for number, folder in summary.get("others", {}).items():
        terminal.say(f"face          number {number}, in {folder}")
    tell_shot(summary, terminal)


def _track(args: argparse.Namespace, terminal: Console) -> None:
    params = {"plate": str(args.plate), "folder": str(args.output), **_given(args, *TRACK_OPTIONS)}
    _tell_track(JOBS["track"](params, terminal), terminal)


def is_plate(target: Path) -> bool:
    """False for a shot folder. Raises MienError when `target` is neither that nor a plate."""
    if target.is_dir():
        return False
    if target.is_file() or {"#", "%"} & set(target.name):
        return True
    raise MienError(f"{target} {'is no file' if target.exists() else 'does not exist'}; give a shot folder made by 'mien track', "
                    "a movie, or a sequence such as name.####.exr.")


def _wanted(args: argparse.Namespace) -> dict[int | None, dict[str, Any]]:
    """What to do with the shot's own face (None) and with others, by number: controls and curves as the job takes them."""
    out: dict[int | None, dict[str, Any]] = {}
    for number, emotions in args.emotion or ():
        out.setdefault(number, {}).setdefault("controls", {}).update(emotions)
    for number, table in args.curves or ():
        out.setdefault(number, {})["curves"] = table
    every = _given(args, "mouth", "neutralise")
    for number in {None, *out} if every else ():
        what = out.setdefault(number, {})
        what["controls"] = every | what.get("controls", {})
    if None not in out:
        out[None] = {"controls": {}}  # only others are edited
    return out


def _edit(args: argparse.Namespace, terminal: Console) -> None:
    params: dict[str, Any] = {"output": str(args.output), **_given(args, "codec")}
    wanted = _wanted(args)
    params.update(wanted.pop(None, {}))
    if wanted:
        params["others"] = {str(number): what for number, what in wanted.items()}
        args.all_faces = True
    if settings := _given(args, "editor", "actor", "glasses") | level2.settings(args):
        params["settings"] = settings
    check_place(args.output)
    with contextlib.ExitStack() as stack:
        folder = args.target
        if is_plate(args.target):
            if args.output.absolute() == args.target.absolute() or (
                    args.output.exists() and args.target.exists() and args.output.samefile(args.target)):
                raise MienError(f"{args.output} is the plate itself; choose another name for the output.")
            from .media import keep_frames  # heavy, which --help can do without
            stack.enter_context(keep_frames())
            folder = args.shot or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mien-"))) / f"{args.target.stem}.mien"
            track = JOBS["track"]({"plate": str(args.target), "folder": str(folder), **_given(args, *TRACK_OPTIONS)}, terminal)
            check_pattern(args.output, track["frames"])
            for at in (str(folder), *(path for number, path in track.get("others", {}).items() if int(number) in wanted)):
                tell_solve(JOBS["solve"]({"folder": at, **solve_given(args)}, terminal), terminal)
        result = JOBS["edit"]({"folder": str(folder), **params}, terminal)
    if "changed" in result:
        terminal.say(f"changed       {result['changed']} of {result.get('frames')} frames")
    if result.get("jitter") is not None:
        terminal.say(f"jitter        {result['jitter']:.3f} of the original mesh's")
    terminal.say(f"written       {result.get('output', args.output)}")


def _selftest(args: argparse.Namespace, terminal: Console) -> None:
    result = JOBS["selftest"]({}, terminal)
    terminal.say(f"mien          {result['mien']}")
    terminal.say(f"python        {result['python']} ({result['executable']})")
    for name, version in result["packages"].items():
        terminal.say(f"{name:<13} {version or 'missing'}")
    for check in result["checks"]:
        terminal.say(f"{check['name'].lower():<15} {check['text'] if check['ok'] else 'FAILED: ' + check['text'] + '. ' + check['fix']}")
    if not result["works"]:
        failed = [check["name"] for check in result["checks"] if not check["ok"]]
        raise MienError(f"{result['executable']} is not fit to be the engine: {', '.join(failed)}; see above what to do.")


def _train(args: argparse.Namespace, terminal: Console) -> None:
    if args.kind in level2.KINDS:
        lines = level2.told(JOBS[f"train_{args.kind}"](level2.params_of(args), terminal))
    elif args.kind == "stylegan":
        lines = stylegan.told(JOBS["train_stylegan"](stylegan.params_of(args), terminal))
    else:
        lines = shape_command.told(JOBS["train_shape"](shape_command.params_of(args), terminal))
    for line in lines:
        terminal.say(line)


COMMANDS = {"track": _track, "solve": lambda args, terminal: run_solve(args, terminal, JOBS),
            "check": lambda args, terminal: run_check(args, terminal, JOBS["check"]), "edit": _edit, "evaluate": run_evaluate,
            **{studies.command_name(name): partial(studies.run_study, name) for name in studies.RUN},
            "cast": run_cast, "model": model_command.run, "selftest": _selftest, "train": _train}


def _check_edit(args: argparse.Namespace) -> None:
    """What argparse cannot: options that do not go together. Exits with 2."""
    parser: argparse.ArgumentParser = args.parser
    if args.emotion is None and args.curves is None and args.neutralise is None:
        parser.error("say what to change with --emotion, --curves or --neutralise")
    try:
        check_delivery(args.output, args.codec)
    except MienError as error:
        parser.error(f"{error}")
    given = _given(args, *PLATE_OPTIONS)
    if given and args.target.is_dir():
        parser.error(f"--{next(iter(given)).replace('_', '-')} is for a plate, {args.target} is a shot folder")


# -- the process --------------------------------------------------------------------------------------------------------

def _terminate(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)


@contextlib.contextmanager
def _tidy_on_terminate() -> Iterator[None]:
    """SIGTERM, as from a farm, leaves through `finally` blocks, so that nothing temporary stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(args: argparse.Namespace) -> int:
    with _tidy_on_terminate(), console(keep_all=args.debug) as terminal:
        try:
            COMMANDS[args.command](args, terminal)
            return 0
        except (KeyboardInterrupt, Cancelled):
            terminal.complain("cancelled")
            return 130
        except Exception as error:  # noqa: BLE001 - told in one sentence, with the traceback in the log
            text, kind = told(error, args.command)
            if kind == "defect" or args.debug:
                traceback.print_exc()
            log = terminal.keep_log() if kind == "defect" else None
            terminal.complain(f"error: {text}" + (f" Log: {log}" if log else ""))
            return 1


def _demo(argv: list[str]) -> int:
    """`neural.demo.main(argv)` has options and a way to tell of its own."""
    try:
        from .demo import main as demo  # type: ignore[attr-defined]
        return int(demo(argv) or 0)
    except KeyboardInterrupt:
        print("cancelled", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 - told in one sentence
        text, kind = told(error, "demo")
        if kind == "defect":
            traceback.print_exc()
        print(f"error: {text}", file=sys.stderr)
        return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["demo"]:
        return _demo(argv[1:])
    if argv[:1] == ["evaluate"] and argv[1:2] and argv[1] in studies.RUN:
        argv[:2] = [studies.command_name(argv[1])]  # a command of its own, so that each has its own arguments
    try:
        args = build_parser().parse_args(argv)
        if args.command == "edit":
            _check_edit(args)
        return _run(args)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))


def entry() -> NoReturn:
    """The process of `mien`. It leaves at once: all files are closed, and taking modules and arrays down one by one takes half a second."""
    code = main()
    with contextlib.suppress(OSError):  # whoever read what it printed is gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry()
