# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for every test. Test clips are optional: tests that need them skip where they are not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of test clips: $MIEN_CLIPS, or ../shared/clips beside the repository. Skips where there is none."""
    folder = Path(os.environ.get("MIEN_CLIPS") or REPOSITORY.parent / "shared" / "clips")
    if not folder.is_dir():
        pytest.skip(f"no test clips: {folder} is missing (set MIEN_CLIPS to a folder that has them)")
    return folder


@pytest.fixture(scope="session")
def clip(clips: Path) -> Callable[[str], Path]:
    """`clip("talk_kitchen")`: the test clip whose name starts so. Skips when the folder lacks it."""

    def find(prefix: str) -> Path:
        found = sorted(p for p in clips.iterdir() if p.name.startswith(prefix) and p.suffix in (".mp4", ".mov", ".avi"))
        if not found:
            pytest.skip(f"no test clip '{prefix}*' in {clips}")
        return found[0]

    return find


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave at once when Blender was loaded: its shutdown can hang on what is still registered, after all is reported."""
    status = getattr(config, "mien_exit_status", None)
    if "bpy" in sys.modules and status is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(status))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.mien_exit_status = exitstatus  # type: ignore[attr-defined]
