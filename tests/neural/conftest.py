# SPDX-License-Identifier: GPL-3.0-or-later
"""Shots of a small real plate, tracked and solved once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mien.mesh.shot import Shot
from mien.neural.progress import Silent
from mien.neural.stages import solve, track
from mien.tests.neural.portraits import FRAMES, portrait, write_movie


@pytest.fixture(scope="session")
def portrait_plate(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plate")
    return write_movie(folder / "portrait prise é.mov", [portrait(0.7 * i) for i in range(FRAMES)])


@pytest.fixture(scope="session")
def solved_portrait(portrait_plate) -> Path:
    """A shot folder of the portrait plate, tracked and solved. Copy it before changing it: see `shot`."""
    folder = portrait_plate.with_suffix(".mien")
    track(portrait_plate, folder, report=Silent())
    solve(folder, report=Silent())
    return folder


@pytest.fixture
def shot(solved_portrait, portrait_plate, tmp_path) -> Shot:
    """A shot of one's own, beside a copy of its plate."""
    shutil.copy(portrait_plate, tmp_path / portrait_plate.name)
    shutil.copytree(solved_portrait, tmp_path / "shot.mien")
    return Shot.load(tmp_path / "shot.mien")
