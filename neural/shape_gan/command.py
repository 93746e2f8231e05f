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
from .config import FINE_TUNE, CastConfig, TrainConfig, checked_config

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
    p.add_argument("--from", dest="start", metavar="ACTOR",
                   help="start from this actor's weights, or from 'none' (takes: from the shipped ones; --cast alone: from none)")
    p.add_argument("--jobs", type=int, metavar="N", help="takes that are solved at a time (half the processor's cores)")
    p.add_argument("--resume", action="store_true", help="go on with the training in the actor folder")
    for title, kind, prefix in GROUPS:
        group = p.add_argument_group(title)
        text = _help(kind)
        for f in dataclasses.fields(kind):
            group.add_argument(f"--{(prefix + f.name).replace('_', '-')}", dest=prefix + f.name, type=int if f.type == "int" else float,
                               metavar="N" if f.type == "int" else "X", help=text[f.name] + _default(kind, f))


def _default(kind: type, f: dataclasses.Field[Any]) -> str:
    fine = FINE_TUNE.get(f.name) if kind is TrainConfig else None
    return f" ({f.default:g})" if fine is None else f" ({f.default:g}; from trained weights {fine:g})"


def params_of(args: argparse.Namespace) -> dict[str, Any]:
    """The job's parameters."""
    names = [prefix + f.name for _, kind, prefix in GROUPS for f in dataclasses.fields(kind)]
    settings = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    params: dict[str, Any] = {"output": str(args.output), "cast": args.cast, "resume": args.resume, "settings": settings}
    if args.takes is not None:
        params["takes"] = str(args.takes)
    for name in ("model", "start", "jobs"):
        if getattr(args, name) is not None:
            params[name] = getattr(args, name)
    return params


def configs(settings: Mapping[str, Any], *, trained: bool = False) -> tuple[TrainConfig, CastConfig]:
    """Both configs from the job's settings; trained: the training starts from trained weights. Raises MienError for a wrong one."""
    cast_names = {"cast_" + f.name for f in dataclasses.fields(CastConfig)}
    cast = checked_config(CastConfig, {k[5:]: v for k, v in settings.items() if k in cast_names})
    own = {k: v for k, v in settings.items() if k not in cast_names}
    return checked_config(TrainConfig, {**(FINE_TUNE if trained else {}), **own}), cast


def start_weights(start: str | None, takes: Path | None, model: str) -> Path | None:
    """The generator that a training begins with: of the actor folder `start`; the shipped one for takes, where it is of that model; or none.

    Raises MienError when the folder has none.
    """
    from ...mesh.files import read_json
    from ...mesh.model import load_model
    from ...mesh.shape_gan import ACTOR_WEIGHTS, WEIGHTS
    if start is None:
        fits = takes is not None and WEIGHTS.exists() and read_json(WEIGHTS.with_suffix(".json")).get("model_hash") == load_model(model).hash
        return WEIGHTS if fits else None
    path = Path(start) / ACTOR_WEIGHTS
    if start != "none" and not path.exists():
        raise MienError(f"{start} holds no {ACTOR_WEIGHTS}; give a folder made by 'mien train shape', or 'none'.")
    return None if start == "none" else path


def train_shape(output: Path, takes: Path | None, cast: bool, model: str, resume: bool, settings: Mapping[str, Any],
                report: Reporter, *, start: str | None = None, jobs: int | None = None) -> dict[str, Any]:
    """The job: data, then training. Raises MienError when there is nothing to train on or a setting is wrong.

    Takes are trained on together with the virtual cast when that is asked for, and when the training starts from trained weights: it keeps what the
    takes do not show, emotions and neutral frames among them.
    """
    if takes is None and not cast:
        raise MienError("There is nothing to train on; give a table of takes, or --cast for the virtual cast.")
    begin = start_weights(start, takes, model)
    config, cast_config = configs(settings, trained=begin is not None)
    from ...mesh.model import load_model
    from .data import Coefficients
    from .run import deterministic, train
    deterministic()
    face_model = load_model(model)
    own, played, held_back = None, None, None
    if takes is not None:
        from .lanes import default_jobs
        from .prepare import solve_takes
        from .takes import read_takes
        own = solve_takes(read_takes(takes), face_model, model, output / "takes", report, jobs=jobs or default_jobs())
    if cast or begin is not None:
        from .cast import cast_data, wear
        n = cast_config.actors
        played = cast_data(face_model, cast_config, 0, n, faces=True)
        if own is not None:
            played = wear(face_model, played, own, config.wear, cast_config.seed)
        held_back = cast_data(face_model, cast_config, n, cast_config.held_back) if cast_config.held_back else None
    data = Coefficients.mixed(own, played, config.share) if own and played else own or played
    assert data is not None
    return train(face_model, data, held_back, output, config, report, resume=resume, start=begin)


def told(result: Mapping[str, Any]) -> list[str]:
    """What the command line prints."""
    lines = [f"{'iterations':<24} {result['iterations']}"]
    lines += [f"{'loss ' + name:<24} {value:.5g}" for name, value in result["losses"].items()]
    lines += [f"{LABELS[name]:<24} {value:g}   (actors held back)" for name, value in result.get("held_back", {}).items()]
    return [*lines, f"{'written':<24} {result['folder']}"]
