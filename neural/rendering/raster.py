# SPDX-License-Identifier: GPL-3.0-or-later
"""A z-buffered triangle rasteriser on the CPU, compiled by numba on first use and cached."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def rasterise(xy: np.ndarray, depth: np.ndarray, triangles: np.ndarray, values: np.ndarray, out: np.ndarray, zbuffer: np.ndarray,
              facing: float) -> None:
    """Interpolate `values` over the visible surface.

    xy (V, 2) float32 pixels (the first pixel's centre is 0.5, 0.5), depth (V,) float32 (smaller is nearer), triangles (F, 3),
    values (V, C) float32. out (H, W, C) and zbuffer (H, W), filled with infinity by the caller, are written in place.
    facing: +1 keeps triangles that run clockwise on the picture (y down), that is, counter-clockwise seen with y up;
    -1 the others; 0 keeps both. Linear on the picture: the triangles of a face are too small for perspective to show.
    """
    height, width, channels = out.shape
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
        inverse = 1.0 / area
        for i in range(top, bottom + 1):
            py = i + 0.5
            for j in range(left, right + 1):
                px = j + 0.5
                wb = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inverse
                wc = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inverse
                wa = 1.0 - wb - wc
                if wa < -1e-6 or wb < -1e-6 or wc < -1e-6:
                    continue
                z = wa * depth[a] + wb * depth[b] + wc * depth[c]
                if z >= zbuffer[i, j]:
                    continue
                zbuffer[i, j] = z
                for k in range(channels):
                    out[i, j, k] = wa * values[a, k] + wb * values[b, k] + wc * values[c, k]
