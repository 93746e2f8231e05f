# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity and cameras from chosen frames of one or several shots of one person: Levenberg-Marquardt on an arrow-shaped system.

The unknowns of each frame are eliminated by Schur complements, so a step costs the frames' number times the cube of one frame's unknowns.
Between bundles the shot's own errors are measured (`noise.py`) and give the next bundle its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from .noise import Errors, measured
from .problem import Problem, SolveSettings, State

OFFSET_FRAMES = 4
"""Fewer keyframes cannot tell what is constant."""
LEAST_GAIN, LEAST_SHARE = 0.3, 5e-4
"""A step that lowers the cost, twice a negative log likelihood, by less than the first, or than this share of it, is the last. On clean landmarks the
cost is large and a share of it alone would stop short of the lens."""
SETTLED = 0.1
"""A relative change of sigma below this ends the alternation."""


@dataclass
class Member:
    """One shot's keyframes in a bundle."""

    problem: Problem
    state: State
    usual: float
    """Focal length, pixels, that is expected, or given."""
    free: bool
    """Whether the focal length is solved."""
    white: float | None
    """Measured noise; see `noise.white_noise`."""
    errors: Errors | None = None
    """As measured last."""

    @property
    def stiff(self) -> float:
        """1 / variance of log focal; 0 holds it."""
        return 1 / self.problem.focal_sigma**2 if self.free else 0.0


def bundle(members: Sequence[Member], settings: SolveSettings, alpha: np.ndarray | None, tick: Callable[[int, int], None]) -> np.ndarray:
    """Solve the members' states in place; returns the identity (A,) they share. `alpha` holds a known identity; else it starts from the states'.

    tick(done, total) is called at least once an iteration.
    """
    held = alpha is not None
    alpha = np.mean([m.state.alpha for m in members], axis=0) if alpha is None else np.asarray(alpha, np.float64)
    for member in members:
        member.state.alpha = alpha
    total = settings.rounds * settings.bundle_iterations
    for round_ in range(settings.rounds):
        _descend(members, settings, held, lambda step, r=round_: tick(r * settings.bundle_iterations + step, total))
        changes = [measure_errors(m, settings) for m in members]
        if max(changes) < SETTLED:
            break
    # Once, at the end: in the bundle, offsets would take over what the identity is there for.
    for member in members:
        _measure_offset(member)
    tick(total, total)
    return members[0].state.alpha


def measure_errors(member: Member, settings: SolveSettings) -> float:
    """Set the problem's sigmas from its residuals; returns the relative change of sigma."""
    problem, state = member.problem, member.state
    if len(state.beta) < 2 or member.white is None:
        return 0.0
    residual, _ = problem.residuals(state)
    errors = measured(residual[problem.seen.weight > 0.5], member.white, settings)
    change = abs(np.log(max(errors.sigma, 1e-6) / problem.sigma))
    problem.sigma, problem.focal_sigma, problem.noise_share = max(errors.sigma, 1e-6), errors.focal_sigma, errors.noise_share
    member.errors = errors
    return float(change)


def _measure_offset(member: Member) -> None:
    """Where the tracker means another point of this person than the model does: the part of the residuals that stays on all keyframes.

    A landmark's offset is N(0, tau), with tau from the shot (what the means over frames vary more than chance), so it is the mean residual,
    taken back into the head frame and shrunk. On landmarks that err by noise alone it vanishes.
    """
    problem, state = member.problem, member.state
    n = len(state.beta)
    if n < OFFSET_FRAMES or member.white is None:
        return
    error, _ = problem.residuals(state)
    depth = (problem.points(state) @ np.swapaxes(state.rotation, 1, 2))[..., 2] + state.translation[:, None, 2]
    metres = np.concatenate([error * (problem.seen.eye[:, None] * depth / state.focal)[..., None], np.zeros((*depth.shape, 1))], -1)
    ours = -(metres @ state.rotation)  # R^T e, what would have to be added to the point
    weight = np.maximum(problem.seen.weight, 1e-6)[..., None] * (np.linalg.norm(error, axis=-1) < problem.settings.robust)[..., None] + 1e-9
    mean = (weight * ours).sum(0) / weight.sum(0)
    chance = (weight * (ours - mean) ** 2).sum(0) / weight.sum(0) / (n - 1)
    total = problem.offset + mean
    tau2 = max(float(np.median(total[:, :2] ** 2) * 2.2 - np.median(chance[:, :2])), 0.0)  # 2.2: variance over median square of a Gaussian
    problem.offset = total * tau2 / (tau2 + chance + 1e-12) * problem.may_differ[:, None]


