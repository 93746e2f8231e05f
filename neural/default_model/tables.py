# SPDX-License-Identifier: GPL-3.0-or-later
"""The measured neutral mean as a small text table, so that the model is built without any footage."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...mesh.errors import MienError
from ...mesh.files import atomic_path

MEAN_PATH = Path(__file__).parent / "mean.csv"


def write_mean(path: Path, points: np.ndarray) -> None:
    """Write landmarks (468, 3), metres, as `id,x,y,z` in millimetres rounded to 0.01."""
    lines = ["id,x_mm,y_mm,z_mm", *(f"{i},{x:.2f},{y:.2f},{z:.2f}" for i, (x, y, z) in enumerate(points * 1000))]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines).replace("-0.00", "0.00") + "\n", encoding="utf-8")


def read_mean(path: Path = MEAN_PATH) -> np.ndarray:
    """Landmarks (468, 3), metres, head frame. Raises MienError when the table is damaged."""
    try:
        table = np.loadtxt(path, delimiter=",", skiprows=1)
    except (OSError, ValueError) as error:
        raise MienError(f"The table of the mean face {path} cannot be read ({error}); restore it or measure it again.") from error
    if table.shape != (468, 4) or not (table[:, 0] == np.arange(468)).all():
        raise MienError(f"The table of the mean face {path} must have the landmarks 0..467 in order; restore it or measure it again.")
    return table[:, 1:] / 1000
