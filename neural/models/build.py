# SPDX-License-Identifier: GPL-3.0-or-later
"""A foreign linear face model made into Mien's: visible skin only, the tracker's landmarks on it, lips, regions and loops found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from ...mesh.errors import MienError
from ...mesh.model import FaceModel, load_model
from .insert import Insertion
from .mesh_cut import boundary_loops, cut_rings, edge_graph, ring_through, simple_boundary
from .register import register, similarity

MARGIN = 0.012
"""Metres of the foreign mesh kept beyond the default model's border: hair, ears and neck go."""
ROUNDS = 3
"""Registrations, each on a shape nearer to the default model's mean face."""
FIT_NOISE = 0.003
"""Metres: the fit of that shape trusts a landmark so far (468 of them err together)."""
EYE_DEPTH = 0.05
"""Metres of the eye corners before the origin of the head frame."""
RINGS = {"mouth": tuple(range(60, 68)), "eye_right": tuple(range(36, 42)), "eye_left": tuple(range(42, 48))}
"""Loop -> the iBUG-68 points that lie on it, in order."""
CHAINS = {
    "mouth": (60, 64, (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308), (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)),
    "eye_right": (36, 39, (33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    "eye_left": (42, 45, (362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263))}
"""Loop -> its two corners as iBUG points, and the landmarks from the first to the second along the upper and the lower edge."""


@dataclass(eq=False)
class RawModel:
    """What a file gives. Axes x towards the subject's left, y down, z away from the viewer; metres."""

    name: str
    source: Path
    mean: np.ndarray
    """(V, 3)"""
    identity: np.ndarray
    """(A, V, 3) per standard deviation."""
    expression: np.ndarray
    """(B, V, 3)"""
    expression_names: tuple[str, ...]
    expression_sigma: np.ndarray
    """(B,)"""
    triangles: np.ndarray
    """(F, 3)"""
    ibug: np.ndarray
    """(68,) vertices of the iBUG-68 points; -1 for one of the outline that is not known."""
    uv: np.ndarray | None = None
    """(U, 2); None: a cylindrical layout is made."""
    uv_triangles: np.ndarray | None = None
    shifts: np.ndarray | None = None
    """(L, 3): by how much the tracker sees the default model's landmarks elsewhere than their like lies by shape; see `calibrate.py`."""


def build_model(raw: RawModel, default: FaceModel | None = None) -> FaceModel:
    """The FaceModel of a foreign one. Raises MienError when its points and its mesh do not fit together."""
    default = default or load_model()
    corners = raw.mean[raw.ibug[[36, 45]]]
    origin = corners.mean(0) + (0, 0, EYE_DEPTH)
    mean = raw.mean.astype(np.float64) - origin
    triangles, uv, uv_triangles = _outward(raw, mean)
    graph = edge_graph(mean, triangles)
    try:
        rings = {name: ring_through(graph, raw.ibug[list(points)]) for name, points in RINGS.items()}
    except ValueError as error:
        raise MienError(f"{raw.source}: the key points do not lie on one mesh ({error}); the file is not the model it claims to be.") from error
    keep = cut_rings(len(mean), triangles, graph, list(rings.values()))
    shape, bent = mean, np.zeros((0, 3))
    pins: dict[int, np.ndarray] = {}
    for turn in range(ROUNDS):
        if turn:
            shape = _alike(raw, mean, shape, bent, default, np.unique(triangles[keep]))
        pins = {}
        for name, ring in rings.items():
            pins |= _along(ring, shape, raw.ibug, name, default)
        known = np.where(raw.ibug[:, None] < 0, np.nan, shape[raw.ibug])
        bent = register(default, shape, triangles[keep], known, pins)
    keep &= _near(default, bent, shape)[triangles].all(1)
    keep = simple_boundary(triangles, keep)

    used = np.unique(triangles[keep])
    number = np.full(len(mean), -1)
    number[used] = np.arange(len(used))
    uv_used = np.unique(uv_triangles[keep])
    uv_number = np.full(len(uv), -1)
    uv_number[uv_used] = np.arange(len(uv_used))
    mesh = Insertion(shape[used], number[triangles[keep]], uv[uv_used], uv_number[uv_triangles[keep]])
    ids = default.landmark_ids
    places = bent[default.landmark_vertices] + (0 if raw.shifts is None else raw.shifts)
    order = np.argsort([int(i) not in pins for i in ids], kind="stable")  # lid margins and lips take their vertices first
    vertices = np.zeros(len(ids), np.int32)
    for row in order:
        vertices[row] = mesh.vertex_at(pins.get(int(ids[row]), places[row]))
    blend, faces, new_uv, uv_faces = mesh.result()

    def carried(basis: np.ndarray) -> np.ndarray:
        flat = basis[:, used].transpose(1, 0, 2).reshape(len(used), -1)
        return np.asarray(blend @ flat).reshape(-1, len(basis), 3).transpose(1, 0, 2).astype(np.float32)

    points = np.asarray(blend @ mean[used])
    table = {int(i): int(v) for i, v in zip(ids, vertices)}
    _, upper, lower = CHAINS["mouth"][1:]
    near = cKDTree(bent).query(np.asarray(blend @ shape[used]))[1]
    return FaceModel(
        name=raw.name, mean=points.astype(np.float32), identity=carried(raw.identity), expression=carried(raw.expression),
        expression_names=raw.expression_names, expression_sigma=raw.expression_sigma.astype(np.float32), triangles=faces, uv=new_uv,
        uv_triangles=uv_faces, landmark_scheme=default.landmark_scheme, landmark_ids=ids.copy(), landmark_vertices=vertices,
        lip_upper=np.array([table[i] for i in upper[1:-1]], np.int32), lip_lower=np.array([table[i] for i in lower[1:-1]], np.int32),
        regions={name: weight[near].astype(np.float32) for name, weight in default.regions.items()},
        loops=_loops(raw, faces, table), centre=mean.mean(0).astype(np.float32))


def _outward(raw: RawModel, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles, UVs and UV triangles, all turned so that the skin between the eyes faces the viewer."""
    triangles = raw.triangles.astype(np.int64)
    uv = cylindrical_uv(mean) if raw.uv is None else raw.uv
    uv_triangles = triangles if raw.uv_triangles is None else raw.uv_triangles.astype(np.int64)
    corners = mean[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    nose = np.linalg.norm(corners.mean(1) - mean[raw.ibug[27]], axis=1) < 0.03
    if normal[nose, 2].sum() > 0:
        triangles, uv_triangles = triangles[:, ::-1], uv_triangles[:, ::-1]
    return triangles, uv, uv_triangles


def cylindrical_uv(mean: np.ndarray) -> np.ndarray:
    """(V, 2) angle about a vertical axis behind the face, and height; in 0.02..0.98, v up."""
    angle = np.arctan2(mean[:, 0], 0.05 - mean[:, 2])
    plane = np.stack([angle * 0.1, -mean[:, 1]], 1)
    low, high = plane.min(0), plane.max(0)
    return 0.5 + (plane - (low + high) / 2) * (0.96 / np.maximum(high - low, 1e-9).max())


def _along(ring: np.ndarray, mean: np.ndarray, ibug: np.ndarray, name: str, default: FaceModel) -> dict[int, np.ndarray]:
    """Landmark -> position on a ring, spaced as on the default model."""
    first, second, upper_ids, lower_ids = CHAINS[name]
    turn = int(np.flatnonzero(ring == ibug[second])[0])
    start = int(np.flatnonzero(ring == ibug[first])[0])
    ring, turn = np.roll(ring, -start), (turn - start) % len(ring)
    chains = (ring[: turn + 1], np.concatenate([ring[turn:], ring[:1]])[::-1])
    pins: dict[int, np.ndarray] = {}
    for chain, landmarks in zip(chains, (upper_ids, lower_ids)):
        want = _lengths(default.mean[default.vertices_of_landmarks(list(landmarks))].astype(np.float64))
        have = _lengths(mean[chain])
        for landmark, way in zip(landmarks, want):
            pins[landmark] = np.array([np.interp(way, have, mean[chain, k]) for k in range(3)])
    return pins


def _lengths(points: np.ndarray) -> np.ndarray:
    total = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return total / total[-1]


def _alike(raw: RawModel, mean: np.ndarray, shape: np.ndarray, bent: np.ndarray, default: FaceModel, used: np.ndarray) -> np.ndarray:
    """(V, 3): the foreign model as the person that the default model's mean is, as nearly as its identity basis allows.

    Two meshes of one face correspond better than two of different faces; landmarks found on this shape hold for every shape.
    """
    distance, near = cKDTree(shape[used]).query(bent[default.landmark_vertices], k=3)
    weight = 1 / np.maximum(distance, 1e-6)
    weight /= weight.sum(1, keepdims=True)
    near = used[near]
    basis = raw.identity
    base = (mean[near] * weight[..., None]).sum(1)
    at = (basis[:, near] * weight[..., None]).sum(2)
    matrix = at.reshape(len(at), -1).T
    normal = matrix.T @ matrix + np.eye(len(at)) * FIT_NOISE**2
    want = default.mean[default.landmark_vertices].astype(np.float64)
    c = np.zeros(len(at))
    for _ in range(5):
        scale, R, t = similarity(want, base + np.tensordot(c, at, 1))
        c = np.linalg.solve(normal, matrix.T @ (scale * want @ R.T + t - base).ravel())
    return mean + np.tensordot(c, basis, 1)


def _near(default: FaceModel, bent: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(V,) bool: vertices on the part of the head that the default model covers, and a margin."""
    distance, near = cKDTree(bent).query(mean)
    outer = np.isin(near, default.loops["border"])
    return np.where(outer, distance < MARGIN, distance < 2 * MARGIN)


def _loops(raw: RawModel, triangles: np.ndarray, table: dict[int, int]) -> dict[str, np.ndarray]:
    """Boundary loops by what they surround. Raises MienError when an opening was not found."""
    found = boundary_loops(triangles)
    loops: dict[str, np.ndarray] = {}
    for name, (_, _, upper, lower) in CHAINS.items():
        wanted = np.array([table[i] for i in (*upper, *lower)])
        best = max(found, key=lambda loop: int(np.isin(wanted, loop).sum()))
        if np.isin(wanted, best).mean() < 0.5:
            raise MienError(f"{raw.source}: no opening was found for '{name}' between the key points; the file is not the model it claims to be.")
        loops[name] = best.astype(np.int32)
    rest = [loop for loop in found if not any(np.array_equal(loop, other) for other in loops.values())]
    loops["border"] = rest[0].astype(np.int32)
    return loops
