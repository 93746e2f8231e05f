# SPDX-License-Identifier: GPL-3.0-or-later
"""A moved patch keeps the plate's own sharpness: squeezed skin is softened, stretched skin is crisped, by as much as it was."""

from __future__ import annotations

import cv2
import numpy as np

PIXEL_BLUR = 0.62
"""What `blur_of` gives for a picture that is as sharp as its pixels, noise included."""
LEAST = 0.05
"""Squeezing or stretching below this (as 1 - ratio squared) does not show."""
CRISP = 0.4
"""Strength of the sharpening against 1 - s^2, s the stretched direction's scale; set so that texture keeps its energy."""
MOST_CRISP = 0.45
CRISP_SIGMA = 0.8


def blur_of(picture: np.ndarray) -> float:
    """Standard deviation, pixels, of the blur that a picture (h, w, C) carries, from how fast its gradients change.

    For a scene whose spectrum falls as 1/f, seen through a Gaussian of width b, the mean square of the gradient over that of
    the Laplacian is b squared.
    """
    grey = cv2.cvtColor(picture[..., :3].astype(np.float32), cv2.COLOR_RGB2GRAY)
    x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    curve = cv2.Laplacian(grey, cv2.CV_32F)
    return float(np.sqrt((x * x + y * y).mean() / max(float((curve * curve).mean()), 1e-12)))


def scales(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares of the larger and smaller scale (h, w) from patch to plate of a displacement (h, w, 2): above 1 squeezed, below stretched."""
    dx, dy = (cv2.Sobel(field, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    a, b, c, d = 1 + dx[..., 0], dy[..., 0], dx[..., 1], 1 + dy[..., 1]
    half, det = (a * a + b * b + c * c + d * d) / 2, a * d - b * c
    root = np.sqrt(np.maximum(half * half - det * det, 0))
    return half + root, half - root


def match_sharpness(patch: np.ndarray, field: np.ndarray, blur: float) -> np.ndarray:
    """Give moved pixels the sharpness of the plate around them; pixels that did not move stay as they are.

    Where the surface shrinks by c, the plate's blur shrinks with it and the patch would look sharper than its lens; what is
    missing is a blur of variance blur^2 (1 - 1 / c^2), unless the plate is as sharp as its pixels allow: there the pixels, not the
    lens, set the limit. Where the surface is stretched, its texture is coarser than the plate's, and a light unsharp mask gives
    back its contrast. patch (h, w, C) any depth; field (h, w, 2), see FaceLayer; blur of the plate, see `blur_of`.
    """
    larger, smaller = scales(field)
    moved = np.abs(field).max(2) > 0
    soften = np.clip(1 - 1 / np.maximum(larger, 1e-6), 0, 0.8)
    crisp = np.clip(1 - smaller, 0, 1)
    excess = float(np.sqrt(max(blur**2 - PIXEL_BLUR**2, 0)))
    out = patch.astype(np.float32)
    for share, sigma, sign in ((soften, excess, 1.0), (crisp, CRISP_SIGMA, -1.0)):
        share = np.where(share > LEAST, share, 0) * moved
        if sigma < 0.2 or not share.any():
            continue
        share = cv2.GaussianBlur(share.astype(np.float32), (0, 0), 1.0) * moved
        if sign < 0:
            share = np.minimum(CRISP * share, MOST_CRISP)
        smooth = cv2.GaussianBlur(out, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        out += sign * share[..., None] * (smooth - out)
    if patch.dtype == np.float32:
        return np.maximum(out, min(0.0, float(patch.min())))
    top = np.iinfo(patch.dtype).max
    return np.where(moved[..., None], np.clip(np.round(out), 0, top), patch).astype(patch.dtype)
