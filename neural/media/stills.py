# SPDX-License-Identifier: GPL-3.0-or-later
"""Single pictures of a sequence: names with frame numbers, reading and encoding PNG, TIFF, JPEG, DPX and EXR."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from ...mesh.errors import MienError
from ...mesh.files import atomic_path
from .exr import read_exr
from .movie import check_file, pixel_kind

STILLS = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".exr", ".dpx"}
HASHES = re.compile(r"#+")
PERCENT = re.compile(r"%0?(\d*)d")
NUMBER = re.compile(r"(\d+)(?=\D*$)")


@dataclass(frozen=True)
class Pattern:
    """The name of a sequence: `folder / (before + number + after)`, the number with at least `digits` digits; 0 for one picture without a number."""

    folder: Path
    before: str
    digits: int
    after: str

    @property
    def path(self) -> Path:
        """The pattern with `#` for the number."""
        return self.folder / (self.before + "#" * self.digits + self.after)

    def file(self, number: int) -> Path:
        return self.folder / (self.before + (str(number).zfill(self.digits) if self.digits else "") + self.after)

    def numbers(self) -> list[int]:
        """The frame numbers that exist, in order. Raises MienError when the folder cannot be listed."""
        fits = re.compile(re.escape(self.before) + r"(\d+)" + re.escape(self.after))
        try:
            found = [m.group(1) for m in map(fits.fullmatch, (p.name for p in self.folder.iterdir())) if m]
        except OSError as error:
            raise MienError(f"{self.folder} cannot be read ({error.strerror or error}); check the path and its permissions.") from error
        return sorted(int(n) for n in found if len(n) == self.digits or (len(n) > self.digits and n[0] != "0"))


def is_pattern(path: Path) -> bool:
    """True for `name.####.exr` and `name.%04d.exr`."""
    return bool(HASHES.search(path.name) or PERCENT.search(path.name))


def parse_pattern(path: Path, guess: bool = True) -> Pattern:
    """`name.####.exr`, `name.%04d.exr` or, with `guess`, one numbered file of a sequence, as a Pattern."""
    name = path.name
    match = list(HASHES.finditer(name))[-1:] or list(PERCENT.finditer(name))[-1:]
    if match:
        text = match[0].group(0)
        digits = len(text) if text.startswith("#") else max(int(match[0].group(1) or 1), 1)
        return Pattern(path.parent, name[:match[0].start()], digits, name[match[0].end():])
    number = NUMBER.search(path.stem) if guess else None
    if number:
        return Pattern(path.parent, name[:number.start()], len(number.group(1)), name[number.end():])
    return Pattern(path.parent, name, 0, "")


def read_still(path: Path) -> np.ndarray:
    """(H, W, 3|4) uint8 | uint16 | float32 RGB(A), contiguous, as the file holds it; grey becomes RGB. Raises MienError naming the file."""
    suffix = path.suffix.lower()
    if suffix == ".exr":
        pixels = read_exr(path)
        if pixels.ndim == 2:
            return np.repeat(pixels[:, :, None], 3, axis=2)
        return pixels
    if suffix == ".dpx":
        return _read_dpx(path)
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)  # not imread: it cannot open every Unicode path on Windows
    except FileNotFoundError as error:
        raise MienError(f"{path} is missing; render or copy that frame again.") from error
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror or error}); check the file's permissions.") from error
    except cv2.error:
        pixels = None
    if pixels is None:
        raise MienError(f"{path} is no readable picture; render or copy that frame again.")
    if pixels.dtype == np.float64:
        pixels = pixels.astype(np.float32)
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise MienError(f"{path} has pixels of type {pixels.dtype}; save it with 8 or 16 bits or as float.")
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if pixels.shape[2] == 4:
        return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def write_png(path: Path | str, pixels: np.ndarray) -> None:
    """Write (H, W, 3|4) uint8 | uint16 RGB(A) as PNG, atomically. Raises MienError when the folder cannot be written."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_png(pixels))


def encode_png(pixels: np.ndarray) -> bytes:
    """(H, W, 3|4) uint8 | uint16 RGB(A) as lossless PNG, quick rather than small (run lengths only)."""
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"cannot encode {pixels.shape} {pixels.dtype} as PNG")
    order = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    return cv2.imencode(".png", cv2.cvtColor(pixels, order), fast)[1].tobytes()


def _read_dpx(path: Path) -> np.ndarray:
    """DPX through FFmpeg: 8 bit as uint8, deeper as uint16; log files stay log."""
    check_file(path)
    try:
        with path.open("rb") as file, av.open(file, format="dpx_pipe") as container:
            frame = next(container.decode(container.streams.video[0]))
            return np.ascontiguousarray(frame.to_ndarray(format=pixel_kind(frame.format.name)[0]))
    except (av.error.FFmpegError, OSError, StopIteration, ValueError, IndexError) as error:
        raise MienError(f"{path} is no readable DPX picture; render or copy that frame again.") from error
