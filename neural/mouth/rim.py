# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lips end inside a mouth.

A tracked contour lies up to a few pixels beside the lips' inner edge. A strip of lip taken for the inside would stay where it was, or move with the
jaw, and draw a second rim beside the moved lips; so the inside is what also looks unlike the lips.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

REACH = 0.018
"""How far from the tracked contour, in face widths, lips are looked for by their colour."""
UNLIKE = (0.3, 0.65)
"""What lies between lips and inside is the lips' edge, blurred by lens and codec: parts of how far most of the inside differs from the lips beside
it, at which a pixel begins to be the inside, and at which it is."""
SHADE_LEAST, TINT_LEAST = (0.07, 0.16), (0.04, 0.09)
"""The same in working space at least, for a difference that is mere shade of the lips (the dark of a mouth), and for one of tint (teeth)."""


def within_lips(picture: np.ndarray, opening: np.ndarray, face_width: float, softness: float) -> np.ndarray:
    """(h, w) float32, 0 to 1: the opening (h, w) bool less what looks like the lips beside it along its upper and lower edge.

    picture (h, w, 3) float32, working space; face_width and softness (of the new edge) in pixels.
    """
    reach = REACH * face_width
    few = opening[::2, ::2]
    if not few.any():  # nothing, or a mere line
        return opening.astype(np.float32)
    away = cv2.distanceTransform((~opening).astype(np.uint8), cv2.DIST_L2, 3)
    lips = ((away > 0.6 * reach) & (away < 1.6 * reach + 1)).astype(np.float32)[..., None]
    small = cv2.resize(cv2.merge((picture * lips, lips)), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    beside = cv2.resize(cv2.GaussianBlur(small, (0, 0), max(0.5 * reach, 0.5)), opening.shape[::-1], interpolation=cv2.INTER_LINEAR)
    differences = [cv2.GaussianBlur(d, (3, 3), 0.7) for d in _differences(picture, beside)]
    limits = [np.maximum(least, np.multiply(UNLIKE, np.percentile(d[::2, ::2][few], 75))) for d, least in zip(differences, (SHADE_LEAST, TINT_LEAST))]
    # Lips end in a smooth line: teeth bite no notches into it.
    strips = cv2.erode(_strips(*differences, opening, np.array(limits), reach), np.ones((1, 2 * round(reach) + 1)), borderType=cv2.BORDER_REPLICATE)
    strips = [cv2.GaussianBlur(s[None], (0, 0), max(reach, 0.8), borderType=cv2.BORDER_REPLICATE)[0] for s in strips]
    return _less(opening, *strips, softness)


@numba.njit(cache=True, nogil=True)
def _differences(picture, beside):
    """How far pixels (h, w, 3) are from lips (h, w, 4), weighted sums and weights: by shade alone, and by tint, each (h, w)."""
    h, w = picture.shape[:2]
    shade, tint = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
    for y in range(h):
        for x in range(w):
            weight = max(beside[y, x, 3], np.float32(1e-6))
            r, g, b = beside[y, x, 0] / weight, beside[y, x, 1] / weight, beside[y, x, 2] / weight
            p, q, s = picture[y, x, 0], picture[y, x, 1], picture[y, x, 2]
            length = max(r * r + g * g + b * b, np.float32(1e-6))
            share = (p * r + q * g + s * b) / length
            shade[y, x] = abs(1 - share) * np.sqrt(length)
            tint[y, x] = np.sqrt((p - share * r) ** 2 + (q - share * g) ** 2 + (s - share * b) ** 2)
    return shade, tint


@numba.njit(cache=True, nogil=True)
def _strips(shade, tint, opening, limits, reach):
    """Rows of lips inside the opening at its upper and at its lower edge, (2, w): up to where a pixel is unlike them, or lies deep."""
    h, w = opening.shape
    strips = np.full((2, w), reach, np.float32)
    for x in range(w):
        for side in range(2):
            unlike, depth, rows = 0.0, 0, 0.0
            for i in range(h):
                y = i if side == 0 else h - 1 - i
                if not opening[y, x]:
                    continue
                depth += 1
                t = max((shade[y, x] - limits[0, 0]) / (limits[0, 1] - limits[0, 0]), (tint[y, x] - limits[1, 0]) / (limits[1, 1] - limits[1, 0]))
                t = min(max(t, depth / reach - 1.0, 0.0), 1.0)
                unlike = max(unlike, t * t * (3 - 2 * t))
                if unlike >= 1:
                    break
                rows += 1 - unlike
            if depth:
                strips[side, x] = rows
    return strips


@numba.njit(cache=True, nogil=True)
def _less(opening, top, bottom, softness):
    """The opening (h, w) less strips of so many rows (w,) at its upper and lower edge, softly: float32."""
    h, w = opening.shape
    out = np.zeros((h, w), np.float32)
    for x in range(w):
        count = 0
        for y in range(h):
            count += opening[y, x]
        depth = 0
        for y in range(h):
            if opening[y, x]:
                a = min(max((depth + 0.5 - top[x]) / (2 * softness) + 0.25, 0.0), 1.0)
                b = min(max((count - depth - 0.5 - bottom[x]) / (2 * softness) + 0.25, 0.0), 1.0)
                out[y, x] = a * a * (3 - 2 * a) * b * b * (3 - 2 * b)
                depth += 1
    return out
