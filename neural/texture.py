# SPDX-License-Identifier: GPL-3.0-or-later
"""The shot's UV texture: unwrapped frames (Sun et al. 2023, section 3.2), the median over time."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numba
import numpy as np

from ..mesh.model import FaceModel
from ..mesh.shot import Shot, Solve, Track
from .filmed import filmed
from .media import PlateReader, display8
from .memo import once_per_model
from .parallel import ordered_map
from .progress import Reporter, reported
from .rendering import PlateRenderer, landmark_lock
from .rendering.raster import visible
from .visibility import shot_trust

SIZE = 1024
SAMPLES = 15
MIRROR_REACH = 64
"""The part of a texture's size over which mirrored colours are fitted to those around them: 1 / 64."""
COARSE = 4
"""By how much smaller the pictures are in which that is done."""
BLOCK = 16384
"""Texels of which a thread takes the median at a time."""
EARLY_MOST = 256 << 20
"""Bytes of pictures that may wait for the end of a solve."""
FACING = 0.25
"""Cosine of the view angle under which a surface is seen too flat to be unwrapped."""
FULLY = 0.3
"""By how much more it counts in full."""


class Unwrapper:
    """Maps frames to UV space of one model and size."""

    def __init__(self, model: FaceModel, size: int = SIZE):
        self.model, self.size = model, size
        self.xy = _uv_texels(model, size)
        self.inside, self._corners, self._weights = _texels(model, size)
        """(M,) texels of the face in the flattened texture."""

    def only(self, mask: np.ndarray) -> Unwrapper:
        """The same for some texels, mask (size, size) bool: `inside` holds those of the face that it has."""
        some, kept = copy.copy(self), np.flatnonzero(mask.ravel()[self.inside])
        some.inside, some._corners, some._weights = self.inside[kept], self._corners[kept], self._weights[kept]
        return some

    def blend(self, values: np.ndarray) -> np.ndarray:
        """Vertex values (V, C) -> (M, C) float32 at the texels of `inside`."""
        out = np.empty((len(self.inside), values.shape[1]), np.float32)
        _blend(self._corners, self._weights, np.ascontiguousarray(values, np.float32), out)
        return out

    def carry(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertex values (V, C) -> (size, size, C) and where the face is (size, size) bool."""
        out, there = np.zeros((self.size**2, values.shape[1]), np.float32), np.zeros(self.size**2, bool)
        out[self.inside], there[self.inside] = self.blend(values), True
        return out.reshape(self.size, self.size, -1), there.reshape(self.size, self.size)

    def texels(self, rgb: np.ndarray, xy: np.ndarray, points: np.ndarray, hidden: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """What `__call__` gives, at the texels of `inside` alone: (M, 3) of the frame's type, and (M,) float32 in 0..1."""
        t = self.model.triangles
        cosine = np.zeros(len(points))
        _cosines(points, t, cosine)
        cosine *= np.sign(np.median(cosine))  # whichever way the model's triangles turn, most of a face looks at the camera
        at = self.blend(np.concatenate([xy, cosine[:, None]], 1))
        texture = self._remapped(rgb, at, cv2.INTER_CUBIC)
        in_picture = (at[:, 0] >= 0) & (at[:, 0] < rgb.shape[1]) & (at[:, 1] >= 0) & (at[:, 1] < rgb.shape[0])
        seen = in_picture * np.clip((at[:, 2] - FACING) / np.float32(FULLY), 0, 1)
        if hidden is not None:
            seen = seen * (1 - self._remapped(hidden, at, cv2.INTER_LINEAR))
        return texture, seen

    def _remapped(self, picture: np.ndarray, at: np.ndarray, interpolation: int) -> np.ndarray:
        """A picture at points (M, 2+), pixels. OpenCV wants maps of two sides."""
        maps = np.full((2, -(-len(at) // self.size), self.size), -1, np.float32)
        maps.reshape(2, -1)[:, : len(at)] = at[:, :2].T - 0.5
        found = cv2.remap(picture, maps[0], maps[1], interpolation, borderMode=cv2.BORDER_REPLICATE)
        return found.reshape(-1, *found.shape[2:])[: len(at)]

    def __call__(self, rgb: np.ndarray, xy: np.ndarray, points: np.ndarray, hidden: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Frame (H, W, 3) of any depth, vertices on it (V, 2) pixels and in camera axes (V, 3) -> texture (size, size, 3), of the same type.

        With it its visibility, (size, size) in 0..1. hidden (H, W) float32 in 0..1: what stands before the face.
        """
        values, weights = self.texels(rgb, xy, points, hidden)
        texture, seen = np.zeros((self.size**2, 3), rgb.dtype), np.zeros(self.size**2, np.float32)
        texture[self.inside], seen[self.inside] = values, weights
        return texture.reshape(self.size, self.size, 3), seen.reshape(self.size, self.size)


def _uv_texels(model: FaceModel, size: int) -> np.ndarray:
    """(U, 2) float32: the model's UV points in a texture, texels, y down."""
    return np.stack([model.uv[:, 0] * size, (1 - model.uv[:, 1]) * size], 1).astype(np.float32)


def vertex_of_uv(model: FaceModel) -> np.ndarray:
    """(U,): one vertex may stand at several UV points (seams)."""
    found = np.zeros(len(model.uv), np.int64)
    found[model.uv_triangles.ravel()] = model.triangles.ravel()
    return found


def vertex_texels(model: FaceModel, size: int) -> np.ndarray:
    """(V, 2) float32: where each vertex is in a texture, texels; at one of its places where it has several."""
    at = np.zeros((model.vertex_count, 2), np.float32)
    at[vertex_of_uv(model)] = _uv_texels(model, size)
    return at


@once_per_model
def _texels(model: FaceModel, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The face's texels (M,) of a texture, the vertices around each (M, 3) and their shares (M, 3): rasterised in UV space over UV points."""
    t = model.uv_triangles
    surface = visible(_uv_texels(model, size), np.zeros(len(model.uv)), t, (size, size), 0.0)
    inside = np.flatnonzero(surface.mask)
    second, third = surface.weights.reshape(-1, 2)[inside].T
    return inside, vertex_of_uv(model)[t[surface.faces.ravel()[inside]]].astype(np.int32), np.stack([1 - second - third, second, third], 1)


@once_per_model
def mirror_map(model: FaceModel, size: int) -> np.ndarray:
    """(size, size, 2) float32: where the other half of the face has the texel that this one mirrors, in texels of the same texture."""
    from scipy.spatial import cKDTree  # a tenth of a second that no bake needs
    _, partner = cKDTree(model.mean).query(model.mean * np.array([-1, 1, 1], np.float32))
    return Unwrapper(model, size).carry(vertex_texels(model, size)[partner])[0] - 0.5


@numba.njit(cache=True, nogil=True)
def _blend(corners, weights, values, out):
    for i in range(len(corners)):
        a, b, c = corners[i]
        for k in range(values.shape[1]):
            out[i, k] = weights[i, 0] * values[a, k] + weights[i, 1] * values[b, k] + weights[i, 2] * values[c, k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _cosines(points, triangles, out):
    """Cosine between each vertex's normal and the line of sight; points (V, 3), metres in camera axes."""
    normals = np.zeros_like(points)
    for f in range(len(triangles)):
        a, b, c = triangles[f]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(len(points)):
        n, p = normals[v], points[v]
        length = np.sqrt((n[0] ** 2 + n[1] ** 2 + n[2] ** 2) * (p[0] ** 2 + p[1] ** 2 + p[2] ** 2))
        out[v] = -(n[0] * p[0] + n[1] * p[1] + n[2] * p[2]) / max(length, 1e-15)


class EarlyFrames:
    """The frames that a shot's texture will be made from, read while the shot is still being solved. Close it when it is of no more use."""

    def __init__(self, shot: Shot, found: np.ndarray, model: FaceModel, shots: int = 1):
        """found (T,) bool: frames that show the face; they are solved, but for a few perhaps. shots: how many are waiting at the same time."""
        self._reader, self._linear = PlateReader(shot.plate_path, shot.plate), shot.plate.linear
        self._pool = ThreadPoolExecutor(1, "mien-early")
        size = shot.plate.width * shot.plate.height * 3
        self._frames = self._pool.submit(lambda: list(self._read(_evenly(found)))) if shots * SAMPLES * size <= EARLY_MOST else None
        for make in (lambda: landmark_lock(model), lambda: mirror_map(model, SIZE)):
            self._pool.submit(make)

    def __enter__(self) -> EarlyFrames:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def chosen(self, solved: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(index, (H, W, 3) uint8) of the frames evenly chosen of those that were solved (T,) bool. Raises MienError."""
        indices = _evenly(solved)
        early = [] if self._frames is None else self._frames.result()
        yield from early if [i for i, _ in early] == indices.tolist() else self._read(indices)

    def _read(self, indices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        return ((frame.index, display8(frame.pixels, self._linear)) for frame in self._reader.chosen(indices))


def _evenly(there: np.ndarray) -> np.ndarray:
    """Indices of at most SAMPLES elements of those that are there (T,) bool."""
    indices = np.flatnonzero(there)
    return indices[np.unique(np.round(np.linspace(0, len(indices) - 1, SAMPLES)).astype(int))] if len(indices) else indices


def shot_texture(shot: Shot, model: FaceModel, track: Track, solve: Solve, early: EarlyFrames, report: Reporter) -> np.ndarray:
    """The median texture (SIZE, SIZE, 3) uint8 RGB of evenly chosen solved frames; what no frame shows is filled from around."""
    renderer, unwrap, trust = PlateRenderer(model, solve.camera), Unwrapper(model), shot_trust(shot, track, solve)

    def unwrapped(chosen: tuple[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        index, rgb = chosen
        xy, offset, points = filmed(renderer, solve, track, trust, index)
        texels, shown = unwrap.texels(rgb, xy + offset, points, trust.hidden(index))
        return texels, shown > 0.5

    texels, seen = zip(*reported(ordered_map(unwrapped, early.chosen(solve.solved)), report, "texture", min(SAMPLES, int(solve.solved.sum()))))
    result, known = np.zeros((SIZE * SIZE, 3), np.float32), np.zeros(SIZE * SIZE, bool)
    result[unwrap.inside], known[unwrap.inside] = median_seen(texels, seen)
    result, known = fill_mirrored(result.reshape(SIZE, SIZE, 3), known.reshape(SIZE, SIZE), mirror_map(model, SIZE))
    return fill_outwards(np.clip(np.round(result), 0, 255).astype(np.uint8), known)


def median_seen(texels: Sequence[np.ndarray], seen: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Median over time of n times (M, 3) uint8 where (M,) bool `seen` says so: (M, 3) float32, and where there is any, (M,) bool."""
    result = np.zeros(texels[0].shape, np.float32)

    def part(start: int) -> None:
        block = slice(start, start + BLOCK)
        _median_seen(np.stack([t[block] for t in texels]), np.stack([s[block] for s in seen]), result[block])

    deque(ordered_map(part, range(0, len(result), BLOCK)), 0)
    return result, np.any(seen, axis=0)


@numba.njit(cache=True, nogil=True)
def _median_seen(texels, seen, result):
    values = np.zeros(len(texels), np.uint8)
    for m in range(len(result)):
        for c in range(3):
            n = 0
            for t in range(len(texels)):
                if seen[t, m]:
                    value, at = texels[t, m, c], n
                    while at > 0 and values[at - 1] > value:  # sorted as they come: they are few
                        values[at] = values[at - 1]
                        at -= 1
                    values[at] = value
                    n += 1
            if n:
                result[m, c] = np.float32(0.5) * (np.float32(values[(n - 1) // 2]) + np.float32(values[n // 2]))


def fill_mirrored(texture: np.ndarray, known: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give unknown texels the colour of their mirror image, where that is known, and say what is known then.

    texture (S, S, 3) float32, known (S, S) bool, mirror see `mirror_map`. What the two sides differ by at the nearest known texels is made up
    for, so that the lit side fits into the dark one, at a nostril as on a cheek.
    """
    other = cv2.remap(texture, mirror[..., 0], mirror[..., 1], cv2.INTER_LINEAR)
    there = cv2.remap(known.astype(np.float32), mirror[..., 0], mirror[..., 1], cv2.INTER_LINEAR) > 0.999
    take = ~known & there
    border = known & there & (cv2.dilate(take.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
    if not take.any() or not border.any():
        return texture, known
    differs = np.where(border[..., None], texture - other, 0)
    small = (max(known.shape[1] // COARSE, 1), max(known.shape[0] // COARSE, 1))  # so wide a blur needs no more
    spread = np.concatenate([differs, border[..., None].astype(np.float32)], 2)
    spread = cv2.GaussianBlur(cv2.resize(spread, small, interpolation=cv2.INTER_AREA), (0, 0), small[0] / MIRROR_REACH)
    spread = cv2.resize(spread, known.shape[::-1], interpolation=cv2.INTER_LINEAR)[take]
    offset = np.where(spread[:, 3:] > 1e-4, spread[:, :3] / np.maximum(spread[:, 3:], 1e-4), differs[border].mean(0))
    filled = texture.copy()
    filled[take] = np.clip(other[take] + offset, 0, 255)
    return filled, known | take


def fill_outwards(texture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Give every unknown texel the nearest known texel's colour, so that no filter ever meets black at the border."""
    if known.all() or not known.any():
        return texture
    _, labels = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((labels.max() + 1, 3), texture.dtype)
    colours[labels[known]] = texture[known]
    return np.where(known[..., None], texture, colours[labels])

