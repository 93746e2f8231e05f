# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting a foreign mesh to the visible skin: triangulation, rings through anchor vertices, holes, boundary loops, points put into facets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components, dijkstra


def triangulate(faces: Sequence[Sequence[int]]) -> np.ndarray:
    """Polygons of any size -> (F, 3) int64 fans around each polygon's first corner."""
    return np.array([(f[0], f[i], f[i + 1]) for f in faces for i in range(1, len(f) - 1)], np.int64).reshape(-1, 3)


def edge_graph(vertices: np.ndarray, triangles: np.ndarray) -> sp.csr_matrix:
    """(V, V) symmetric, edge lengths."""
    e = np.unique(np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1), axis=0)
    length = np.linalg.norm(vertices[e[:, 0]] - vertices[e[:, 1]], axis=1) + 1e-9
    return sp.csr_matrix((np.tile(length, 2), (np.r_[e[:, 0], e[:, 1]], np.r_[e[:, 1], e[:, 0]])), shape=(len(vertices),) * 2)


def ring_through(graph: sp.csr_matrix, anchors: Sequence[int]) -> np.ndarray:
    """The closed path along edges through the anchors in their order, each part the shortest. Raises ValueError when they do not hang together."""
    ring: list[int] = []
    for a, b in zip(anchors, [*anchors[1:], anchors[0]]):
        _, before = dijkstra(graph, indices=a, return_predecessors=True)
        part = [int(b)]
        while part[-1] != a:
            previous = int(before[part[-1]])
            if previous < 0:
                raise ValueError(f"no edges lead from vertex {a} to vertex {b}")
            part.append(previous)
        ring += part[:0:-1]
    return np.array(ring, np.int64)


def cut_rings(vertex_count: int, triangles: np.ndarray, graph: sp.csr_matrix, rings: Sequence[np.ndarray]) -> np.ndarray:
    """(F,) bool: facets outside all rings. Everything that a ring parts from the largest piece of the mesh goes."""
    on = np.zeros(vertex_count, bool)
    on[np.concatenate(rings)] = True
    used = np.zeros(vertex_count, bool)
    used[triangles.ravel()] = True
    free = np.flatnonzero(~on & used)
    _, piece = connected_components(graph[free][:, free], directed=False)
    inside = np.ones(vertex_count, bool)
    inside[free[piece == np.bincount(piece).argmax()]] = False
    inside[on] = False
    return ~inside[triangles].any(1) & ~on[triangles].all(1)


def boundary_loops(triangles: np.ndarray) -> list[np.ndarray]:
    """Closed boundary loops, longest first. Every boundary vertex must lie on one loop (see `simple_boundary`)."""
    half = {(int(a), int(b)) for t in triangles for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    following = {a: b for a, b in half if (b, a) not in half}
    loops, seen = [], set()
    for start in sorted(following):
        loop = []
        at: int | None = start
        while at is not None and at not in seen:
            seen.add(at)
            loop.append(at)
            at = following.get(at)
        if len(loop) > 2 and at == start:
            loops.append(np.array(loop, np.int64))
    return sorted(loops, key=len, reverse=True)


def simple_boundary(triangles: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """(F,) bool: `keep` less the facets at which two loops or pieces touch in one vertex, and less all but the largest piece."""
    keep = keep.copy()
    V = int(triangles.max()) + 1
    for _ in range(50):
        t = triangles[keep]
        e = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
        code, reverse = e[:, 0] * V + e[:, 1], e[:, 1] * V + e[:, 0]
        border = e[~np.isin(code, reverse)]
        pinched = np.bincount(border[:, 0], minlength=V) > 1
        _, piece = connected_components(sp.csr_matrix((np.ones(len(e)), (e[:, 0], e[:, 1])), shape=(V, V)), directed=False)
        largest = np.bincount(piece[t[:, 0]]).argmax()
        bad = pinched[triangles].any(1) | (piece[triangles[:, 0]] != largest)
        if not (bad & keep).any():
            break
        keep &= ~bad
    return keep


def closest_on_triangles(point: np.ndarray, corners: np.ndarray) -> tuple[int, np.ndarray]:
    """The triangle of (n, 3, 3) nearest to a point (3,): its number and the nearest point's barycentric weights (3,)."""
    best, weights, least = 0, np.array([1.0, 0, 0]), np.inf
    for i, (a, b, c) in enumerate(corners):
        w = _weights(point, a, b, c)
        distance = float(np.linalg.norm(w @ corners[i] - point))
        if distance < least - 1e-12:
            best, weights, least = i, w, distance
    return best, weights


def _weights(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    u, v = b - a, c - a
    m = np.array([[u @ u, u @ v], [u @ v, v @ v]])
    if np.linalg.det(m) > 1e-24:
        s, t = np.linalg.solve(m, np.array([u @ (p - a), v @ (p - a)]))
        if s >= 0 and t >= 0 and s + t <= 1:
            return np.array([1 - s - t, s, t])
    found, least = np.array([1.0, 0, 0]), np.inf
    for i, j, x, y in ((0, 1, a, b), (1, 2, b, c), (2, 0, c, a)):
        way = float(np.clip((p - x) @ (y - x) / max((y - x) @ (y - x), 1e-24), 0, 1))
        distance = np.linalg.norm(x + way * (y - x) - p)
        if distance < least:
            least, found = distance, np.zeros(3)
            found[i], found[j] = 1 - way, way
    return found
