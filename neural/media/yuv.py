# SPDX-License-Identifier: GPL-3.0-or-later
"""RGB to Y'CbCr for the movie writer, as the inverse of the conversion that the reader used.

FFmpeg's fast 4:2:0 decoder rounds down several times, so its RGB is about one level darker than the exact matrix gives. Encoding
such frames with an exact matrix would darken every delivery by that level. `decode_bias` measures what the decoder in use does
and `to_yuv` adds it back: pixels that nobody edited return to the plate's own Y'CbCr values.
"""

from __future__ import annotations

from functools import cache

import av
import numba
import numpy as np

# Kr, Kb by AVColorSpace number; 2 (unspecified) is read as BT.601 by FFmpeg.
MATRICES = {1: (0.2126, 0.0722), 2: (0.299, 0.114), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}


def matrix(colorspace: int) -> np.ndarray:
    """(3, 3) float64: RGB in 0..1 -> Y' in 0..1, Cb and Cr in -0.5..0.5."""
    kr, kb = MATRICES.get(colorspace, MATRICES[2])
    kg = 1 - kr - kb
    return np.array([[kr, kg, kb],
                     [-kr / (2 - 2 * kb), -kg / (2 - 2 * kb), 0.5],
                     [0.5, -kg / (2 - 2 * kr), -kb / (2 - 2 * kr)]])


