# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic truth: takes of a virtual cast whose coefficients, pose and lens are known, solved and compared.

    python -m mien.neural.solving.truth [--model NAME] [--sequences 12] [--frames 120] [--noise 0.5] [--json FILE]

Each take has an actor of the virtual cast (`shape_gan/cast.py`: speech, blinks, glances, an emotion), a head that turns, nods and
sways, and a lens of 24 to 135 mm, spread evenly on a logarithmic scale. The face is 130 to 190 pixels between the outer eye corners on a
1280 x 720 picture. Landmarks get independent Gaussian noise on x and y and have no depth: what a tracker guesses of depth is no truth.

Sizes: a picture never tells a large head far away from a small one near, so head-frame shapes are compared up to one scale per take,
the only alignment that is made.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...mesh.camera import Camera, place, rotation_matrix
from ...mesh.emotion import EMOTIONS
from ...mesh.model import FaceModel, load_model
from ...mesh.shot import Plate, Solve, Track
from ..progress import Silent
from ..shape_gan.cast import cast_data
from ..shape_gan.config import CastConfig
from . import gaze
from .solve import solve_track

SIZE = (1280, 720)
LENSES = (24.0, 135.0)
"""mm on a 36 mm wide sensor."""
GOLDEN = (5**0.5 - 1) / 2
EYES = (130.0, 190.0)
"""Pixels between the outer eye corners, at the middle of a take."""
TURNS = (0.16, 0.32, 0.07)
"""Standard deviations of nod, turn and tilt, radians; a turn reaches some 35 degrees."""
SWAY = 0.02
"""Of the head's place in each direction, metres."""
MOVING = 0.05
"""A direction takes part in a take when its coefficient's standard deviation is above this, in apexes."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What a take was made from."""

    alpha: np.ndarray
    """(A,)"""
    beta: np.ndarray
    """(T, B)"""
    rotation: np.ndarray
    """(T, 3)"""
    translation: np.ndarray
    """(T, 3)"""
    camera: Camera


def make_take(model: FaceModel, seed: int, *, frames: int = 120, noise: float = 0.5, lens: float | None = None,
              alpha: np.ndarray | None = None) -> tuple[Track, Plate, Truth]:
    """A made-up take. noise: standard deviation of a landmark on each axis, pixels; lens in mm and alpha (A,): chosen when None."""
    rng = np.random.default_rng((31, seed))
    cast = cast_data(model, CastConfig(takes=1, frames=frames), seed, 1, noise=0)
    chosen = cast.take == rng.integers(len(EMOTIONS) + 1)
    beta = cast.beta[chosen]
    alpha = cast.alpha[chosen][0] if alpha is None else alpha
    if lens is None:  # the golden ratio's multiples fill the range evenly, however many takes there are
        lens = float(LENSES[0] * (LENSES[1] / LENSES[0]) ** (seed * GOLDEN % 1))
    camera = Camera.centred(*SIZE, lens / 36 * max(SIZE))
    distance = camera.focal * model.eye_distance / rng.uniform(*EYES)
    rotation = sway(rng, frames, 3) * TURNS
    centre = np.array([rng.uniform(-0.15, 0.15) * SIZE[0], rng.uniform(-0.1, 0.1) * SIZE[1], camera.focal]) * distance / camera.focal
    translation = centre + sway(rng, frames, 3) * SWAY
    points = place(model.shape(alpha, beta)[:, model.landmark_vertices].astype(np.float64), rotation, translation)
    landmarks = np.full((frames, 478, 3), np.nan)
    landmarks[:, model.landmark_ids, :2] = camera.project(points)
    irises = gaze.irises(model, alpha, beta, rotation, translation, camera)
    if irises is not None:
        for e, points in enumerate(gaze.IRIS):
            landmarks[:, list(points), :2] = irises[:, e, None]
    landmarks[..., :2] += rng.normal(0, noise, landmarks[..., :2].shape)
    track = Track(model.landmark_scheme, landmarks.astype(np.float32), np.ones(frames, np.float32), np.zeros(0, np.int32), np.ones(frames, np.int32),
                  np.arange(frames) / 25)
    plate = Plate("made-up", "movie", *SIZE, (25, 1), 1, frames)
    return track, plate, Truth(alpha, beta, rotation, translation, camera)


def sway(rng: np.random.Generator, frames: int, channels: int, width: int = 12) -> np.ndarray:
    """(frames, channels) of smooth noise, variance 1 over time, correlated over about `width` frames."""
    kernel = np.hanning(2 * width + 1)
    noise = rng.normal(size=(frames + 2 * width, channels))
    return np.stack([np.convolve(c, kernel / np.linalg.norm(kernel), "valid") for c in noise.T], 1)


