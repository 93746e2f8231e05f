# SPDX-License-Identifier: GPL-3.0-or-later
"""Some frames of a solved shot again, identity and camera held: after the artist has pinned landmarks there.

What is new is blended into the old solve over the frames around, so that nothing jumps at the ends.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...mesh.camera import rotation_matrix, rotation_vector
from ...mesh.errors import MienError
from ...mesh.model import FaceModel
from ...mesh.shot import Solve
from ..progress import Reporter
from .bundle import measure_errors
from .problem import SolveSettings
from .solve import Footage, Prepared, Start

BLEND = 6
"""Frames beyond those asked for over which the old solve takes over."""


def solve_again(model: FaceModel, footage: Footage, old: Solve, frames: np.ndarray, report: Reporter,
                settings: SolveSettings = SolveSettings()) -> Solve:
    """`old` with the frames (T,) bool solved again, with the pins of `footage`; its focal length, distortion and start are those of `old`.

    Raises MienError when none of the frames shows a face, or the solve is another model's.
    """
    if old.beta.shape[1] != model.expression_count or len(old.alpha) != model.identity_count:
        raise MienError(f"The solve does not fit the face model '{model.name}'; solve the whole shot again.")
    camera, track = old.camera, footage.track
    start = Start(old.alpha, old.beta, old.rotation, old.translation)
    shot = Prepared(model, replace(footage, focal=camera.focal, distortion=(camera.k1, camera.k2), start=start), settings)
    part = blend_weights(frames, track.segments)
    if not part.any():
        raise MienError("None of these frames shows a face; choose others.")
    if old.offset is not None:
        shot.member.problem.offset = old.offset.astype(np.float64)
    measure_errors(shot.member, settings)
    alpha = old.alpha.astype(np.float64)
    new, done = shot.empty_solve(alpha), 0
    runs = widened_runs(part > 0, track.segments, settings.overlap)
    report.step("solve", 0, len(part))
    for kept in shot.fill(new, alpha, runs):
        done += kept
        report.step("solve", done, max(done, sum(b - a for a, b in runs)))
    shot.warn(report)
    return blended(old, new, part)


def blend_weights(frames: np.ndarray, segments: list[tuple[int, int]]) -> np.ndarray:
    """(T,) in 0..1: 1 on frames (T,) bool, falling to 0 over BLEND frames around them; 0 outside of takes, and never across their ends."""
    weight = np.zeros(len(frames))
    for start, end in segments:
        chosen = np.flatnonzero(frames[start:end])
        if len(chosen):
            away = np.abs(np.arange(end - start)[:, None] - chosen).min(1)
            weight[start:end] = 0.5 + 0.5 * np.cos(np.pi * np.minimum(away / (BLEND + 1), 1))
    weight[weight < 1e-9] = 0
    return weight


def widened_runs(frames: np.ndarray, segments: list[tuple[int, int]], more: int) -> list[tuple[int, int]]:
    """[start, end) runs that hold the frames (T,) bool and `more` frames on either side, within their takes."""
    runs: list[tuple[int, int]] = []
    for start, end in segments:
        for i in np.flatnonzero(frames[start:end]) + start:
            a, b = max(start, int(i) - more), min(end, int(i) + more + 1)
            if runs and runs[-1][0] >= start and runs[-1][1] >= a:
                runs[-1] = (runs[-1][0], b)
            else:
                runs.append((a, b))
    return runs


def blended(old: Solve, new: Solve, part: np.ndarray) -> Solve:
    """The old solve and `part` (T,) of the way to the new one; rotations on the shortest way. A frame that only the new one has is taken from it."""
    there = new.solved & (part > 0)
    way = np.where(old.solved, part, 1.0)[there]
    result = replace(old, **{name: getattr(old, name).copy() for name in ("beta", "rotation", "translation", "reprojection")}, pins=new.pins)
    for name in ("beta", "translation", "reprojection"):
        a, b = (getattr(solve, name)[there] for solve in (old, new))
        w = way.reshape(-1, *[1] * (a.ndim - 1))
        getattr(result, name)[there] = np.where(w == 1, b, a + w * (b - a))
    a, b = rotation_matrix(np.nan_to_num(old.rotation[there])), rotation_matrix(new.rotation[there])
    turned = rotation_matrix(way[:, None] * rotation_vector(b @ np.swapaxes(a, 1, 2))) @ a
    result.rotation[there] = np.where(way[:, None] == 1, new.rotation[there], rotation_vector(turned))
    return result