@cache
def decode_bias(pix_fmt: str, colorspace: int, full_range: bool) -> tuple[float, float, float]:
    """How much brighter the exact matrix is than the reader's conversion, per channel in 8-bit levels, averaged over colours inside the gamut.

    Zero for formats that are not planar YUV: nothing was converted there.
    """
    layout = av.VideoFormat(pix_fmt)
    if layout.is_rgb or not pix_fmt.startswith("yuv"):
        return 0.0, 0.0, 0.0
    deep, alpha = max(c.bits for c in layout.components) > 8, any(c.is_alpha for c in layout.components)
    width, height = 256, 256
    frame = av.VideoFrame(width, height, pix_fmt)
    scale = 2 ** (layout.components[0].bits - 8)
    luma = np.tile(np.linspace(60, 190, width), (height, 1)) + np.arange(height)[:, None] % 7
    blocks = np.arange(height)[:, None] // 16
    planes = [luma, 112 + 2.0 * np.broadcast_to(blocks, luma.shape), 142 - 2.0 * np.broadcast_to(np.arange(width)[None, :] // 16, luma.shape)]
    kept = []
    for plane, values in zip(frame.planes, planes):
        step_y, step_x = height // plane.height, width // plane.width
        values = np.rint(values[::step_y, ::step_x] * scale)
        kept.append(np.repeat(np.repeat(values / scale, step_y, 0), step_x, 1))
        _fill(plane, values.astype("<u2" if scale > 1 else np.uint8))
    if alpha:
        _fill(frame.planes[3], np.full((height, width), 255 * scale, "<u2" if scale > 1 else np.uint8))
    frame.colorspace, frame.color_range = colorspace, 2 if full_range else 1
    form = ("rgba64le" if alpha else "rgb48le") if deep else ("rgba" if alpha else "rgb24")
    seen = frame.to_ndarray(format=form)[..., :3].astype(np.float64) / (257 if deep else 1)
    luma, cb, cr = kept
    if full_range or pix_fmt.startswith("yuvj"):
        ycc = np.stack([luma / 255, (cb - 128) / 255, (cr - 128) / 255], -1)
    else:
        ycc = np.stack([(luma - 16) / 219, (cb - 128) / 224, (cr - 128) / 224], -1)
    exact = 255 * ycc @ np.linalg.inv(matrix(colorspace)).T
    bias = (exact - seen)[8:-8, 8:-8].mean(axis=(0, 1))
    return float(bias[0]), float(bias[1]), float(bias[2])


def to_yuv(pixels: np.ndarray, pix_fmt: str, colorspace: int, bias: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> av.VideoFrame:
    """(H, W, 3|4) uint8 | uint16 display-referred -> a limited-range frame in yuv420p, yuv444p, yuv422p10le, yuv444p10le or yuva444p10le.

    `bias` (8-bit levels) is added first, fading out towards black and white so that those stay what they are.
    """
    height, width = pixels.shape[:2]
    layout = av.VideoFormat(pix_fmt)
    bits = layout.components[0].bits
    frame = av.VideoFrame(width, height, pix_fmt)
    peak = np.iinfo(pixels.dtype).max
    step_y, step_x = (-(-height // frame.planes[1].height), -(-width // frame.planes[1].width))
    scale = float(2 ** (bits - 8))
    coefficients = (matrix(colorspace) * np.array([[219.0], [224.0], [224.0]]) * scale).astype(np.float32)
    views = [_view(plane, bits) for plane in frame.planes]
    convert = _convert_420 if (step_y, step_x) == (2, 2) and height % 2 == width % 2 == 0 else _convert
    convert(pixels, _levels(peak, bias), coefficients, np.float32(16 * scale), np.float32(128 * scale), views[0], views[1], views[2], step_y, step_x)
    if len(views) == 4:
        alpha = pixels[..., 3].astype(np.float32) if pixels.shape[2] == 4 else np.full((height, width), peak, np.float32)
        views[3][:] = np.rint(alpha * ((2 ** bits - 1) / peak)).astype(views[3].dtype)
    return frame


@cache
def _levels(peak: int, bias: tuple[float, float, float]) -> np.ndarray:
    """(3, peak + 1) float32: channel values 0..1 with the bias added."""
    codes = np.arange(peak + 1) * (255.0 / peak)
    fade = np.clip(np.minimum(codes, 255 - codes) / 4, 0, 1)
    return np.stack([(codes + fade * b) / 255 for b in bias]).astype(np.float32)


def _view(plane, bits: int) -> np.ndarray:
    """A writable (h, w) array over a plane."""
    kind = np.dtype("<u2") if bits > 8 else np.dtype(np.uint8)
    return np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)[:, :plane.width]


def _fill(plane, values: np.ndarray) -> None:
    _view(plane, 16 if values.dtype.itemsize == 2 else 8)[:] = values


@numba.njit(cache=True, nogil=True, fastmath=True)
def _convert(pixels, levels, m, black, middle, luma, cb, cr, step_y, step_x):
    """Y' for every pixel, Cb and Cr as the mean over step_y x step_x pixels (the inverse of the reader's nearest-neighbour chroma)."""
    height, width = luma.shape
    for by in range(cb.shape[0]):
        for bx in range(cb.shape[1]):
            red = green = blue = np.float32(0)
            count = 0
            for y in range(by * step_y, min(by * step_y + step_y, height)):
                for x in range(bx * step_x, min(bx * step_x + step_x, width)):
                    r, g, b = levels[0, pixels[y, x, 0]], levels[1, pixels[y, x, 1]], levels[2, pixels[y, x, 2]]
                    luma[y, x] = int(black + m[0, 0] * r + m[0, 1] * g + m[0, 2] * b + np.float32(0.5))
                    red += r
                    green += g
                    blue += b
                    count += 1
            share = np.float32(1) / count
            cb[by, bx] = int(middle + share * (m[1, 0] * red + m[1, 1] * green + m[1, 2] * blue) + np.float32(0.5))
            cr[by, bx] = int(middle + share * (m[2, 0] * red + m[2, 1] * green + m[2, 2] * blue) + np.float32(0.5))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _convert_420(pixels, levels, m, black, middle, luma, cb, cr, step_y, step_x):
    """`_convert` for even sizes and chroma of half the size both ways, where deliveries spend their time."""
    black, middle, quarter = black + np.float32(0.5), middle + np.float32(0.5), np.float32(0.25)
    sums = np.zeros((3, cb.shape[1]), np.float32)
    for by in range(cb.shape[0]):
        sums[:] = 0
        for y in range(2 * by, 2 * by + 2):
            for bx in range(cb.shape[1]):
                x = 2 * bx
                r, g, b = levels[0, pixels[y, x, 0]], levels[1, pixels[y, x, 1]], levels[2, pixels[y, x, 2]]
                s, h, c = levels[0, pixels[y, x + 1, 0]], levels[1, pixels[y, x + 1, 1]], levels[2, pixels[y, x + 1, 2]]
                luma[y, x] = int(black + m[0, 0] * r + m[0, 1] * g + m[0, 2] * b)
                luma[y, x + 1] = int(black + m[0, 0] * s + m[0, 1] * h + m[0, 2] * c)
                sums[0, bx] += r + s
                sums[1, bx] += g + h
                sums[2, bx] += b + c
        for bx in range(cb.shape[1]):
            red, green, blue = quarter * sums[0, bx], quarter * sums[1, bx], quarter * sums[2, bx]
            cb[by, bx] = int(middle + m[1, 0] * red + m[1, 1] * green + m[1, 2] * blue)
            cr[by, bx] = int(middle + m[2, 0] * red + m[2, 1] * green + m[2, 2] * blue)
