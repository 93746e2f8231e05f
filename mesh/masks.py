# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the artist's mask, as the engine and Blender both know them."""

from __future__ import annotations

import hashlib
from pathlib import Path

PICTURES = (".png", ".exr", ".jpg", ".jpeg", ".tif", ".tiff")


def picture_key(path: Path) -> str:
    """Changes when the picture does; what a bake's manifest holds for a frame. Raises OSError when it cannot be read."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:24]
