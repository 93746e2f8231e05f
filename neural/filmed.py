# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the face is on a frame as filmed: projected by the solve and locked onto the tracked landmarks."""

from __future__ import annotations

import numpy as np

from ..mesh.camera import place
from ..mesh.shot import Solve, Track
from .rendering import PlateRenderer
from .visibility import LandmarkTrust


def filmed(renderer: PlateRenderer, solve: Solve, track: Track, trust: LandmarkTrust, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 2) pixels where the solve has them, the offset (V, 2) that locks them, and the vertices (V, 3) metres in camera axes; float64."""
    pose = solve.rotation[index].astype(np.float64), solve.translation[index].astype(np.float64)
    points = place(renderer.shape(solve.alpha, solve.beta[index]).astype(np.float64), *pose)
    xy = solve.camera.project(points)
    return xy, renderer.lock(xy, track.landmarks[index].astype(np.float64), trust(index)), points
