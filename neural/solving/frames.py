# SPDX-License-Identifier: GPL-3.0-or-later
"""Expression and pose of a run of frames with identity and camera known; neighbours in time are tied by one banded system."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.linalg import solveh_banded

from ...mesh.camera import Camera, rotation_matrix
from ...mesh.model import FaceModel
from .gaze import RADIUS, eyeballs, gaze_matrix, look
from .lids import Lids
from .problem import NOISE_SHARE, Problem, SolveSettings, State

APEX_LIMIT = 1.5
"""A gaze beyond this many apexes is an iris lost."""


class Gaze:
    """The iris as a witness of the eyeLook directions: linear in beta once the pose is known."""

    def __init__(self, model: FaceModel, alpha: np.ndarray, camera: Camera, apex: float, sigma: float):
        self.matrix = gaze_matrix(model)
        self.centres = np.zeros((2, 3)) if self.matrix is None else eyeballs(model, alpha)
        self.radius = RADIUS * model.eye_distance
        self.camera, self.apex, self.sigma = camera, apex, sigma

    def add(self, H: np.ndarray, g: np.ndarray, state: State, iris: np.ndarray, believed: np.ndarray) -> None:
        """Add the irises (n, 2, 2), believed (n, 2), to normal equations of beta (n, B, B) and (n, B), in place."""
        if self.matrix is None:
            return
        want = look(self.centres, self.radius, iris, state.rotation, state.translation, self.camera).reshape(len(iris), 4) / self.apex
        weight = np.repeat(believed, 2, axis=1) / self.sigma**2 * (np.abs(want) < APEX_LIMIT)
        error = state.beta @ self.matrix.T - want
        H += np.einsum("ki,nk,kj->nij", self.matrix, weight, self.matrix, optimize=True)
        g += (weight * error) @ self.matrix


class Term(Protocol):
    """Something else that the frames' unknowns are told by."""

    def add(self, H: np.ndarray, g: np.ndarray, state: State) -> None:
        """Add to normal equations (n, P, P) and (n, P) of beta, rotation and translation, in place."""


def solve_frames(problem: Problem, state: State, usual: float, gaze: Gaze | None, believed: np.ndarray | None, term: Term | None = None,
                 lids: Lids | None = None) -> State:
    """Gauss-Newton from `state` (n frames in a row). usual: median landmark error of good frames, eye distances.

    A frame that fits much worse than usual is bad: its landmarks weigh little, and its neighbours in time carry it.
    """
    s, n, B = problem.settings, len(state.beta), problem.B
    p = B + 6
    lower, column = np.tril_indices(p)
    i, weight0, data = np.arange(B), problem.seen.weight, np.zeros(0)
    for step in range(s.frame_iterations):
        if step >= 2:
            problem.seen.weight = weight0 * frame_trust(problem, state, usual)[:, None]  # pins keep theirs, see Problem._believed
        if step < s.full_iterations:
            data, g = problem.normal_equations(state, shared=False)
        else:  # near the solution the matrix hardly changes: only where to go is made anew
            g = problem.gradient(state)
        H = data.copy()
        if gaze is not None and problem.seen.iris is not None and believed is not None:
            gaze.add(H[:, :B, :B], g[:, :B], state, problem.seen.iris, believed)
        if lids is not None:
            lids.add(H[:, :B, :B], g[:, :B], state, problem.seen)
        if term is not None:
            term.add(H, g, state)
        prior = problem.prior_weight(state.beta)
        H[:, i, i] += prior
        g[:, :B] += prior * state.beta
        change = np.diff(state.beta, axis=0)
        tie = max(problem.noise_share, NOISE_SHARE) * time_tie(change, s.beta_step * problem.prior_sigma, s.beta_jump)
        H[1:, i, i] += tie
        H[:-1, i, i] += tie
        g[1:, :B] += change * tie
        g[:-1, :B] -= change * tie
        # Lower banded form: entry (r, c) of the whole matrix stands at [r - c, c]; the tie to the next frame is p rows down.
        band = np.zeros((p + 1, n, p))
        band[lower - column, :, column] = H[:, lower, column].T
        band[0] *= 1 + 1e-6
        band[p, :-1, :B] = -tie
        dv = -solveh_banded(band.reshape(p + 1, n * p), g.ravel(), lower=True, check_finite=False)
        state = state.moved(None, dv.reshape(n, p))
        if np.abs(dv).max() < s.converged and step >= 2:
            break
    problem.seen.weight = weight0
    return state


def time_tie(change: np.ndarray, step: np.ndarray, jump: float) -> np.ndarray:
    """1 / variance of beta's changes (n - 1, B), weaker where the face is moving: a heavy-tailed prior, reweighted."""
    return 1 / (step**2 * (1 + (change / (jump * step)) ** 2))


def misfit(problem: Problem, state: State) -> np.ndarray:
    """(n,) median landmark error of each frame, eye distances, of what is not hidden."""
    error = np.linalg.norm(problem.residuals(state)[0], axis=-1)
    hidden = problem.seen.weight < 0.5
    hidden[hidden.all(1)] = False
    return np.nanmedian(np.where(hidden, np.nan, error), axis=1)


def frame_trust(problem: Problem, state: State, usual: float) -> np.ndarray:
    """(n,) in 0..1: 1 for frames that fit as usual, falling with the fourth power of the misfit beyond `bad_frame` times that."""
    limit = problem.settings.bad_frame * usual
    return np.minimum(1.0, (limit / np.maximum(misfit(problem, state), 1e-12)) ** 4)


def windows(start: int, end: int, settings: SolveSettings) -> list[tuple[int, int, int, int]]:
    """Cover [start, end) by windows [a, b) of which [keep_a, keep_b) is kept, so that memory does not grow with the take."""
    result = []
    for keep in range(start, end, settings.window):
        keep_end = min(keep + settings.window, end)
        result.append((max(start, keep - settings.overlap), min(end, keep_end + settings.overlap), keep, keep_end))
    return result


def first_state(problem: Problem, alpha: np.ndarray, focal: float, rotation: np.ndarray, translation: np.ndarray,
                beta: np.ndarray | None = None) -> State:
    """The state to start from: rotations (n, 3), translations (n, 3), expressions (n, B); no expression when None."""
    beta = np.zeros((len(rotation), problem.B)) if beta is None else np.nan_to_num(beta).astype(np.float64)
    return State(np.asarray(alpha, np.float64), focal, beta, rotation_matrix(rotation), translation.copy())
