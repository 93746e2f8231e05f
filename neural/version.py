# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of Mien, from the manifest that ships inside the extension. Standard library only."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path


def mien_version() -> str:
    """The manifest's version, else that of the installed package, else "unknown"."""
    try:
        # A regular expression, since Python 3.10 has no TOML reader.
        text = (Path(__file__).parent.parent / "blender_manifest.toml").read_text(encoding="utf-8")
        found = re.search(r'^version\s*=\s*"([^"]+)"', text, re.MULTILINE)
        if found:
            return found[1]
    except OSError:
        pass  # a checkout without a manifest
    try:
        return metadata.version("mien")
    except metadata.PackageNotFoundError:
        return "unknown"
