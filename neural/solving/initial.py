# SPDX-License-Identifier: GPL-3.0-or-later
"""A first pose for every frame, in closed form, and which frames to build identity and camera on."""

from __future__ import annotations

import numpy as np

from ...mesh.camera import Camera, rotation_vector


def initial_pose(points: np.ndarray, landmarks: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Model points (L, 3), metres, under weak perspective on landmarks (T, L, 3), pixels, z NaN where there is no depth.

    Rotations (T, 3), translations (T, 3), metres, scales (T,), pixels per metre, and misfits (T,), the median landmark error in metres.
    With depth, a similarity (Umeyama 1991); without, an affine camera by least squares and the scaled rotation next to it. The scale
    gives the distance, the centre the direction.
    """
    p0 = points.mean(0)
    p = (points - p0).astype(np.float64)
    deep = bool(np.isfinite(landmarks[..., 2]).all())
    y = landmarks[..., : 3 if deep else 2].astype(np.float64)
    q0 = y.mean(1)
    q = y - q0[:, None]
    if deep:
        u, s, vt = np.linalg.svd(np.einsum("tli,lj->tij", q, p))
        d = np.ones((len(q), 3))
        d[:, 2] = np.sign(np.linalg.det(u @ vt))
        R = (u * d[:, None]) @ vt
        scale = (s * d).sum(1) / (p**2).sum()
    else:
        u, s, vt = np.linalg.svd(np.einsum("tli,lj->tij", q, p) @ np.linalg.inv(p.T @ p), full_matrices=False)
        two = u @ vt
        R = np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], 1)
        scale = s.mean(1)
    misfit = np.linalg.norm(q[..., :2] / scale[:, None, None] - p @ np.swapaxes(R[:, :2], 1, 2), axis=-1)
    Z = camera.focal / scale
    centre = np.stack([(q0[:, 0] - camera.cx) * Z / camera.focal, (q0[:, 1] - camera.cy) * Z / camera.focal, Z], 1)
    return rotation_vector(R), centre - R @ p0, scale, np.median(misfit, axis=1)


def keyframes(rotation: np.ndarray, landmarks: np.ndarray, good: np.ndarray, count: int) -> np.ndarray:
    """Positions of good (T,) bool frames that differ most in head turn and mouth, so that identity is told from expression.

    rotation (T, 3); landmarks (T, 478, 2 or 3), pixels.
    """
    use = np.flatnonzero(good)
    p = landmarks[use, :, :2].astype(np.float64)
    eye = np.maximum(np.linalg.norm(p[:, 33] - p[:, 263], axis=1) / np.maximum(np.cos(rotation[use, 1]), 0.3), 1e-6)
    gap = np.linalg.norm(p[:, 13] - p[:, 14], axis=1) / eye
    width = np.linalg.norm(p[:, 61] - p[:, 291], axis=1) / eye
    features = np.concatenate([rotation[use] * 2, gap[:, None] * 3, width[:, None] * 3], 1)
    chosen = [int(np.argmin(gap))]
    distance = np.linalg.norm(features - features[chosen[0]], axis=1)
    while len(chosen) < min(count, len(features)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return use[np.sort(np.array(chosen))]
