# SPDX-License-Identifier: GPL-3.0-or-later
"""The least-squares problem of a shot: residuals, analytic Jacobians and normal equations, one small block per frame.

Unknowns shared by the shot, u = (alpha, log focal); of each frame, v = (beta, rotation, translation). A rotation is updated from the
left, R <- exp(w) R. Residuals are in units of their standard deviation, so the cost is a negative log likelihood:

    landmarks   |project(R (S(alpha, beta) + offset) + t) - y| / (eye * sigma), robust, less where the landmark is hidden
    depth       relative depth of the landmarks where the tracker has one, weak: it is plausible, not measured
    priors      alpha ~ N(0, 1), beta ~ N(0, expression_sigma) and tighter below zero (a muscle pulls), with heavy tails in the bundle, log focal ~ N
    time        beta(t) - beta(t-1) within a take

sigma and the prior of the focal length come from the shot itself: see `noise.py`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np

from ...mesh.camera import Camera, rotation_matrix, rotation_vector
from ...mesh.model import FaceModel

NOISE_SHARE = 0.02
"""Where it could not be measured: that of usual footage."""


@dataclass(frozen=True)
class SolveSettings:
    """Standard deviations and weights of the solve. Lengths on the picture are in eye distances (between the outer eye corners)."""

    pin: float = 60.0
    """Weight of a pinned landmark against a tracked one; a pin is never taken for an outlier."""
    landmark_sigma: float = 0.02
    """Of a landmark, before the shot's own errors are measured. Larger than a landmark's noise, because neighbours err together."""
    neighbours: float = 13.0
    """So many neighbouring landmarks share one structured error; it counts once, not once for each."""
    robust: float = 0.05
    """Landmark errors beyond this lose their say (Geman-McClure)."""
    bad_frame: float = 2.5
    """A frame whose landmarks fit this many times worse than usual is no keyframe and weighs little."""
    depth_sigma: float = 0.15
    """Of a landmark's relative depth."""
    negative: float = 0.25
    """Prior width below zero, as a part of expression_sigma."""
    lasting: float = 1.5
    """In the bundle the prior has heavy tails (Cauchy) beyond this many expression_sigma: an acted mood may last all take, is one event and not as
    many as there are keyframes, and would else be cheaper as another face."""
    blink: float = 0.5
    """The prior of eyeBlink directions always has them, beyond this many: a lid is open or closed, and seldom half of it."""
    beta_step: float = 0.08
    """Of beta's change between frames in a face that rests, as a part of expression_sigma."""
    beta_jump: float = 2.0
    """A change beyond this many times that is a movement, and smoothed less."""
    focal_sigma: float = 0.1
    """Of log focal length around the usual one where landmarks err together: their perspective is weak evidence then."""
    focal_sigma_free: float = 1.0
    """The same where errors are pure noise: the landmarks decide."""
    gaze_sigma: float = 0.05
    """Of the eyeLook directions as the iris tells them, in apexes."""
    lid_sigma: float = 0.01
    """Of the gap between the lids of a shut eye, as a part of the eye's width."""
    keyframes: int = 20
    """Frames that identity and camera are solved on."""
    rounds: int = 4
    """Most alternations between the bundle and the measurement of its errors."""
    bundle_iterations: int = 25
    frame_iterations: int = 8
    full_iterations: int = 3
    """Of these, so many make the normal matrix; the rest keep the last one."""
    converged: float = 0.01
    """A step in which nothing moves by more than this (radians, metres, apexes, standard deviations) is the last."""
    window: int = 240
    """Frames solved at a time; windows overlap."""
    overlap: int = 12


