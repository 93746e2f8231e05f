# SPDX-License-Identifier: GPL-3.0-or-later
"""A tracked face in an eye-fixed frame, and signs of facial actions in it. Landmarks: MediaPipe's 478, (478, 2 or more), pixels.

Distances are in eye distances (outer corner to outer corner), so neither the picture's size nor the head's motion in the
picture plane matters. A head that turns or nods does: compare a plate with its own edit.
"""

from __future__ import annotations

import cv2
import numpy as np

RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
"""Outer and inner, inner and outer corner: the subject's right eye is at the picture's left."""
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93,
        234, 127, 162, 21, 54, 103, 67, 109)
"""The face's outline, in order."""
INNER_LIPS = ((82, 87), (13, 14), (312, 317))
"""Pairs across the gap between the lips, upper and lower."""
MOUTH = (61, 291, 13, 14)

FEATURES = {
    "brow_inner": "inner brows up (AU1 +, AU4 -)",
    "brow_outer": "outer brows up (AU2 +)",
    "brow_gap": "distance of the inner brows (AU4 -)",
    "eye_open": "gap of the eyelids (AU5 +, AU6 and AU7 -)",
    "nose_up": "nose wings up (AU9 +, AU10 +)",
    "upper_lip_up": "upper lip up (AU10 +)",
    "corner_up": "mouth corners up (AU12 +, AU15 -)",
    "mouth_width": "distance of the mouth corners (AU12 +, AU20 +, AU18 -)",
    "lips_open": "gap of the lips (AU25 +, AU26 +)",
}
"""Signs of facial actions, and what moves them."""
LABELS = {name: what.partition(" (")[0] for name, what in FEATURES.items()}
"""The same in plain words, without the action units."""
ACTIONS = {name: what.partition(" (")[2].rstrip(")") for name, what in FEATURES.items()}
"""The action units alone: "AU1 +, AU4 -"."""


def eye_frame(landmarks: np.ndarray) -> np.ndarray:
    """(478, 2+) pixels -> (478, 2): origin between the eyes, x towards the subject's left eye, y down, in eye distances."""
    p = np.asarray(landmarks, np.float64)[:, :2]
    right, left = p[list(RIGHT_EYE)].mean(0), p[list(LEFT_EYE)].mean(0)
    x = (left - right) / np.linalg.norm(left - right)
    unit = np.linalg.norm(p[LEFT_EYE[1]] - p[RIGHT_EYE[0]])
    q = (p - (left + right) / 2) / unit
    return np.stack([q @ x, q @ np.array([-x[1], x[0]])], 1)


def _gap(q: np.ndarray, *pairs: tuple[int, int]) -> float:
    return float(np.mean([np.linalg.norm(q[a] - q[b]) for a, b in pairs]))


def _height(q: np.ndarray, *points: int) -> float:
    return float(-q[list(points), 1].mean())


def features(q: np.ndarray) -> np.ndarray:
    """Eye-frame landmarks (478, 2) -> (9,) float64 in the order of FEATURES, eye distances."""
    return np.array([
        _height(q, 55, 107, 285, 336), _height(q, 46, 70, 276, 300), _gap(q, (107, 336), (55, 285)),
        _gap(q, (159, 145), (158, 153), (386, 374), (385, 380)), _height(q, 129, 358), _height(q, 0, 37, 267), _height(q, 61, 291),
        _gap(q, (61, 291)), _gap(q, *INNER_LIPS)])


def oval(landmarks: np.ndarray, grow: float = 1.0) -> np.ndarray:
    """The outline (n, 2) int32, grown about its centre."""
    points = np.asarray(landmarks, np.float64)[list(OVAL), :2]
    centre = points.mean(0)
    return cv2.convexHull((centre + (points - centre) * grow).round().astype(np.int32))[:, 0]


def oval_mask(landmarks: np.ndarray, shape: tuple[int, ...], grow: float = 1.0) -> np.ndarray:
    """(H, W) bool: inside the outline."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, oval(landmarks, grow), 1)
    return mask.astype(bool)


def square(landmarks: np.ndarray, margin: float = 0.15) -> tuple[float, float, float]:
    """(x, y, side) of a square around the outline, `margin` of its longer side wider on each side; pixels."""
    points = np.asarray(landmarks, np.float64)[list(OVAL), :2]
    low, high = points.min(0), points.max(0)
    side = float((high - low).max()) * (1 + 2 * margin)
    x, y = (low + high) / 2 - side / 2
    return float(x), float(y), side


def cut(picture: np.ndarray, box: tuple[float, float, float], size: int = 256) -> np.ndarray:
    """The square `box` (x, y, side) of a picture (H, W, 3) as (size, size, 3); the edge's colour goes on outside the picture."""
    x, y, side = round(box[0]), round(box[1]), max(1, round(box[2]))
    h, w = picture.shape[:2]
    pad = max(0, -x, -y, x + side - w, y + side - h)
    if pad:
        picture = cv2.copyMakeBorder(picture, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        x, y = x + pad, y + pad
    part = np.ascontiguousarray(picture[y:y + side, x:x + side])
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)


def into(box: tuple[float, float, float], points: np.ndarray, size: int = 256) -> np.ndarray:
    """Points (n, 2+) of a picture in the coordinates of `cut`: (n, 2)."""
    return (np.asarray(points, np.float64)[:, :2] - [round(box[0]), round(box[1])]) * size / max(1, round(box[2]))
