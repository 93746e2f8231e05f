# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in the formats of other face models, written from the default one: a closed skin (eyes and mouth filled), known iBUG-68 points."""

from __future__ import annotations

import functools

import numpy as np

from mien.mesh.model import FaceModel, load_model
from mien.neural.models.register import IBUG_TO_MEDIAPIPE


@functools.lru_cache(maxsize=1)
def closed_face() -> tuple[FaceModel, np.ndarray, np.ndarray]:
    """The default model, its points (V', 3) and triangles with the openings closed by a fan each, in OpenCV axes, metres."""
    model = load_model()
    points, triangles = [model.mean], [model.triangles]
    count = model.vertex_count
    for name in ("mouth", "eye_left", "eye_right"):
        loop = model.loops[name].astype(int)
        if name == "mouth":
            continue  # the lips are shut, a fan would lie in their line; as in the real file they stay open
        points.append(model.mean[loop].mean(0, keepdims=True) + (0, 0, 0.004))
        triangles.append(np.stack([loop, np.roll(loop, -1), np.full(len(loop), count)], 1))
        count += 1
    return model, np.concatenate(points).astype(np.float64), np.concatenate(triangles)


def bases(model: FaceModel, count: int, identities: int, expressions: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the default model, padded to `count` vertices: (identities, count, 3), (expressions, count, 3)."""
    def padded(basis: np.ndarray) -> np.ndarray:
        return np.concatenate([basis, np.zeros((len(basis), count - basis.shape[1], 3))], 1)
    return padded(model.identity[:identities]), padded(model.expression[:expressions])


def flame_arrays() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The keys of generic_model.pkl, dense, and of flame_static_embedding.pkl; dictionaries of one's own."""
    model, embedding = _flame_arrays()
    return dict(model), dict(embedding)


@functools.lru_cache(maxsize=1)
def _flame_arrays() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    model, points, triangles = closed_face()
    V = len(points)
    identity, expression = bases(model, V, 300, 20)
    axes = np.array([1.0, -1.0, -1.0])
    shapes = np.zeros((V, 3, 300 + len(expression)))
    shapes[:, :, : len(identity)] = np.moveaxis(identity * axes, 0, 2)
    shapes[:, :, 300:] = np.moveaxis(expression * axes, 0, 2)
    weights = np.zeros((V, 5))
    weights[: model.vertex_count, 2] = model.regions["jaw"]
    weights[:, 1] = 1 - weights[:, 2]
    regressor = np.zeros((5, V))
    regressor[2, model.vertices_of_landmarks([93, 323])] = 0.5
    rng = np.random.default_rng(3)
    facets, corners = [], []
    for vertex in model.vertices_of_landmarks(list(IBUG_TO_MEDIAPIPE))[17:]:
        facet, corner = (int(x[0]) for x in np.nonzero(triangles == vertex))
        facets.append(facet)
        corners.append(np.where(np.arange(3) == corner, 0.8, 0.1))
    return ({"v_template": points * axes, "f": triangles.astype(np.uint32), "shapedirs": shapes, "posedirs": rng.normal(0, 1e-4, (V, 3, 36)),
             "J": regressor @ points, "J_regressor": regressor, "weights": weights,
             "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]), "bs_style": "lbs", "bs_type": "lrotmin"},
            {"lmk_face_idx": np.array(facets), "lmk_b_coords": np.array(corners)})


def bfm_arrays() -> dict[str, np.ndarray]:
    """The keys of BFM_model_front.mat, the bases short."""
    model, points, triangles = closed_face()
    N = len(points)
    identity, expression = bases(model, N, 12, 9)
    axes = np.array([10.0, -10.0, -10.0])  # decimetres, y up, z towards the viewer
    ibug = model.vertices_of_landmarks(list(IBUG_TO_MEDIAPIPE))
    return {"meanshape": (points * axes).reshape(1, -1), "idBase": (identity * axes).reshape(12, -1).T,
            "exBase": (expression * axes).reshape(9, -1).T, "meantex": np.full((1, 3 * N), 128.0), "texBase": np.zeros((3 * N, 2)),
            "tri": (triangles + 1).astype(np.float64),
            "keypoints": (ibug + 1).reshape(1, 68).astype(np.float64)}
