# SPDX-License-Identifier: GPL-3.0-or-later
"""A moved patch keeps the plate's own sharpness: squeezed skin is softened, stretched skin is crisped, by as much as it was."""

from __future__ import annotations

import cv2
import numba
import numpy as np

ONE, TWO = np.uint64(1), np.uint64(2)
"""Unsigned: a place that is never counted from the end, so that loops become vector instructions."""
PIXEL_BLUR = 0.62
"""What `blur_of` gives for a picture that is as sharp as its pixels, noise included."""
LEAST = 0.05
"""Squeezing or stretching below this (as 1 - ratio squared) does not show."""
CRISP = 0.5
"""Strength of the sharpening against 1 - s^2, s the stretched direction's scale; set so that texture keeps its energy."""
MOST_CRISP = 0.55
CRISP_SIGMA = 0.8


def blur_of(picture: np.ndarray) -> float:
    """Standard deviation, pixels, of the blur that a picture (h, w, C) carries, from how fast its gradients change.

    For a scene whose spectrum falls as 1/f, seen through a Gaussian of width b, the mean square of the gradient over that of
    the Laplacian is b squared.
    """
    grey = cv2.cvtColor(picture[..., :3].astype(np.float32), cv2.COLOR_RGB2GRAY)
    x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    curve = cv2.Laplacian(grey, cv2.CV_32F)
    gradient = cv2.norm(x, cv2.NORM_L2SQR) + cv2.norm(y, cv2.NORM_L2SQR)
    return float(np.sqrt(gradient / max(cv2.norm(curve, cv2.NORM_L2SQR), 1e-12 * grey.size)))


def scales(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares of the larger and smaller scale (h, w) from patch to plate of a displacement (h, w, 2): above 1 squeezed, below stretched."""
    height, width = field.shape[:2]
    padded = cv2.copyMakeBorder(np.ascontiguousarray(field, np.float32), 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
    larger, smaller = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    _scales(padded, larger, smaller)
    return larger, smaller


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _scales(field, larger, smaller):
    """`scales` by 3 x 3 Sobel derivatives; field has one row and column more on each side. Where nothing moves around, exactly 1."""
    height, width = larger.shape
    along, across = np.zeros(2 * (width + 2), np.float32), np.zeros(2 * (width + 2), np.float32)
    for i in range(height):
        up, mid, down = field[i].reshape(-1), field[i + 1].reshape(-1), field[i + 2].reshape(-1)
        for k in range(len(along)):
            along[k] = (up[k] + np.float32(2) * mid[k] + down[k]) * np.float32(0.125)
            across[k] = (down[k] - up[k]) * np.float32(0.125)
        for j in range(np.uint64(width)):
            a = TWO * j
            b, c = a + TWO, a + TWO + TWO
            xx, yx = np.float32(1) + along[c] - along[a], along[c + ONE] - along[a + ONE]
            xy = across[a] + np.float32(2) * across[b] + across[c]
            yy = np.float32(1) + across[a + ONE] + np.float32(2) * across[b + ONE] + across[c + ONE]
            half, det = (xx * xx + xy * xy + yx * yx + yy * yy) * np.float32(0.5), xx * yy - xy * yx
            root = np.sqrt(max(half * half - det * det, np.float32(0)))
            larger[i, j], smaller[i, j] = half + root, half - root


def match_sharpness(patch: np.ndarray, field: np.ndarray, blur: float) -> np.ndarray:
    """Give moved pixels the sharpness of the plate around them; pixels that did not move stay as they are.

    Where the surface shrinks by c, the plate's blur shrinks with it and the patch would look sharper than its lens; what is
    missing is a blur of variance blur^2 (1 - 1 / c^2), unless the plate is as sharp as its pixels allow: there the pixels, not the
    lens, set the limit. Where the surface is stretched, its texture is coarser than the plate's, and a light unsharp mask gives
    back its contrast. patch (h, w, C) any depth; field (h, w, 2), see FaceLayer; blur of the plate, see `blur_of`.
    """
    field = np.ascontiguousarray(field, np.float32)
    larger, smaller = scales(field)
    soften, crisp, moved = (np.empty_like(larger) for _ in range(3))
    _shares(field, larger, smaller, soften, crisp, moved)
    excess = float(np.sqrt(max(blur**2 - PIXEL_BLUR**2, 0)))
    out = patch.astype(np.float32)
    changed = _mix(out, moved, soften, excess, 1.0, 1.0)
    changed = _mix(out, moved, crisp, CRISP_SIGMA, -CRISP, MOST_CRISP) or changed
    if not changed:
        return patch
    if patch.dtype == np.float32:
        return np.maximum(out, min(0.0, float(patch.min())))
    return cv2.add(out, (0, 0, 0, 0), dtype=cv2.CV_8U if patch.dtype == np.uint8 else cv2.CV_16U)  # rounds and clips; whole numbers stay


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _shares(field, larger, smaller, soften, crisp, moved):
    """How much of a pixel is to be softened (up to 0.8) and crisped (up to 1), where that shows and the pixel moves; `moved` is 1 there, else 0."""
    none, whole = np.float32(0), np.float32(1)
    for i in range(field.shape[0]):
        at, large, small = field[i].reshape(-1), larger[i], smaller[i]
        for j in range(np.uint64(field.shape[1])):
            moves = whole if at[TWO * j] != none or at[TWO * j + ONE] != none else none
            soft = min(whole - whole / max(large[j], np.float32(1e-6)), np.float32(0.8))
            hard = min(whole - small[j], whole)
            soften[i, j] = moves * (soft if soft > np.float32(LEAST) else none)
            crisp[i, j] = moves * (hard if hard > np.float32(LEAST) else none)
            moved[i, j] = moves


def _mix(out: np.ndarray, moved: np.ndarray, share: np.ndarray, sigma: float, strength: float, most: float) -> bool:
    """Move `out` (h, w, C) towards its own blur by `share` (h, w) in place, or away from it where strength < 0; False when there is nothing to do.

    Only the part of the picture that has a share is blurred, and only what moved (h, w), 0 or 1, is changed.
    """
    if sigma < 0.2 or not share.any():
        return False
    share = cv2.multiply(cv2.GaussianBlur(share, (0, 0), 1.0), moved, scale=abs(strength))
    share = cv2.min(share, most)
    reach = int(np.ceil(4 * sigma)) + 1
    (top, bottom), (left, right) = _extent(share.max(1)), _extent(share.max(0))
    height, width = share.shape
    t, b, l, r = max(0, top - reach), min(height, bottom + reach), max(0, left - reach), min(width, right + reach)
    smooth = cv2.GaussianBlur(out[t:b, l:r], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    if smooth.ndim == 2:
        smooth = smooth[..., None]
    _towards(out[t:b, l:r], smooth, share[t:b, l:r], np.float32(np.sign(strength)))
    return True


def _extent(line: np.ndarray) -> tuple[int, int]:
    """First and one past the last element above 0; (0, 1) where there is none."""
    where = np.flatnonzero(line > 0)
    return (int(where[0]), int(where[-1]) + 1) if len(where) else (0, 1)


@numba.njit(cache=True, nogil=True)
def _towards(out, smooth, share, sign):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            s = sign * share[i, j]
            if s != 0:
                for c in range(out.shape[2]):
                    out[i, j, c] += s * (smooth[i, j, c] - out[i, j, c])
