# SPDX-License-Identifier: GPL-3.0-or-later
"""A first pose for every frame, in closed form, from landmarks that have a plausible depth."""

from __future__ import annotations

import numpy as np

from ...mesh.camera import Camera, rotation_vector


def initial_pose(points: np.ndarray, landmarks: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Similarity of model points (L, 3), metres, to landmarks (T, L, 3), pixels: rotations (T, 3), translations (T, 3), metres.

    Umeyama 1991 gives rotation and scale; the scale gives the distance under weak perspective, the centre the direction.
    """
    p0 = points.mean(0)
    p = (points - p0).astype(np.float64)
    q0 = landmarks.mean(1)
    q = landmarks - q0[:, None]
    u, s, vt = np.linalg.svd(np.einsum("tli,lj->tij", q, p))
    sign = np.sign(np.linalg.det(u @ vt))
    d = np.ones((len(q), 3))
    d[:, 2] = sign
    R = (u * d[:, None]) @ vt
    scale = (s * d).sum(1) / (p**2).sum()
    Z = camera.focal / scale
    centre = np.stack([(q0[:, 0] - camera.cx) * Z / camera.focal, (q0[:, 1] - camera.cy) * Z / camera.focal, Z], 1)
    return rotation_vector(R), centre - R @ p0
