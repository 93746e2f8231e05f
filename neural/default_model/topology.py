# SPDX-License-Identifier: GPL-3.0-or-later
"""Topology of the default model: MediaPipe FaceMesh's 468 landmarks as a triangle mesh, its mirror, and its smooth refinement.

The refinement is Loop's subdivision (Loop 1987) made interpolating: with L (V, 468) the two-level Loop matrix and L0 its rows of the
original vertices, S = L inv(L0) maps landmark positions to vertices so that every landmark stays a vertex and stays where it was.
Borders (outer edge, inner lips, lid margins) are subdivided along themselves as cubic B-splines with the mouth and eye corners sharp.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

LIP_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
"""Inner lip, subject's right corner to the left, upper edge."""
LIP_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIP_UPPER_RINGS = (LIP_UPPER, (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292), (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306),
                   (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291))
"""The four rings of the upper lip from the inner to the outer edge, 11 columns each."""
LIP_LOWER_RINGS = (LIP_LOWER, (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292), (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306),
                   (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291))
EYE_RIGHT_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
"""Lid margin of the subject's right eye, outer to inner corner."""
EYE_RIGHT_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
EYE_LEFT_UPPER = (263, 466, 388, 387, 386, 385, 384, 398, 362)
EYE_LEFT_LOWER = (263, 249, 390, 373, 374, 380, 381, 382, 362)
BROW_RIGHT = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)
"""Lower brow edge (outer to inner), then upper brow edge."""
CORNERS = (78, 308, 33, 133, 263, 362)
"""Landmarks where a border keeps a sharp corner."""
SPURIOUS = ({49, 64, 129}, {279, 294, 358})
"""Three-cycles of the tessellation's graph that bound no facet."""

FLIPPED = {(260, 466): (388, 467), (250, 459): (309, 458), (289, 290): (305, 392)}
"""Three diagonals of the subject's left half that the tessellation draws the other way than in the right half -> as in the right."""


@dataclass(frozen=True, eq=False)
class Base:
    """The 468-landmark mesh."""

    triangles: np.ndarray
    """(852, 3) int64, counter-clockwise seen from the camera."""
    mirror: np.ndarray
    """(468,) int64: the landmark on the other side (itself on the midline)."""


@dataclass(frozen=True, eq=False)
class Fine:
    """The refined mesh."""

    triangles: np.ndarray
    """(F, 3) int64."""
    S: np.ndarray
    """(V, 468) float64: landmarks -> vertices; the first 468 rows are the identity."""
    mirror: np.ndarray
    """(V,) int64."""
    loops: dict[str, np.ndarray]
    """border, mouth, eye_left, eye_right: ordered closed loops; the lip and eye loops start at a corner and run over the upper edge first."""


def triangles_of_graph(edges: set[tuple[int, int]]) -> np.ndarray:
    """Three-cycles of an undirected graph, consistently oriented, (F, 3). The first keeps an arbitrary sense."""
    neighbours: dict[int, set[int]] = defaultdict(set)
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    found = {tuple(sorted((a, b, c))) for a, b in edges for c in neighbours[a] & neighbours[b]}
    todo = sorted(t for t in found if set(t) not in SPURIOUS)
    by_edge: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for t in todo:
        for a, b in ((t[0], t[1]), (t[1], t[2]), (t[0], t[2])):
            by_edge[a, b].append(t)
    oriented = {todo[0]: todo[0]}
    stack = [todo[0]]
    while stack:
        key = stack.pop()
        t = oriented[key]
        for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0])):
            for other in by_edge[min(a, b), max(a, b)]:
                if other not in oriented:
                    third = next(v for v in other if v not in (a, b))
                    oriented[other] = (b, a, third)
                    stack.append(other)
    return np.array([oriented[t] for t in todo], np.int64)


