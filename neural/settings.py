# SPDX-License-Identifier: GPL-3.0-or-later
"""Training settings that arrive as plain values, from the command line or a job, checked against a dataclass. No heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..mesh.errors import MienError


def config_of(kind: type, values: Mapping[str, Any], at_least: Mapping[str, float]) -> Any:
    """A config from a dictionary; `at_least` has lower limits, everything else must not be negative.

    Raises MienError for an unknown name, a wrong type or a value out of range.
    """
    known = {f.name: f for f in fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise MienError(f"There is no training setting '{name}'; use one of {', '.join(sorted(known))}.")
        whole = known[name].type == "int"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise MienError(f"The training setting '{name}' must be {'a whole number' if whole else 'a number'}; it is {value!r}.")
        if not at_least.get(name, 0) <= value < float("inf"):
            raise MienError(f"The training setting '{name}' must be at least {at_least.get(name, 0):g}; it is {value}.")
    return kind(**{n: float(v) if known[n].type == "float" else v for n, v in values.items()})
