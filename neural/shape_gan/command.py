# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien train shape`: its arguments, its job and what it prints. The heavy imports happen in the job."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...mesh.errors import MienError
from ..progress import Reporter
from .config import CastConfig, TrainConfig, checked_config

GROUPS = (("training", TrainConfig, ""), ("virtual cast", CastConfig, "cast_"))
"""Title, config, and what its fields' names start with on the command line and among the job's settings."""
LABELS = {"recognised": "emotion recognised", "intensity": "intensity's correlation", "edited": "edits recognised", "cycle_mm": "cycle error, mm",
          "identity_mm": "identity moves, mm", "residual_mm": "edit moves, mm", "mouth_mm": "lip gap changes, mm"}


def _help(kind: type) -> dict[str, str]:
    """The docstring under each field of a config."""
    lines = [line.strip() for line in inspect.getsource(kind).splitlines()]
    return {f.name: lines[next(i for i, line in enumerate(lines) if line.startswith(f"{f.name}:")) + 1].strip('"') for f in dataclasses.fields(kind)}


def add_arguments(p: argparse.ArgumentParser) -> None:
    """Arguments of `mien train shape`; every field of the configs is an option."""
    p.add_argument("takes", type=Path, nargs="?", metavar="TAKES",
                   help="a table of takes (columns clip, actor, emotion, level), or a folder of MEAD or RAVDESS")
    p.add_argument("--cast", action="store_true", help="train on the virtual cast instead of takes, or together with them")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="ACTOR", help="the actor folder")
    p.add_argument("--model", metavar="NAME", help="face model (default)")
    p.add_argument("--resume", action="store_true", help="go on with the training in the actor folder")
    for title, kind, prefix in GROUPS:
        group = p.add_argument_group(title)
        text = _help(kind)
        for f in dataclasses.fields(kind):
            group.add_argument(f"--{(prefix + f.name).replace('_', '-')}", dest=prefix + f.name, type=int if f.type == "int" else float,
                               metavar="N" if f.type == "int" else "X", help=f"{text[f.name]} ({f.default:g})")


def params_of(args: argparse.Namespace) -> dict[str, Any]:
    """The job's parameters."""
    names = [prefix + f.name for _, kind, prefix in GROUPS for f in dataclasses.fields(kind)]
    settings = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    params: dict[str, Any] = {"output": str(args.output), "cast": args.cast, "resume": args.resume, "settings": settings}
    if args.takes is not None:
        params["takes"] = str(args.takes)
    if args.model is not None:
        params["model"] = args.model
    return params


def configs(settings: Mapping[str, Any]) -> tuple[TrainConfig, CastConfig]:
    """Both configs from the job's settings. Raises MienError for a wrong one."""
    cast_names = {"cast_" + f.name for f in dataclasses.fields(CastConfig)}
    cast = checked_config(CastConfig, {k[5:]: v for k, v in settings.items() if k in cast_names})
    return checked_config(TrainConfig, {k: v for k, v in settings.items() if k not in cast_names}), cast


def train_shape(output: Path, takes: Path | None, cast: bool, model: str, resume: bool, settings: Mapping[str, Any],
                report: Reporter) -> dict[str, Any]:
    """The job: data, then training. Raises MienError when there is nothing to train on or a setting is wrong."""
    config, cast_config = configs(settings)
    if takes is None and not cast:
        raise MienError("There is nothing to train on; give a table of takes, or --cast for the virtual cast.")
    from ...mesh.model import load_model
    from .data import Coefficients
    from .run import deterministic, train
    deterministic()
    face_model = load_model(model)
    parts, held_back = [], None
    if takes is not None:
        from .prepare import solve_takes
        from .takes import read_takes
        parts.append(solve_takes(read_takes(takes), face_model, model, output / "takes", report))
    if cast:
        from .cast import cast_data
        n = cast_config.actors
        parts.append(cast_data(face_model, cast_config, 0, n, faces=True))
        held_back = cast_data(face_model, cast_config, n, cast_config.held_back) if cast_config.held_back else None
    return train(face_model, Coefficients.joined(parts), held_back, output, config, report, resume=resume)


def told(result: Mapping[str, Any]) -> list[str]:
    """What the command line prints."""
    lines = [f"{'iterations':<24} {result['iterations']}"]
    lines += [f"{'loss ' + name:<24} {value:.5g}" for name, value in result["losses"].items()]
    lines += [f"{LABELS[name]:<24} {value:g}   (actors held back)" for name, value in result.get("held_back", {}).items()]
    return [*lines, f"{'written':<24} {result['folder']}"]
