# SPDX-License-Identifier: GPL-3.0-or-later
"""The least-squares problem of a shot: residuals, analytic Jacobians and normal equations, one small block per frame.

Unknowns shared by the shot, u = (alpha, log focal); of each frame, v = (beta, rotation, translation). A rotation is updated from the
left, R <- exp(w) R. Residuals are in units of their standard deviation, so the cost is a negative log likelihood:

    landmarks   |project(R S(alpha, beta) + t) - y| / (iod * sigma), robust
    depth       relative depth of the landmarks, weak: the tracker's z is plausible, not measured
    priors      alpha ~ N(0, 1), beta ~ N(0, expression_sigma) and tighter below zero (a muscle pulls), log focal ~ N
    time        beta(t) - beta(t-1) within a take
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from ...mesh.camera import Camera, rotation_matrix, rotation_vector
from ...mesh.model import FaceModel


@dataclass(frozen=True)
class SolveSettings:
    """Standard deviations and weights of the solve."""

    landmark_sigma: float = 0.02
    """Of a landmark, in eye distances. Larger than a landmark's noise, because neighbours err together."""
    robust: float = 0.05
    """Landmark errors beyond this many eye distances lose their say (Geman-McClure)."""
    depth_sigma: float = 0.15
    """Of a landmark's relative depth, in eye distances."""
    negative: float = 0.25
    """Prior width below zero, as a part of expression_sigma."""
    beta_step: float = 0.7
    """Of beta's change between frames, as a part of expression_sigma."""
    focal_sigma: float = 0.1
    """Of log focal length around the usual one; tight, because landmarks err together and their perspective is weak evidence."""
    keyframes: int = 20
    """Frames that identity and camera are solved on."""
    bundle_iterations: int = 25
    frame_iterations: int = 7
    converged: float = 0.01
    """A step in which nothing moves by more than this (radians, metres, apexes, standard deviations) is the last."""
    window: int = 240
    """Frames solved at a time; windows overlap."""
    overlap: int = 12


@dataclass
class State:
    """Current estimate of n frames; alpha and focal are the shot's."""

    alpha: np.ndarray
    focal: float
    beta: np.ndarray
    """(n, B)"""
    rotation: np.ndarray
    """(n, 3, 3)"""
    translation: np.ndarray
    """(n, 3)"""

    def moved(self, du: np.ndarray | None, dv: np.ndarray) -> State:
        """The state after a step: du (A + 1,) or None, dv (n, B + 6)."""
        B = self.beta.shape[1]
        alpha, zoom = (self.alpha, 1.0) if du is None else (self.alpha + du[:-1], float(np.exp(np.clip(du[-1], -0.3, 0.3))))
        translation = self.translation * np.array([1, 1, zoom]) + dv[:, B + 3 :]
        return State(alpha, self.focal * zoom, self.beta + dv[:, :B], rotation_matrix(dv[:, B : B + 3]) @ self.rotation, translation)

    def rotation_vectors(self) -> np.ndarray:
        return rotation_vector(self.rotation)


