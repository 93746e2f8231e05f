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
CRISP_SIGMA = 0.8
SIGMA_LEAST = 0.2
"""Pixels of blur below which softening does nothing."""


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
    soften, crisp = _spread(soften, moved, 1.0 if excess >= SIGMA_LEAST else 0.0), _spread(crisp, moved, CRISP)
    part = _part(cv2.max(soften, crisp), int(np.ceil(4 * max(excess, CRISP_SIGMA))) + 1)
    if part is None:
        return patch
    region, out = patch[part], patch.copy()
    if np.issubdtype(patch.dtype, np.integer):
        low, high = 0.0, float(np.iinfo(patch.dtype).max)
    else:
        low, high = min(0.0, float(patch.min())), np.inf
    mixed, channels = _rows(region.copy()), patch.shape[2]
    _mix(mixed, _rows(_blurred(region, excess, soften[part])), _rows(soften[part], channels), _rows(_blurred(region, CRISP_SIGMA, crisp[part])),
         _rows(crisp[part], channels), np.float32(low), np.float32(high), patch.dtype != np.float32)
    out[part] = mixed.reshape(region.shape)
    return out


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


def _spread(share: np.ndarray, moved: np.ndarray, strength: float) -> np.ndarray:
    """A share (h, w) times its strength, without edges, but nothing of it where a pixel did not move (h, w), 0 or 1."""
    if not strength or not share.any():
        return np.zeros_like(share)
    return cv2.multiply(cv2.GaussianBlur(share, (5, 5), 1.0), moved, scale=strength)


def _part(share: np.ndarray, reach: int) -> tuple[slice, slice] | None:
    """The rows and columns of a share (h, w) that are not all zero, with what a blur looks at beside them; None where there are none."""
    rows, columns = np.flatnonzero(share.max(1)), np.flatnonzero(share.max(0))
    if not len(rows):
        return None
    return slice(max(int(rows[0]) - reach, 0), int(rows[-1]) + 1 + reach), slice(max(int(columns[0]) - reach, 0), int(columns[-1]) + 1 + reach)


def _blurred(picture: np.ndarray, sigma: float, share: np.ndarray) -> np.ndarray:
    """A picture (h, w, C) blurred, in its own depth; itself where no share (h, w) asks for that."""
    if not share.any():
        return picture
    return cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE).reshape(picture.shape)


def _rows(picture: np.ndarray, channels: int = 1) -> np.ndarray:
    """(h, w, C), or (h, w) once for each of so many channels -> (h, w C), contiguous: what a compiled loop can do in vector instructions."""
    full = picture if picture.ndim == 3 else cv2.merge([picture] * channels)
    return np.ascontiguousarray(full).reshape(len(picture), -1)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _mix(picture, soft, soften, fine, crisp, low, high, whole):
    """Moves the picture towards its softer self, and away from its finer blur, in place; all (h, n), low and high what a value can be."""
    for i in range(picture.shape[0]):
        for k in range(np.uint64(picture.shape[1])):
            value = np.float32(picture[i, k])
            value += soften[i, k] * (np.float32(soft[i, k]) - value) - crisp[i, k] * (np.float32(fine[i, k]) - value)
            value = min(max(value, low), high)
            picture[i, k] = np.rint(value) if whole else value
