# SPDX-License-Identifier: GPL-3.0-or-later
"""The landmark lock: weights that carry a value at each landmark smoothly to all vertices of a face model."""

from __future__ import annotations

import numba
import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from ...mesh.model import FaceModel
from ..memo import once_per_model

LEAST_WEIGHT = 1e-4
"""Below this a landmark does not count for a vertex: nine of ten do not, and landmarks 3 pixels off move no vertex by 1/200 of a pixel that way."""


@once_per_model
def landmark_lock(model: FaceModel) -> sp.csc_matrix:
    """`smooth_interpolation` (V, L), 3 MB for the default model; read-only. By columns: with two right sides that takes half the time."""
    weights = smooth_interpolation(model)
    weights[np.abs(weights) < LEAST_WEIGHT] = 0
    found = sp.csc_matrix(weights)
    found.data.flags.writeable = False
    return found


def smooth_interpolation(model: FaceModel) -> np.ndarray:
    """(V, L) float32 weights that carry a value at each landmark smoothly to all vertices (bi-Laplacian interpolation on the mesh)."""
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
        weights[free] = _solved(energy[free][:, free].tocsc(), -energy[free][:, known].toarray().astype(np.float32))
    return weights


def _solved(matrix: sp.csc_matrix, right: np.ndarray) -> np.ndarray:
    """x (n, L) float32 of matrix x = right; matrix (n, n) symmetric and positive definite, float64.

    Such a matrix needs no pivots, so that SuperLU's factors are L and D L', and an order of minimum degree keeps them small. For hundreds of right
    sides a plain loop over the factor's entries, with the right sides side by side in memory, takes a sixth of SuperLU's own time.
    """
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    lower = sp.tril(factors.L, -1, format="csc")
    x = np.empty(right.shape, np.float32)
    x[factors.perm_r] = right
    _substitute(lower.indptr, lower.indices, lower.data.astype(np.float32), (1 / factors.U.diagonal()).astype(np.float32), x)
    return x[factors.perm_r]


@numba.njit(cache=True, nogil=True)
def _substitute(start, row, value, inverse, x):
    """L D L' x = right in place: x (n, C) holds the right sides; L below its diagonal of ones by columns, inverse (n,) of D."""
    n, C = x.shape
    line = np.empty(C, x.dtype)
    for j in range(n):
        any_at_all = False  # the right sides of a few landmarks begin late
        for c in range(C):
            line[c] = x[j, c]
            any_at_all |= line[c] != 0
        if any_at_all:
            for k in range(start[j], start[j + 1]):
                i, v = row[k], value[k]  # read once: a compiler cannot know that they do not change with x
                for c in range(C):
                    x[i, c] -= v * line[c]
    for j in range(n - 1, -1, -1):
        for c in range(C):
            line[c] = x[j, c] * inverse[j]
        for k in range(start[j], start[j + 1]):
            i, v = row[k], value[k]
            for c in range(C):
                line[c] -= v * x[i, c]
        for c in range(C):
            x[j, c] = line[c]