def _descend(members: Sequence[Member], settings: SolveSettings, held: bool, tick: Callable[[int], None]) -> None:
    """Levenberg-Marquardt until a step gains little."""
    def cost(states: list[State]) -> float:
        data = sum(m.problem.cost(s) + m.stiff * np.log(s.focal / m.usual) ** 2 for m, s in zip(members, states))
        return float(data + (states[0].alpha ** 2).sum())

    damping, best = 1e-3, cost([m.state for m in members])
    systems = [m.problem.normal_equations(m.state, shared=True) for m in members]
    for step in range(settings.bundle_iterations):
        tick(step)
        trial = _arrow_step(members, systems, damping, held)
        now = cost(trial)
        if now >= best:  # too far from where the model of the step holds: a shorter, steeper one
            damping = min(damping * 10, 1e6)
            continue
        gain, best, damping = best - now, now, max(damping / 5, 1e-6)
        for member, state in zip(members, trial):
            member.state = state
        if gain < min(LEAST_GAIN, LEAST_SHARE * best):
            break
        systems = [m.problem.normal_equations(m.state, shared=True) for m in members]


def _arrow_step(members: Sequence[Member], systems: list[tuple[np.ndarray, np.ndarray]], damping: float, held: bool) -> list[State]:
    """The states after a damped step. Shared unknowns: alpha, then one log focal for each member."""
    A, F = members[0].problem.A, len(members)
    Huu, gu = np.zeros((A + F, A + F)), np.zeros(A + F)
    Huu[np.arange(A), np.arange(A)] = 1
    gu[:A] = members[0].state.alpha
    eliminated = []
    for f, (member, (H, g)) in enumerate(zip(members, systems)):
        problem, state = member.problem, member.state
        p, B, H, g = problem.B + 6, problem.B, H.copy(), g.copy()
        weight = problem.prior_weight(state.beta, lasting=True)
        i, j, shared = np.arange(B), np.arange(p), np.r_[0:A, A + f]
        H[:, i, i] += weight
        g[:, :B] += weight * state.beta
        H[:, j, j] *= 1 + damping
        Huu[np.ix_(shared, shared)] += H[:, p:, p:].sum(0)
        gu[shared] += g[:, p:].sum(0)
        if member.free:
            Huu[A + f, A + f] += member.stiff
            gu[A + f] += member.stiff * np.log(state.focal / member.usual)
        solved = np.linalg.solve(H[:, :p, :p], np.concatenate([H[:, :p, p:], g[:, :p, None]], -1))
        eliminated.append((H[:, :p, p:], solved[..., :-1], solved[..., -1], shared))
    Huu[np.arange(A + F), np.arange(A + F)] *= 1 + damping
    for Hvu, Y, z, shared in eliminated:
        Huu[np.ix_(shared, shared)] -= np.einsum("npu,npw->uw", Hvu, Y, optimize=True)
        gu[shared] -= np.einsum("npu,np->u", Hvu, z)
    free = np.r_[np.full(A, not held), [m.free for m in members]].astype(bool)
    du = np.zeros(A + F)
    if free.any():
        du[free] = -cho_solve(cho_factor(Huu[np.ix_(free, free)]), gu[free])
    return [m.state.moved(du[shared], -z - Y @ du[shared]) for m, (_, Y, z, shared) in zip(members, eliminated)]
