# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine set-up and test from the preferences; what the set-up itself does is tested in tests/neural/test_setup_engine.py."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mien.neural.client import Engine
from mien.tests.neural.test_setup_engine import value, write_requirements, write_wheel

FAKE = Path(__file__).with_name("fake_jobs.py")


@pytest.fixture
def preferences(blender, monkeypatch, tmp_path):
    """The extension's preferences, which only an enabled extension has."""
    from mien.operators import engine_setup
    settings = SimpleNamespace(engine_python="", base_python="", device="CPU", wheels="", face_model="", recognition=True)
    monkeypatch.setattr(engine_setup, "preferences_of", lambda context: settings)
    monkeypatch.setattr(engine_setup, "engine_folder", lambda: tmp_path / "user" / "engine")
    return settings


def test_nothing_is_fetched_without_leave(blender, preferences, monkeypatch) -> None:
    from mien.operators import engine_setup
    monkeypatch.setattr(engine_setup, "online", lambda: False)
    with pytest.raises(RuntimeError, match="Allow Online Access first"):
        blender.ops.mien.setup_engine()
    assert engine_setup.setup_state() == {}


def test_set_up_from_a_folder_of_packages(blender, preferences, monkeypatch, tmp_path) -> None:
    """Without the network: the button makes the venv, installs, and chooses the new Python."""
    from mien.operators import engine_setup
    write_wheel(tmp_path / "wheels", "mien_small")
    write_wheel(tmp_path / "wheels", "mien_who")
    monkeypatch.setattr(engine_setup, "online", lambda: False)
    pins = write_requirements(tmp_path / "pins", "mien_small==1.0", known="mien_who==1.0")
    monkeypatch.setattr(engine_setup, "requirements", lambda: {"requirements": str(pins)})
    preferences.wheels, preferences.base_python = str(tmp_path / "wheels"), sys.executable
    assert blender.ops.mien.setup_engine() == {"FINISHED"}
    assert Path(preferences.engine_python).is_file()
    assert engine_setup.setup_state()["state"] == "done" and engine_setup.setup_state()["recognition"]
    assert value(Path(preferences.engine_python), "mien_who") == "7"


def test_a_python_that_is_too_new_is_told(blender, preferences, monkeypatch, tmp_path) -> None:
    from mien.operators import engine_setup
    monkeypatch.setattr(engine_setup, "online", lambda: True)
    preferences.base_python = str(tmp_path / "nothing")
    with pytest.raises(RuntimeError, match="does not exist"):
        blender.ops.mien.setup_engine()
    preferences.base_python = ""
    monkeypatch.setattr(engine_setup, "pythons", list)
    with pytest.raises(RuntimeError, match=r"No Python 3\.11 or 3\.12 was found"):
        blender.ops.mien.setup_engine()


@pytest.mark.skipif(os.name != "posix", reason="makes programs by their mode bits")
def test_pythons_are_found_by_name_the_best_first(blender, monkeypatch, tmp_path) -> None:
    from mien.operators import engine_setup
    for version in ("3.10", "3.12", "3.11", "3.13"):
        program = tmp_path / f"python{version}"
        program.write_text("")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(engine_setup, "_folders", list)
    assert [p.name for p in engine_setup.pythons()][:2] == ["python3.11", "python3.12"]


def test_the_test_says_what_is_missing_and_what_to_do(blender, monkeypatch) -> None:
    from mien.operators import engine, engine_setup
    monkeypatch.setattr(engine, "Engine", functools.partial(Engine, arguments=("--jobs", str(FAKE))))
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    with pytest.raises(RuntimeError, match=r"does not work yet \(torch\)"):
        blender.ops.mien.selftest()
    assert engine_setup.MIEN_OT_selftest.report_found["checks"][1]["fix"] == "Do this."


@pytest.mark.long
def test_another_python_is_not_shown_as_tested(blender, monkeypatch) -> None:
    from mien.operators import engine_setup
    from mien.ui import preferences
    monkeypatch.setattr(engine_setup.MIEN_OT_selftest, "report_found", {"checks": [1]})
    preferences.MienPreferences.__annotations__["engine_python"].keywords["update"](None, None)
    assert engine_setup.MIEN_OT_selftest.report_found == {}


def test_the_real_engine_is_fit(blender, monkeypatch) -> None:
    from mien.operators import engine_setup
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    assert blender.ops.mien.selftest() == {"FINISHED"}
    checks = engine_setup.MIEN_OT_selftest.report_found["checks"]
    assert [c["name"] for c in checks] == ["Packages", "Compiled loops", "Face finder", "Device", "Tiny edit"]
