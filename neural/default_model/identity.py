# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity: a Gaussian-process morphable model (Luthi et al. 2018, "Gaussian Process Morphable Models").

The faces around the mean are a Gaussian process whose kernel is a sum of smooth Gaussian kernels at several scales, mostly mirror
symmetric; its leading Karhunen-Loeve directions are the basis. The eigenproblem is solved on the landmarks and carried to every vertex
by the Nystrom extension, which keeps the directions smooth. Rigid motion is the pose's business and is projected out.
"""

from __future__ import annotations

import numpy as np

from .fields import Face, cotangent_laplacian

SCALES = ((110.0, (2.9, 3.7, 2.8)), (55.0, (1.6, 2.0, 2.0)), (28.0, (0.95, 1.15, 1.15)))
"""(length mm, standard deviation mm in x, y, z) of the kernels that act everywhere."""
DETAIL = (12.0, (0.75, 0.9, 0.75))
"""As above, for the eyes, lips, nose and brows only."""
ASYMMETRY = 0.04
"""Share of the variance that is not mirror symmetric."""


def _kernel(a: np.ndarray, b: np.ndarray, wa: np.ndarray, wb: np.ndarray) -> np.ndarray:
    """(3, n, m): the covariance of the x, y and z displacements at points a (n, 3) and b (m, 3); wa, wb weigh the detail."""
    d2 = ((a[:, None] - b[None]) ** 2).sum(2)
    out = np.zeros((3, len(a), len(b)))
    for length, sd in SCALES:
        out += np.array(sd)[:, None, None] ** 2 * np.exp(-d2 / length**2)
    length, sd = DETAIL
    return out + np.array(sd)[:, None, None] ** 2 * np.exp(-d2 / length**2) * (wa[:, None] * wb[None])


def covariance(a: np.ndarray, b: np.ndarray, wa: np.ndarray, wb: np.ndarray) -> np.ndarray:
    """(3n, 3m) covariance, mirror symmetric but for ASYMMETRY. Rows are point by point, x, y, z."""
    flip = np.array([-1.0, 1, 1])
    direct, mirrored = _kernel(a, b, wa, wb), _kernel(a, b * flip, wa, wb) * flip[:, None, None]
    total = (1 + ASYMMETRY) / 2 * direct + (1 - ASYMMETRY) / 2 * mirrored
    out = np.zeros((len(a), 3, len(b), 3))
    for i in range(3):
        out[:, i, :, i] = total[i]
    return out.reshape(len(a) * 3, len(b) * 3)


def identity_basis(face: Face, count: int = 80, detail: np.ndarray | None = None) -> np.ndarray:
    """(count, V, 3) metres per standard deviation, by falling variance; `detail` (V,) in 0..1 says where the finest scale acts."""
    points, lm = face.points, face.lm
    w = np.ones(len(points)) if detail is None else detail
    K = covariance(lm, lm, w[:468], w[:468])
    # Landmarks crowd at eyes and mouth; the Nystrom weights are the areas they stand for, so that a face counts, not its landmarks.
    area = np.repeat(np.sqrt(cotangent_laplacian(lm, face.base.triangles)[1] ** 0.5), 3)
    area /= np.sqrt((area**2).mean())
    values, vectors = np.linalg.eigh(area[:, None] * K * area[None])
    order = np.argsort(-values)[: count + 12]
    values, vectors = values[order], vectors[:, order]
    extended = covariance(points, lm, w, w[:468]) @ (area[:, None] * vectors / np.sqrt(values))
    modes = extended.T.reshape(len(order), -1, 3)
    modes = _without_rigid(modes, points)
    # Projecting out the rigid motion left the modes dependent: diagonalise their covariance anew.
    flat = modes.reshape(len(modes), -1)
    small, rotation = np.linalg.eigh(flat @ flat.T)
    flat = (rotation[:, ::-1].T @ flat)[:count]
    # The sign of a mode is free: its largest move on the subject's left (mirror images would tie) is made positive.
    seen = np.abs(flat) * np.repeat(points[:, 0] > 1, 3)
    sign = np.sign(flat[np.arange(len(flat)), seen.argmax(1)])
    return (flat * sign[:, None]).reshape(len(flat), -1, 3) / 1000


def _without_rigid(modes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Take the best translation and infinitesimal rotation out of each mode (n, V, 3)."""
    centred = points - points.mean(0)
    moves = [np.broadcast_to(axis, points.shape).ravel() for axis in np.eye(3)] + [np.cross(axis, centred).ravel() for axis in np.eye(3)]
    q, _ = np.linalg.qr(np.stack(moves, 1))
    flat = modes.reshape(len(modes), -1)
    return (flat - (flat @ q) @ q.T).reshape(modes.shape)
