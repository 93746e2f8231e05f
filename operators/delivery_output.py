# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a delivery is written: a temporary folder beside it, whose content is checked frame by frame and only then renamed.

Blender itself does not always say that a disk is full: a movie then ends early and an EXR lacks its last lines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import bpy

from ..mesh.errors import MienError
from ..mesh.shot import Shot
from . import composite

EXR_MAGIC = b"\x76\x2f\x31\x01"
EXR_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""Lines in a block, by the number of the compression in the header."""
EXR_HEADER = 1 << 16
"""Bytes within which the header of a picture made here ends."""


@dataclass
class Output:
    """Where Blender writes, and how that becomes the delivery."""

    final: Path
    """Movie, or sequence pattern with #."""
    first: int
    last: int
    """Frame numbers, both included."""
    folder: Path
    """Temporary folder beside `final`."""

    @classmethod
    def open(cls, final: Path, shot: Shot, first: int, last: int) -> Output:
        """Raises MienError when nothing can be written there, or when it would replace the plate."""
        numbered = final.with_name(_numbered(final.name, shot.plate.first_frame))
        if numbered.resolve() in (shot.plate_path.resolve(), composite.plate_file(shot, 0).resolve()):
            raise MienError(f"{final} is the plate itself; choose another name.")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            folder = Path(tempfile.mkdtemp(prefix=f".{final.stem.rstrip('#.')}.", suffix=".tmp", dir=final.parent))
            return cls(final, first, last, folder)
        except OSError as error:
            raise MienError(f"Cannot write {final}: {error.strerror or error}; check the folder's permissions and free space.") from error

    @property
    def pattern(self) -> str:
        """`scene.render.filepath`."""
        return str(self.folder / self.final.name)

    def commit(self) -> None:
        """Check that every frame is there, then rename. Raises MienError; nothing is left then."""
        try:
            if composite.HASHES.search(self.final.name) and self.final.suffix.lower() in (".png", ".exr"):
                self._commit_sequence()
            else:
                self._commit_movie()
        except OSError as error:
            raise MienError(f"Cannot write {self.final}: {error.strerror or error}; check the folder's permissions and free space.") from error
        finally:
            self.discard()

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _commit_sequence(self) -> None:
        names = [_numbered(self.final.name, n) for n in range(self.first, self.last + 1)]
        bad = [n for n in names if not _complete(self.folder / n)]
        if bad:
            raise MienError(f"Blender could not write {self.final.with_name(bad[0])}; check the folder's permissions and free space.")
        for name in names:
            os.replace(self.folder / name, self.final.with_name(name))

    def _commit_movie(self) -> None:
        path = self.folder / self.final.name
        frames, wanted = _movie_frames(path), self.last + 1 - self.first
        if frames != wanted:
            raise MienError(f"Blender wrote {frames} of {wanted} frames of {self.final}; "
                            "check the folder's permissions and free space.")
        os.replace(path, self.final)


def _numbered(name: str, number: int) -> str:
    """"x.####.png", 7 -> "x.0007.png"."""
    return composite.HASHES.sub(lambda m: str(number).zfill(len(m.group())), name)


def _complete(path: Path) -> bool:
    """Has a PNG or EXR been written to its end?"""
    with contextlib.suppress(OSError, struct.error, LookupError, ValueError), path.open("rb") as file:
        if path.suffix.lower() == ".exr":
            return _exr_complete(file)
        file.seek(-8, os.SEEK_END)
        return file.read(4) == b"IEND"
    return False


def _exr_complete(file: BinaryIO) -> bool:
    """Does every block of lines of a single-part scanline EXR lie within the file?"""
    head, size = file.read(EXR_HEADER), os.fstat(file.fileno()).st_size
    if head[:4] != EXR_MAGIC:
        return False
    at, attributes = 8, {}
    while head[at]:
        name_end = head.index(b"\0", at)
        type_end = head.index(b"\0", name_end + 1)
        (length,) = struct.unpack_from("<i", head, type_end + 1)
        attributes[head[at:name_end]] = head[type_end + 5:type_end + 5 + length]
        at = type_end + 5 + length
    _, top, _, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
    blocks = -(-(bottom - top + 1) // EXR_LINES[attributes[b"compression"][0]])
    file.seek(at + 1)
    for offset in struct.unpack(f"<{blocks}Q", file.read(8 * blocks)):
        file.seek(offset)
        _, length = struct.unpack("<2i", file.read(8))
        if not offset or offset + 8 + length > size:
            return False
    return True


def _movie_frames(path: Path) -> int:
    """Frames of a movie by Blender's own reader; 0 when it cannot be read."""
    if not path.is_file():
        return 0
    try:
        clip = bpy.data.movieclips.load(str(path))
    except RuntimeError:
        return 0
    try:
        return clip.frame_duration
    finally:
        bpy.data.movieclips.remove(clip)
