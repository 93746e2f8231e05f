# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of the 468 landmarks that were measured on footage, as small text tables, so that models are built without any."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...mesh.errors import MienError
from ...mesh.files import atomic_path

MEAN_PATH = Path(__file__).parent / "mean.csv"


def write_points(path: Path, points: np.ndarray) -> None:
    """Write landmarks (468, 3), metres, as `id,x,y,z` in millimetres rounded to 0.01."""
    lines = ["id,x_mm,y_mm,z_mm", *(f"{i},{x:.2f},{y:.2f},{z:.2f}" for i, (x, y, z) in enumerate(points * 1000))]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines).replace("-0.00", "0.00") + "\n", encoding="utf-8")


def read_points(path: Path, what: str) -> np.ndarray:
    """Landmarks (468, 3), metres, head frame. Raises MienError, which says what the table is, when it is damaged."""
    try:
        table = np.loadtxt(path, delimiter=",", skiprows=1)
    except (OSError, ValueError) as error:
        raise MienError(f"The table of the {what} {path} cannot be read ({error}); restore it or measure it again.") from error
    if table.shape != (468, 4) or not (table[:, 0] == np.arange(468)).all():
        raise MienError(f"The table of the {what} {path} must have the landmarks 0..467 in order; restore it or measure it again.")
    return table[:, 1:] / 1000


def read_mean(path: Path = MEAN_PATH) -> np.ndarray:
    """The neutral mean face (468, 3), metres. Raises MienError when the table is damaged."""
    return read_points(path, "mean face")
