# SPDX-License-Identifier: GPL-3.0-or-later
"""A z-buffered triangle rasteriser on the CPU, compiled by numba on first use and cached.

First what each pixel shows, a triangle and a place in it, then whatever is carried there: displacements, texture coordinates, a texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np


@dataclass(frozen=True)
class Surface:
    """The visible triangle of each pixel of a picture (h, w)."""

    faces: np.ndarray
    """(h, w) int32: its number, -1 where there is none."""
    weights: np.ndarray
    """(h, w, 2) float32: shares of the triangle's second and third corner in what the pixel shows; the first has the rest."""

    @property
    def mask(self) -> np.ndarray:
        """(h, w) bool: where there is a surface."""
        return self.faces >= 0

    def carry(self, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """Vertex values (V, C) at each pixel, (h, w, C) float32, 0 where there is no surface; triangles (F, 3) as they were seen.

        Linear on the picture: the triangles of a face are too small for perspective to show.
        """
        out = np.empty((*self.faces.shape, values.shape[1]), np.float32)
        _carry(self.faces, self.weights, triangles, np.ascontiguousarray(values, np.float32), out)
        return out

    def carry_texture(self, texture: np.ndarray, uv: np.ndarray, step: int = 1) -> np.ndarray:
        """A texture (S, S, C) float32 at every step-th pixel, (., ., C), between its four nearest texels; 0 where there is no surface.

        uv (F, 3, 2): the corners of the first F triangles in the texture, texels, the first texel's centre at 0.5; further triangles show nothing.
        """
        faces, weights = self.faces[::step, ::step], self.weights[::step, ::step]
        out = np.zeros((*faces.shape, texture.shape[2]), np.float32)
        _carry_texture(faces, weights, np.ascontiguousarray(uv, np.float32), texture, out)
        return out


def visible(xy: np.ndarray, depth: np.ndarray, triangles: np.ndarray, size: tuple[int, int], facing: float) -> Surface:
    """What a picture of `size` (height, width) shows of triangles (F, 3) over vertices xy (V, 2), pixels (the first pixel's centre is 0.5, 0.5),
    depth (V,) (smaller is nearer).

    facing: +1 keeps triangles that run clockwise on the picture (y down), that is, counter-clockwise seen with y up; -1 the others; 0 keeps both.
    """
    surface = Surface(np.full(size, -1, np.int32), np.empty((*size, 2), np.float32))
    _rasterise(np.ascontiguousarray(xy, np.float32), np.ascontiguousarray(depth, np.float32), np.ascontiguousarray(triangles, np.int32), facing,
               surface.faces, surface.weights, np.full(size, np.inf, np.float32))
    return surface


def rasterise(xy: np.ndarray, depth: np.ndarray, triangles: np.ndarray, values: np.ndarray, out: np.ndarray, zbuffer: np.ndarray,
              facing: float) -> None:
    """Interpolate `values` (V, C) float32 over the visible surface; arguments as in `visible`.

    out (H, W, C) and zbuffer (H, W), filled with infinity by the caller, are written in place; nothing is drawn behind what the z-buffer holds.
    """
    surface = Surface(np.full(zbuffer.shape, -1, np.int32), np.empty((*zbuffer.shape, 2), np.float32))
    _rasterise(xy, depth, triangles, facing, surface.faces, surface.weights, zbuffer)
    np.copyto(out, surface.carry(values, triangles), where=surface.mask[..., None])


@numba.njit(cache=True, nogil=True)
def _rasterise(xy, depth, triangles, facing, faces, weights, zbuffer):
    height, width = zbuffer.shape
    least = -1e-6
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        x0, y0, x1, y1, x2, y2 = xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], xy[c, 0], xy[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0 or area * facing < 0:
            continue
        left = max(0, int(np.ceil(min(x0, x1, x2) - 0.5)))
        right = min(width - 1, int(np.floor(max(x0, x1, x2) - 0.5)))
        top = max(0, int(np.ceil(min(y0, y1, y2) - 0.5)))
        bottom = min(height - 1, int(np.floor(max(y0, y1, y2) - 0.5)))
        if left > right or top > bottom:
            continue
        # Shares and depth are linear on the picture: one step to the right adds the same everywhere in the triangle.
        inverse = 1.0 / area
        bx, by, cx, cy = (y2 - y0) * inverse, (x0 - x2) * inverse, (y0 - y1) * inverse, (x1 - x0) * inverse
        za, zb, zc = depth[a], depth[b] - depth[a], depth[c] - depth[a]
        for i in range(top, bottom + 1):
            px, py = left + 0.5 - x0, i + 0.5 - y0
            wb, wc = px * bx + py * by, px * cx + py * cy
            for j in range(left, right + 1):
                if wb >= least and wc >= least and wb + wc <= 1.0 - least:
                    z = za + wb * zb + wc * zc
                    if z < zbuffer[i, j]:
                        zbuffer[i, j], faces[i, j] = z, f
                        weights[i, j, 0], weights[i, j, 1] = wb, wc
                wb += bx
                wc += cx


@numba.njit(cache=True, nogil=True)
def _carry(faces, weights, triangles, values, out):
    for i in range(faces.shape[0]):
        for j in range(faces.shape[1]):
            f = faces[i, j]
            if f < 0:
                for k in range(out.shape[2]):
                    out[i, j, k] = 0
                continue
            a, b, c = np.uint32(triangles[f, 0]), np.uint32(triangles[f, 1]), np.uint32(triangles[f, 2])
            wb, wc = weights[i, j, 0], weights[i, j, 1]
            wa = np.float32(1) - wb - wc
            for k in range(out.shape[2]):
                out[i, j, k] = wa * values[a, k] + wb * values[b, k] + wc * values[c, k]


@numba.njit(cache=True, nogil=True)
def _carry_texture(faces, weights, uv, texture, out):
    size, half, one = len(texture), np.float32(0.5), np.float32(1)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            f = faces[i, j]
            if f < 0 or f >= len(uv):
                continue
            wb, wc = weights[i, j, 0], weights[i, j, 1]
            wa = one - wb - wc
            x = wa * uv[f, 0, 0] + wb * uv[f, 1, 0] + wc * uv[f, 2, 0] - half
            y = wa * uv[f, 0, 1] + wb * uv[f, 1, 1] + wc * uv[f, 2, 1] - half
            if x < 0 or y < 0 or x >= size - 1 or y >= size - 1:
                continue
            k, m = np.uint32(y), np.uint32(x)
            x, y = x - np.float32(m), y - np.float32(k)
            for c in range(out.shape[2]):
                upper = texture[k, m, c] + x * (texture[k, m + 1, c] - texture[k, m, c])
                lower = texture[k + 1, m, c] + x * (texture[k + 1, m + 1, c] - texture[k + 1, m, c])
                out[i, j, c] = upper + y * (lower - upper)
