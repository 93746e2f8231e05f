# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAME's `generic_model.pkl` (Li et al. 2017, "Learning a model of facial shape and expression from 4D scans"), with its landmark file.

Metres, y up, z towards the viewer. The jaw is a joint: vertices follow it by linear blend skinning with pose correctives. Here its turn becomes
expression directions, exact at rest and at the apex and straight between. Neck and eyes are left out: the head's pose holds the one, lids the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...mesh.camera import rotation_matrix
from ...mesh.errors import MienError
from ...mesh.model import FaceModel
from .build import RawModel, build_model
from .restricted_pickle import read_pickled_arrays

EMBEDDING = "flame_static_embedding.pkl"
"""Where FLAME's makers say on which facets the iBUG points 17-67 lie; it is a file of its own, expected beside the model."""
SHAPES, IDENTITY, EXPRESSION = 300, 100, 50
"""Columns of shapedirs that are identity; how many of these and of the expressions are kept (the rest move less than tracking can see)."""
JOINTS, JAW = 5, 2
"""root, neck, jaw, left eye, right eye."""
JAW_TURNS = {"jawOpen": (0.3, 0.0, 0.0), "jawLeft": (0.0, 0.12, 0.0), "jawRight": (0.0, -0.12, 0.0)}
"""Direction -> rotation vector of the jaw at its apex, radians, in the file's axes."""
JAW_SIGMA = 0.4
AXES = np.array([1.0, -1.0, -1.0])


def read_flame(path: Path) -> FaceModel:
    """The model of the file. Raises MienError that names the key or size that is wrong."""
    path = Path(path)
    data = read_pickled_arrays(path)
    template = _array(path, data, "v_template", (None, 3))
    V = len(template)
    shapedirs = _array(path, data, "shapedirs", (V, 3, None))
    if shapedirs.shape[2] <= SHAPES:
        raise MienError(f"{path}: 'shapedirs' has {shapedirs.shape[2]} columns, expected {SHAPES} of shape and more of expression.")
    faces = _array(path, data, "f", (None, 3)).astype(np.int64)
    if faces.min() < 0 or faces.max() >= V:
        raise MienError(f"{path}: 'f' names vertices beyond the {V} there are; the file is damaged.")
    ibug = _landmarks(path.with_name(EMBEDDING), faces)
    identity, expression = shapedirs[:, :, :IDENTITY], shapedirs[:, :, SHAPES : SHAPES + EXPRESSION]
    jaw = jaw_directions(path, data, template)
    count = expression.shape[2]
    names = (*JAW_TURNS, *(f"flameExpression{i:02d}" for i in range(count)))
    sigma = np.concatenate([np.full(len(jaw), JAW_SIGMA), np.ones(count)])

    def turned(basis: np.ndarray) -> np.ndarray:
        return (basis * AXES).astype(np.float32)

    return build_model(RawModel("flame", path, template * AXES, turned(np.moveaxis(identity, 2, 0)),
                                turned(np.concatenate([jaw, np.moveaxis(expression, 2, 0)])), names, sigma, faces, ibug))


def jaw_directions(path: Path, data: dict[str, Any], template: np.ndarray) -> np.ndarray:
    """(3, V, 3) in the file's axes: what each of JAW_TURNS moves at its apex, skinning and pose correctives included. Raises MienError."""
    V = len(template)
    regressor = _array(path, data, "J_regressor", (JOINTS, V))
    weights = _array(path, data, "weights", (V, JOINTS))
    correctives = _array(path, data, "posedirs", (V, 3, 9 * (JOINTS - 1)))
    joint = regressor[JAW] @ template
    out = []
    for turn in JAW_TURNS.values():
        R = rotation_matrix(np.array(turn))
        feature = np.zeros((JOINTS - 1, 9))
        feature[JAW - 1] = (R - np.eye(3)).ravel()
        shaped = template + correctives @ feature.ravel()
        # The other joints are at rest, so only the jaw's share of each vertex is turned about the jaw joint.
        posed = shaped + weights[:, JAW, None] * ((shaped - joint) @ R.T + joint - shaped)
        out.append(posed - template)
    return np.stack(out)


def _array(path: Path, data: dict[str, Any], key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    wanted = " x ".join("any" if n is None else str(n) for n in shape)
    if key not in data:
        raise MienError(f"{path} lacks the key '{key}' ({wanted}); give FLAME's files as their makers publish them.")
    array = np.asarray(data[key])
    if array.dtype.kind not in "fiu" or array.ndim != len(shape) or any(w is not None and w != h for w, h in zip(shape, array.shape)):
        raise MienError(f"{path}: '{key}' is {' x '.join(map(str, array.shape)) or 'no array'}, expected {wanted} numbers.")
    return array.astype(np.float64)


def _landmarks(path: Path, faces: np.ndarray) -> np.ndarray:
    """(68,) nearest vertex of each iBUG point, -1 for the outline, which the file does not have. Raises MienError."""
    if not path.exists():
        raise MienError(f"{path} is missing; put FLAME's landmark embedding of that name beside the model, as generic_model.pkl has no landmarks.")
    data = read_pickled_arrays(path)
    facets = _array(path, data, "lmk_face_idx", (51,)).astype(np.int64)
    weights = _array(path, data, "lmk_b_coords", (51, 3))
    if facets.min() < 0 or facets.max() >= len(faces):
        raise MienError(f"{path}: 'lmk_face_idx' names facets beyond the model's {len(faces)}; the two files do not belong together.")
    return np.concatenate([np.full(17, -1), faces[facets, weights.argmax(1)]])
