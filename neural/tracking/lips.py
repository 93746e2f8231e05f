# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lips end inside the mouth: the tracker's inner contour, moved onto the edge that the picture shows.

MediaPipe's inner contour lies up to a twentieth of the mouth's width beside the lips' edge: on the wet inside of the lower lip, across the upper
teeth, apart on closed lips. Here the picture decides (ours, no paper's): what is much darker than the lips beside it is the cavity, what is less
red is teeth, and two lines from corner to corner part them from the lips, where that is clear; where it is not (a tongue), the tracker's stay.

Strips: columns go from the right corner of the mouth to the left one, rows across, down the face; a row is STEP of the mouth's width.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from .mediapipe_tracker import Face

RIGHT, LEFT = 78, 308
"""Landmarks of the corners, inside."""
UPPER = ((185, 40, 39, 37, 0, 267, 269, 270, 409), (184, 74, 73, 72, 11, 302, 303, 304, 408),
         (183, 42, 41, 38, 12, 268, 271, 272, 407), (191, 80, 81, 82, 13, 312, 311, 310, 415))
LOWER = ((146, 91, 181, 84, 17, 314, 405, 321, 375), (77, 90, 180, 85, 16, 315, 404, 320, 307),
         (96, 89, 179, 86, 15, 316, 403, 319, 325), (95, 88, 178, 87, 14, 317, 402, 318, 324))
"""Rings of each lip's landmarks, from its outer edge to its inner one, right to left."""
OUTER_CORNERS = 61, 291
COLUMNS = 21
ENDS = 0.04
"""Part of the mouth's width at each corner that is left alone: there the lips' own shadow is as dark as the cavity."""
STEP = 1 / 125
REACH = 7
"""Rows by which the contour may move."""
THICK = 0.6
"""Part of a lip's thickness, from inside, by which it may move at most."""
SMALLEST = 16.0
"""Width of a mouth in pixels below which nothing can be told."""
SHARPEST = 200
"""Width to which larger mouths are reduced before they are looked at."""
LIP = (0.3, 0.8)
"""Part of the way from the inner to the outer edge that is lip in any case: the colour that all else is held against."""
DARK, DARK_WIDTH = 0.70, 0.12
"""Brightness against the lips at which a pixel may be either, and how far below it is surely the cavity."""
WHITE, WHITE_WIDTH = (0.6, 0.8), 0.15
"""The same of redness. It lies half-way between the lips and the palest part of this mouth, within these limits: teeth are as pale as the light."""
RED = (0.03, 0.07)
"""Redness of lips below which, as on a plate in black and white, it tells nothing, and from which on it is believed."""
PALEST = 0.15
"""Part of the inside that is less red than what is taken for teeth."""
INSIDE = (0.15, 0.85)
"""Part of the way from the upper to the lower contour, as tracked, that is looked at for it."""
FEW = 40
"""Samples of the inside below which it is not."""
EVIDENCE, PRIOR, SMOOTH, CROSSED = 1.28, 0.033, 0.8, 50.0
"""Weights: of a sure row, of the distance from the tracked contour and of that between neighbours (rows squared), and of lips that cross."""
SOFT = 0.6
"""Cost by which a worse place still counts: the contour moves evenly, not by rows."""


class _Mouth:
    """A mouth on a picture: across in parts of its width, from the right corner, and down in rows."""

    def __init__(self, face: Face):
        xy = face[:, :2].astype(np.float64)
        self.start, across = xy[RIGHT], xy[LEFT] - xy[RIGHT]
        self.width = float(np.linalg.norm(across))
        """Pixels."""
        self.across = across
        self.down = STEP * np.array([-across[1], across[0]])
        """Pixels of a row."""
        scale = max(self.width, 1e-9) ** 2
        self.points = np.stack([(xy - self.start) @ across / scale, (xy - self.start) @ self.down / (scale * STEP**2)], 1)
        self.columns = np.linspace(ENDS, 1 - ENDS, COLUMNS)
        self.edges = np.stack([self._edge(UPPER[0], OUTER_CORNERS), self._edge(UPPER[-1], (RIGHT, LEFT)),
                               self._edge(LOWER[-1], (RIGHT, LEFT)), self._edge(LOWER[0], OUTER_CORNERS)])
        """(4, COLUMNS) rows: upper lip outside, inside, lower lip inside, outside."""

    def _edge(self, ring: tuple[int, ...], corners: tuple[int, int]) -> np.ndarray:
        u, v = self.points[[corners[0], *ring, corners[1]]].T
        return np.interp(self.columns, np.maximum.accumulate(u), v)

    def strip(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mouth laid straight: (rows, COLUMNS, 3) float32 in 0..1, and the heights of its rows (rows,)."""
        rows = np.arange(np.floor(min(self.edges[0].min(), self.edges[1].min() - REACH)) - 1,
                         np.ceil(max(self.edges[3].max(), self.edges[2].max() + REACH)) + 2)
        places = self.start + self.columns[None, :, None] * self.across + rows[:, None, None] * self.down
        left, top = np.maximum(np.floor(places.min((0, 1))).astype(int) - 2, 0)
        right, bottom = np.ceil(places.max((0, 1))).astype(int) + 3
        part = rgb[top:bottom, left:right, :3]
        if min(part.shape[:2]) < 2:
            return np.zeros((0, COLUMNS, 3), np.float32), rows[:0]
        scale = np.minimum(1.0, SHARPEST / self.width)
        if scale < 1:
            part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y = np.moveaxis((places - (left, top)) * scale - 0.5, 2, 0).astype(np.float32)
        return cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32) / 255, rows


def inner_lips(rgb: np.ndarray, face: Face) -> Face:
    """(H, W, 3) uint8 sRGB and landmarks (478, 3), pixels -> the landmarks with the lips' inner edge where the picture shows it.

    The rings between it and the outer edge follow in proportion; corners, outer edge and depths stay.
    """
    mouth = _Mouth(face)
    if not mouth.width >= SMALLEST:
        return face
    strip, rows = mouth.strip(rgb)
    if not len(strip):
        return face
    outer_up, up, low, outer_low = mouth.edges
    moves = _contour(_evidence(strip, rows, mouth.edges), rows, up, low)
    crossed = np.minimum(low + moves[1] - up - moves[0], 0)
    moves += 0.5 * crossed * np.array([[1], [-1]])  # lips that cross by part of a row have met
    out = face.copy()
    for lip, outer, inner, move in ((UPPER, outer_up, up, moves[0]), (LOWER, outer_low, low, moves[1])):
        for ring in lip[1:]:
            u, v = mouth.points[list(ring)].T
            start, end = np.interp(u, mouth.columns, outer), np.interp(u, mouth.columns, inner)
            share = np.ones(len(ring)) if ring is lip[-1] else np.clip((v - start) / np.where(end == start, 1, end - start), 0, 1)
            out[list(ring), :2] += (share * np.interp(u, mouth.columns, move))[:, None] * mouth.down
    return out


def _evidence(strip: np.ndarray, rows: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(rows, COLUMNS) in -1..1: how surely a place is inside the mouth (1) or lip (-1)."""
    outer_up, up, low, outer_low = edges
    at = rows[:, None]
    beside = [_lip_colour(strip, (at - inner) / _apart(outer - inner)) for outer, inner in ((outer_up, up), (outer_low, low))]
    way = (at - up) / np.maximum(low - up, 1.0)
    lip = beside[0] + np.clip(way, 0, 1)[..., None].astype(np.float32) * (beside[1] - beside[0])
    bright = (strip * lip).sum(2) / np.maximum((lip * lip).sum(2), 1e-4)
    lip_red = _redness(lip)
    red, coloured = _redness(strip) / np.maximum(lip_red, RED[0]), np.clip((lip_red - RED[0]) / (RED[1] - RED[0]), 0, 1)
    inside = (way > INSIDE[0]) & (way < INSIDE[1]) & (bright > DARK - DARK_WIDTH)
    reds = np.sort(red[inside])
    palest = reds[int(PALEST * len(reds))] if len(reds) > FEW else 0.0
    white = float(np.clip((palest + 1) / 2, *WHITE))
    sure = np.clip(np.maximum((DARK - bright) / DARK_WIDTH, coloured * (white - red) / WHITE_WIDTH), -1, 1)
    sure[(at < up - THICK * (up - outer_up)) | (at > low + THICK * (outer_low - low))] = -1
    # A tongue is as red as lips: between two places that are inside, nothing tells of lips.
    known = sure > 0
    enclosed = np.maximum.accumulate(known, 0) & np.maximum.accumulate(known[::-1], 0)[::-1] & (way > 0) & (way < 1)
    return np.where(enclosed, np.maximum(sure, 0), sure)


def _lip_colour(strip: np.ndarray, way: np.ndarray) -> np.ndarray:
    """(COLUMNS, 3): mean colour of a lip beside each column; way (rows, COLUMNS) from its inner edge to its outer one."""
    lip = ((way > LIP[0]) & (way < LIP[1])).astype(np.float32)[..., None]
    both = cv2.GaussianBlur(np.concatenate([(strip * lip).sum(0), lip.sum(0)], 1)[None], (0, 0), 2.0, borderType=cv2.BORDER_REFLECT)[0]
    return both[:, :3] / np.maximum(both[:, 3:], 1e-3)


def _redness(colours: np.ndarray) -> np.ndarray:
    """(..., 3) -> (...)."""
    return (colours[..., 0] - colours[..., 1]) / (colours.sum(-1) + 0.05)


def _apart(difference: np.ndarray) -> np.ndarray:
    """The same, never 0, to be divided by."""
    return np.where(np.abs(difference) < 0.5, np.copysign(0.5, difference), difference)


def _contour(sure: np.ndarray, rows: np.ndarray, up: np.ndarray, low: np.ndarray) -> np.ndarray:
    """(2, COLUMNS) rows by which the upper and the lower inner edge move: the pair of lines of the least cost, by dynamic programming over columns.

    A place (x, y) of a column costs what lies between its edges as if it were lip, and how far it is from where the tracker has it; neighbours
    cost their difference. The mean over all places, weighted by the least cost of lines through them, is smooth in what it is made from.
    """
    before = np.zeros((len(rows) + 1, COLUMNS), np.float32)
    np.cumsum(sure, 0, out=before[1:])
    first = rows[0] - 0.5
    return _lines((EVIDENCE * before).astype(np.float32), (up - first).astype(np.float32), (low - first).astype(np.float32),
                  (PRIOR, SMOOTH, CROSSED, SOFT))


@numba.njit(cache=True, nogil=True)
def _lines(before, up, low, weights):
    """`_contour` of the evidence above each row's upper edge (rows + 1, COLUMNS), and both edges counted in rows of it."""
    prior, smooth, crossed, soft = weights
    columns, n, last = before.shape[1], 2 * REACH + 1, before.shape[0] - 1.0
    cost = np.empty((columns, n, n), np.float32)
    above, here = np.empty((2, n), np.float32), np.empty((n, n), np.float32)
    for k in range(columns):
        for edge in range(2):
            for x in range(n):
                place = min(max((up[k] if edge == 0 else low[k]) + x - REACH, 0.0), last)
                row = min(int(place), before.shape[0] - 2)
                above[edge, x] = before[row, k] + (place - row) * (before[row + 1, k] - before[row, k])
        for x in range(n):
            for y in range(n):
                over = max(up[k] + x - low[k] - y, 0.0)
                cost[k, x, y] = prior * ((x - REACH) ** 2 + (y - REACH) ** 2) - above[1, y] + above[0, x] + 2 * over + crossed * max(over - 1, 0.0)
    step = np.empty(2 * n, np.float32)
    for d in range(2 * n):
        step[d] = smooth * d * d
    reached = np.zeros((2, columns, n, n), np.float32)
    for way in range(2):  # from the right corner, and from the left one
        for i in range(1, columns):
            k, was = (i, i - 1) if way == 0 else (columns - 1 - i, columns - i)
            for x in range(n):
                for y in range(n):
                    here[x, y] = np.float32(np.inf)
                for z in range(n):
                    d = step[abs(x - z)]
                    for y in range(n):
                        here[x, y] = min(here[x, y], reached[way, was, z, y] + cost[was, z, y] + d)
            for x in range(n):
                for y in range(n):
                    reached[way, k, x, y] = np.float32(np.inf)
                for z in range(n):
                    for y in range(n):
                        reached[way, k, x, y] = min(reached[way, k, x, y], here[x, z] + step[abs(y - z)])
    moves = np.zeros((2, columns))
    for k in range(columns):
        least = (reached[0, k] + reached[1, k] + cost[k]).min()
        total = 0.0
        for x in range(n):
            for y in range(n):
                weight = np.exp((least - reached[0, k, x, y] - reached[1, k, x, y] - cost[k, x, y]) / soft)
                total += weight
                moves[0, k] += weight * (x - REACH)
                moves[1, k] += weight * (y - REACH)
        moves[:, k] /= total
    return moves
