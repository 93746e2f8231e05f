# SPDX-License-Identifier: GPL-3.0-or-later
"""Gauss-Newton on a shot: identity and camera on chosen frames, then expression and pose on all, in windows of time."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solveh_banded

from ...mesh.camera import Camera, rotation_matrix
from ...mesh.errors import MienError
from ...mesh.model import FaceModel
from ...mesh.shot import Plate, Solve, Track
from ..progress import Reporter
from .initial import initial_pose
from .problem import Problem, SolveSettings, State

USUAL_FOCAL = 1.2
"""Focal length of an ordinary lens over the picture's longer side (43 mm on a 36 mm wide sensor)."""
CHUNK = 32


def solve_track(model: FaceModel, track: Track, plate: Plate, report: Reporter, *, focal: float | None = None,
                settings: SolveSettings = SolveSettings()) -> Solve:
    """Coefficients of every tracked frame. `focal` in pixels fixes the focal length, otherwise it is solved.

    One identity and one camera for the whole shot; time terms hold within a take only. Raises MienError when the model has
    none of the tracker's landmarks.
    """
    if model.landmark_scheme != track.scheme:
        raise MienError(f"The face model '{model.name}' has landmarks of '{model.landmark_scheme}', the track has '{track.scheme}'; "
                        "choose another model or track again.")
    found = np.flatnonzero(track.found)
    camera = Camera.centred(plate.width, plate.height, focal or USUAL_FOCAL * max(plate.width, plate.height))
    rows = model.landmark_ids
    rotation, translation = initial_pose(model.mean[model.landmark_vertices], track.landmarks[found][:, rows].astype(np.float64), camera)
    keys = _keyframes(rotation, track.landmarks[found], settings.keyframes)
    alpha, focal_solved = _bundle(model, rows, track.landmarks[found[keys]], camera, rotation[keys], translation[keys], settings, focal, report)
    translation = translation * np.array([1, 1, focal_solved / camera.focal])
    camera = Camera.centred(plate.width, plate.height, focal_solved)

    T, B = len(track.landmarks), model.expression_count
    solve = Solve(alpha.astype(np.float32), np.full((T, B), np.nan, np.float32), np.full((T, 3), np.nan, np.float32),
                  np.full((T, 3), np.nan, np.float32), np.full(T, np.nan, np.float32), track.cuts, camera, model.hash)
    first = {int(f): (rotation[i], translation[i]) for i, f in enumerate(found)}
    done = 0
    for start, end in track.segments:
        for a, b, keep_a, keep_b in _windows(start, end, settings):
            problem = Problem(model, rows, track.landmarks[a:b], camera, settings)
            r0, t0 = (np.stack(x) for x in zip(*(first[f] for f in range(a, b))))
            state = _solve_frames(problem, alpha, camera.focal, r0, t0)
            k = slice(keep_a - a, keep_b - a)
            solve.beta[keep_a:keep_b], solve.rotation[keep_a:keep_b] = state.beta[k], state.rotation_vectors()[k]
            solve.translation[keep_a:keep_b] = state.translation[k]
            error, _ = problem.residuals(state)
            solve.reprojection[keep_a:keep_b] = np.median(np.linalg.norm(error, axis=-1) * (problem.iod / problem.iod_seen)[:, None], axis=1)[k]
            done += keep_b - keep_a
            report.step("solve", done, len(found))
    return solve


