# SPDX-License-Identifier: GPL-3.0-or-later
"""The face model's mesh made ready for the renderer: eye openings and mouth closed by extra vertices, landmarks locked on."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from ...mesh.model import FaceModel

EYE_RINGS = ((0.25, 0.45), (0.5, 0.12), (1.0, 0.0))
"""(way from the lid margin to the eye's centre, part of the lid's displacement there): the eyeball stays where it looks."""
MOUTH_ROWS = (0.25, 0.5, 0.75)


class RenderMesh:
    """Triangles and linear rules for the V vertices of a model and the extra ones behind lids and lips.

    Extra vertices are fixed blends of model vertices, for positions and, with other weights, for displacements.
    """

    def __init__(self, model: FaceModel):
        self.model = model
        V = model.vertex_count
        rows: list[dict[int, float]] = []
        moves: list[dict[int, float]] = []
        triangles = [model.triangles.astype(np.int64)]
        for name in ("eye_left", "eye_right"):
            if name in model.loops:
                triangles.append(_fill_eye(model.loops[name].astype(int), V, rows, moves))
        if "mouth" in model.loops:
            triangles.append(_fill_mouth(model, V, rows, moves))
        self.face_count = len(model.triangles)
        self.triangles = np.concatenate(triangles).astype(np.int32)
        self.positions = _matrix(rows, V)
        self.displacements = _matrix(moves, V)
        self.lock = _smooth_interpolation(model)
        self._fix_orientation()

    def points(self, values: np.ndarray) -> np.ndarray:
        """(V, C) of the model -> (V + extra, C), by position."""
        return np.concatenate([values, self.positions @ values]).astype(np.float32)

    def moved(self, values: np.ndarray) -> np.ndarray:
        """(V, C) displacements of the model -> (V + extra, C)."""
        return np.concatenate([values, self.displacements @ values]).astype(np.float32)

    def _fix_orientation(self) -> None:
        """Turn the fillings so that they face the camera as the face does (seen from the front, at rest)."""
        xy = self.points(self.model.mean)[:, :2]
        a, b, c = (xy[self.triangles[:, i]] for i in range(3))
        area = (b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1]
        face = area[: self.face_count]
        self.facing = float(np.sign(np.median(face)))
        wrong = np.flatnonzero(np.sign(area) == -self.facing)
        wrong = wrong[wrong >= self.face_count]
        self.triangles[wrong] = self.triangles[wrong][:, ::-1]


def _fill_eye(loop: np.ndarray, V: int, rows: list, moves: list) -> np.ndarray:
    n = len(loop)
    rings = [loop]
    for way, part in EYE_RINGS[:-1]:
        ring = []
        for v in loop:
            row = {int(u): way / n for u in loop}
            row[int(v)] += 1 - way
            ring.append(V + len(rows))
            rows.append(row)
            moves.append({int(v): part})
        rings.append(np.array(ring))
    centre = V + len(rows)
    rows.append({int(u): 1 / n for u in loop})
    moves.append({})
    triangles = []
    for outer, inner in zip(rings, rings[1:]):
        for i in range(n):
            j = (i + 1) % n
            triangles += [(outer[i], outer[j], inner[j]), (outer[i], inner[j], inner[i])]
    triangles += [(rings[-1][i], rings[-1][(i + 1) % n], centre) for i in range(n)]
    return np.array(triangles)


def mouth_chains(model: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """The inner lips as two chains of equal length from the subject's right corner to the left, corners included."""
    loop = model.loops["mouth"].astype(int)
    x = model.mean[loop, 0]
    right, left = int(np.argmin(x)), int(np.argmax(x))
    loop = np.roll(loop, -right)
    left = (left - right) % len(loop)
    one, two = loop[: left + 1], np.concatenate([loop[left:], loop[:1]])[::-1]
    upper, lower = (one, two) if model.mean[one, 1].mean() < model.mean[two, 1].mean() else (two, one)
    count = max(len(upper), len(lower))

    def spread(chain: np.ndarray) -> np.ndarray:
        return chain[np.round(np.linspace(0, len(chain) - 1, count)).astype(int)]

    return spread(upper), spread(lower)


def _fill_mouth(model: FaceModel, V: int, rows: list, moves: list) -> np.ndarray:
    upper, lower = mouth_chains(model)
    chains = [upper]
    for way in MOUTH_ROWS:
        chain = []
        for u, l in zip(upper, lower):
            chain.append(V + len(rows))
            row = {int(u): 1 - way}
            row[int(l)] = row.get(int(l), 0.0) + way
            rows.append(row)
            moves.append(dict(row))
        chains.append(np.array(chain))
    chains.append(lower)
    triangles = []
    for a, b in zip(chains, chains[1:]):
        for i in range(len(a) - 1):
            triangles += [(a[i], a[i + 1], b[i + 1]), (a[i], b[i + 1], b[i])]
    return np.array([t for t in triangles if len(set(t)) == 3])


def _matrix(rows: list[dict[int, float]], V: int) -> sp.csr_matrix:
    if not rows:
        return sp.csr_matrix((0, V))
    r, c, d = zip(*((i, v, w) for i, row in enumerate(rows) for v, w in row.items()))
    return sp.csr_matrix((d, (r, c)), shape=(len(rows), V))


def _smooth_interpolation(model: FaceModel) -> np.ndarray:
    """(V, L) weights that carry a value at each landmark smoothly to all vertices (bi-Laplacian interpolation on the mesh)."""
    V, t = model.vertex_count, model.triangles
    edges = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sp.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(V, V))
    adjacency.data[:] = 1
    laplacian = sp.eye(V) - sp.diags(1 / np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)) @ adjacency
    energy = (laplacian.T @ laplacian).tocsc()
    known = model.landmark_vertices.astype(int)
    free = np.setdiff1d(np.arange(V), known)
    weights = np.zeros((V, len(known)), np.float32)
    weights[known, np.arange(len(known))] = 1
    if len(free):
        weights[free] = -splu(energy[free][:, free].tocsc()).solve(energy[free][:, known].toarray())
    return weights
