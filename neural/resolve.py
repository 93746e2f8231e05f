# SPDX-License-Identifier: GPL-3.0-or-later
"""The job resolve: some frames of a solved shot again, after the artist has pinned landmarks on them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .progress import Reporter


def _folder(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("a path")
    return Path(value)


def _ranges(value: Any) -> list[list[int]]:
    if not isinstance(value, list) or not all(isinstance(r, list) and len(r) == 2 and all(isinstance(n, int) for n in r) for r in value):
        raise ValueError("a list of [first, last] frame numbers")
    return value


def resolve(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """folder, [frames]: the frames around pins that changed since the solve, and `frames`. Returns the summary of a solve and "again", how many."""
    from ..mesh.errors import MienError
    from ..mesh.shot import Shot
    from .jobs import checked, solve_summary  # that module lists this one
    p = checked("resolve", params, {"folder": _folder}, {"frames": _ranges})
    if not Shot.load(p["folder"]).solve_path.exists():
        raise MienError(f"{p['folder']} is tracked but not solved yet; solve the shot first ('mien solve').")
    from . import stages
    shot, again = stages.resolve(p["folder"], frames=p.get("frames"), report=report)
    return {**solve_summary(shot), "again": again}
