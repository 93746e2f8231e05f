# SPDX-License-Identifier: GPL-3.0-or-later
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial import Delaunay

from mien.mesh.model import load_model
from mien.neural.rendering.lock import landmark_lock, smooth_interpolation


def umbrella(points, triangles):
    """The mean of a vertex's neighbours less itself, (V, V) by its definition."""
    out = np.zeros((len(points), len(points)))
    for v in range(len(points)):
        around = sorted({int(u) for t in triangles if v in t for u in t} - {v})
        out[v, around] = 1 / len(around)
        out[v, v] = -1
    return out


@pytest.mark.parametrize("landmarks", [3, 17, 89])
def test_it_is_the_least_bending_through_the_landmarks(landmarks):
    """Against the least squares that defines it, which knows nothing of factors or orders."""
    rng = np.random.default_rng(landmarks)
    points = rng.uniform(size=(90, 2))
    triangles = Delaunay(points).simplices
    known = rng.permutation(90)[:landmarks]
    found = smooth_interpolation(SimpleNamespace(vertex_count=90, triangles=triangles, landmark_vertices=known))
    bending, free = umbrella(points, triangles), np.setdiff1d(np.arange(90), known)
    given = rng.normal(size=(landmarks, 2))
    wanted = np.zeros((90, 2))
    wanted[known] = given
    wanted[free] = np.linalg.lstsq(bending[:, free], -bending[:, known] @ given, rcond=None)[0]
    assert found.dtype == np.float32 and np.allclose(found @ given, wanted, atol=1e-4)


def test_the_default_face():
    """A shift of all landmarks shifts the whole face, and what is left out counts for nothing."""
    model = load_model()
    every, kept = smooth_interpolation(model), landmark_lock(model)
    assert np.allclose(every.sum(1), 1, atol=2e-4)
    assert np.array_equal(every[model.landmark_vertices], np.eye(len(model.landmark_vertices)))
    assert np.abs(kept.toarray() - every).max() <= 1e-4 and kept.nnz < 0.15 * every.size
