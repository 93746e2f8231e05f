# SPDX-License-Identifier: GPL-3.0-or-later
"""The UV layout: a convex-combination map (Tutte 1963, Floater 1997) of the face onto an egg, holes filled, so that no facet can fold.

The weights are then adapted a few times as in Yoshizawa et al. 2004 ("A fast and simple stretch-minimizing mesh parameterization"), each
vertex pulling its surroundings in by how much too large they are, with a wished density that enlarges eyes and mouth. Every step stays
a convex combination, so every step is free of folds.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from .fields import Face


def _fill(triangles: np.ndarray, loops: list[np.ndarray], count: int) -> np.ndarray:
    """Close each hole by a fan around a new vertex (count, count + 1, ...)."""
    out = [triangles]
    half = {(a, b) for t in triangles.tolist() for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    for i, loop in enumerate(loops):
        a, b = loop, np.roll(loop, -1)
        if (int(a[0]), int(b[0])) in half:
            a, b = b, a
        out.append(np.stack([a, b, np.full(len(loop), count + i)], 1))
    return np.vstack(out)


def _areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area per facet of points (V, 2 or 3)."""
    u, v = points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]]
    if points.shape[1] == 2:
        return np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
    return np.linalg.norm(np.cross(u, v), axis=1) / 2


def _mean_value_weights(points: np.ndarray, triangles: np.ndarray) -> sp.csr_matrix:
    """Floater's mean value weights (V, V), all positive."""
    rows, cols, values = [], [], []
    for i in range(3):
        a, b, c = (triangles[:, (i + k) % 3] for k in range(3))
        u, v = points[b] - points[a], points[c] - points[a]
        lu, lv = np.maximum(np.linalg.norm(u, axis=1), 1e-4), np.maximum(np.linalg.norm(v, axis=1), 1e-4)
        cosine = np.clip((u * v).sum(1) / (lu * lv), -0.999, 1)
        half = np.sqrt((1 - cosine) / (1 + cosine))
        half = np.maximum(half, 0.02)
        rows += [a, a]
        cols += [b, c]
        values += [half / lu, half / lv]
    n = len(points)
    return sp.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))), shape=(n, n))


def _border_targets(points: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """(n, 2) u, v of the outer edge: a superellipse, 0.02 inside the unit square, each vertex at the place its arc length asks for.

    Starts at landmark 10 (top); symmetric because the arc lengths are.
    """
    steps = np.linalg.norm(points[loop] - points[np.roll(loop, -1)], axis=1)
    s = np.concatenate([[0], np.cumsum(steps)[:-1]]) / steps.sum()
    t = np.linspace(0, 2 * np.pi, 4001)
    power = 2 / 2.5
    x = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
    y = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
    # Narrower at the chin, still convex.
    x = x * np.where(y < 0, 1 - 0.16 * y**2, 1.0)
    curve = np.stack([0.47 * x, 0.48 * y], 1)
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    arc /= arc[-1]
    side = 1.0 if points[loop[len(loop) // 4], 0] > 0 else -1.0
    return np.stack([0.5 + side * np.interp(s, arc, curve[:, 0]), 0.5 + np.interp(s, arc, curve[:, 1])], 1)


def face_uv(face: Face, opened: np.ndarray, density: np.ndarray, rounds: int = 8) -> np.ndarray:
    """(V, 2) UV in 0..1, v up. `opened` (V, 3): the face with mouth and eyes a little open; `density` (V,): wished UV area per area."""
    loops = [face.fine.loops[k] for k in ("mouth", "eye_left", "eye_right")]
    count = len(opened)
    triangles = _fill(face.fine.triangles, loops, count)
    points = np.vstack([opened, *[opened[loop].mean(0)[None] for loop in loops]])
    wish = np.concatenate([density, np.full(3, 0.6)])
    border = face.fine.loops["border"]
    inside = np.setdiff1d(np.arange(len(points)), border)
    uv = np.zeros((len(points), 2))
    uv[border] = _border_targets(points, border)
    weights = _mean_value_weights(points, triangles).tocoo()
    area3 = _areas(points, triangles) * wish[triangles].mean(1)
    mirror = np.concatenate([face.fine.mirror, [count, count + 2, count + 1]])
    best, best_cost = uv, np.inf
    data = weights.data.copy()
    for _ in range(rounds):
        W = sp.csr_matrix((data, (weights.row, weights.col)), shape=weights.shape)
        W = sp.diags(1 / np.maximum(np.asarray(W.sum(1)).ravel(), 1e-12)) @ W
        A = sp.identity(len(inside)) - W[inside][:, inside]
        rhs = W[inside][:, border] @ uv[border]
        uv = uv.copy()
        uv[inside] = spla.splu(A.tocsc()).solve(rhs)
        uv = 0.5 * (uv + uv[mirror] * (-1, 1) + (1, 0))
        area2 = _areas(uv, triangles)
        ratio = np.sqrt((area3 / area3.sum()) / np.maximum(area2 / area2.sum(), 1e-12))
        cost = float((ratio**2 * area3).sum())
        if cost >= best_cost:
            break
        best, best_cost = uv, cost
        stretch = np.zeros(len(points))
        total = np.zeros(len(points))
        for i in range(3):
            np.add.at(stretch, triangles[:, i], ratio * area3)
            np.add.at(total, triangles[:, i], area3)
        stretch /= np.maximum(total, 1e-12)
        data = data / np.clip(stretch[weights.col], 0.2, 5) ** 0.9
    return best[:count]
