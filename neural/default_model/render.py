# SPDX-License-Identifier: GPL-3.0-or-later
"""A small shaded rasteriser, for looking at the model: no window, no dependency on the product's renderer."""

from __future__ import annotations

import cv2
import numba
import numpy as np


@numba.njit(cache=True)
def _raster(points, triangles, width, height):
    """Nearest facet per pixel of points (V, 3) in pixels: (facet index or -1, two barycentric weights)."""
    depth = np.full((height, width), np.inf)
    face = np.full((height, width), -1, np.int64)
    bary = np.zeros((height, width, 2))
    for f in range(len(triangles)):
        a, b, c = points[triangles[f, 0]], points[triangles[f, 1]], points[triangles[f, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-12:
            continue
        x0 = max(0, int(np.floor(min(a[0], b[0], c[0]))))
        x1 = min(width - 1, int(np.ceil(max(a[0], b[0], c[0]))))
        y0 = max(0, int(np.floor(min(a[1], b[1], c[1]))))
        y1 = min(height - 1, int(np.ceil(max(a[1], b[1], c[1]))))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                px, py = x + 0.5, y + 0.5
                wb = ((px - a[0]) * (c[1] - a[1]) - (py - a[1]) * (c[0] - a[0])) / area
                wc = ((b[0] - a[0]) * (py - a[1]) - (b[1] - a[1]) * (px - a[0])) / area
                if wb < 0 or wc < 0 or wb + wc > 1:
                    continue
                z = a[2] + wb * (b[2] - a[2]) + wc * (c[2] - a[2])
                if z < depth[y, x]:
                    depth[y, x] = z
                    face[y, x] = f
                    bary[y, x, 0], bary[y, x, 1] = wb, wc
    return face, bary


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3), (F, 3) -> unit normals (V, 3), outwards (towards the camera, -z, for a face at rest)."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    facet = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for i in range(3):
        np.add.at(normals, triangles[:, i], facet)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)


def turn(points: np.ndarray, yaw: float, pitch: float = 0.0) -> np.ndarray:
    """Rotate (V, 3) by degrees about y, then x."""
    y, p = np.radians(yaw), np.radians(pitch)
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rx = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return points @ ry.T @ rx.T


def shade(points: np.ndarray, triangles: np.ndarray, size: int = 300, yaw: float = 0.0, pitch: float = 0.0, colour: np.ndarray | None = None,
          centre: tuple[float, float] = (0.0, 0.028), span: float = 0.20, wire: bool = False) -> np.ndarray:
    """(size, size, 3) uint8 BGR picture of a mesh, orthographic. `colour` (V, 3) in 0..1 BGR; `span` metres across the picture."""
    turned = turn(np.asarray(points, np.float64), yaw, pitch)
    scale = size / span
    pixels = turned * scale
    pixels[:, 0] += size / 2 - centre[0] * scale
    pixels[:, 1] += size / 2 - centre[1] * scale
    triangles = np.ascontiguousarray(triangles, np.int64)
    face, bary = _raster(pixels, triangles, size, size)
    normals = vertex_normals(turned, triangles)
    hit = face >= 0
    corner = triangles[face[hit]]
    weight = np.stack([1 - bary[hit].sum(1), bary[hit][:, 0], bary[hit][:, 1]], 1)
    normal = (normals[corner] * weight[..., None]).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    light = np.array([-0.45, -0.55, -0.7])
    light /= np.linalg.norm(light)
    value = 0.25 + 0.75 * np.clip(normal @ light, 0, 1)
    base = np.full((len(points), 3), 0.85) if colour is None else colour
    tint = (base[corner] * weight[..., None]).sum(1)
    tint = np.where((normal[:, 2] > 0.05)[:, None], np.array([0.7, 0.2, 0.7]), tint)
    image = np.full((size, size, 3), 0.13)
    image[hit] = tint * value[:, None]
    picture = (np.clip(image, 0, 1) ** 0.8 * 255).astype(np.uint8)
    if wire:
        for t in triangles:
            cv2.polylines(picture, [np.round(pixels[t, :2] * 16).astype(np.int32)], True, (60, 60, 60), 1, cv2.LINE_AA, 4)
    return picture


def heat(displacement: np.ndarray, full: float) -> np.ndarray:
    """(V, 3) metres -> colours (V, 3) BGR: grey at rest, through yellow to red at `full` metres."""
    amount = np.clip(np.linalg.norm(displacement, axis=1) / full, 0, 1)[:, None]
    grey, yellow, red = np.array([0.85] * 3), np.array([0.35, 0.9, 0.95]), np.array([0.2, 0.25, 0.95])
    return np.where(amount < 0.5, grey + (yellow - grey) * amount * 2, yellow + (red - yellow) * (amount * 2 - 1))


def label(picture: np.ndarray, text: str) -> np.ndarray:
    """`picture` with a line of text in the upper left corner."""
    return cv2.putText(picture, text, (5, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)


def grid(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    """Equal pictures in rows of `columns`."""
    blank = np.zeros_like(pictures[0])
    rows = [pictures[i:i + columns] for i in range(0, len(pictures), columns)]
    return np.vstack([np.hstack(row + [blank] * (columns - len(row))) for row in rows])