@dataclass(eq=False)
class Observed:
    """What was seen of one shot on n frames that all show the face. L landmarks, those that the model has, in its order."""

    y: np.ndarray
    """(n, L, 3) float64 pixels of a lens without distortion; z in the same scale, forward, NaN where the tracker gives none."""
    eye: np.ndarray
    """(n,) distance of the outer eye corners as if seen frontally, pixels: steady when the head turns, so it scales the errors."""
    weight: np.ndarray
    """(n, L) 0..1: how far the landmark can be believed."""
    iris: np.ndarray | None = None
    """(n, 2, 2) pixels: centres of the right and the left iris; None where the tracker has none."""
    sure: np.ndarray | None = None
    """(n, L) 0..1: how far the artist vouches for the landmark, by a pin; None where there are no pins."""

    def part(self, frames: slice | np.ndarray) -> Observed:
        iris, sure = (None if a is None else a[frames] for a in (self.iris, self.sure))
        return replace(self, y=self.y[frames], eye=self.eye[frames], weight=self.weight[frames], iris=iris, sure=sure)


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

    def part(self, frames: slice | np.ndarray) -> State:
        return State(self.alpha, self.focal, self.beta[frames], self.rotation[frames], self.translation[frames])

    def rotation_vectors(self) -> np.ndarray:
        return rotation_vector(self.rotation)


CHUNK = 32
"""Frames whose normal equations are made at a time."""


