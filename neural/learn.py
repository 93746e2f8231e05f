# SPDX-License-Identifier: GPL-3.0-or-later
"""The job learn: what a shot teaches of skin and mouth, before an edit asks for it and has to wait. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .progress import Reporter


def _folder(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("a path")
    return Path(value)


def _settings(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("an object")
    return value


def learn(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """Fits what the settings' edit needs and the folder does not have yet; nothing to do is quick. Raises MienError.

    Returns {"skin", "mouth"}: whether the shot taught anything of each.
    """
    from ..mesh.emotion import EmotionCurves
    from ..mesh.shot import Shot
    from .edit import EditSettings, ShotEditor
    from .jobs import checked  # that module lists this one
    p = checked("learn", params, {"folder": _folder}, {"settings": _settings})
    shot = Shot.load(p["folder"])
    editor = ShotEditor(shot, EmotionCurves.constant(shot.plate.frame_count, happy=1.0), EditSettings.from_dict(p.get("settings")), report)
    return {"skin": editor.texture is not None, "mouth": editor.mouth is not None}
