# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaze from the iris: where an eyeball of average size behind the lids must look for its iris to be where the tracker sees it."""

from __future__ import annotations

import numpy as np

from ...mesh.camera import Camera, place
from ...mesh.model import FaceModel
from ...mesh.shot import Solve

IRIS = (range(468, 473), range(473, 478))
"""Of the subject's right and left eye, among the tracker's 478 landmarks: the iris's centre and four points around it."""
CORNERS = ((33, 133), (263, 362))
"""Outer and inner corner of the right and the left eye."""
LIDS = ((159, 145), (386, 374))
"""Middle of the upper and the lower lid."""
DEPTH = 0.055
"""Eyeball's centre behind the middle of its corners, in eye distances (5 mm)."""
RADIUS = 0.115
"""From the eyeball's centre to the iris, in eye distances (10.4 mm)."""
APEX = np.radians(30.0)
"""Turn of an eye at which an eyeLook direction is 1."""
OPEN = (0.08, 0.16)
"""Aperture of the lids over the eye's width: below the first the iris is a guess, above the second it is seen."""
CLOSED = 0.5
"""Part of the usual aperture below which an eye counts as closed."""
NAMES = (("eyeLookInRight", "eyeLookOutRight", "eyeLookDownRight", "eyeLookUpRight"),
         ("eyeLookOutLeft", "eyeLookInLeft", "eyeLookDownLeft", "eyeLookUpLeft"))
"""For each eye: towards the picture's right and left when frontal, down and up."""


def gaze_matrix(model: FaceModel) -> np.ndarray | None:
    """(4, B): beta -> right eye x, y, left eye x, y in apexes, x to the subject's left, y down. None for a model without eyeLook directions
    or corners of the eyes."""
    index = model.expression_index
    if not all(name in index for eye in NAMES for name in eye) or not np.isin(CORNERS, model.landmark_ids).all():
        return None
    G = np.zeros((4, model.expression_count))
    for e, (left, right, down, up) in enumerate(NAMES):
        G[2 * e, index[left]], G[2 * e, index[right]] = 1, -1
        G[2 * e + 1, index[down]], G[2 * e + 1, index[up]] = 1, -1
    return G


def eyeballs(model: FaceModel, alpha: np.ndarray) -> np.ndarray:
    """(2, 3) centres of the right and the left eyeball in the head frame, metres."""
    corners = model.vertices_of_landmarks([i for pair in CORNERS for i in pair])
    neutral = model.mean[corners].astype(np.float64) + np.tensordot(np.asarray(alpha, np.float64), model.identity[:, corners], 1)
    return neutral.reshape(2, 2, 3).mean(1) + (0, 0, DEPTH * model.eye_distance)


def look(centres: np.ndarray, radius: float, iris: np.ndarray, rotation: np.ndarray, translation: np.ndarray, camera: Camera) -> np.ndarray:
    """Gaze (n, 2, 2): each eye's turn to the subject's left and down, radians, in the head frame.

    centres (2, 3) metres; iris (n, 2, 2) pixels of a lens without distortion; rotation (n, 3, 3). The ray through the iris meets the
    sphere on the near side; a ray that misses it counts where it passes nearest.
    """
    ray = np.concatenate([(iris - (camera.cx, camera.cy)) / camera.focal, np.ones((*iris.shape[:2], 1))], -1)
    ray = ray / np.linalg.norm(ray, axis=-1, keepdims=True) @ rotation  # head frame: R^T d
    eye = -(translation[:, None] @ rotation)  # the camera, in the head frame
    away = centres - eye
    along = (away * ray).sum(-1, keepdims=True)
    miss2 = (away**2).sum(-1, keepdims=True) - along**2
    hit = eye + ray * (along - np.sqrt(np.maximum(radius**2 - miss2, 0)))
    d = hit - centres
    return np.stack([np.arctan2(d[..., 0], -d[..., 2]), np.arctan2(d[..., 1], np.hypot(d[..., 0], d[..., 2]))], -1)


def irises(model: FaceModel, alpha: np.ndarray, beta: np.ndarray, rotation: np.ndarray, translation: np.ndarray, camera: Camera) -> np.ndarray | None:
    """The inverse of `look`: where beta (n, B) puts the irises, (n, 2, 2) pixels. rotation (n, 3). None for a model without eyeLook directions."""
    G = gaze_matrix(model)
    if G is None:
        return None
    turn = (beta @ G.T).reshape(-1, 2, 2) * APEX
    x, y = turn[..., 0], turn[..., 1]
    d = np.stack([np.sin(x) * np.cos(y), np.sin(y), -np.cos(x) * np.cos(y)], -1)
    return camera.project(place(eyeballs(model, alpha) + d * RADIUS * model.eye_distance, rotation, translation))


def iris_centres(landmarks: np.ndarray) -> np.ndarray | None:
    """Landmarks (n, 478, 3) -> (n, 2, 2) pixels, the means of each iris's five points; None where the tracker has no irises."""
    centres = np.stack([landmarks[:, list(eye), :2].mean(1) for eye in IRIS], 1)
    return centres if np.isfinite(centres).all() else None


def lid_aperture(landmarks: np.ndarray) -> np.ndarray:
    """(n, 478, 2 or 3) -> (n, 2): distance of the lids over that of the eye's corners, right and left, on the picture."""
    p = landmarks[..., :2].astype(np.float64)
    pairs = [(np.linalg.norm(p[:, u] - p[:, l], axis=-1), np.linalg.norm(p[:, a] - p[:, b], axis=-1)) for (u, l), (a, b) in zip(LIDS, CORNERS)]
    return np.stack([gap / np.maximum(width, 1e-6) for gap, width in pairs], 1)


def seen(landmarks: np.ndarray) -> np.ndarray:
    """(n, 2) in 0..1: how far the irises can be believed, by how open the lids are."""
    low, high = OPEN
    return np.clip((lid_aperture(landmarks) - low) / (high - low), 0, 1)


def blink_agreement(model: FaceModel, landmarks: np.ndarray, solve: Solve) -> dict[str, float] | None:
    """Whether the solved lids are closed when the tracked ones are, per eye and frame.

    An eye counts as closed below CLOSED of its usual (median) aperture on the plate, for tracker and mesh alike. Returns agree (part of all eyes and
    frames), closed (eyes and frames closed on the plate), found (part of these that the mesh has closed; 1 when there are none). None for a model
    that lacks a landmark of the lids, or a shot without a solved frame.
    """
    good = solve.solved
    corners = np.unique([*np.ravel(CORNERS), *np.ravel(LIDS)])
    if not np.isin(corners, model.landmark_ids).all() or not good.any():
        return None
    vertices = model.vertices_of_landmarks(corners)
    points = place(model.shape(solve.alpha, solve.beta[good])[:, vertices].astype(np.float64), solve.rotation[good], solve.translation[good])
    mesh = np.full((int(good.sum()), landmarks.shape[1], 2), np.nan)
    mesh[:, corners] = solve.camera.project(points)
    seen, ours = lid_aperture(landmarks[good]), lid_aperture(mesh)
    limit = CLOSED * np.median(seen, axis=0)
    a, b = seen < limit, ours < limit
    return {"agree": float((a == b).mean()), "closed": int(a.sum()), "found": float((a & b).sum() / a.sum()) if a.any() else 1.0}
