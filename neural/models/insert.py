# SPDX-License-Identifier: GPL-3.0-or-later
"""Vertices put into a mesh where landmarks lie between its own, so that a coarse mesh still meets the tracker exactly."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import scipy.sparse as sp

from .mesh_cut import closest_on_triangles

SNAP = 0.9
"""A landmark with this much of one corner's weight takes that vertex, unless another landmark has it."""
EDGE = 0.06
"""With less than this of one corner's weight, the opposite edge is split, not the facet."""


class Insertion:
    """A triangle mesh with UVs that grows; new vertices are fixed blends of the first ones."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray, uv: np.ndarray, uv_triangles: np.ndarray):
        self.points = list(np.asarray(vertices, np.float64))
        self.rows: list[dict[int, float]] = [{i: 1.0} for i in range(len(vertices))]
        self.triangles = [tuple(map(int, t)) for t in triangles]
        self.uv_triangles = [tuple(map(int, t)) for t in uv_triangles]
        self.uv = list(np.asarray(uv, np.float64))
        self.taken: set[int] = set()
        self._of_vertex: dict[int, set[int]] = defaultdict(set)
        self._edge_uv: dict[tuple[int, int], int] = {}
        for i, t in enumerate(self.triangles):
            for v in t:
                self._of_vertex[v].add(i)

    def vertex_at(self, point: np.ndarray) -> int:
        """The vertex for a landmark at `point` (3,), new where there is none; each is given once."""
        near = np.argsort(((np.array(self.points) - point) ** 2).sum(1))[:6]
        candidates = sorted({t for v in near for t in self._of_vertex[int(v)]})
        found, weights = closest_on_triangles(point, np.array([[self.points[v] for v in self.triangles[t]] for t in candidates]))
        facet = candidates[found]
        corner = int(np.argmax(weights))
        vertex = self.triangles[facet][corner]
        if weights[corner] > SNAP and vertex not in self.taken:
            self.taken.add(vertex)
            return vertex
        if weights[corner] > SNAP:  # two landmarks on one spot: the second stands a little aside
            weights = SNAP * weights + (1 - SNAP) / 3
        least = int(np.argmin(weights))
        if weights[least] < EDGE:
            vertex = self._split_edge(facet, (least + 1) % 3, weights)
        else:
            vertex = self._split_facet(facet, weights)
        self.taken.add(vertex)
        return vertex

    def result(self) -> tuple[sp.csr_matrix, np.ndarray, np.ndarray, np.ndarray]:
        """(V', V) blend matrix, triangles, uv, uv_triangles."""
        entries = [(i, j, w) for i, row in enumerate(self.rows) for j, w in row.items()]
        r, c, d = (list(x) for x in zip(*entries))
        first = sum(len(row) == 1 and i in row for i, row in enumerate(self.rows))
        return (sp.csr_matrix((d, (r, c)), shape=(len(self.rows), first)), np.array(self.triangles, np.int32),
                np.array(self.uv, np.float32), np.array(self.uv_triangles, np.int32))

    def _blend(self, vertices: tuple[int, ...], weights: np.ndarray) -> int:
        row: dict[int, float] = defaultdict(float)
        for v, w in zip(vertices, weights):
            for u, x in self.rows[v].items():
                row[u] += float(w) * x
        self.rows.append(dict(row))
        self.points.append(sum(w * self.points[v] for v, w in zip(vertices, weights)))
        return len(self.rows) - 1

    def _replace(self, facet: int, parts: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
        for v in self.triangles[facet]:
            self._of_vertex[v].discard(facet)
        for k, (triangle, uv) in enumerate(parts):
            number = facet if k == 0 else len(self.triangles)
            if k == 0:
                self.triangles[facet], self.uv_triangles[facet] = triangle, uv
            else:
                self.triangles.append(triangle)
                self.uv_triangles.append(uv)
            for v in triangle:
                self._of_vertex[v].add(number)

    def _split_facet(self, facet: int, weights: np.ndarray) -> int:
        t, u = self.triangles[facet], self.uv_triangles[facet]
        new = self._blend(t, weights)
        self.uv.append(sum(w * self.uv[i] for i, w in zip(u, weights)))
        at = len(self.uv) - 1
        self._replace(facet, [((t[i], t[(i + 1) % 3], new), (u[i], u[(i + 1) % 3], at)) for i in range(3)])
        return new

    def _split_edge(self, facet: int, side: int, weights: np.ndarray) -> int:
        t = self.triangles[facet]
        a, b = t[side], t[(side + 1) % 3]
        share = weights[(side + 1) % 3] / (weights[side] + weights[(side + 1) % 3])
        new = self._blend((a, b), np.array([1 - share, share]))
        for other in sorted(self._of_vertex[a] & self._of_vertex[b]):
            t, u = self.triangles[other], self.uv_triangles[other]
            i = next(i for i in range(3) if {t[i], t[(i + 1) % 3]} == {a, b})
            j, k = (i + 1) % 3, (i + 2) % 3
            part = share if t[i] == a else 1 - share
            key = (new, *sorted((u[i], u[j])))
            if key not in self._edge_uv:
                self.uv.append((1 - part) * self.uv[u[i]] + part * self.uv[u[j]])
                self._edge_uv[key] = len(self.uv) - 1
            at = self._edge_uv[key]
            self._replace(other, [((t[i], new, t[k]), (u[i], at, u[k])), ((new, t[j], t[k]), (at, u[j], u[k]))])
        return new
