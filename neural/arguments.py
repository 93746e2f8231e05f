# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of command line arguments that several commands share. No heavy imports."""

from __future__ import annotations

import argparse


def unit(text: str) -> float:
    """A number within 0 and 1. Raises argparse.ArgumentTypeError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number within 0 and 1")
    return value
