# SPDX-License-Identifier: GPL-3.0-or-later
"""The job train_stylegan: its parameters in their own types. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..progress import Reporter


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("a path")
    return Path(value)


def _paths(value: Any) -> list[Path]:
    if not isinstance(value, list) or not value:
        raise ValueError("a list of paths")
    return [_path(v) for v in value]


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _settings(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("an object")
    return value


def train_stylegan(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """`shots` are solved shot folders of one actor; settings: the fields of both configs, the encoder's with "encoder_" before them."""
    from ..jobs import checked, plain  # that module lists this one
    p = checked("train_stylegan", params, {"shots": _paths, "output": _path},
                {"resume": _flag, "settings": _settings, "start": _path, "lpips_network": _path, "alexnet": _path})
    from .command import train_stylegan as train
    return plain(train(p.pop("shots"), p.pop("output"), p.pop("resume", False), p.pop("settings", {}), report, **p))
