# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine set-up and test: a Python of the engine's own, made in the extension's user folder, only when the button is pressed."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

import bpy

from ..mesh.errors import MienError
from ..mesh.files import read_json
from ..neural.client import Engine
from . import engine
from .engine import PACKAGE, JobOperator, log_folder, poll_engine, poll_idle

VERSIONS = ("3.11", "3.12")
"""Pythons that the pinned packages are made for, the preferred one first."""
NO_NETWORK = "Allow Online Access first (Edit > Preferences > System > Network), or choose a folder of downloaded packages"
NO_PYTHON = "No Python 3.11 or 3.12 was found; install one from python.org and choose it here"


def engine_folder() -> Path:
    """Inside the extension's own user folder; for a checkout, in Blender's folder for data files."""
    if PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(PACKAGE, path="engine"))
    return Path(bpy.utils.user_resource("DATAFILES", path="mien-engine"))


def requirements() -> dict[str, str]:
    """Which pins: the extension's own are the job's default."""
    return {}


def online() -> bool:
    """May Mien use the network?"""
    return bpy.app.online_access


def preferences_of(context: bpy.types.Context) -> bpy.types.AddonPreferences | None:
    """The extension's preferences; None while it is not an enabled extension."""
    addon = context.preferences.addons.get(PACKAGE)
    return addon.preferences if addon else None


def setup_state() -> dict[str, Any]:
    """What setup.json says: state ("unfinished", "done"), step, base, device, recognition; empty when there was no set-up."""
    path = engine_folder() / "setup.json"
    try:
        return read_json(path) if path.exists() else {}
    except MienError:
        return {"state": "unfinished", "step": "environment"}


@functools.cache
def find_python() -> Path | None:
    """A Python that can make the engine's environment: by its name on the path and in the usual places, at last Blender's own.

    Looked for once, as panels ask at every draw.
    """
    return next(iter(pythons()), None)


def pythons() -> list[Path]:
    """Candidates, the best first; not started, so a wrong one is told when the set-up starts."""
    found: list[Path] = []
    for version in VERSIONS:
        places = [shutil.which(f"python{version}"), *(folder / f"python{version}" for folder in _folders())]
        if sys.platform == "win32":
            short = version.replace(".", "")
            roots = [os.environ.get("LOCALAPPDATA", "") + r"\Programs\Python", os.environ.get("PROGRAMFILES", ""), "C:\\"]
            places += [Path(root) / f"Python{short}" / "python.exe" for root in roots if root]
        places += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)
        found += [Path(place) for place in places if place and Path(place).is_file()]
    if f"{sys.version_info[0]}.{sys.version_info[1]}" in VERSIONS and Path(sys.executable).is_file():
        found.append(Path(sys.executable))
    return list(dict.fromkeys(found))


def _folders() -> list[Path]:
    folders = [Path("/usr/bin"), Path("/usr/local/bin"), Path("/opt/homebrew/bin")]
    return folders + [Path(f"/Library/Frameworks/Python.framework/Versions/{version}/bin") for version in VERSIONS]


def base_python(preferences: bpy.types.AddonPreferences) -> Path | None:
    """The chosen Python, else one that is found."""
    return Path(bpy.path.abspath(preferences.base_python)) if preferences.base_python else find_python()


class MIEN_OT_setup_engine(JobOperator, bpy.types.Operator):
    """Make a Python of the engine's own and fetch its packages into it (about 2 GB, 4 with CUDA); again: go on where it stopped"""

    bl_idname = "mien.setup_engine"
    bl_label = "Set Up Engine"
    title = "Engine set-up"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        preferences = preferences_of(context)
        if preferences is None:
            cls.poll_message_set("Switch the extension on in the preferences first")
            return False
        if not online() and not preferences.wheels:
            cls.poll_message_set(NO_NETWORK)
            return False
        return poll_idle(cls)

    _engine: Engine | None = None

    def engine(self, context: bpy.types.Context) -> Engine:
        find_python.cache_clear()
        python = base_python(preferences_of(context))
        if python is None:
            raise MienError(NO_PYTHON + ".")
        engine.close_engine()  # it may run from the environment that is about to change
        self._engine = Engine(python, log_folder())
        return self._engine

    def release(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        preferences = preferences_of(context)
        params = {"folder": str(engine_folder()), "device": preferences.device.lower(), "recognition": preferences.recognition,
                  **requirements()}
        if preferences.wheels:
            params["wheels"] = bpy.path.abspath(preferences.wheels)
        return [("setup", params)]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        preferences_of(context).engine_python = results[-1]["python"]
        context.preferences.is_dirty = True
        if not bpy.app.background:
            bpy.ops.mien.selftest("INVOKE_DEFAULT")
        return "The engine is set up; it is tested now."


class MIEN_OT_selftest(JobOperator, bpy.types.Operator):
    """Start the engine, try each of its packages, edit a tiny picture"""

    bl_idname = "mien.selftest"
    bl_label = "Test the Engine"
    title = "Engine test"
    report_found: ClassVar[dict[str, Any]] = {}
    """What the last test found; see neural.selftest."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_engine(cls, context)

    def steps(self, context: bpy.types.Context) -> list[tuple[str, dict[str, Any]]]:
        MIEN_OT_selftest.report_found = {}
        return [("selftest", {})]

    def finished(self, context: bpy.types.Context, results: list[dict[str, Any]]) -> str:
        result = MIEN_OT_selftest.report_found = results[0]
        failed = [check["name"] for check in result["checks"] if not check["ok"]]
        if failed:
            raise MienError(f"The engine does not work yet ({', '.join(failed)}); its preferences say what to do.")
        return f"The engine works: Python {result['python']}, {result['device']}."


def forget_test(_preferences: bpy.types.AddonPreferences, _context: bpy.types.Context) -> None:
    """The update callback of the engine's Python: what was tested is another one now."""
    MIEN_OT_selftest.report_found = {}


class MIEN_OT_open_logs(bpy.types.Operator):
    """Show the folder of the engine's logs; the newest file is the last run"""

    bl_idname = "mien.open_logs"
    bl_label = "Logs"

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder = log_folder()
        folder.mkdir(parents=True, exist_ok=True)
        bpy.ops.wm.path_open(filepath=str(folder))
        return {"FINISHED"}


CLASSES = (MIEN_OT_setup_engine, MIEN_OT_selftest, MIEN_OT_open_logs)
