# SPDX-License-Identifier: GPL-3.0-or-later
"""From landmarks to the coefficients of a face model: identity, camera, expression, pose."""

from .local import solve_again
from .problem import SolveSettings
from .solve import Footage, Start, solve_shots, solve_track

__all__ = ["Footage", "Start", "SolveSettings", "solve_again", "solve_shots", "solve_track"]
