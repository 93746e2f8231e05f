# SPDX-License-Identifier: GPL-3.0-or-later
"""The shot's UV texture: unwrapped frames (Sun et al. 2023, section 3.2), the median over time."""

from __future__ import annotations

import cv2
import numba
import numpy as np
from scipy.spatial import cKDTree

from ..mesh.camera import place
from ..mesh.model import FaceModel
from ..mesh.shot import Shot, Solve, Track
from .media import PlateReader, display8
from .progress import Reporter
from .rendering import PlateRenderer
from .rendering.raster import rasterise
from .visibility import shot_trust

SIZE = 1024
SAMPLES = 15
FACING = 0.25
"""Cosine of the view angle under which a surface is seen too flat to be unwrapped."""


class Unwrapper:
    """Maps frames to UV space of one model and size."""

    def __init__(self, model: FaceModel, size: int = SIZE):
        self.model, self.size = model, size
        # One vertex may stand at several UVs (seams): rasterise in UV space over UV points, carrying what their vertices have.
        self.vertex_of_uv = np.zeros(len(model.uv), np.int64)
        self.vertex_of_uv[model.uv_triangles.ravel()] = model.triangles.ravel()
        self.xy = np.stack([model.uv[:, 0] * size, (1 - model.uv[:, 1]) * size], 1).astype(np.float32)

    def carry(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertex values (V, C) -> (size, size, C) and where the face is (size, size) bool."""
        out = np.zeros((self.size, self.size, values.shape[1]), np.float32)
        z = np.full((self.size, self.size), np.inf, np.float32)
        flat = np.zeros(len(self.xy), np.float32)
        rasterise(self.xy, flat, self.model.uv_triangles.astype(np.int32), values[self.vertex_of_uv].astype(np.float32), out, z, 0.0)
        return out, np.isfinite(z)

    def mirror(self) -> np.ndarray:
        """(size, size, 2) float32: where the other half of the face has the texel that this one mirrors, in texels of the same texture."""
        _, partner = cKDTree(self.model.mean).query(self.model.mean * np.array([-1, 1, 1], np.float32))
        uv = np.zeros((self.model.vertex_count, 2), np.float32)
        uv[self.vertex_of_uv] = self.xy
        return self.carry(uv[partner])[0] - 0.5

    def __call__(self, rgb: np.ndarray, xy: np.ndarray, points: np.ndarray, hidden: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Frame (H, W, 3) of any depth, vertices on it (V, 2) pixels and in camera axes (V, 3) -> texture (size, size, 3), of the same type.

        With it its visibility, (size, size) in 0..1. hidden (H, W) float32 in 0..1: what stands before the face.
        """
        t = self.model.triangles
        face = np.cross(points[t[:, 1]] - points[t[:, 0]], points[t[:, 2]] - points[t[:, 0]])
        corners = t.ravel()
        normals = np.stack([np.bincount(corners, np.repeat(face[:, k], 3), len(points)) for k in range(3)], 1)
        view = -points / np.linalg.norm(points, axis=1, keepdims=True)
        cosine = (normals * view).sum(1) / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
        cosine *= np.sign(np.median(cosine))  # whichever way the model's triangles turn, most of a face looks at the camera
        carried, inside = self.carry(np.concatenate([xy, cosine[:, None]], 1).astype(np.float32))
        texture = cv2.remap(rgb, carried[..., 0] - 0.5, carried[..., 1] - 0.5, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        in_picture = (carried[..., 0] >= 0) & (carried[..., 0] < rgb.shape[1]) & (carried[..., 1] >= 0) & (carried[..., 1] < rgb.shape[0])
        seen = inside * in_picture * np.clip((carried[..., 2] - FACING) / 0.3, 0, 1)
        if hidden is not None:
            seen = seen * (1 - cv2.remap(hidden, carried[..., 0] - 0.5, carried[..., 1] - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        return texture, seen


def shot_texture(shot: Shot, model: FaceModel, track: Track, solve: Solve, report: Reporter) -> np.ndarray:
    """The median texture (SIZE, SIZE, 3) uint8 RGB of evenly chosen solved frames; what no frame shows is filled from around."""
    renderer, unwrap, trust = PlateRenderer(model, solve.camera), Unwrapper(model), shot_trust(shot, track, solve)
    solved = np.flatnonzero(solve.solved)
    chosen = solved[np.unique(np.round(np.linspace(0, len(solved) - 1, SAMPLES)).astype(int))]
    reader = PlateReader(shot.plate_path, shot.plate)
    textures, seen = [], []
    for done, frame in enumerate(reader.chosen(chosen)):
        report.step("texture", done, len(chosen))
        index, rgb = frame.index, display8(frame.pixels, shot.plate.linear)
        pose = solve.rotation[index].astype(np.float64), solve.translation[index].astype(np.float64)
        points = place(model.shape(solve.alpha, solve.beta[index]).astype(np.float64), *pose)
        xy = solve.camera.project(points)
        locked = xy + renderer.lock(xy, track.landmarks[index].astype(np.float64), trust(index))
        texture, visible = unwrap(rgb, locked, points, trust.hidden(index))
        textures.append(texture)
        seen.append(visible > 0.5)
    report.step("texture", len(chosen), len(chosen))
    result, known = median_seen(np.stack(textures), np.stack(seen))
    result, known = fill_mirrored(result, known, unwrap.mirror())
    return fill_outwards(np.clip(np.round(result), 0, 255).astype(np.uint8), known)


def median_seen(textures: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median over time of (n, S, S, 3) uint8 where (n, S, S) bool `seen` says so: (S, S, 3) float32, and where there is any, (S, S) bool."""
    result = np.zeros(textures.shape[1:], np.float32)
    _median_seen(textures, seen, result)
    return result, seen.any(0)


@numba.njit(cache=True, nogil=True)
def _median_seen(textures, seen, result):
    count, height, width, channels = textures.shape
    values = np.zeros(count, np.uint8)
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                n = 0
                for t in range(count):
                    if seen[t, i, j]:
                        value, at = textures[t, i, j, c], n
                        while at > 0 and values[at - 1] > value:  # sorted as they come: they are few
                            values[at] = values[at - 1]
                            at -= 1
                        values[at] = value
                        n += 1
                if n:
                    result[i, j, c] = np.float32(0.5) * (np.float32(values[(n - 1) // 2]) + np.float32(values[n // 2]))


def fill_mirrored(texture: np.ndarray, known: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give unknown texels the colour of their mirror image, where that is known, and say what is known then.

    texture (S, S, 3) float32, known (S, S) bool, mirror see Unwrapper.mirror. One gain a colour fits the lit side to the dark one at their border.
    """
    other = cv2.remap(texture, mirror[..., 0], mirror[..., 1], cv2.INTER_LINEAR)
    there = cv2.remap(known.astype(np.float32), mirror[..., 0], mirror[..., 1], cv2.INTER_LINEAR) > 0.999
    take = ~known & there
    border = known & there & (cv2.dilate(take.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
    if not take.any() or not border.any():
        return texture, known
    gain = texture[border].mean(0) / np.maximum(other[border].mean(0), 1e-3)
    return np.where(take[..., None], other * gain, texture), known | take


def fill_outwards(texture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Give every unknown texel the nearest known texel's colour, so that no filter ever meets black at the border."""
    if known.all() or not known.any():
        return texture
    _, labels = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((labels.max() + 1, 3), texture.dtype)
    colours[labels[known]] = texture[known]
    return np.where(known[..., None], texture, colours[labels])

