# SPDX-License-Identifier: GPL-3.0-or-later
"""ICT-FaceKit: a folder of OBJ files, one per shape, with `vertex_indices.json` (Li et al. 2020, "Learning formation of physically-based face
attributes"; github.com/ICT-VGL/ICT-FaceKit). Centimetres, y up, z towards the viewer; shape coefficients are standard deviations."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...mesh.errors import MienError
from ...mesh.files import read_json
from ...mesh.model import FaceModel, load_model
from ..progress import Reporter, Silent
from .build import RawModel, build_model
from .mesh_cut import triangulate
from .obj import read_obj, read_obj_vertices

NEUTRAL = "generic_neutral_mesh.obj"
INDICES = "vertex_indices.json"
FACE = 9409
"""The first so many vertices are the face; head, sockets, mouth and eyes follow."""
AXES = np.array([0.01, -0.01, -0.01])
"""From the files' axes and centimetres to ours."""
SIGMA = 0.2
"""Prior of a direction that the default model does not have."""
STILL = 5e-5
"""Metres: a shape that moves no face vertex by more is none of the skin's (pupils)."""


def camel_case(name: str) -> str:
    """ICT's name -> ARKit's: browDown_L -> browDownLeft, PupilDilate_R -> pupilDilateRight."""
    stem, side = (name[:-2], {"_L": "Left", "_R": "Right"}[name[-2:]]) if name[-2:] in ("_L", "_R") else (name, "")
    return stem[0].lower() + stem[1:] + side


def model_folder(path: Path) -> Path:
    """The folder with the OBJ files: `path`, or FaceXModel in it. Raises MienError."""
    for folder in (path, path / "FaceXModel"):
        if (folder / NEUTRAL).is_file():
            return folder
    raise MienError(f"{path} is no ICT-FaceKit folder: it lacks {NEUTRAL}.")


def read_ict(path: Path, report: Reporter | None = None) -> FaceModel:
    """The model of an ICT-FaceKit folder, with as many identity shapes as it has. Raises MienError that names the file that is wrong."""
    report = report or Silent()
    folder = model_folder(Path(path))
    neutral = read_obj(folder / NEUTRAL)
    if len(neutral.vertices) < FACE:
        raise MienError(f"{folder / NEUTRAL} has {len(neutral.vertices)} vertices, the face alone has {FACE}; the file is truncated.")
    indices = read_json(folder / INDICES)
    ibug = np.array(indices.get("idx_to_landmark_verts", ()), np.int64)
    if ibug.shape != (68,) or ibug.min() < 0 or ibug.max() >= FACE:
        raise MienError(f"{folder / INDICES}: 'idx_to_landmark_verts' has {ibug.size} items, expected 68 vertices of the face.")
    shapes = {file.stem: file for file in sorted(folder.glob("*.obj")) if file.name != NEUTRAL}
    identities = [file for name, file in shapes.items() if re.fullmatch(r"identity\d+", name)]
    expressions = {camel_case(name): file for name, file in shapes.items() if not name.startswith("identity")}
    if not identities or "jawOpen" not in expressions:
        missing = "identity shapes (identity000.obj ...)" if not identities else "jawOpen.obj"
        raise MienError(f"{folder} lacks {missing}; give a complete ICT-FaceKit folder.")

    base = neutral.vertices[:FACE]
    files = [*identities, *expressions.values()]
    moves = np.zeros((len(files), FACE, 3), np.float32)
    for i, file in enumerate(files):
        vertices = read_obj_vertices(file)
        if len(vertices) != len(neutral.vertices):
            raise MienError(f"{file} has {len(vertices)} vertices, {NEUTRAL} has {len(neutral.vertices)}; the files do not belong together.")
        moves[i] = (vertices[:FACE] - base) * AXES
        report.step("read", i + 1, len(files))
    identity, expression = moves[: len(identities)], moves[len(identities) :]
    alive = np.abs(expression).max((1, 2)) > STILL
    names = tuple(name for name, moved in zip(expressions, alive) if moved)
    default = load_model()
    sigma = np.array([default.expression_sigma[default.expression_index[n]] if n in default.expression_index else SIGMA for n in names])

    face = [i for i, polygon in enumerate(neutral.faces) if max(polygon) < FACE]
    triangles, uv_triangles = (triangulate([rows[i] for i in face]) for rows in (neutral.faces, neutral.uv_faces))
    raw = RawModel("ict", folder, base * AXES, identity, expression[alive], names, sigma, triangles, ibug, neutral.uv, uv_triangles)
    return build_model(raw, default)
