# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the neutral mean face from footage: `python -m mien.neural.default_model.measure CLIP... -o mean.csv`.

Every clip should show one person who is neutral and frontal at times. From each clip the frames with closed lips, open eyes and a
frontal head are tracked and averaged, the persons are averaged with equal weight (generalised Procrustes in 3D), and the result is
symmetrised and scaled. Only the rounded average is kept; no single person's measurement is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import numpy as np
from mediapipe.python.solutions.face_mesh import FaceMesh

from ...mesh.errors import MienError
from .tables import write_points
from .topology import LIP_LOWER, LIP_LOWER_RINGS, LIP_UPPER, LIP_UPPER_RINGS, base_topology

IOD = 0.090
"""Distance of the outer eye corners, metres."""
STABLE = [33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 10, 151, 9, 8, 98, 327, 234, 454, 127, 356, 21, 251, 54, 284]
"""Landmarks that hardly move with the expression; heads are aligned on them."""


def procrustes(source: np.ndarray, target: np.ndarray, ids: list[int] | slice = slice(None)) -> np.ndarray:
    """Similarity that brings source (N, 3) onto target (N, 3) in the least-squares sense over `ids`; returns all N moved points."""
    a, b = source[ids], target[ids]
    ca, cb = a.mean(0), b.mean(0)
    u, s, vt = np.linalg.svd((a - ca).T @ (b - cb))
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = (s * np.diag(sign)).sum() / ((a - ca) ** 2).sum()
    return (source - ca) @ rotation * scale + cb


def clip_landmarks(path: Path, limit: int = 120) -> np.ndarray:
    """(T, 468, 3) landmarks in pixels (z in the same scale) of those of the first `limit` frames on which a face is found."""
    found = []
    with av.open(str(path)) as container, FaceMesh(refine_landmarks=True, min_detection_confidence=0.3) as mesh:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= limit:
                break
            image = frame.to_ndarray(format="rgb24")
            faces = mesh.process(image).multi_face_landmarks
            if faces:
                points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark[:468]])
                found.append(points * (image.shape[1], image.shape[0], image.shape[1]))
    if not found:
        raise MienError(f"{path} shows no face; give a clip in which one person looks at the camera.")
    return np.array(found)


def neutral_of_clip(landmarks: np.ndarray, mirror: np.ndarray, share: float = 0.12) -> np.ndarray:
    """(T, 468, 3) -> (468, 3): the average of the calmest frames: lips closed, not smiling, eyes open, head frontal."""
    iod = np.linalg.norm(landmarks[:, 33] - landmarks[:, 263], axis=1)
    gap = np.linalg.norm(landmarks[:, LIP_UPPER[1:-1]] - landmarks[:, LIP_LOWER[1:-1]], axis=2).mean(1) / iod
    width = np.linalg.norm(landmarks[:, 61] - landmarks[:, 291], axis=1) / iod
    eyes = sum(np.linalg.norm(landmarks[:, a] - landmarks[:, b], axis=1) for a, b in ((159, 145), (386, 374))) / iod
    yaw = np.abs(landmarks[:, 234, 2] - landmarks[:, 454, 2]) / iod
    eyes_ok = eyes > 0.8 * np.median(eyes)
    cost = gap * 4 + np.abs(width - np.median(width)) + 0.3 * yaw + np.where(eyes_ok, 0, 10)
    best = landmarks[np.argsort(cost)[: max(3, int(share * len(cost)))]]
    mean = best[0]
    for _ in range(5):
        mean = np.mean([procrustes(f, mean, STABLE) for f in best], 0)
    return frontal(mean, mirror)


def frontal(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Turn and move (468, 3) rigidly until its mirror plane is x = 0, and scale it to IOD."""
    points = points - points.mean(0)
    for _ in range(10):
        points = _turn_half(points, points[mirror] * (-1, 1, 1))
    return points * (IOD / np.linalg.norm(points[33] - points[263]))


def _turn_half(points: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """One step towards the pose in which `points` and their mirror image agree: the mean of both, carried by a rigid motion."""
    middle = 0.5 * (points + procrustes(points, flipped))
    return procrustes(points, middle)


def place_head(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Symmetrise (468, 3), scale, close the lips, and move the origin between the outer eye corners, 50 mm behind them."""
    points = 0.5 * (points + points[mirror] * (-1, 1, 1))
    points = close_lips(points * (IOD / np.linalg.norm(points[33] - points[263])))
    return points - (points[33] + points[263]) / 2 + (0, 0, -0.050)


def close_lips(points: np.ndarray, gap: float = 0.0002) -> np.ndarray:
    """Bring the inner edges of the lips of (468, 3) together but for `gap` (metres, at the centre); the change fades over the lip's height."""
    points = points.copy()
    upper, lower = points[list(LIP_UPPER)], points[list(LIP_LOWER)]
    columns = np.linspace(-1, 1, 11)
    half = np.zeros_like(upper)
    half[:, 1] = 0.5 * gap * (1 - columns**2)
    middle = 0.5 * (upper + lower)
    for rings, start, target in ((LIP_UPPER_RINGS, upper, middle - half), (LIP_LOWER_RINGS, lower, middle + half)):
        for ring, weight in zip(rings, (1.0, 0.7, 0.35, 0.0)):
            points[list(ring[1:-1])] += weight * (target - start)[1:-1]
    return points


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure the neutral mean face from clips of several persons.")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the table to write (mean.csv)")
    options = parser.parse_args(arguments)
    mirror = base_topology().mirror
    persons = []
    for clip in options.clips:
        persons.append(neutral_of_clip(clip_landmarks(clip), mirror))
    mean = persons[0]
    for _ in range(10):
        mean = frontal(np.mean([procrustes(p, mean) for p in persons], 0), mirror)
    write_points(options.output, place_head(mean, mirror))


if __name__ == "__main__":
    main()
