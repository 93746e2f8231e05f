# SPDX-License-Identifier: GPL-3.0-or-later
"""Contact sheets to look at: the mean, every expression, random identities, the UV layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ...mesh.model import FaceModel
from .render import grid, heat, label, shade


def mean_sheet(model: FaceModel) -> np.ndarray:
    views = [label(shade(model.mean, model.triangles, 480, yaw), f"mean {yaw}") for yaw in (0, 40, 85)]
    places = (((0.0, 0.066), 0.07), ((0.031, 0.0), 0.05), ((0.0, 0.03), 0.07))
    near = [shade(model.mean, model.triangles, 480, centre=centre, span=span, wire=True) for centre, span in places]
    return grid(views + near, 3)


def expression_sheet(model: FaceModel, names: list[str], size: int = 300) -> np.ndarray:
    """Each named direction at its apex: plain and with the size of the displacement as heat (red: 8 mm)."""
    pictures = []
    for name in names:
        d = model.expression[model.expression_index[name]]
        pictures.append(label(shade(model.mean + d, model.triangles, size), name))
        pictures.append(shade(model.mean + d, model.triangles, size, 35, colour=heat(d, 0.008)))
    return grid(pictures, 6)


def identity_sheet(model: FaceModel, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(12):
        shape = model.neutral(rng.standard_normal(model.identity_count).astype(np.float32))
        pictures += [shade(shape, model.triangles, 260), shade(shape, model.triangles, 260, 60)]
    for i in range(6):
        for k in (-2.5, 2.5):
            pictures.append(label(shade(model.mean + k * model.identity[i], model.triangles, 260), f"id {i} {k:+}"))
    return grid(pictures, 6)


def region_sheet(model: FaceModel) -> np.ndarray:
    """Each region's weight in green, and the loops' vertices in red."""
    pictures = []
    for name, weight in model.regions.items():
        colour = np.full((model.vertex_count, 3), 0.8) - weight[:, None] * np.array([0.6, 0.0, 0.6])
        for loop in model.loops.values():
            colour[loop] = (0.2, 0.2, 1.0)
        pictures.append(label(shade(model.mean, model.triangles, 360, 15, colour=colour), name))
    return grid(pictures, 5)


def uv_sheet(model: FaceModel, size: int = 900) -> np.ndarray:
    points = np.column_stack([model.uv[:, 0], 1 - model.uv[:, 1], np.zeros(len(model.uv))])
    layout = shade(points, model.triangles, size, centre=(0.5, 0.5), span=1.0, wire=True)
    square = (np.floor(model.uv * 32).astype(int).sum(1) % 2)[:, None]
    fine = np.where(square, 0.85, 0.35) * np.ones((1, 3))
    return np.hstack([layout, shade(model.mean, model.triangles, size, colour=fine)])


def draw_sheets(model: FaceModel, folder: Path) -> list[Path]:
    """Write every sheet as PNG into `folder`; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(model.expression_names)
    sheets = {"mean": mean_sheet(model), "identity": identity_sheet(model), "uv": uv_sheet(model), "regions": region_sheet(model)}
    shown = [n for n in names if not n.endswith("Right")]
    for i in range(0, len(shown), 12):
        sheets[f"expression_{i // 12}"] = expression_sheet(model, shown[i:i + 12])
    paths = []
    for name, picture in sheets.items():
        paths.append(folder / f"{name}.png")
        cv2.imwrite(str(paths[-1]), picture)
    return paths
