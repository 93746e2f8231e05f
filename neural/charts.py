# SPDX-License-Identifier: GPL-3.0-or-later
"""Line and bar charts as inline SVG, for reports that are one file. Colours are told apart on white and on black paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

COLOURS = ("#3b7fc4", "#d9662b", "#3f9a5b", "#9661b5", "#b8932a", "#2fa3ad", "#d0508a", "#808890", "#9a6a45", "#6b74e0")
WIDTH, PLOT = 600, 190
"""Of the picture, and height of the plot alone."""
LEFT, RIGHT, TOP, BOTTOM, LEGEND = 64, 16, 26, 42, 18
LETTER = 6.9
"""Width of a letter of the 12 px type, generously."""
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
    out, x, row = [], float(LEFT), 0
    for i, name in enumerate(names):
        width = LETTER * len(name) + 34
        if x > LEFT and x + width > WIDTH:
            x, row = float(LEFT), row + 1
        y = TOP + row * LEGEND
        out.append(f'<rect x="{x:.0f}" y="{y - 3}" width="14" height="4" rx="2" fill="{COLOURS[i % len(COLOURS)]}"/>'
                   f'<text x="{x + 19:.0f}" y="{y + 3}">{escape(name)}</text>')
        x += width
    return out, row + 1


class _Frame:
    """Title, legend, and the axis of values; plots are drawn into it."""

    def __init__(self, title: str, names: Sequence[str], y0: float, y1: float, y_label: str) -> None:
        legend, rows = _legend(names) if len(names) > 1 else ([], 0)
        self.top = TOP + rows * LEGEND
        self.bottom = self.top + PLOT
        self.height = self.bottom + BOTTOM
        self._y0, self._y1 = y0, y1
        self.parts = [f'<text x="{LEFT}" y="14" class="title">{escape(title)}</text>', *legend]
        for y in ticks(y0, y1):
            self.parts.append(f'<path d="M{LEFT} {self.y(y):.1f}H{WIDTH - RIGHT}" class="grid"/>'
                              f'<text x="{LEFT - 7}" y="{self.y(y) + 4:.1f}" text-anchor="end">{y:.6g}</text>')
        self.parts.append(f'<text transform="translate(13 {(self.top + self.bottom) / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
        self._title = title

    def y(self, value: float) -> float:
        return self.bottom - (value - self._y0) / (self._y1 - self._y0) * PLOT

    def svg(self, x_label: str) -> str:
        self.parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{self.height - 7}" text-anchor="middle">{escape(x_label)}</text>')
        return (f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{escape(self._title)}" xmlns="http://www.w3.org/2000/svg">'
                + "".join(self.parts) + "</svg>")


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
    frame = _Frame(title, list(data), y0, y1, y_label)

    def px(x: float) -> float:
        return LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    for x in ticks(x0, x1, 8):
        frame.parts.append(f'<path d="M{px(x):.1f} {frame.bottom}v4" class="axis"/>'
                           f'<text x="{px(x):.1f}" y="{frame.bottom + 18}" text-anchor="middle">{x:.6g}</text>')
    frame.parts.append(f'<path d="M{LEFT} {frame.top}V{frame.bottom}H{WIDTH - RIGHT}" class="axis"/>')
    for i, (x, y) in enumerate(data.values()):
        path, pen = [], "M"
        for a, b in zip(x, y):
            if np.isfinite(b):
                path.append(f"{pen}{px(a):.1f} {frame.y(b):.1f}")
                pen = "L"
            else:
                pen = "M"
        frame.parts.append(f'<path d="{"".join(path)}" fill="none" stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="1.8" stroke-linejoin="round"/>')
    return frame.svg(x_label)


def bar_chart(title: str, bars: Mapping[str, Sequence[float | None]], categories: Sequence[str], y_label: str) -> str:
    """A group of bars for each category, a colour for each name; None is left out. Categories with long names lie one below the other."""
    known = [float(v) for values in bars.values() for v in values if v is not None and np.isfinite(v)]
    if not known:
        return ""
    low, high = min(0.0, *known), max(0.0, *known)
    room = (high - low) * 0.08 or 1.0
    low, high = low - room * (low < 0), high + room * (high > 0)
    group = (WIDTH - LEFT - RIGHT) / len(categories)
    lines = [_two_lines(name) for name in categories]
    if any(LETTER * len(line) > group for name in lines for line in name):
        return _lying_bars(title, bars, categories, y_label, low, high)
    frame = _Frame(title, list(bars), low, high, y_label)
    width = 0.76 * group / len(bars)
    for c in range(len(categories)):
        left = LEFT + c * group
        for i, values in enumerate(bars.values()):
            value = values[c]
            if value is not None and np.isfinite(value):
                y, zero = frame.y(float(value)), frame.y(0)
                frame.parts.append(f'<rect x="{left + 0.12 * group + i * width:.1f}" y="{min(y, zero):.1f}" width="{0.92 * width:.1f}" '
                                   f'height="{max(abs(y - zero), 0.8):.1f}" fill="{COLOURS[i % len(COLOURS)]}"/>')
        for row, words in enumerate(lines[c]):
            frame.parts.append(f'<text x="{left + group / 2:.1f}" y="{frame.bottom + 16 + 14 * row}" text-anchor="middle">{escape(words)}</text>')
    frame.parts.append(f'<path d="M{LEFT} {frame.top}V{frame.bottom}M{LEFT} {frame.y(0):.1f}H{WIDTH - RIGHT}" class="axis"/>')
    return frame.svg("")


def _lying_bars(title: str, bars: Mapping[str, Sequence[float | None]], categories: Sequence[str], label: str, low: float, high: float) -> str:
    """The same with the names at the left, each group as high as its bars need."""
    left = int(max(len(name) for name in categories) * LETTER) + 14
    legend, rows = _legend(list(bars)) if len(bars) > 1 else ([], 0)
    top, thick = TOP + rows * LEGEND, max(4.0, 16 / len(bars))
    group = thick * len(bars) + 7
    bottom = top + group * len(categories)

    def px(x: float) -> float:
        return left + (x - low) / (high - low) * (WIDTH - left - RIGHT)

    out = [f'<svg viewBox="0 0 {WIDTH} {bottom + BOTTOM:.0f}" role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">',
           f'<text x="{LEFT}" y="14" class="title">{escape(title)}</text>', *legend]
    for x in ticks(low, high):
        out.append(f'<path d="M{px(x):.1f} {top}V{bottom:.1f}" class="grid"/>'
                   f'<text x="{px(x):.1f}" y="{bottom + 17:.1f}" text-anchor="middle">{x:.6g}</text>')
    for c, name in enumerate(categories):
        y = top + c * group + 3.5
        out.append(f'<text x="{left - 7}" y="{y + thick * len(bars) / 2 + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        for i, values in enumerate(bars.values()):
            value = values[c]
            if value is not None and np.isfinite(value):
                a, b = sorted((px(0), px(float(value))))
                out.append(f'<rect x="{a:.1f}" y="{y + i * thick:.1f}" width="{max(b - a, 0.8):.1f}" height="{0.92 * thick:.1f}" '
                           f'fill="{COLOURS[i % len(COLOURS)]}"/>')
    out.append(f'<path d="M{px(0):.1f} {top}V{bottom:.1f}" class="axis"/>'
               f'<text x="{(left + WIDTH - RIGHT) / 2:.0f}" y="{bottom + BOTTOM - 7:.0f}" text-anchor="middle">{escape(label)}</text>')
    return "".join(out) + "</svg>"


def _two_lines(name: str) -> list[str]:
    """A name, broken at the blank nearest to its middle."""
    blanks = [i for i, letter in enumerate(name) if letter == " "]
    if not blanks:
        return [name]
    blank = min(blanks, key=lambda i: abs(i - len(name) / 2))
    return [name[:blank], name[blank + 1:]]
