# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the face model that ships with Mien: `python -m mien.neural.default_model -o mesh/data/default.npz`.

Everything is made here: the mean is our own averaged measurement (mean.csv, made by `measure`), identity is a Gaussian process around it,
expressions are muscle fields. See docs/face_model.md.
"""

from __future__ import annotations

import numpy as np

from ...mesh.model import FaceModel
from .expression import expression_basis
from .fields import Face
from .identity import identity_basis
from .regions import soft_regions
from .tables import read_mean
from .topology import LIP_LOWER, LIP_UPPER, base_topology, fine_topology
from .uv import face_uv


def build(landmarks: np.ndarray | None = None) -> FaceModel:
    """The default model, from landmarks (468, 3) in metres (by default the stored table). The same input gives the same model."""
    base, fine = base_topology(), fine_topology()
    face = Face(base, fine, read_mean() if landmarks is None else landmarks)
    names, expression, sigma = expression_basis(face)
    masks = {name: np.round(weight * 255) / 255 for name, weight in soft_regions(face).items()}
    detail = np.maximum.reduce([masks[k] for k in ("lips", "nose", "lids_left", "lids_right", "brow_left", "brow_right")])
    at = {name: i for i, name in enumerate(names)}
    opened = face.points / 1000 + 0.28 * expression[at["jawOpen"]] + 0.5 * (expression[at["eyeWideLeft"]] + expression[at["eyeWideRight"]])
    opened = np.round(opened, 9)
    density = 1 + 1.6 * masks["lips"] + 1.4 * (masks["lids_left"] + masks["lids_right"]) + 0.5 * np.maximum(masks["brow_left"], masks["brow_right"])
    return FaceModel(
        name="default", mean=np.round(face.points / 1000, 8).astype(np.float32), identity=_coarse(identity_basis(face, 80, detail)),
        expression=_coarse(expression), expression_names=names, expression_sigma=sigma.astype(np.float32),
        triangles=fine.triangles.astype(np.int32),
        uv=face_uv(face, opened, density).astype(np.float32), uv_triangles=fine.triangles.astype(np.int32), landmark_scheme="mediapipe478",
        landmark_ids=np.arange(468, dtype=np.int32), landmark_vertices=np.arange(468, dtype=np.int32),
        lip_upper=np.array(LIP_UPPER[1:-1], np.int32), lip_lower=np.array(LIP_LOWER[1:-1], np.int32),
        regions={k: v.astype(np.float32) for k, v in masks.items()},
        loops={k: v.astype(np.int32) for k, v in fine.loops.items()})


def _coarse(basis: np.ndarray) -> np.ndarray:
    """Round each direction (n, V, 3) to 1/2047 of its largest move: microns, and a file that compresses."""
    basis = np.round(basis, 12)
    step = np.abs(basis).max(axis=(1, 2), keepdims=True) / 2047
    return (np.round(basis / step) * step).astype(np.float32)
