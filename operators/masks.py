# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's mask of a shot as a bake's state needs it: which picture each frame has, told without the engine.

The engine notes the hash of each frame's picture in the bake's manifest (neural.visibility.OcclusionMask.frame_key). A movie as mask is not looked
into: whoever gives one does it with a solve, which puts every frame out of date anyway.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from ..mesh.masks import PICTURES, picture_key
from ..mesh.shot import Shot

NUMBER = re.compile(r"\d+$")

Stamp = tuple[int, int]
"""Time and size of a file."""


def mask_pictures(shot: Shot) -> dict[int, tuple[Path, Stamp]]:
    """Frame number -> picture; those given to `mien solve --mask`, else those in the shot folder's occlusion/. Empty: no mask, or a movie."""
    given = shot.settings.get("mask")
    pattern = Path(os.path.normpath(shot.folder / given)) if given else None
    if pattern is not None and "#" not in pattern.name:
        return {}
    folder = pattern.parent if pattern else shot.folder / "occlusion"
    stem = pattern.stem.rstrip("#") if pattern else None
    found: dict[int, tuple[Path, Stamp]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name, suffix = os.path.splitext(entry.name)
                number = NUMBER.search(name)
                if number and suffix.lower() in PICTURES and stem in (None, name[:number.start()]):
                    status = entry.stat()
                    found[int(number.group())] = Path(entry.path), (status.st_mtime_ns, status.st_size)
    except OSError:
        return {}
    return found


def mask_keys(pictures: dict[int, tuple[Path, Stamp]]) -> dict[int, str]:
    """Frame number -> hash of its picture."""
    return {number: _key(path, stamp) for number, (path, stamp) in pictures.items()}


@functools.lru_cache(maxsize=20000)
def _key(path: Path, _stamp: Stamp) -> str:
    """As the engine's frame_key; read once for each state of the file."""
    try:
        return picture_key(path)
    except OSError:
        return "unreadable"


CLASSES = ()
