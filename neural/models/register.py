# SPDX-License-Identifier: GPL-3.0-or-later
"""Where MediaPipe's landmarks lie on a foreign face mesh: the default model is bent onto it.

The default model's first 468 vertices are the landmarks. Known points (iBUG-68) give a similarity (Umeyama 1991) and a thin-plate warp
(Bookstein 1989); then every vertex is drawn to the surface while the warp stays smooth (non-rigid ICP in the manner of Amberg et al. 2007).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import RBFInterpolator
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from ...mesh.model import FaceModel

IBUG_TO_MEDIAPIPE = (
    127, 234, 93, 132, 172, 136, 149, 148, 152, 377, 378, 365, 397, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)
"""iBUG-68 point -> MediaPipe landmark, both by the anatomy that their definitions name; the contour (0-16) only roughly."""
CONTOUR = 17
"""So many first iBUG points lie on the outline and fix little."""
SURE = (48, 54)
"""iBUG points that are met exactly, beside lid margins and inner lips: the mouth corners. The others name nearly the same spot only."""
VAGUE = np.repeat((1e-2, 1e-2, 1e-2, 1e-3, 1e-3, 1e-3), (17, 10, 4, 5, 12, 20))
"""(68,) smoothing of the warp at the others: outline, brows, bridge and base of the nose, lids, lips."""
STIFFNESS = (3.0, 1.0, 0.3, 0.1)
"""Of the warp, round by round."""


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3), translation (3,) that carry source (n, 3) to target (n, 3) with the least squares."""
    a, b = source.mean(0), target.mean(0)
    u, s, vt = np.linalg.svd((target - b).T @ (source - a))
    d = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    R = (u * d) @ vt
    scale = float((s * d).sum() / ((source - a) ** 2).sum())
    return scale, R, b - scale * R @ a


def register(default: FaceModel, vertices: np.ndarray, triangles: np.ndarray, ibug: np.ndarray, pins: dict[int, np.ndarray]) -> np.ndarray:
    """The default model's vertices (V, 3) bent onto a mesh in roughly the head frame.

    ibug: positions (68, 3) on the mesh, those of the outline may be NaN. pins: landmark -> position (3,) where it must lie, such as on a lid margin.
    """
    mean = default.mean.astype(np.float64)
    source = default.vertices_of_landmarks(list(IBUG_TO_MEDIAPIPE))
    inner = slice(CONTOUR, None)
    scale, R, t = similarity(mean[source[inner]], ibug[inner])
    points = scale * mean @ R.T + t
    known = {int(source[i]): ibug[i] for i in SURE} | {int(default.vertices_of_landmarks([i])[0]): p for i, p in pins.items()}
    at, goal = np.array(list(known)), np.array(list(known.values()))
    rest = [i for i in range(68) if int(source[i]) not in known and np.isfinite(ibug[i]).all()]
    where, goals = np.concatenate([at, source[rest]]), np.concatenate([goal, ibug[rest]])
    smoothing = np.concatenate([np.full(len(at), 1e-6), VAGUE[rest]])
    points = points + RBFInterpolator(points[where], goals - points[where], kernel="thin_plate_spline", smoothing=smoothing)(points)

    samples, normals = _samples(vertices, triangles)
    tree = cKDTree(samples)
    laplacian = _laplacian(len(mean), default.triangles)
    bend = (laplacian.T @ laplacian).tocsc()
    reach = 0.15 * default.eye_distance * scale
    for stiffness in STIFFNESS:
        own = _vertex_normals(points, default.triangles)
        distance, near = tree.query(points, k=8)
        fits = (normals[near] * own[:, None]).sum(-1) > 0.5
        first = np.argmax(fits, 1)
        rows = np.arange(len(points))
        goal_all = samples[near[rows, first]]
        weight = np.where(fits.any(1) & (distance[rows, first] < reach), 1.0, 0.0)
        weight[at], goal_all[at] = 10.0, goal
        system = splu((sp.diags(weight + 1e-6) + stiffness * 10 * bend).tocsc())
        points = points + system.solve(weight[:, None] * (goal_all - points))
    return points


def _samples(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points spread over the facets and their normals."""
    grid = np.array([(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)]) / 4
    corners = vertices[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-18)
    return np.einsum("gk,fkx->fgx", grid, corners).reshape(-1, 3), np.repeat(normal, len(grid), 0)


def _vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = points[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(points)
    for i in range(3):
        np.add.at(total, triangles[:, i], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-18)


def _laplacian(count: int, triangles: np.ndarray) -> sp.csr_matrix:
    e = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    e = np.concatenate([e, e[:, ::-1]])
    adjacency = sp.csr_matrix((np.ones(len(e)), (e[:, 0], e[:, 1])), shape=(count, count))
    adjacency.data[:] = 1
    return sp.eye(count) - sp.diags(1 / np.asarray(adjacency.sum(1)).ravel()) @ adjacency
