# SPDX-License-Identifier: GPL-3.0-or-later
"""Help: every page is there and in the zip's reach; the demo's plate is made where it is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def test_every_page_opens(blender) -> None:
    from mien.operators import help
    for page, _, _ in help.PAGES:
        assert (help.DOCS / f"{page}.md").stat().st_size > 1000
        assert blender.ops.mien.help(page=page) == {"FINISHED"}


def test_a_demo_plate_that_exists_is_not_replaced(blender, saved: Path, monkeypatch) -> None:
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    saved.with_name("demo_plate.mp4").write_bytes(b"mine")
    with pytest.raises(RuntimeError, match="exists already"):
        blender.ops.mien.demo_plate()
    assert saved.with_name("demo_plate.mp4").read_bytes() == b"mine"


def test_the_demo_plate_needs_a_saved_file(blender, monkeypatch) -> None:
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    with pytest.raises(RuntimeError, match="Save the .blend"):
        blender.ops.mien.demo_plate()


@pytest.mark.long
def test_the_demo_plate_is_made_and_chosen(blender, saved: Path, monkeypatch) -> None:
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    assert blender.ops.mien.demo_plate() == {"FINISHED"}
    assert saved.with_name("demo_plate.mp4").stat().st_size > 50_000
    assert blender.context.scene.mien.plate == "//demo_plate.mp4"
    assert blender.context.scene.mien.shot_folder.rstrip("/\\") == "//demo_plate.mien"