class Problem:
    """Landmarks (n, L, 3), pixels, of frames that all show the face, against the landmark vertices of a model."""

    def __init__(self, model: FaceModel, landmark_rows: np.ndarray, landmarks: np.ndarray, camera: Camera, settings: SolveSettings):
        vertices = model.landmark_vertices
        self.mean = model.mean[vertices].astype(np.float64)
        self.identity = model.identity[:, vertices].astype(np.float64)
        self.expression = model.expression[:, vertices].astype(np.float64)
        self._identity32, self._expression32 = (np.ascontiguousarray(np.moveaxis(b, 0, -1), np.float32) for b in (self.identity, self.expression))
        self.sigma = model.expression_sigma.astype(np.float64)
        self.y = landmarks[:, landmark_rows].astype(np.float64)
        self.iod = np.linalg.norm(landmarks[:, 33] - landmarks[:, 263], axis=1).astype(np.float64)
        """(n,) distance of the outer eye corners in space, pixels: steady when the head turns, so it scales the errors."""
        self.iod_seen = np.maximum(np.linalg.norm((landmarks[:, 33] - landmarks[:, 263])[:, :2], axis=1).astype(np.float64), 1e-6)
        """(n,) the same on the picture: what errors are reported against."""
        self.camera, self.settings = camera, settings
        self.A, self.B = len(self.identity), len(self.expression)

    def points(self, state: State) -> np.ndarray:
        """(n, L, 3) in the head frame."""
        neutral = self.mean + np.tensordot(state.alpha, self.identity, 1)
        return neutral + (state.beta @ self.expression.reshape(self.B, -1)).reshape(len(state.beta), -1, 3)

    def residuals(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """(n, L, 2) landmark and (n, L) depth errors in eye distances, unweighted."""
        return self._errors(self.points(state) @ np.swapaxes(state.rotation, 1, 2) + state.translation[:, None], state.focal)

    def _errors(self, P: np.ndarray, focal: float) -> tuple[np.ndarray, np.ndarray]:
        """`residuals` of points (n, L, 3) in camera axes."""
        uv = P[..., :2] / P[..., 2:] * focal + (self.camera.cx, self.camera.cy)
        to_pixels = focal / P[..., 2].mean(1)
        depth = (P[..., 2] - P[..., 2].mean(1, keepdims=True)) * to_pixels[:, None]
        want = self.y[..., 2] - self.y[..., 2].mean(1, keepdims=True)
        return (uv - self.y[..., :2]) / self.iod[:, None, None], (depth - want) / self.iod[:, None]

    def cost(self, state: State) -> float:
        """Of the data terms and of beta's prior: what the normal equations descend."""
        s = self.settings
        r2, rz = self.residuals(state)
        r2 = (r2**2).sum(-1)
        data = (r2 / (1 + r2 / s.robust**2)).sum() / s.landmark_sigma**2 + (rz**2).sum() / s.depth_sigma**2
        return float(data + (self.prior_weight(state.beta) * state.beta**2).sum())

    def normal_equations(self, state: State, frames: slice, shared: bool) -> tuple[np.ndarray, np.ndarray]:
        """Of the data terms of some frames: H (n, P, P) and g (n, P), P = B + 6 (+ A + 1 when shared), per-frame unknowns first."""
        s, n = self.settings, len(state.beta[frames])
        part = State(state.alpha, state.focal, state.beta[frames], state.rotation[frames], state.translation[frames])
        sub = copy.copy(self)
        sub.y, sub.iod = self.y[frames], self.iod[frames]
        S = sub.points(part)
        RS = S @ np.swapaxes(part.rotation, 1, 2)
        P = RS + part.translation[:, None]
        X, Y, Z = P[..., 0], P[..., 1], P[..., 2]
        k = part.focal / Z / sub.iod[:, None]
        to_pixels = part.focal / Z.mean(1) / sub.iod
        # Rows: u, v, depth. D is the derivative of the three by the point in camera axes.
        D = np.zeros((n, S.shape[1], 3, 3))
        D[..., 0, 0] = D[..., 1, 1] = k
        D[..., 0, 2], D[..., 1, 2] = -k * X / Z, -k * Y / Z
        D[..., 2, 2] = to_pixels[:, None]
        # The Jacobian is the bulk of the work; single precision is plenty for the direction of a step.
        D = D.astype(np.float32)
        DR = D @ part.rotation[:, None].astype(np.float32)
        columns = [_directions(DR, self._expression32)]
        turn = np.zeros((n, S.shape[1], 3, 3))
        turn[..., 0, 1], turn[..., 0, 2], turn[..., 1, 2] = RS[..., 2], -RS[..., 1], RS[..., 0]
        turn[..., 1, 0], turn[..., 2, 0], turn[..., 2, 1] = -RS[..., 2], RS[..., 1], -RS[..., 0]
        columns += [D @ turn.astype(np.float32), np.concatenate([D[..., :2, :], np.zeros_like(D[..., 2:, :])], -2)]
        if shared:
            # The distance goes with the focal length (a dolly zoom), which leaves only the change of perspective to it.
            away = part.translation[:, 2, None]
            by_focal = np.stack([k * X * (1 - away / Z), k * Y * (1 - away / Z), np.zeros_like(k)], -1)[..., None]
            columns += [_directions(DR, self._identity32), by_focal.astype(np.float32)]
        J = np.concatenate(columns, -1)
        r2, rz = sub._errors(P, part.focal)
        r = np.concatenate([r2, rz[..., None]], -1)
        robust = (s.robust**2 / (s.robust**2 + (r2**2).sum(-1))) ** 2 / s.landmark_sigma**2
        w = np.stack([robust, robust, np.full_like(robust, 1 / s.depth_sigma**2)], -1)
        J = J.reshape(n, -1, J.shape[-1])
        WJ = np.swapaxes(J * w.reshape(n, -1, 1).astype(np.float32), 1, 2)
        return (WJ @ J).astype(np.float64), (WJ @ r.reshape(n, -1, 1).astype(np.float32))[..., 0].astype(np.float64)

    def prior_weight(self, beta: np.ndarray) -> np.ndarray:
        """1 / variance of each expression coefficient, given its present sign."""
        return np.where(beta < 0, 1 / self.settings.negative**2, 1.0) / self.sigma**2


def _directions(DR: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """(n, L, 3, 3) x basis (L, 3, K) -> (n, L, 3, K)."""
    return DR @ basis
