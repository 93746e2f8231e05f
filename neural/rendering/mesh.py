# SPDX-License-Identifier: GPL-3.0-or-later
"""The face model's mesh made ready for the renderer: eye openings and mouth closed by extra vertices, landmarks locked on."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ...mesh.model import FaceModel
from .lock import landmark_lock

EYE_RINGS = ((0.14, 0.7, 0.5), (0.34, 0.3, 0.12), (0.7, 0.05, 0.0), (1.0, 0.0, 0.0))
"""(way from the lid margin to the eye's centre, part of the lid's move there when the lid opens, and when it closes).

The eyeball stays where it looks. A closing lid slides over it, so only the lashes at its margin go with it; an opening lid
bares what the plate never showed, so the outer part of the eye is stretched after it.
"""
MOUTH_ROWS = ((0.2, 0.7), (0.5, 1.0), (0.8, 0.7))
"""(way from the upper inner lip to the lower, how dark an opening is there that the plate does not show)."""
NEW_OPENING = (0.3, 0.75)
"""Part of the gap between the lips that the edit made: below the first the plate's own mouth is stretched, above the second it is dark."""


class RenderMesh:
    """Triangles and linear rules for the V vertices of a model and the extra ones behind lids and lips.

    Extra vertices are fixed blends of model vertices, for positions and, with other weights, for displacements.
    """

    def __init__(self, model: FaceModel):
        self.model = model
        V = model.vertex_count
        rows: list[dict[int, float]] = []
        opening: list[dict[int, float]] = []
        closing: list[dict[int, float]] = []
        triangles = [model.triangles.astype(np.int64)]
        self.eyes: list[np.ndarray] = []
        self.mouth: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        """Inner lip chains, upper and lower (n,), and the rows of extra vertices between them (3, n)."""
        for name in ("eye_left", "eye_right"):
            if name in model.loops:
                loop = model.loops[name].astype(int)
                self.eyes.append(loop)
                triangles.append(_fill_eye(loop, V, rows, opening, closing))
        if "mouth" in model.loops:
            self.mouth = _fill_mouth(model, V, rows, triangles)
            opening += rows[len(opening) :]
            closing += rows[len(closing) :]
        self.face_count, self.extra = len(model.triangles), len(rows)
        self.triangles = np.concatenate(triangles).astype(np.int32)
        self.positions, self._opening, self._closing = _matrix(rows, V), _matrix(opening, V), _matrix(closing, V)
        self.lock = landmark_lock(model)
        self._fix_orientation()

    def darkness(self, before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
        """(V + extra, 1) in 0..1: where the edit opens a mouth that the plate shows closed; None where it opens none."""
        if self.mouth is None:
            return None
        upper, lower, rows = self.mouth
        was, now = (np.linalg.norm(p[upper] - p[lower], axis=1) for p in (before, after))
        low, high = NEW_OPENING
        part = np.clip(((now - was) / np.maximum(now, 1e-6) - low) / (high - low), 0, 1)
        part *= np.clip(now - was - 0.5, 0, 1)  # less than half a pixel is no opening
        if not part.any():
            return None
        dark = np.zeros((len(before) + self.extra, 1), np.float32)
        for row, (_, share) in zip(rows, MOUTH_ROWS):
            dark[row, 0] = part * share
        return dark

    def points(self, values: np.ndarray) -> np.ndarray:
        """(V, C) of the model -> (V + extra, C), by position."""
        return np.concatenate([values, self.positions @ values]).astype(np.float32)

    def moves(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """How the surface moved: (V, 2) pixels before and after -> (V + extra, 2); what lies behind lids follows them only in part."""
        move = after - before
        opens, closes = np.zeros_like(move), np.zeros_like(move)
        for loop in self.eyes:
            outward = before[loop] - before[loop].mean(0)
            opened = ((move[loop] * outward).sum(1) > 0)[:, None]
            opens[loop], closes[loop] = np.where(opened, move[loop], 0), np.where(opened, 0, move[loop])
        eye = np.isin(np.arange(len(move)), np.concatenate(self.eyes)) if self.eyes else np.zeros(len(move), bool)
        opens[~eye] = move[~eye]
        return np.concatenate([move, self._opening @ opens + self._closing @ closes]).astype(np.float32)

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


def _fill_eye(loop: np.ndarray, V: int, rows: list, opening: list, closing: list) -> np.ndarray:
    n = len(loop)
    rings = [loop]
    for way, opens, closes in EYE_RINGS[:-1]:
        ring = []
        for v in loop:
            row = {int(u): way / n for u in loop}
            row[int(v)] += 1 - way
            ring.append(V + len(rows))
            rows.append(row)
            opening.append({int(v): opens})
            closing.append({int(v): closes})
        rings.append(np.array(ring))
    centre = V + len(rows)
    rows.append({int(u): 1 / n for u in loop})
    opening.append({})
    closing.append({})
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


def _fill_mouth(model: FaceModel, V: int, rows: list, triangles: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    upper, lower = mouth_chains(model)
    between = []
    for way, _ in MOUTH_ROWS:
        chain = []
        for u, l in zip(upper, lower):
            chain.append(V + len(rows))
            row = {int(u): 1 - way}
            row[int(l)] = row.get(int(l), 0.0) + way
            rows.append(row)
        between.append(np.array(chain))
    chains = [upper, *between, lower]
    strips = [t for a, b in zip(chains, chains[1:]) for i in range(len(a) - 1) for t in ((a[i], a[i + 1], b[i + 1]), (a[i], b[i + 1], b[i]))]
    triangles.append(np.array([t for t in strips if len(set(t)) == 3]))
    return upper, lower, np.stack(between)


def _matrix(rows: list[dict[int, float]], V: int) -> sp.csr_matrix:
    entries = [(i, v, w) for i, row in enumerate(rows) for v, w in row.items()]
    r, c, d = (list(column) for column in zip(*entries)) if entries else ([], [], [])
    return sp.csr_matrix((d, (r, c)), shape=(len(rows), V))
