# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tracker sees its landmarks on ICT-FaceKit's face, measured on solved footage of several people.

    python -m mien.neural.models.calibrate ICT-FaceKit SHOT... [--test SHOT]... [-o ict_landmarks.csv]

The registration of `register.py` tells by shape alone where a landmark lies on a foreign mesh; the tracker's own idea differs by up to some
millimetres, and by the same for everybody. The shots are solved with the model, each landmark is moved along the surface to where its error
over all their frames is least, and that is done again. Shifts are mirror symmetric. Lid margins and inner lips stay, as closed must stay closed.
Only the rounded mean over the people is kept; shots given with --test are solved too, but have no say.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...mesh.camera import rotation_matrix
from ...mesh.model import FaceModel
from ...mesh.shot import Shot, Solve, Track
from ..default_model.tables import read_points, write_points
from ..default_model.topology import base_topology
from ..progress import Silent
from ..solving import solve_track
from ..solving.misfit import landmark_misses, mesh_misfit
from .build import CHAINS
from .ict import SHIFTS, read_ict
from .mesh_cut import closest_on_triangles

REACH = 0.008
"""Metres around a landmark in which its place is looked for."""
STAY = 0.02
"""What keeps a landmark where it is, as a part of what the footage says of a direction that it sees."""


def errors(model: FaceModel, track: Track, solve: Solve) -> tuple[np.ndarray, np.ndarray]:
    """Of the solved frames: what would have to be added to the landmarks, (n, L, 2) metres along the picture's axes; rotations (n, 3, 3)."""
    miss, points = landmark_misses(model, track, solve)
    return miss * points[..., 2:] / solve.camera.focal, rotation_matrix(solve.rotation[solve.solved].astype(np.float64))


def landmark_shifts(model: FaceModel, seen: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(L, 3) metres in the head frame, along the surface, from `errors` and rotations of shots; each shot counts the same.

    A shift d costs the mean over frames of |P R d - e|^2, P the picture's two axes; the least over the facets around is taken.
    """
    L = len(model.landmark_vertices)
    matrix, vector = np.tile(np.eye(3) * STAY, (L, 1, 1)), np.zeros((L, 3))
    for error, R in seen:
        rows = R[:, :2]
        matrix += (np.swapaxes(rows, 1, 2) @ rows).mean(0) / len(seen)
        vector += np.einsum("nki,nlk->li", rows, error) / len(error) / len(seen)
    # Mirror images lie at mirrored places: -x, y, z.
    mirror, flip = base_topology().mirror, np.array([-1.0, 1, 1])
    vector = (vector + vector[mirror] * flip) / 2
    matrix = (matrix + matrix[mirror] * flip[:, None] * flip) / 2
    mean = model.mean.astype(np.float64)
    corners = mean[model.triangles]
    shifts = np.zeros((L, 3))
    margins = [i for _, _, upper, lower in CHAINS.values() for i in (*upper, *lower)]
    for l in np.flatnonzero(~np.isin(model.landmark_ids, margins)):
        at = mean[model.landmark_vertices[l]]
        near = corners[(np.linalg.norm(corners - at, axis=2) < REACH).any(1)]
        upper = np.linalg.cholesky(matrix[l]).T  # the cost is |upper (d - best)|^2 and a constant
        number, weights = closest_on_triangles(upper @ np.linalg.solve(matrix[l], vector[l]), (near - at) @ upper.T)
        shifts[l] = weights @ (near[number] - at)
    return (shifts + shifts[mirror] * flip) / 2


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mien.neural.models.calibrate",
                                     description="Measure on footage where the tracker sees its landmarks on ICT-FaceKit's face.")
    parser.add_argument("folder", type=Path, metavar="ICT-FaceKit")
    parser.add_argument("shots", type=Path, nargs="+", metavar="SHOT", help="tracked shots, best one for each person")
    parser.add_argument("--test", type=Path, action="append", default=[], metavar="SHOT", help="a tracked shot that has no say")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--on", action="store_true", help="go on from the table that there is")
    parser.add_argument("-o", "--output", type=Path, help="the table to write")
    args = parser.parse_args(argv)
    shifts = read_points(SHIFTS, "shifts of landmarks") if args.on else np.zeros((len(base_topology().mirror), 3))
    shots = [(folder, Shot.load(folder)) for folder in (*args.shots, *args.test)]
    for round_ in range(args.rounds + 1):
        model = read_ict(args.folder, shifts=shifts)
        seen, told = [], []
        for folder, shot in shots:
            track = Track.load(shot)
            solve = solve_track(model, track, shot.plate, Silent())
            seen.append(errors(model, track, solve))
            told.append(f"{folder.stem} {mesh_misfit(model, track, solve):.2%}{' (test)' if folder in args.test else ''}")
        print(f"round {round_}, shifts of {np.sqrt((shifts**2).sum(1).mean()) * 1000:.2f} mm rms: {', '.join(told)}", flush=True)
        if round_ < args.rounds:
            shifts = shifts + landmark_shifts(model, seen[: len(args.shots)])
    if args.output:
        write_points(args.output, shifts)


if __name__ == "__main__":
    main()
