# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's folder of face models: read a foreign one into it, tell what is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ...mesh.errors import MienError
from ...mesh.model import FaceModel, load_model, model_names, model_path, models_folder
from ..progress import Reporter
from .bfm import read_bfm
from .flame import read_flame
from .ict import NEUTRAL, model_folder, read_ict


def read_model(source: Path, report: Reporter | None = None) -> FaceModel:
    """A face model of any kind that is known, told by what the file or folder is. Raises MienError."""
    source = Path(source)
    if not source.exists():
        raise MienError(f"{source} does not exist; give an ICT-FaceKit folder{_others()}.")
    if source.is_dir():
        return read_ict(model_folder(source), report)
    if source.name == NEUTRAL:
        return read_ict(source.parent, report)
    reader = READERS.get(source.suffix.lower())
    if reader is None:
        raise MienError(f"{source} is no face model that Mien knows; give an ICT-FaceKit folder{_others()}.")
    return reader(source)


READERS = {".npz": FaceModel.load, ".mat": read_bfm, ".pkl": read_flame}
"""File extension -> reader."""


def _others() -> str:
    return f" or a file that ends in {', '.join(READERS)}"


def add_model(source: Path, name: str | None = None, report: Reporter | None = None) -> Path:
    """Read a model and keep it under `name` (its own kind's by default) in the user's folder; one of that name is replaced. Raises MienError."""
    if name is not None and (not re.fullmatch(r"[\w-]+", name) or name == "default"):
        raise MienError(f"'{name}' cannot name a face model; use letters, digits, - and _, and not 'default'.")
    model = read_model(source, report)
    model.name = name or (model.name if model.name != "default" else Path(source).stem)
    if model.name == "default" or not re.fullmatch(r"[\w-]+", model.name):
        raise MienError(f"'{model.name}' cannot name a face model; give another name with --name.")
    path = models_folder() / f"{model.name}.npz"
    model.save(path)
    return path


def model_info(name: str) -> dict[str, Any]:
    """What a model is: name, path, hash, counts, landmarks, expression names, parts. Raises MienError."""
    model = load_model(name)
    return {"name": name, "path": str(model_path(name).absolute()), "hash": model.hash, "vertices": model.vertex_count,
            "triangles": len(model.triangles), "identity": model.identity_count, "expression": model.expression_count,
            "landmarks": f"{len(model.landmark_ids)} of {model.landmark_scheme}", "expressions": list(model.expression_names),
            "openings": sorted(model.loops), "regions": sorted(model.regions)}


def list_models() -> list[dict[str, Any]]:
    """name and path of every model there is."""
    return [{"name": name, "path": str(model_path(name).absolute())} for name in model_names()]
