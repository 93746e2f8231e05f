# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools to author displacement fields on the mean face. Inside this package lengths are millimetres until the model is assembled.

Two ways to author a field: analytically on the fine vertices (brows, cheeks, jaw), or as values on landmarks, the unspecified ones relaxed
biharmonically between them, carried to the fine mesh by the subdivision matrix S (lids, lips), which keeps closed lids and lips closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from .render import vertex_normals
from .topology import EYE_LEFT_LOWER, EYE_LEFT_UPPER, LIP_LOWER_RINGS, LIP_UPPER_RINGS, Base, Fine


def smooth(x: np.ndarray | float, low: float, high: float) -> np.ndarray:
    """Quintic step: 0 below `low`, 1 above `high` (or the reverse when low > high), two derivatives zero at both ends."""
    t = np.clip((np.asarray(x, np.float64) - low) / (high - low), 0, 1)
    return t * t * t * (t * (6 * t - 15) + 10)


def cotangent_laplacian(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dense positive semi-definite Laplacian (V, V), cotangents held above 0.05 against slivers, and vertex areas (V,)."""
    n = len(points)
    L, area = np.zeros((n, n)), np.zeros(n)
    for i in range(3):
        a, b, c = (triangles[:, (i + k) % 3] for k in range(3))
        u, v = points[b] - points[a], points[c] - points[a]
        cross = np.linalg.norm(np.cross(u, v), axis=1)
        weight = np.clip((u * v).sum(1) / np.maximum(cross, 1e-9), 0.05, 8) / 2
        np.add.at(L, (b, c), -weight)
        np.add.at(L, (c, b), -weight)
        np.add.at(area, a, cross / 6)
    np.fill_diagonal(L, -L.sum(1))
    return L, area


class Face:
    """The mean face as the canvas of the muscles. Millimetres; x towards the subject's left, y down, z away from the camera."""

    def __init__(self, base: Base, fine: Fine, landmarks: np.ndarray) -> None:
        """landmarks (468, 3), metres."""
        self.base, self.fine = base, fine
        self.lm = landmarks * 1000
        self.points = self.carry(self.lm)
        self.normals = vertex_normals(self.points, fine.triangles)
        self.lm_normals = self.normals[:468]

    @cached_property
    def _energy(self) -> np.ndarray:
        """Thin plate with a little membrane, which keeps the relaxed field from overshooting (468, 468)."""
        L, area = cotangent_laplacian(self.lm, self.base.triangles)
        return L @ (L / area[:, None]) + L * 0.004

    def relax(self, handles: Mapping[int, np.ndarray | float]) -> np.ndarray:
        """Landmark -> value (scalar or (3,)); the smoothest field (468,) or (468, 3) through them."""
        ids = np.array(sorted(handles), np.int64)
        values = np.array([handles[int(i)] for i in ids], np.float64)
        free = np.setdiff1d(np.arange(468), ids)
        out = np.zeros((468, *values.shape[1:]))
        out[ids] = values
        out[free] = np.linalg.solve(self._energy[np.ix_(free, free)], -self._energy[np.ix_(free, ids)] @ values)
        return out

    def carry(self, field: np.ndarray) -> np.ndarray:
        """(468, ...) -> (V, ...). einsum, not @: the last digits must not depend on the number of threads."""
        return np.einsum("vl,l...->v...", self.fine.S, field)

    def mirrored(self, field: np.ndarray) -> np.ndarray:
        """The same action on the other side, (V, 3) or (V,)."""
        return field[self.fine.mirror] * (-1, 1, 1) if field.ndim == 2 else field[self.fine.mirror]

    def left(self, field: np.ndarray, width: float) -> np.ndarray:
        """The subject's left part of a two-sided field (V, 3); with its mirror image it adds up to the whole. `width`: half of the blend, mm."""
        return field * smooth(self.points[:, 0], -width, width)[:, None]

    def slide(self, field: np.ndarray, amount: float = 0.8) -> np.ndarray:
        """Take `amount` of the component along the normal out of (V, 3): skin slides over the skull instead of sinking into it."""
        return field - amount * (field * self.skull_normals).sum(1, keepdims=True) * self.skull_normals

    @cached_property
    def skull_normals(self) -> np.ndarray:
        """(V, 3) normals averaged over about a centimetre: the skull's rather than the skin's, so that sliding makes no creases."""
        normals = self.blur(self.normals, 9.0)
        return normals / np.linalg.norm(normals, axis=1, keepdims=True)

    def blur(self, field: np.ndarray, radius: float) -> np.ndarray:
        """Gaussian mean of (V, ...) over neighbours in space, weighted by area; `radius` mm is its standard deviation. Not for lids and lips."""
        tree = cKDTree(self.points)
        near = tree.sparse_distance_matrix(tree, 2.5 * radius, output_type="coo_matrix")
        area = np.zeros(len(self.points))
        a, b, c = (self.points[self.fine.triangles[:, i]] for i in range(3))
        for i in range(3):
            np.add.at(area, self.fine.triangles[:, i], np.linalg.norm(np.cross(b - a, c - a), axis=1))
        weights = sp.csr_matrix((np.exp(-0.5 * (near.data / radius) ** 2) * area[near.col], (near.row, near.col)), shape=near.shape)
        weights.setdiag(area)
        return (weights @ field) / np.asarray(weights.sum(1)).reshape(-1, *([1] * (field.ndim - 1)))

    def bump(self, centre: int | np.ndarray, radii: tuple[float, float, float] | float, flat: float = 0.0) -> np.ndarray:
        """(V,) 1 at a landmark or point, 0 outside the ellipsoid of `radii` mm; flat inside the fraction `flat` of it."""
        c = self.lm[centre] if isinstance(centre, (int, np.integer)) else np.asarray(centre)
        r = np.linalg.norm((self.points - c) / np.broadcast_to(radii, 3), axis=1)
        return 1 - smooth(r, flat, 1)

    @cached_property
    def lip_distance(self) -> np.ndarray:
        """(468,) mm from each landmark to the nearest one of the lips."""
        ids = sorted({i for rings in (LIP_UPPER_RINGS, LIP_LOWER_RINGS) for ring in rings for i in ring})
        return np.linalg.norm(self.lm[:, None] - self.lm[None, ids], axis=2).min(1)

    @cached_property
    def eye_distance(self) -> np.ndarray:
        """(468,) mm from each landmark to the nearest one of the left lid margin."""
        ids = sorted({*EYE_LEFT_UPPER, *EYE_LEFT_LOWER})
        return np.linalg.norm(self.lm[:, None] - self.lm[None, ids], axis=2).min(1)
