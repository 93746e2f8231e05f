# SPDX-License-Identifier: GPL-3.0-or-later
"""Validate the extension and build its zip with Blender's own extension tool: dist/mien-VERSION.zip.

    python build/package.py [--output-dir dist]
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def extension_tool() -> Path:
    """Blender's command-line extension tool inside the bpy module (which is found but not imported)."""
    spec = importlib.util.find_spec("bpy")
    if spec is None or spec.origin is None:
        sys.exit("The module bpy is not installed in this environment; run 'make env'.")
    found = sorted(Path(spec.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    if not found:
        sys.exit(f"Blender's extension tool is not in {Path(spec.origin).parent}; reinstall bpy with 'make distclean env'.")
    return found[-1]


def build(output: Path) -> Path:
    """Validate the source tree, build the zip, validate the zip. Returns its path; exits on failure."""
    tool = [sys.executable, str(extension_tool())]
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("mien-*.zip"):
        old.unlink()
    steps = [["validate", str(ROOT)], ["build", "--source-dir", str(ROOT), "--output-dir", str(output)]]
    for step in steps:
        if subprocess.run([*tool, *step], check=False).returncode:
            sys.exit(f"'{step[0]}' of Blender's extension tool failed.")
    packages = list(output.glob("mien-*.zip"))
    if len(packages) != 1:
        sys.exit(f"One zip was expected in {output}, there are {len(packages)}.")
    if subprocess.run([*tool, "validate", str(packages[0])], check=False).returncode:
        sys.exit(f"{packages[0]} does not validate.")
    return packages[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=ROOT / "dist")
    path = build(parser.parse_args().output_dir.resolve())
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