def mirror_of(triangles: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """The mirror map (V,) of a mesh that is symmetric about the midline edge `seed`, walked over the facets from there."""
    opposite = {}
    for t in triangles.tolist():
        for i in range(3):
            opposite[t[i], t[(i + 1) % 3]] = t[(i + 2) % 3]
    a, b = seed
    mirror = {a: a, b: b}
    stack = [(a, b)]
    seen = set()
    while stack:
        a, b = stack.pop()
        if (a, b) in seen or (a, b) not in opposite:
            continue
        seen.add((a, b))
        c, d = opposite[a, b], opposite[mirror[b], mirror[a]]
        if mirror.setdefault(c, d) != d:
            raise ValueError("the mesh is not mirror symmetric")
        stack += [(b, a), (b, c), (c, b), (c, a), (a, c)]
    return np.array([mirror[i] for i in range(len(mirror))], np.int64)


@lru_cache(maxsize=1)
def base_topology() -> Base:
    """FaceMesh's tessellation as triangles."""
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION
    edges = {(min(a, b), max(a, b)) for a, b in FACEMESH_TESSELATION}
    edges = {FLIPPED.get(edge, edge) for edge in edges}
    triangles = triangles_of_graph(edges)
    mirror = mirror_of(triangles, (10, 151))
    # Counter-clockwise seen from the camera: the first facet over the midline edge (10, 151), going down from 10 to 151,
    # has its third corner on the image right (the subject's left: landmark 337 or 338 side).
    left = {338, 337}
    for t in triangles.tolist():
        for i in range(3):
            if (t[i], t[(i + 1) % 3]) == (10, 151) and t[(i + 2) % 3] not in left:
                return Base(triangles[:, ::-1].copy(), mirror)
    return Base(triangles, mirror)


def boundary_edges(triangles: np.ndarray) -> dict[int, int]:
    """vertex -> next vertex along the border (each border vertex lies on one border only)."""
    half = {(a, b) for t in triangles.tolist() for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    return {a: b for a, b in half if (b, a) not in half}


def loop_from(following: dict[int, int], start: int) -> list[int]:
    loop = [start]
    while following[loop[-1]] != start:
        loop.append(following[loop[-1]])
    return loop


def loop_step(triangles: np.ndarray, count: int, corners: set[int]) -> tuple[sp.csr_matrix, np.ndarray, dict[tuple[int, int], int]]:
    """One Loop subdivision: matrix (V', V), triangles (4F, 3), and edge (a < b) -> new vertex."""
    opposite: dict[tuple[int, int], list[int]] = defaultdict(list)
    for t in triangles.tolist():
        for i in range(3):
            a, b = t[i], t[(i + 1) % 3]
            opposite[min(a, b), max(a, b)].append(t[(i + 2) % 3])
    rows, cols, values = [], [], []

    def put(row: int, col: int, value: float) -> None:
        rows.append(row)
        cols.append(col)
        values.append(value)

    edge_vertex = {edge: count + i for i, edge in enumerate(sorted(opposite))}
    neighbours: dict[int, list[int]] = defaultdict(list)
    border: dict[int, list[int]] = defaultdict(list)
    for (a, b), thirds in opposite.items():
        neighbours[a].append(b)
        neighbours[b].append(a)
        row = edge_vertex[a, b]
        if len(thirds) == 1:
            border[a].append(b)
            border[b].append(a)
            put(row, a, 0.5)
            put(row, b, 0.5)
        else:
            for v in (a, b):
                put(row, v, 0.375)
            for v in thirds:
                put(row, v, 0.125)
    for v in range(count):
        if v in corners:
            put(v, v, 1.0)
        elif v in border:
            put(v, v, 0.75)
            for w in border[v]:
                put(v, w, 0.125)
        else:
            n = len(neighbours[v])
            beta = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / n)) ** 2) / n
            put(v, v, 1 - n * beta)
            for w in neighbours[v]:
                put(v, w, beta)
    new = []
    for a, b, c in triangles.tolist():
        ab, bc, ca = (edge_vertex[min(p, q), max(p, q)] for p, q in ((a, b), (b, c), (c, a)))
        new += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    matrix = sp.csr_matrix((values, (rows, cols)), shape=(count + len(edge_vertex), count))
    return matrix, np.array(new, np.int64), edge_vertex


@lru_cache(maxsize=1)
def fine_topology(levels: int = 2) -> Fine:
    """The mesh after `levels` subdivisions: 6,990 vertices for two. Treat it as read-only, it is shared."""
    base = base_topology()
    triangles, mirror = base.triangles, base.mirror
    total = sp.identity(468, format="csr")
    for _ in range(levels):
        count = len(mirror)
        matrix, triangles, edge_vertex = loop_step(triangles, count, set(CORNERS))
        total = matrix @ total
        grown = np.empty(count + len(edge_vertex), np.int64)
        grown[:count] = mirror
        for (a, b), v in edge_vertex.items():
            p, q = sorted((int(mirror[a]), int(mirror[b])))
            grown[v] = edge_vertex[p, q]
        mirror = grown
    dense = total.toarray()
    S = np.linalg.solve(dense[:468].T, dense.T).T
    S[:468] = np.eye(468)
    S = np.round(S, 10)
    following = boundary_edges(triangles)
    loops = {}
    for name, start, upper in (("border", 10, None), ("mouth", 78, 13), ("eye_right", 33, 159), ("eye_left", 263, 386)):
        loop = loop_from(following, start)
        if upper is not None and loop.index(upper) > len(loop) // 2:
            loop = [loop[0], *loop[:0:-1]]
        loops[name] = np.array(loop, np.int64)
    return Fine(triangles, S, mirror, loops)
