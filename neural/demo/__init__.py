# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's own plate: a portrait that moves, blinks and talks, made by the product's own solve and renderer."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """`mien demo`; see run.py, which is imported only here because it is heavy."""
    from .run import main as run

    return run(argv)
