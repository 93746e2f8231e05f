# SPDX-License-Identifier: GPL-3.0-or-later
"""ICT-FaceKit: a folder of OBJ files, one per shape, with `vertex_indices.json` (Li et al. 2020, "Learning formation of physically-based face
attributes"; github.com/ICT-VGL/ICT-FaceKit). Centimetres, y up, z towards the viewer; shape coefficients are standard deviations."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...mesh.camera import rotation_matrix
from ...mesh.errors import MienError
from ...mesh.files import read_json
from ...mesh.model import FaceModel, Part, load_model
from ..default_model.tables import read_points
from ..progress import Reporter, Silent
from .build import RawModel, build_model
from .mesh_cut import triangulate
from .obj import Obj, read_obj, read_obj_vertices

NEUTRAL = "generic_neutral_mesh.obj"
INDICES = "vertex_indices.json"
SHIFTS = Path(__file__).parent / "ict_landmarks.csv"
"""Where the tracker sees its landmarks, measured by `calibrate.py`."""
FACE = 9409
"""The first so many vertices are the face; head, sockets, mouth and eyes follow."""
PARTS = {"gums": (14062, 17039), "teeth": (17039, 21451), "eye_left": (21451, 23021), "eye_right": (23021, 24591)}
"""Vertices [first, end) of what stays a part of its own; the gums have the tongue."""
GAZE = {"eyeLookUp": (-1, 0), "eyeLookDown": (1, 0), "eyeLookIn": (0, 1), "eyeLookOut": (0, -1)}
"""Direction of the gaze -> how it turns the left eye, about x (right-handed, down is positive) and about y (in is positive, for the left eye)."""
GAZE_ANGLE = np.radians(30)
"""An eye's turn at the apex of a gaze; the files move the lids only."""
AXES = np.array([0.01, -0.01, -0.01])
"""From the files' axes and centimetres to ours."""
SIGMA = 0.2
"""Prior of a direction that the default model does not have."""
TWIN, TWIN_SIGMA = 0.9, 0.1
"""Cosine from which such a direction moves the face like one that the default model has, and its prior then. cheekRaiser is the twin of cheekSquint
(0.92): with equal priors a squint is shared out between the two, and what reads ARKit's names gets a half of it."""
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


def read_ict(path: Path, report: Reporter | None = None, shifts: np.ndarray | None = None) -> FaceModel:
    """The model of an ICT-FaceKit folder, with as many identity shapes as it has. Raises MienError that names the file that is wrong.

    shifts (468, 3): of the landmarks, instead of those that were measured.
    """
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

    base, used = neutral.vertices, _used(len(neutral.vertices))
    files = [*identities, *expressions.values()]
    moves = np.zeros((len(files), len(used), 3), np.float32)
    for i, file in enumerate(files):
        vertices = read_obj_vertices(file)
        if len(vertices) != len(neutral.vertices):
            raise MienError(f"{file} has {len(vertices)} vertices, {NEUTRAL} has {len(neutral.vertices)}; the files do not belong together.")
        moves[i] = (vertices[used] - base[used]) * AXES
        report.step("read", i + 1, len(files))
    identity, expression = moves[: len(identities)], moves[len(identities) :]
    alive = np.abs(expression[:, :FACE]).max((1, 2)) > STILL
    names = tuple(name for name, moved in zip(expressions, alive) if moved)
    default = load_model()
    sigma = priors(names, expression[alive][:, :FACE], default)
    triangles, uv_triangles = _polygons(neutral, 0, FACE)
    raw = RawModel("ict", folder, base[:FACE] * AXES, identity[:, :FACE], expression[alive][:, :FACE], names, sigma, triangles, ibug, neutral.uv,
                   uv_triangles, read_points(SHIFTS, "landmarks of ICT-FaceKit") if shifts is None else shifts)
    model = build_model(raw, default)
    if len(used) > FACE:
        origin = (base[:FACE] * AXES).mean(0) - model.centre
        model.parts = {name: _part(name, neutral, used, identity, expression[alive], names, origin) for name in PARTS}
    return model


def priors(names: tuple[str, ...], moves: np.ndarray, default: FaceModel) -> np.ndarray:
    """(B,) standard deviations of the directions `moves` (B, V, 3): the default model's by name; of others, less for the twin of one of these."""
    known = np.array([name in default.expression_index for name in names])
    flat = moves.reshape(len(moves), -1) / np.linalg.norm(moves.reshape(len(moves), -1), axis=1, keepdims=True)
    alike = (flat @ flat[known].T).max(1, initial=0.0)
    return np.array([default.expression_sigma[default.expression_index[name]] if name in default.expression_index
                     else TWIN_SIGMA if like > TWIN else SIGMA for name, like in zip(names, alike)])


def _used(count: int) -> np.ndarray:
    """Vertices that are read: the face and, in a file that has all of them, the parts."""
    whole = count >= max(end for _, end in PARTS.values())
    return np.concatenate([np.arange(FACE), *(np.arange(*span) for span in (PARTS.values() if whole else ()))])


def _polygons(neutral: Obj, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles and UV triangles of the vertices [first, end)."""
    inside = [i for i, polygon in enumerate(neutral.faces) if first <= min(polygon) and max(polygon) < end]
    return triangulate([neutral.faces[i] for i in inside]), triangulate([neutral.uv_faces[i] for i in inside])


def _part(name: str, neutral: Obj, used: np.ndarray, identity: np.ndarray, expression: np.ndarray, names: tuple[str, ...],
          origin: np.ndarray) -> Part:
    """One of PARTS in the head frame, whose origin stands at `origin` in the files' frame (our axes, metres)."""
    first, end = PARTS[name]
    rows = np.flatnonzero((used >= first) & (used < end))
    mean = neutral.vertices[first:end] * AXES - origin
    moves = expression[:, rows].copy()
    if name.startswith("eye_"):
        turn_eye(moves, mean, names, name.removeprefix("eye_").capitalize())
    triangles, uv_triangles = _polygons(neutral, first, end)
    uv_used, uv_number = np.unique(uv_triangles, return_inverse=True)
    return Part(mean.astype(np.float32), identity[:, rows], moves, (triangles - first).astype(np.int32), neutral.uv[uv_used].astype(np.float32),
                uv_number.reshape(-1, 3).astype(np.int32))


def turn_eye(moves: np.ndarray, points: np.ndarray, names: tuple[str, ...], side: str) -> None:
    """Write the turn of an eyeball (V, 3) about its middle into the gaze directions of its side, in `moves` (B, V, 3).

    The turn is exact at the apex; between, a linear direction takes the chord, which brings the surface at most 3.5 % of
    the radius nearer to the middle.
    """
    middle = (points.min(0) + points.max(0)) / 2
    for stem, (down, inwards) in GAZE.items():
        if stem + side in names:
            x, y = down * GAZE_ANGLE, inwards * GAZE_ANGLE * (1 if side == "Left" else -1)
            moves[names.index(stem + side)] = (points - middle) @ (rotation_matrix(np.array([x, y, 0.0])).T - np.eye(3))
