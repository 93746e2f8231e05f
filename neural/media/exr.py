# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenEXR files: face layers, mattes and plates. Half float, ZIP, written under a temporary name first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR

from ...mesh.errors import MienError
from ...mesh.files import atomic_path
from .colour import as_half


def write_face_layer(path: Path | str, rgba: np.ndarray, *, origin: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None) -> None:
    """Write a face layer: (h, w, 4) float, scene-linear, premultiplied.

    The array may be only the patch: `origin` is the (x, y) pixel of its first corner in the frame and `size` the frame's
    (width, height); that is quicker to convert, and transparent around it. Raises MienError when the folder cannot be written.
    """
    if rgba.ndim != 3 or rgba.shape[2] != 4:
        raise ValueError(f"a face layer is (h, w, 4), not {rgba.shape}")
    write_exr(path, rgba, origin=origin, size=size)


def write_matte(path: Path | str, matte: np.ndarray, *, origin: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None) -> None:
    """Write a matte: (h, w) float in 0..1, the single channel Y, which Blender shows as grey. `origin` and `size` as in `write_face_layer`."""
    if matte.ndim != 2:
        raise ValueError(f"a matte is (h, w), not {matte.shape}")
    write_exr(path, matte, origin=origin, size=size)


def write_exr(path: Path | str, pixels: np.ndarray, *, origin: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None,
              full_float: bool = False) -> None:
    """Write (h, w) or (h, w, 3|4) float pixels, half unless `full_float`, ZIP compressed (16 lines a block), zero around a patch. Raises MienError.

    The data window is always the whole frame: Blender 5.0 takes the data window for the picture and loses where it was.
    """
    height, width = pixels.shape[:2]
    frame_width, frame_height = size or (width, height)
    x, y = origin
    if not (x >= 0 and y >= 0 and x + width <= frame_width and y + height <= frame_height):
        raise ValueError(f"a {width} x {height} patch at {origin} leaves the {frame_width} x {frame_height} frame")
    data = np.ascontiguousarray(pixels, dtype=np.float32) if full_float else as_half(pixels)
    if (width, height) != (frame_width, frame_height):
        frame = np.zeros((frame_height, frame_width, *data.shape[2:]), data.dtype)
        frame[y:y + height, x:x + width] = data
        data = frame
    with atomic_path(path) as temporary:
        save_exr(temporary, data)


def save_exr(path: Path, data: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3|4) float16 | float32 straight to `path`. Raises OSError."""
    name = "Y" if data.ndim == 2 else "RGB" if data.shape[2] == 3 else "RGBA"
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    try:
        OpenEXR.File(header, {name: OpenEXR.Channel(data)}).write(str(path))
    except RuntimeError as error:  # the binding reports failed writes so, with the path that nobody asked for in the text
        raise OSError(0, str(error).rsplit('" ', 1)[-1].rsplit('".', 1)[-1].strip(" .") or "the file could not be written") from error


def read_exr(path: Path | str) -> np.ndarray:
    """Read an EXR: (H, W, 3|4) float32 for RGB(A), (H, W) for one channel; the display window, zero outside the data window. Raises MienError."""
    return _framed(path)[0]


def exr_info(path: Path | str) -> tuple[int, int, bool, bool]:
    """(width, height, alpha, full float) of an EXR; reads the picture, since the header alone does not tell the type. Raises MienError."""
    pixels, kind = _framed(path)
    return pixels.shape[1], pixels.shape[0], pixels.ndim == 3 and pixels.shape[2] == 4, kind != np.float16


def _framed(path: Path | str) -> tuple[np.ndarray, np.dtype]:
    """The picture as float32 over its display window, and the type that the file holds."""
    part = _open(path)
    header, channels = part.header, part.channels
    names = _pick(list(channels))
    if not names:
        raise MienError(f"{path} has no RGB or Y channels; export the picture as RGB or RGBA.")
    planes = [channels[name].pixels for name in names]
    kind = np.result_type(*planes)
    data = planes[0].astype(np.float32) if len(planes) == 1 else np.stack(planes, axis=-1).astype(np.float32, copy=False)
    (dx0, dy0), (dx1, dy1) = header["dataWindow"]
    (fx0, fy0), (fx1, fy1) = header["displayWindow"]
    if (dx0, dy0, dx1, dy1) == (fx0, fy0, fx1, fy1):
        return np.ascontiguousarray(data), kind
    frame = np.zeros((fy1 - fy0 + 1, fx1 - fx0 + 1, *data.shape[2:]), np.float32)
    x0, y0, x1, y1 = max(dx0, fx0), max(dy0, fy0), min(dx1, fx1), min(dy1, fy1)
    if x0 <= x1 and y0 <= y1:
        frame[y0 - fy0:y1 - fy0 + 1, x0 - fx0:x1 - fx0 + 1] = data[y0 - dy0:y1 - dy0 + 1, x0 - dx0:x1 - dx0 + 1]
    return frame, kind


def _open(path: Path | str) -> OpenEXR.Part:
    """The first part of the file."""
    path = Path(path)
    if not path.is_file():
        raise MienError(f"{path} is missing; check the path or write the frame again.")
    try:
        return OpenEXR.File(str(path), separate_channels=True).parts[0]
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        raise MienError(f"{path} cannot be read as EXR ({_reason(error)}); write or copy it again.") from error


def _pick(names: list[str]) -> list[str]:
    """The channels of the picture: plain R, G, B (A) first, then a layer's (Combined before others), then one alone; empty when there is none."""
    layers = sorted({name.rpartition(".")[0] for name in names}, key=lambda layer: (layer != "", "Combined" not in layer, layer))
    for layer in layers:
        group = [f"{layer}.{c}" if layer else c for c in "RGBA"]
        if all(name in names for name in group[:3]):
            return [name for name in group if name in names]
    grey = [name for name in names if name.rpartition(".")[2] == "Y"]
    return grey[:1] or (names if len(names) == 1 else [])


def _reason(error: Exception) -> str:
    """The first line of a library's message, without a full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")
