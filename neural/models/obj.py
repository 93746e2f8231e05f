# SPDX-License-Identifier: GPL-3.0-or-later
"""Wavefront OBJ: vertices, texture coordinates and polygons; groups, materials and normals are left aside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...mesh.errors import MienError


@dataclass(eq=False)
class Obj:
    vertices: np.ndarray
    """(V, 3) float64, in the file's units."""
    uv: np.ndarray
    """(U, 2) float64"""
    faces: list[list[int]]
    """Vertices of each polygon, counted from 0."""
    uv_faces: list[list[int]]
    """Texture coordinates of each polygon."""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror or error}); check the model's folder.") from error


def _numbers(path: Path, lines: list[str], width: int) -> np.ndarray:
    try:
        return np.array([line.split()[1 : width + 1] for line in lines], np.float64).reshape(-1, width)
    except ValueError as error:
        raise MienError(f"{path} has a line of '{lines[0].split()[0]}' that is not {width} numbers; the file is damaged.") from error


def read_obj_vertices(path: Path) -> np.ndarray:
    """(V, 3). Raises MienError."""
    return _numbers(path, [line for line in _lines(path) if line.startswith("v ")], 3)


def read_obj(path: Path) -> Obj:
    """Everything; every polygon must have texture coordinates. Raises MienError."""
    lines = _lines(path)
    vertices = _numbers(path, [line for line in lines if line.startswith("v ")], 3)
    uv = _numbers(path, [line for line in lines if line.startswith("vt ")], 2)
    faces, uv_faces = [], []
    try:
        for line in lines:
            if line.startswith("f "):
                corners = [corner.split("/") for corner in line.split()[1:]]
                faces.append([int(c[0]) - 1 for c in corners])
                uv_faces.append([int(c[1]) - 1 for c in corners])
    except (ValueError, IndexError) as error:
        raise MienError(f"{path} has a polygon without vertex and texture numbers ('{line:.60}'); the file is damaged.") from error
    for what, rows, count in (("vertex", faces, len(vertices)), ("texture coordinate", uv_faces, len(uv))):
        if not rows or min(map(min, rows)) < 0 or max(map(max, rows)) >= count:
            raise MienError(f"{path}: a polygon names a {what} beyond the {count} there are; the file is truncated.")
    return Obj(vertices, uv, faces, uv_faces)
