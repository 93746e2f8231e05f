# SPDX-License-Identifier: GPL-3.0-or-later
"""From landmarks to the coefficients of a face model: identity, camera, expression, pose."""

from .solve import SolveSettings, solve_track

__all__ = ["SolveSettings", "solve_track"]
