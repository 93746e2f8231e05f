# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfer functions, and the few conversions between pixel types that reading and writing plates need.

A plate's integer pixels are display-referred and taken as sRGB; float pixels are scene-linear with the sRGB/Rec.709
primaries. Integers carry straight alpha, float pixels premultiplied alpha, as PNG and EXR define it.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

KNEE = 0.04045
"""Where IEC 61966-2-1 changes from a line to a power, in encoded values. The linear side is KNEE / 12.92, so that the functions invert each other."""

HALF_MAX = 65504.0
"""The greatest finite half float."""


def srgb_to_linear(x: np.ndarray) -> np.ndarray:
    """Decode sRGB to linear light (IEC 61966-2-1): (...) float in, same shape and float type out; beyond 0..1 it goes on as it is."""
    x = _as_float(x)
    return np.where(x <= KNEE, x / 12.92, ((np.maximum(x, KNEE) + 0.055) / 1.055) ** 2.4).astype(x.dtype, copy=False)


def linear_to_srgb(x: np.ndarray) -> np.ndarray:
    """Encode linear light as sRGB (IEC 61966-2-1), the inverse of `srgb_to_linear`: (...) float in, same shape and float type out."""
    x = _as_float(x)
    knee = KNEE / 12.92
    return np.where(x <= knee, x * 12.92, 1.055 * np.maximum(x, knee) ** (1 / 2.4) - 0.055).astype(x.dtype, copy=False)


def display8(pixels: np.ndarray, linear: bool) -> np.ndarray:
    """(H, W, 3|4) uint8 | uint16 | float -> (H, W, 3) uint8 sRGB, contiguous, what networks look at. Alpha is left out; may return the input itself.

    `linear` says what float pixels are; integers are display-referred whatever it says.
    """
    rgb = pixels[..., :3]
    if rgb.dtype == np.uint8:
        return np.ascontiguousarray(rgb)
    if rgb.dtype == np.uint16:
        return np.ascontiguousarray(_narrow()[rgb])
    half = as_half(rgb).view(np.uint16)  # a NaN stays one, and the table makes it 0
    return np.ascontiguousarray((_half_to_display() if linear else _half_to_code())[half])


def to_linear(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3|4) plate pixels -> the same in scene-linear float32; alpha becomes premultiplied."""
    if pixels.dtype == np.float32:
        return pixels
    peak = np.iinfo(pixels.dtype).max
    linear = (_codes_to_linear8() if pixels.dtype == np.uint8 else _codes_to_linear16())[pixels]
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / np.float32(peak)
        linear = np.concatenate([linear[..., :3] * alpha, alpha], axis=2)
    return linear


def to_half(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3|4) plate pixels -> scene-linear float16, as EXR files hold them; alpha becomes premultiplied. All 256 codes survive there and back."""
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.take(_codes_to_half8(), pixels).view(np.float16)
    return as_half(to_linear(pixels))


def as_half(x: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) float -> float16, rounded to even, larger values clipped to the greatest half. OpenCV is eight times as fast as numpy."""
    if x.dtype == np.float16:
        return np.ascontiguousarray(x)
    clipped = np.clip(x, -HALF_MAX, HALF_MAX).astype(np.float32, copy=False)
    return cv2.convertFp16(np.ascontiguousarray(clipped.reshape(x.shape[0], -1))).view(np.float16).reshape(x.shape)


def to_display(pixels: np.ndarray, dtype: type = np.uint16) -> np.ndarray:
    """(H, W, 3|4) scene-linear float, premultiplied -> integer sRGB with straight alpha, rounded and clipped to the range of `dtype`."""
    peak = np.iinfo(dtype).max
    linear = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
    if linear.shape[2] == 4:
        alpha = np.clip(linear[..., 3:], 0.0, 1.0)
        colour = np.divide(linear[..., :3], alpha, out=np.zeros_like(linear[..., :3]), where=alpha > 0)
        encoded = np.concatenate([linear_to_srgb(np.clip(colour, 0.0, 1.0)), alpha], axis=2)
    else:
        encoded = linear_to_srgb(np.clip(linear, 0.0, 1.0))
    return np.rint(encoded.astype(np.float32) * peak).astype(dtype)


def _as_float(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x)
    return x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)


@cache
def _codes_to_linear8() -> np.ndarray:
    return srgb_to_linear(np.arange(256) / 255.0).astype(np.float32)


@cache
def _codes_to_half8() -> np.ndarray:
    return _codes_to_linear8().astype(np.float16).view(np.uint16)


@cache
def _codes_to_linear16() -> np.ndarray:
    return srgb_to_linear(np.arange(65536) / 65535.0).astype(np.float32)


@cache
def _narrow() -> np.ndarray:
    return ((np.arange(65536, dtype=np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


@cache
def _half_to_display() -> np.ndarray:
    """The sRGB code of each of the 65536 half floats."""
    return np.rint(np.clip(linear_to_srgb(_halves()), 0.0, 1.0) * 255).astype(np.uint8)


@cache
def _half_to_code() -> np.ndarray:
    return np.rint(np.clip(_halves(), 0.0, 1.0) * 255).astype(np.uint8)


def _halves() -> np.ndarray:
    values = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float64)
    return np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