def compare(model: FaceModel, solve: Solve, truth: Truth) -> dict[str, float]:
    """How far a solve is from the truth.

    rms_mm: root mean square distance of all vertices in the head frame, up to the take's scale, median of frames. focal: solved over true.
    beta: correlation of all coefficients of all frames as they are. beta_all: the same, each less its mean over the take, so that only motion
    counts. beta_moving: median over the directions that take part of their own correlations.
    turn_deg: median angle between the rotations. neutral_mm: as rms_mm, the face at rest.
    """
    good = solve.solved
    got, want = model.shape(solve.alpha, solve.beta[good]), model.shape(truth.alpha, truth.beta[good])
    scale = float((got.astype(np.float64) * want).sum() / (got.astype(np.float64) ** 2).sum())
    rms = np.sqrt(((got * scale - want) ** 2).sum(-1).mean(1)) * 1000
    rest = [model.neutral(a) for a in (solve.alpha, truth.alpha)]
    neutral = np.sqrt(((rest[0] * scale - rest[1]) ** 2).sum(-1).mean()) * 1000
    b0, b1 = (b - b.mean(0) for b in (solve.beta[good] * scale, truth.beta[good]))
    moving = np.flatnonzero(b1.std(0) > MOVING)
    own = [np.corrcoef(b0[:, i], b1[:, i])[0, 1] for i in moving]
    turn = rotation_matrix(solve.rotation[good]) @ np.swapaxes(rotation_matrix(truth.rotation[good]), 1, 2)
    angle = np.degrees(np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    return {"rms_mm": float(np.median(rms)), "neutral_mm": float(neutral), "focal": solve.camera.focal / truth.camera.focal,
            "beta": float(np.corrcoef(solve.beta[good].ravel(), truth.beta[good].ravel())[0, 1]),
            "beta_all": float(np.corrcoef(b0.ravel(), b1.ravel())[0, 1]), "beta_moving": float(np.median(own)) if own else 1.0,
            "turn_deg": float(np.median(angle)), "scale": scale, "reprojection": float(np.median(solve.reprojection[good]))}


def study(model: FaceModel, *, sequences: int = 12, frames: int = 120, noise: float = 0.5) -> list[dict]:
    """One row a take and case: `compare`'s numbers with seed, lens (mm), known (whether the lens was given) and ms a frame (CPU)."""
    rows = []
    for seed in range(sequences):
        track, plate, truth = make_take(model, seed, frames=frames, noise=noise)
        for known in (True, False):
            start = time.process_time()
            solve = solve_track(model, track, plate, Silent(), focal=truth.camera.focal if known else None)
            spent = (time.process_time() - start) * 1000 / frames
            rows.append({"seed": seed, "lens": truth.camera.focal * 36 / max(SIZE), "known": known, "ms": spent, **compare(model, solve, truth)})
    return rows


def table(name: str, rows: Sequence[dict]) -> list[str]:
    """Lines of text: each take, then the medians."""
    head = f"{name:<12}{'lens':>6} {'rms mm':>8}{'neutral':>8}{'focal':>8}{'beta':>8}{'motion':>8}{'moving':>8}{'turn deg':>9}{'ms/frame':>9}"
    lines = []
    for known in (True, False):
        part = [r for r in rows if r["known"] is known]
        lines += [f"{'focal given' if known else 'focal solved'}", head]
        lines += [_line(f"take {r['seed']}", r) for r in part]
        keys = ("lens", "rms_mm", "neutral_mm", "beta", "beta_all", "beta_moving", "turn_deg", "ms")
        middle = {k: float(np.median([r[k] for r in part])) for k in keys}
        lines.append(_line("median", {**middle, "focal": float(np.median([r["focal"] for r in part]))}))
        off = [abs(r["focal"] - 1) for r in part]
        least = min(r["beta"] for r in part)
        lines += [f"focal length off by {np.median(off):.1%} (median), {max(off):.1%} (worst); least correlation of beta {least:.3f}", ""]
    return lines


def _line(name: str, r: dict) -> str:
    return (f"{name:<12}{r['lens']:6.0f} {r['rms_mm']:8.2f}{r['neutral_mm']:8.2f}{r['focal']:8.3f}{r['beta']:8.3f}"
            f"{r['beta_all']:8.3f}{r['beta_moving']:8.3f}{r['turn_deg']:9.2f}{r['ms']:9.2f}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mien.neural.solving.truth", description="Solve takes whose truth is known.")
    parser.add_argument("--model", action="append", help="face model; more than one may be given (default)")
    parser.add_argument("--sequences", type=int, default=12)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--noise", type=float, default=0.5, help="of a landmark on each axis, pixels (0.5)")
    parser.add_argument("--json", type=Path, help="write every row")
    args = parser.parse_args(argv)
    everything = {}
    for name in args.model or ["default"]:
        rows = study(load_model(name), sequences=args.sequences, frames=args.frames, noise=args.noise)
        everything[name] = rows
        print("\n".join(table(name, rows)), flush=True)
    if args.json:
        args.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
