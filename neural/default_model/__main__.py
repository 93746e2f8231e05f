# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: build the default model, or draw its contact sheets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...mesh.errors import MienError
from ...mesh.model import DEFAULT_MODEL_PATH
from . import build


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mien.neural.default_model", description="Build the default face model.")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_MODEL_PATH, help="the npz to write")
    parser.add_argument("--sheets", type=Path, help="also draw contact sheets of the model into this folder")
    options = parser.parse_args(arguments)
    try:
        model = build()
        model.save(options.output)
        print(f"{options.output}: {model.vertex_count} vertices, {model.identity_count} identity and {model.expression_count} expression "
              f"directions, {options.output.stat().st_size / 1e6:.2f} MB")
        if options.sheets:
            from .sheets import draw_sheets
            for path in draw_sheets(model, options.sheets):
                print(path)
    except MienError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
