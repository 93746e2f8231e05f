# SPDX-License-Identifier: GPL-3.0-or-later
"""Which landmarks, start and cast a solve has: the choice, and whether what it needs is on this computer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bpy

from . import shots

LANDMARKS = (("mediapipe", "MediaPipe", "478 points of the whole face; comes with the engine"),
             ("face-alignment", "face-alignment", "The 68 points of Bulat & Tzimiropoulos where their network sees them, the rest of MediaPipe's "
                                                  "around them; needs its package and weights in the engine"))
WEIGHTS = "2DFAN4-cd938726ad.zip"
"""The same as neural.tracking.fan's, which is heavy to import; a test holds it."""


def weights_path() -> Path:
    """Where torch, and so face-alignment, keeps its weights."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch") / "hub" / "checkpoints" / WEIGHTS


def missing_landmarks(settings: Any) -> str:
    """Why the chosen landmarks cannot be tracked, for a poll; "" where they can, as far as Blender's side can see."""
    if settings.landmarks == "face-alignment" and not weights_path().is_file():
        return f"The weights of face-alignment are missing: put {WEIGHTS} into {weights_path().parent}, or choose MediaPipe under Method"
    return ""


def missing_start(settings: Any) -> str:
    """The same of the solve's start."""
    if not settings.rnet:
        return ""
    path = shots.absolute(settings.rnet)
    if not path.is_file():
        return f"R-Net's checkpoint {path} is missing: choose another file under Method, or clear the field"
    if not settings.model or settings.model in ("default", "ict", "flame"):
        return "R-Net starts a solve on a Basel Face Model: choose one as Model, or clear R-Net under Method"
    return ""


def poll(cls: type[bpy.types.Operator], settings: Any, *, track: bool) -> bool:
    """For polls of a solve, and of a track before it: False, with the reason, when something is missing."""
    reason = (missing_landmarks(settings) if track else "") or missing_start(settings)
    if reason:
        cls.poll_message_set(reason)
    return not reason


def track_options(settings: Any) -> dict[str, Any]:
    """Parameters for the job 'track'; none where it is as always."""
    return {} if settings.landmarks == "mediapipe" else {"landmarks": settings.landmarks}


def solve_options(settings: Any) -> dict[str, Any]:
    """Parameters for the job 'solve'; none where it is as always."""
    options: dict[str, Any] = {"photometric": True} if settings.photometric else {}
    if settings.rnet:
        options["rnet"] = str(shots.absolute(settings.rnet))
    if settings.cast:
        options["cast"] = str(shots.absolute(settings.cast))
        if settings.actor_name.strip():
            options["actor"] = settings.actor_name.strip()
    return options


CLASSES = ()