class Problem:
    """Observed frames against the landmark vertices of a model."""

    def __init__(self, model: FaceModel, seen: Observed, camera: Camera, settings: SolveSettings):
        vertices = model.landmark_vertices
        self.mean = model.mean[vertices].astype(np.float64)
        self.identity = model.identity[:, vertices].astype(np.float64)
        self.expression = model.expression[:, vertices].astype(np.float64)
        both = np.concatenate([self.expression, self.identity])
        self._directions = np.ascontiguousarray(np.moveaxis(both, 0, -1), np.float32)
        """(L, 3, B + A)"""
        self.prior_sigma = model.expression_sigma.astype(np.float64)
        self.tail = np.where([name.startswith("eyeBlink") for name in model.expression_names], settings.blink, np.inf)
        """(B,) in prior_sigma: beyond it a direction's prior has heavy tails."""
        self.seen, self.camera, self.settings = seen, camera, settings
        self.sigma = settings.landmark_sigma
        self.focal_sigma = settings.focal_sigma
        self.noise_share = NOISE_SHARE
        """White noise's part of sigma squared. Structured errors hardly change from frame to frame, so ties in time answer to the noise alone."""
        self.offset = np.zeros_like(self.mean)
        """(L, 3) metres in the head frame: where the tracker means another point of this person than the model."""
        margins = np.concatenate([model.lip_upper, model.lip_lower, *(v for k, v in model.loops.items() if k != "border")])
        self.may_differ = ~np.isin(vertices, margins)
        """(L,) bool: landmarks that may have an offset. Lids and inner lips have none, as closed is to be closed."""
        self.has_depth = bool(np.isfinite(seen.y[..., 2]).all())
        self.A, self.B = len(self.identity), len(self.expression)

    def _believed(self, r2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of squared errors (n, L): the landmarks' weights with the robust function's part, for places and for depths. A pin has no depth."""
        seen, s2 = self.seen, self.settings.robust**2
        robust = seen.weight * (s2 / (s2 + r2)) ** 2
        if seen.sure is None:
            return robust, seen.weight
        return robust + seen.sure * (self.settings.pin - robust), seen.weight * (1 - seen.sure)

    def of(self, seen: Observed) -> Problem:
        """The same problem, errors measured so far included, for other frames."""
        other = copy.copy(self)
        other.seen, other.has_depth = seen, bool(np.isfinite(seen.y[..., 2]).all())
        return other

    def points(self, state: State) -> np.ndarray:
        """(n, L, 3) in the head frame."""
        neutral = self.mean + self.offset + np.tensordot(state.alpha, self.identity, 1)
        return neutral + (state.beta @ self.expression.reshape(self.B, -1)).reshape(len(state.beta), -1, 3)

    def residuals(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """(n, L, 2) landmark and (n, L) depth errors in eye distances, unweighted; depth errors are 0 where there is no depth."""
        return self._errors(self.points(state) @ np.swapaxes(state.rotation, 1, 2) + state.translation[:, None], state.focal)

    def _errors(self, P: np.ndarray, focal: float) -> tuple[np.ndarray, np.ndarray]:
        """`residuals` of points (n, L, 3) in camera axes."""
        y, eye = self.seen.y, self.seen.eye
        uv = P[..., :2] / P[..., 2:] * focal + (self.camera.cx, self.camera.cy)
        error = (uv - y[..., :2]) / eye[:, None, None]
        if not self.has_depth:
            return error, np.zeros(P.shape[:2])
        to_pixels = focal / P[..., 2].mean(1)
        depth = (P[..., 2] - P[..., 2].mean(1, keepdims=True)) * to_pixels[:, None]
        want = y[..., 2] - y[..., 2].mean(1, keepdims=True)
        return error, (depth - want) / eye[:, None]

    def cost(self, state: State) -> float:
        """Of the data terms and of beta's prior in the bundle: what it descends."""
        s = self.settings
        r2, rz = self.residuals(state)
        r2 = (r2**2).sum(-1)
        places, depths = self.seen.weight / (1 + r2 / s.robust**2), self.seen.weight
        if self.seen.sure is not None:
            places, depths = places + self.seen.sure * (s.pin - places), depths * (1 - self.seen.sure)
        data = (places * r2).sum() / self.sigma**2 + (depths * rz**2).sum() / s.depth_sigma**2
        return float(data) + self.prior_cost(state.beta)

    def normal_equations(self, state: State, shared: bool) -> tuple[np.ndarray, np.ndarray]:
        """Of the data terms: H (n, P, P) and g (n, P), P = B + 6 (+ A + 1 when shared); beta, pose, alpha, log focal in this order."""
        parts = [self.of(self.seen.part(chunk))._normal_equations(state.part(chunk), shared)
                 for chunk in (slice(i, i + CHUNK) for i in range(0, len(state.beta), CHUNK))]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def gradient(self, state: State) -> np.ndarray:
        """(n, B + 6): what `normal_equations` gives as g for the frames' own unknowns, at a fraction of the cost."""
        s, seen, n = self.settings, self.seen, len(state.beta)
        turned = self.points(state) @ np.swapaxes(state.rotation, 1, 2)
        P = turned + state.translation[:, None]
        r2, rz = self._errors(P, state.focal)
        Z = P[..., 2]
        places, depths = self._believed((r2**2).sum(-1))
        pull = places / self.sigma**2 * state.focal / Z / seen.eye[:, None]
        error = np.concatenate([r2, -(P[..., :2] / Z[..., None] * r2).sum(-1, keepdims=True)], -1) * pull[..., None]
        shift = error.sum(1)
        if self.has_depth:
            error[..., 2] += depths * (state.focal / Z.mean(1) / seen.eye)[:, None] * rz / s.depth_sigma**2
        turn = np.cross(turned, error).sum(1)
        flat = self._directions[..., : self.B].reshape(-1, self.B)
        return np.concatenate([(error @ state.rotation).reshape(n, -1).astype(np.float32) @ flat, turn, shift], 1)

    def _normal_equations(self, state: State, shared: bool) -> tuple[np.ndarray, np.ndarray]:
        """The Jacobian of a model direction b is D R b, so no Jacobian is built: H = sum over landmarks of b^T (R^T D^T W D R) b.

        Single precision is plenty for the direction of a step.
        """
        s, seen, n = self.settings, self.seen, len(state.beta)
        turned = self.points(state) @ np.swapaxes(state.rotation, 1, 2)
        P = turned + state.translation[:, None]
        r2, rz = self._errors(P, state.focal)
        places, depths = self._believed((r2**2).sum(-1))
        robust = places / self.sigma**2
        Z = P[..., 2]
        k, x, y = state.focal / Z / seen.eye[:, None], P[..., 0] / Z, P[..., 1] / Z
        kk = robust * k * k
        # N = D^T W D of the picture's two rows; the depth's row adds to its last entry.
        N = np.zeros((n, P.shape[1], 3, 3), np.float32)
        N[..., 0, 0] = N[..., 1, 1] = kk
        N[..., 0, 2] = N[..., 2, 0] = -kk * x
        N[..., 1, 2] = N[..., 2, 1] = -kk * y
        N[..., 2, 2] = kk * (x * x + y * y)
        error = np.stack([robust * k * r2[..., 0], robust * k * r2[..., 1], -robust * k * (x * r2[..., 0] + y * r2[..., 1])], -1)
        # The other columns are moves q of the point: turn, shift (which keeps relative depth) and focal length.
        q = np.zeros((n, 7 if shared else 6, P.shape[1], 3), np.float32)
        for i, j, sign in ((0, 1, -1), (0, 2, 1), (1, 0, 1), (1, 2, -1), (2, 0, -1), (2, 1, 1)):
            q[:, i, :, j] = sign * turned[..., 3 - i - j]
        q[:, 3, :, 0] = q[:, 4, :, 1] = q[:, 5, :, 2] = 1
        if shared:
            # The distance goes with the focal length (a dolly zoom), which leaves only the change of perspective to it.
            q[:, 6, :, :2] = P[..., :2] * (1 - state.translation[:, 2, None] / Z)[..., None]
        shift_error = error.sum(1)
        Nq = _each(N, q)
        if self.has_depth:
            slope = (state.focal / Z.mean(1) / seen.eye)[:, None]
            deep = depths * slope * slope / s.depth_sigma**2
            N[..., 2, 2] += deep
            Nq[:, :3, :, 2] += deep[:, None] * q[:, :3, :, 2]
            error[..., 2] += depths * slope * rz / s.depth_sigma**2
        right = np.concatenate([Nq, error[:, None].astype(np.float32)], 1)
        flat = q.reshape(n, q.shape[1], -1)
        own = flat @ np.swapaxes(right.reshape(n, right.shape[1], -1), 1, 2)
        own[:, 3:6, :3] = np.swapaxes(own[:, :3, 3:6], 1, 2)
        own[:, 3:6, -1] = shift_error
        R = state.rotation.astype(np.float32)
        NR = (N.reshape(n, -1, 3) @ R).reshape(N.shape)
        M = (np.swapaxes(NR, 2, 3).reshape(n, -1, 3) @ R).reshape(N.shape)
        b = self._directions if shared else self._directions[..., : self.B]
        L, _, K = b.shape
        Mb = np.ascontiguousarray(M.transpose(1, 2, 0, 3)).reshape(L, 3 * n, 3) @ b
        directions = (b.reshape(3 * L, K).T @ Mb.reshape(3 * L, n * K)).reshape(K, n, K).transpose(1, 0, 2)
        cross = (right.reshape(n, -1, 3) @ R).reshape(-1, 3 * L) @ b.reshape(3 * L, K)
        cross = cross.reshape(n, right.shape[1], K)
        H = np.concatenate([np.concatenate([directions, np.swapaxes(cross[:, :-1], 1, 2)], 2), np.concatenate([cross[:, :-1], own[..., :-1]], 2)], 1)
        g = np.concatenate([cross[:, -1], own[..., -1]], 1)
        if shared:  # beta, alpha, pose, focal -> beta, pose, alpha, focal
            order = np.r_[0 : self.B, K : K + 6, self.B : K, K + 6]
            H, g = H[:, order[:, None], order], g[:, order]
        return H.astype(np.float64), g.astype(np.float64)

    def prior_weight(self, beta: np.ndarray, lasting: bool = False) -> np.ndarray:
        """1 / variance of each expression coefficient, given its sign and, where the prior has heavy tails, its size. lasting: as in the bundle."""
        weight = np.where(beta < 0, 1 / self.settings.negative**2, 1.0) / self.prior_sigma**2
        tail = np.minimum(self.tail, self.settings.lasting) if lasting else self.tail
        return weight / (1 + (np.maximum(beta, 0) / (tail * self.prior_sigma)) ** 2)

    def prior_cost(self, beta: np.ndarray) -> float:
        """Twice a negative log likelihood, whose slope is that of `prior_weight` in the bundle."""
        x, tail = beta / self.prior_sigma, np.minimum(self.tail, self.settings.lasting)
        return float(np.where(beta < 0, (x / self.settings.negative) ** 2, tail**2 * np.log1p((x / tail) ** 2)).sum())


def _each(N: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Symmetric matrices (n, L, 3, 3) times vectors (n, C, L, 3), without the cost of a call for each small product."""
    return sum(N[:, None, :, i] * q[..., i, None] for i in range(3))  # type: ignore[return-value]
