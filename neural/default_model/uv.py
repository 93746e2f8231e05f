# SPDX-License-Identifier: GPL-3.0-or-later
"""The UV layout: flat, without folds, eyes and mouth enlarged.

Start: a convex-combination map of the landmark mesh onto an ellipse with its holes filled (Tutte 1963, Floater 1997), which cannot fold.
Then the positions of the 468 landmarks, carried to every vertex by the subdivision matrix, are optimised for the symmetric Dirichlet
energy (Smith and Schaefer 2015, "Bijective parameterization with free boundaries") of all fine facets against the 3D face, locally
enlarged where density is wished. The energy is infinite at a fold, so the line search never lets one happen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from .fields import Face
from .topology import boundary_edges, loop_from

HOLES = (78, 33, 263)
"""A landmark on each hole's border: mouth, right eye, left eye."""


def _start(face: Face, opened: np.ndarray) -> np.ndarray:
    """(468, 2) convex-combination map of the landmark mesh, border on an ellipse, holes closed by fans."""
    following = boundary_edges(face.base.triangles)
    border = loop_from(following, 10)
    holes = [loop_from(following, i) for i in HOLES]
    count = 468 + len(holes)
    points = np.vstack([opened[:468], *[opened[loop].mean(0) for loop in holes]])
    weights = np.zeros((count, count))
    for t in face.base.triangles:
        for i in range(3):
            a, b = t[i], t[(i + 1) % 3]
            weights[a, b] = weights[b, a] = 1 / max(np.linalg.norm(points[a] - points[b]), 1e-4)
    for k, loop in enumerate(holes):
        for a in loop:
            weights[a, 468 + k] = weights[468 + k, a] = 1 / max(np.linalg.norm(points[a] - points[468 + k]), 1e-4)
    uv = np.zeros((count, 2))
    steps = np.linalg.norm(points[border] - points[np.roll(border, -1)], axis=1)
    angle = 2 * np.pi * np.concatenate([[0], np.cumsum(steps)[:-1]]) / steps.sum()
    side = 1.0 if points[border[len(border) // 4], 0] > 0 else -1.0
    uv[border] = np.stack([side * 0.085 * np.sin(angle), 0.1 * np.cos(angle)], 1)
    inside = np.setdiff1d(np.arange(count), border)
    A = np.diag(weights.sum(1)) - weights
    uv[inside] = np.linalg.solve(A[np.ix_(inside, inside)], -A[np.ix_(inside, border)] @ uv[border])
    return uv[:468]


def _strip(loop: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(n - 2, 3) facets that close the hole in `loop` (corner, upper edge, corner, lower edge) from edge to edge.

    They keep the layout of the two edges apart.
    """
    half = len(loop) // 2
    upper, lower = loop[: half + 1], np.concatenate([loop[:1], loop[:half - 1:-1]])
    out = []
    for i in range(half):
        if i > 0:
            out.append((upper[i], upper[i + 1], lower[i]))
        if i < half - 1:
            out.append((lower[i], upper[i + 1], lower[i + 1]))
    strip = np.array(out)
    edges = {(int(t[k]), int(t[(k + 1) % 3])) for t in triangles for k in range(3)}
    return strip[:, ::-1] if (int(upper[1]), int(upper[2])) in edges else strip


def _energy(face: Face, opened: np.ndarray, density: np.ndarray) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Symmetric Dirichlet energy and gradient as a function of landmark UVs (468, 2)."""
    strips = [_strip(face.fine.loops[name], face.fine.triangles) for name in ("mouth", "eye_left", "eye_right")]
    triangles = np.vstack([face.fine.triangles, *strips])
    u, v = opened[triangles[:, 1]] - opened[triangles[:, 0]], opened[triangles[:, 2]] - opened[triangles[:, 0]]
    enlarge = np.sqrt(density[triangles].mean(1))
    lu = np.linalg.norm(u, axis=1)
    along = (u * v).sum(1) / lu
    across = np.linalg.norm(np.cross(u, v), axis=1) / lu
    lu, along, across = lu * enlarge, along * enlarge, across * enlarge
    area = lu * across / 2
    area = np.maximum(area, 1e-9)
    area = area / area.sum()
    inverse = np.zeros((len(triangles), 2, 2))
    inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1] = 1 / lu, -along / (lu * across), 1 / across
    flip = np.array([1.0, -1.0])
    S = face.fine.S
    eye = sp.identity(len(S), format="csr")
    edge = [(eye[triangles[:, i]] - eye[triangles[:, 0]]).tocsr() for i in (1, 2)]
    back = [e.T.tocsr() for e in edge]

    def evaluate(uv: np.ndarray) -> tuple[float, np.ndarray]:
        # einsum, not @: the sum's order, and so the layout's last digits, must not depend on the number of threads.
        p = np.einsum("vl,lk->vk", S, uv) * flip  # y down, as in the head frame
        edges = np.stack([edge[0] @ p, edge[1] @ p], 2)
        J = edges @ inverse
        det = -(J[:, 0, 0] * J[:, 1, 1] - J[:, 0, 1] * J[:, 1, 0])
        if det.min() <= 0:
            return np.inf, uv
        square = (J**2).sum((1, 2))
        cofactor = -np.stack([np.stack([J[:, 1, 1], -J[:, 1, 0]], 1), np.stack([-J[:, 0, 1], J[:, 0, 0]], 1)], 1)
        value = float((area * (square + square / det**2)).sum())
        dJ = area[:, None, None] * (2 * J * (1 + 1 / det**2)[:, None, None] - (2 * square / det**3)[:, None, None] * cofactor)
        dE = dJ @ inverse.transpose(0, 2, 1)
        return value, np.einsum("vl,vk->lk", S, back[0] @ dE[:, :, 0] + back[1] @ dE[:, :, 1]) * flip

    return evaluate


def _descend(evaluate: Callable, x: np.ndarray, project: Callable[[np.ndarray], np.ndarray], rounds: int) -> np.ndarray:
    """L-BFGS (Nocedal 1980) with a backtracking line search that treats infinity as too far. `project` keeps the symmetry."""
    value, grad = evaluate(x)
    grad = project(grad)
    history: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(rounds):
        q, stack = grad.copy(), []
        for s, y in reversed(history):
            a = (s * q).sum() / (s * y).sum()
            q -= a * y
            stack.append(a)
        if history:
            s, y = history[-1]
            q *= (s * y).sum() / (y * y).sum()
        else:
            q *= 1e-3 / np.abs(q).max()
        for (s, y), a in zip(history, reversed(stack)):
            q += s * (a - (y * q).sum() / (s * y).sum())
        slope, step = -(grad * q).sum(), 1.0
        for _ in range(40):
            new = x - step * q
            new_value, new_grad = evaluate(new)
            if new_value <= value + 1e-4 * step * slope:
                break
            step *= 0.5
        else:
            return x
        new_grad = project(new_grad)
        s, y = new - x, new_grad - grad
        if (s * y).sum() > 1e-14:
            history = [*history, (s, y)][-30:]
        done = value - new_value < 1e-6 * value
        x, value, grad = new, new_value, new_grad
        if done:
            break
    return x


def face_uv(face: Face, opened: np.ndarray, density: np.ndarray, rounds: int = 400) -> np.ndarray:
    """(V, 2) UV in 0..1, v up. `opened` (V, 3) metres: the face with mouth and eyes a little open; `density` (V,): wished UV area per area.

    Raises ValueError when the start folds, which another mean face could bring about.
    """
    mirror = face.base.mirror

    def symmetric(field: np.ndarray) -> np.ndarray:
        return 0.5 * (field + field[mirror] * (-1, 1))

    evaluate = _energy(face, opened, density)
    start = np.round(symmetric(_start(face, opened)), 9)
    if not np.isfinite(evaluate(start)[0]):
        raise ValueError("the first UV layout folds")
    uv = face.carry(_descend(evaluate, start, symmetric, rounds))
    uv = 0.5 * (uv + uv[face.fine.mirror] * (-1, 1))
    low, high = uv.min(0), uv.max(0)
    return (uv - (low + high) / 2) * (0.98 / (high - low)) + 0.5
