# SPDX-License-Identifier: GPL-3.0-or-later
"""A plot of the losses as SVG, written by hand: the engine has no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, PANEL = 900, 120, 90, 100
"""Pixels: of the picture, of a row, of the names' column, of a curve."""
POINTS = 800


def loss_plot(names: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    """One row for each loss over the iterations, on its own scale; logarithmic where all values are above zero. rows: (iteration, *losses)."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT * len(names) + 30}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>']
    rows = rows[:: max(1, len(rows) // POINTS)] or [[0.0] * (len(names) + 1)]
    first, last = rows[0][0], rows[-1][0]
    for k, name in enumerate(names):
        values = [row[k + 1] for row in rows]
        log = min(values) > 0
        scaled = [math.log10(v) for v in values] if log else values
        low, high = min(scaled), max(scaled)
        top = 10 + k * HEIGHT
        points = " ".join(f"{LEFT + (WIDTH - LEFT - 20) * (row[0] - first) / max(last - first, 1):.1f},"
                          f"{top + PANEL * (high - v) / max(high - low, 1e-9):.1f}" for row, v in zip(rows, scaled))
        parts += [f'<text x="8" y="{top + 45}">{name}{" (log)" if log else ""}</text>',
                  f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end" fill="gray">{max(values):.3g}</text>',
                  f'<text x="{LEFT - 6}" y="{top + PANEL}" text-anchor="end" fill="gray">{min(values):.3g}</text>',
                  f'<polyline points="{points}" fill="none" stroke="#1f6fb4" stroke-width="1.2"/>']
    bottom = HEIGHT * len(names) + 20
    parts += [f'<text x="{LEFT}" y="{bottom}">{first:.0f}</text>',
              f'<text x="{WIDTH - 20}" y="{bottom}" text-anchor="end">{last:.0f} iterations</text>',
              "</svg>"]
    return "\n".join(parts) + "\n"