def _keyframes(rotation: np.ndarray, landmarks: np.ndarray, count: int) -> np.ndarray:
    """Positions of frames that differ most in head turn and mouth, so that identity is told from expression."""
    eye = np.linalg.norm(landmarks[:, 33] - landmarks[:, 263], axis=1)
    gap = np.linalg.norm(landmarks[:, 13] - landmarks[:, 14], axis=1) / eye
    width = np.linalg.norm(landmarks[:, 61] - landmarks[:, 291], axis=1) / eye
    features = np.concatenate([rotation * 2, gap[:, None] * 3, width[:, None] * 3], 1)
    chosen = [int(np.argmin(gap))]
    distance = np.linalg.norm(features - features[chosen[0]], axis=1)
    while len(chosen) < min(count, len(features)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return np.sort(np.array(chosen))


def _bundle(model: FaceModel, rows: np.ndarray, landmarks: np.ndarray, camera: Camera, rotation: np.ndarray, translation: np.ndarray,
            settings: SolveSettings, focal: float | None, report: Reporter) -> tuple[np.ndarray, float]:
    """Identity (A,) and focal length, pixels, from the keyframes: an arrow-shaped system, the frames eliminated by Schur complements."""
    problem = Problem(model, rows, landmarks, camera, settings)
    state = State(np.zeros(problem.A), camera.focal, np.zeros((len(landmarks), problem.B)), rotation_matrix(rotation), translation.copy())
    usual = np.log(camera.focal)
    stiff = 0.0 if focal else 1 / settings.focal_sigma**2

    def cost(at: State) -> float:
        return problem.cost(at) + float((at.alpha**2).sum()) + stiff * (np.log(at.focal) - usual) ** 2

    damping, best = 1e-3, cost(state)
    H, g = _gather(problem, state, shared=True)
    for step in range(settings.bundle_iterations):
        report.step("identity", step, settings.bundle_iterations)
        du, dv = _arrow_step(problem, state, H, g, damping, stiff, usual)
        trial = state.moved(du, dv)
        now = cost(trial)
        if now >= best:  # too far from where the model of the step holds: a shorter, steeper one
            damping = min(damping * 10, 1e6)
            continue
        gain, state, best, damping = best - now, trial, now, max(damping / 5, 1e-6)
        if gain < 5e-4 * best:
            break
        H, g = _gather(problem, state, shared=True)
    report.step("identity", settings.bundle_iterations, settings.bundle_iterations)
    return state.alpha, state.focal


def _arrow_step(problem: Problem, state: State, H: np.ndarray, g: np.ndarray, damping: float, stiff: float,
                usual: float) -> tuple[np.ndarray, np.ndarray]:
    """A Levenberg-Marquardt step: du (A + 1,) of the shared unknowns, dv (n, B + 6) of the frames'. stiff = 0 holds the focal length."""
    A, B = problem.A, problem.B
    p, H, g = B + 6, H.copy(), g.copy()
    weight = problem.prior_weight(state.beta)
    i, j = np.arange(B), np.arange(p)
    H[:, i, i] += weight
    g[:, :B] += weight * state.beta
    Hvv, Hvu, gv = H[:, :p, :p], H[:, :p, p:], g[:, :p]
    Huu, gu = H[:, p:, p:].sum(0), g[:, p:].sum(0)
    Huu[np.arange(A), np.arange(A)] += 1
    gu[:A] += state.alpha
    Huu[A, A] += stiff or 1e12
    gu[A] += stiff * (np.log(state.focal) - usual)
    Hvv[:, j, j] *= 1 + damping
    Huu[np.arange(A + 1), np.arange(A + 1)] *= 1 + damping
    solved = np.linalg.solve(Hvv, np.concatenate([Hvu, gv[..., None]], -1))
    Y, z = solved[..., :-1], solved[..., -1]
    du = -cho_solve(cho_factor(Huu - np.einsum("npu,npw->uw", Hvu, Y, optimize=True)), gu - np.einsum("npu,np->u", Hvu, z))
    if not stiff:
        du[A] = 0
    return du, -z - Y @ du


def _gather(problem: Problem, state: State, shared: bool) -> tuple[np.ndarray, np.ndarray]:
    parts = [problem.normal_equations(state, slice(i, i + CHUNK), shared) for i in range(0, len(state.beta), CHUNK)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _solve_frames(problem: Problem, alpha: np.ndarray, focal: float, rotation: np.ndarray, translation: np.ndarray) -> State:
    """Expression and pose of one run of frames with identity and camera known; neighbours are tied by one banded system."""
    s, n, B = problem.settings, len(rotation), problem.B
    p = B + 6
    state = State(alpha, focal, np.zeros((n, B)), rotation_matrix(rotation), translation.copy())
    tie = 1 / (s.beta_step * problem.sigma) ** 2
    lower, column = np.tril_indices(p)
    for _ in range(s.frame_iterations):
        H, g = _gather(problem, state, shared=False)
        weight = problem.prior_weight(state.beta)
        i = np.arange(B)
        H[:, i, i] += weight
        g[:, :B] += weight * state.beta
        step = np.diff(state.beta, axis=0) * tie
        H[1:, i, i] += tie
        H[:-1, i, i] += tie
        g[1:, :B] += step
        g[:-1, :B] -= step
        # Lower banded form: entry (r, c) of the whole matrix stands at [r - c, c]; the tie to the next frame is p rows down.
        band = np.zeros((p + 1, n, p))
        band[lower - column, :, column] = H[:, lower, column].T
        band[0] *= 1 + 1e-6
        band[p, :-1, :B] = -tie
        dv = -solveh_banded(band.reshape(p + 1, n * p), g.ravel(), lower=True, check_finite=False)
        state = state.moved(None, dv.reshape(n, p))
        if np.abs(dv).max() < s.converged:
            break
    return state


def _windows(start: int, end: int, settings: SolveSettings) -> list[tuple[int, int, int, int]]:
    """Cover [start, end) by windows [a, b) of which [keep_a, keep_b) is kept, so that memory does not grow with the take."""
    result = []
    for keep in range(start, end, settings.window):
        keep_end = min(keep + settings.window, end)
        result.append((max(start, keep - settings.overlap), min(end, keep_end + settings.overlap), keep, keep_end))
    return result
