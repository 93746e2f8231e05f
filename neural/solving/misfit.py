# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the landmarks of a solved mesh lie from the tracked ones, nothing taken off."""

from __future__ import annotations

import numpy as np

from ...mesh.camera import place
from ...mesh.model import FaceModel
from ...mesh.shot import Solve, Track


def landmark_misses(model: FaceModel, track: Track, solve: Solve) -> tuple[np.ndarray, np.ndarray]:
    """Of the n solved frames: tracked less projected landmarks (n, L, 2), pixels, and the mesh's landmarks in camera axes (n, L, 3), metres."""
    good, at = solve.solved, model.landmark_vertices
    neutral = model.mean[at] + np.tensordot(solve.alpha, model.identity[:, at], 1)
    moved = solve.beta[good] @ model.expression[:, at].reshape(model.expression_count, -1)
    points = place(neutral.astype(np.float64) + moved.reshape(-1, len(at), 3), solve.rotation[good].astype(np.float64),
                   solve.translation[good].astype(np.float64))
    return track.landmarks[good][:, model.landmark_ids, :2].astype(np.float64) - solve.camera.project(points), points


def mesh_misfit(model: FaceModel, track: Track, solve: Solve) -> float:
    """Median over frames of a frame's median landmark error, in distances of the outer eye corners on the picture."""
    miss, _ = landmark_misses(model, track, solve)
    seen = track.landmarks[solve.solved].astype(np.float64)
    eye = np.maximum(np.linalg.norm(seen[:, 33, :2] - seen[:, 263, :2], axis=1), 1e-6)
    return float(np.median(np.median(np.linalg.norm(miss, axis=-1), axis=1) / eye))
