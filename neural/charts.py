# SPDX-License-Identifier: GPL-3.0-or-later
"""Line charts as inline SVG, for reports that are one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

COLOURS = ("#2f6db3", "#d1602f", "#3d8f57", "#8a56a5", "#b3922f", "#3aa0a8", "#c2477d", "#6b6b6b", "#7a4f2f", "#555fd1")
WIDTH, PLOT = 720, 190
"""Of the picture, and height of the plot alone."""
LEFT, RIGHT, TOP, BOTTOM, LEGEND = 62, 14, 24, 40, 16
Line = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]
"""x and y; NaN interrupts the line."""


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers within low..high, about `wanted` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    unit = 10.0 ** np.floor(np.log10(raw))
    step = unit * min((1, 2, 5, 10), key=lambda m: abs(m * unit - raw))
    return [float(i * step) for i in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1)]


def _legend(names: Sequence[str]) -> tuple[list[str], int]:
    """A coloured bar and a name for each line, from the left in as many rows as it takes."""
    out, x, row = [], LEFT, 0
    for i, name in enumerate(names):
        width = 7 * len(name) + 30
        if x > LEFT and x + width > WIDTH:
            x, row = LEFT, row + 1
        y = TOP + row * LEGEND
        out.append(f'<rect x="{x}" y="{y - 4}" width="12" height="4" fill="{COLOURS[i % len(COLOURS)]}"/>'
                   f'<text x="{x + 16}" y="{y + 2}">{escape(name)}</text>')
        x += width
    return out, row + 1


def line_chart(title: str, lines: Mapping[str, Line], x_label: str, y_label: str, *, from_zero: bool = False) -> str:
    """One chart with a legend; lines without a finite value are left out."""
    data = {name: (np.asarray(x, float), np.asarray(y, float)) for name, (x, y) in lines.items() if np.isfinite(np.asarray(y, float)).any()}
    if not data:
        return ""
    xs, ys = (np.concatenate([d[k] for d in data.values()]) for k in (0, 1))
    x0, x1 = float(np.nanmin(xs)), float(np.nanmax(xs))
    y0, y1 = (float(f(ys[np.isfinite(ys)])) for f in (np.min, np.max))
    y0 = min(y0, 0.0) if from_zero else y0
    room = (y1 - y0) * 0.06 or abs(y1) * 0.1 or 1.0
    y0, y1 = (y0 if from_zero and y0 == 0 else y0 - room), y1 + room
    x1 = x1 if x1 > x0 else x0 + 1
    legend, rows = _legend(list(data)) if len(data) > 1 else ([], 0)
    top = TOP + rows * LEGEND
    bottom = top + PLOT
    height = bottom + BOTTOM

    def px(x: float) -> float:
        return LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return bottom - (y - y0) / (y1 - y0) * PLOT

    out = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">',
           f'<text x="{LEFT}" y="14" class="title">{escape(title)}</text>']
    for y in ticks(y0, y1):
        out.append(f'<path d="M{LEFT} {py(y):.1f}H{WIDTH - RIGHT}" class="grid"/>'
                   f'<text x="{LEFT - 6}" y="{py(y) + 4:.1f}" text-anchor="end">{y:.6g}</text>')
    for x in ticks(x0, x1, 8):
        out.append(f'<path d="M{px(x):.1f} {bottom}v4" class="axis"/>'
                   f'<text x="{px(x):.1f}" y="{bottom + 17}" text-anchor="middle">{x:.6g}</text>')
    out.append(f'<path d="M{LEFT} {top}V{bottom}H{WIDTH - RIGHT}" class="axis"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>')
    out.append(f'<text transform="translate(13 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    out += legend
    for i, (x, y) in enumerate(data.values()):
        colour = COLOURS[i % len(COLOURS)]
        path, pen = [], "M"
        for a, b in zip(x, y):
            if np.isfinite(b):
                path.append(f"{pen}{px(a):.1f} {py(b):.1f}")
                pen = "L"
            else:
                pen = "M"
        out.append(f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>')
    return "".join(out) + "</svg>"
