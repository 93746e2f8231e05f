# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as one HTML file that needs nothing else: figures, tables, charts, pictures, the command and the versions.

It follows the reader's light or dark setting, and prints in black on white.
"""

from __future__ import annotations

import base64
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..mesh.files import atomic_path
from .metrics.measure import Measure, number
from .version import mien_version

PACKAGES = ("numpy", "torch", "opencv-contrib-python", "mediapipe", "scikit-image", "scipy", "av", "numba")
LIGHT = "--ink:#1c1e21;--soft:#5d6570;--line:#d9dde2;--paper:#fff;--card:#f5f6f8;--good:#1f7a45;--bad:#b3541e"
DARK = "--ink:#e8eaed;--soft:#a2abb6;--line:#3a4048;--paper:#16181b;--card:#202327;--good:#62c58b;--bad:#f0a066"
TYPE = 'system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif'
STYLE = f"""
:root{{color-scheme:light dark;{LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{DARK}}}}}
*{{box-sizing:border-box}}
body{{font:15px/1.5 {TYPE};color:var(--ink);background:var(--paper);max-width:68rem;margin:2rem auto;padding:0 1.2rem}}
h1{{font-size:1.65rem;line-height:1.25;margin:0 0 .3rem;overflow-wrap:anywhere}}
h2{{font-size:1.2rem;margin:2.4rem 0 .5rem;break-after:avoid}}h3{{font-size:1rem;margin:1.4rem 0 .3rem;break-after:avoid}}
p{{margin:.4rem 0;max-width:56rem}}p.lead{{color:var(--soft);overflow-wrap:anywhere}}
.cards{{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1.2rem 0}}
.card{{background:var(--card);border-radius:.5rem;padding:.6rem .8rem;break-inside:avoid}}
.card b{{display:block;font-size:1.3rem;line-height:1.3;font-variant-numeric:tabular-nums}}
.card>span{{display:block;font-size:.82rem;color:var(--soft);line-height:1.35}}
.good{{color:var(--good)}}.bad{{color:var(--bad)}}
.scroll{{overflow-x:auto}}
table{{border-collapse:collapse;width:100%;margin:.4rem 0 .8rem;font-size:.93em}}
th,td{{text-align:left;padding:.26rem .9rem .26rem 0;border-bottom:1px solid var(--line);vertical-align:top}}
th{{font-weight:600;color:var(--soft);font-size:.88em;vertical-align:bottom}}tr{{break-inside:avoid}}
th.right,td.right{{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}}th.right{{white-space:normal}}
tr.group th{{color:var(--ink);padding-top:1.1rem;font-size:.95em;break-after:avoid}}
table.measures{{table-layout:fixed}}
td.number{{font-variant-numeric:tabular-nums;font-weight:600}}td.missing,td.note,td.better{{color:var(--soft)}}td.note{{font-size:.9em}}
.charts{{display:grid;grid-template-columns:repeat(auto-fit,minmax(27rem,1fr));gap:.4rem 1.6rem}}
svg{{width:100%;max-width:44rem;height:auto;margin:.5rem 0;break-inside:avoid}}svg text{{font:12px {TYPE};fill:var(--soft)}}
svg text.title{{font-size:14px;font-weight:600;fill:var(--ink)}}svg .grid{{stroke:var(--line)}}svg .axis{{stroke:var(--soft);fill:none}}
figure{{margin:.8rem 0;break-inside:avoid}}figcaption{{font-size:.86rem;color:var(--soft);margin-top:.2rem}}
img{{max-width:100%;height:auto;display:block;border-radius:.3rem}}code{{overflow-wrap:anywhere;font-size:.92em}}
footer{{margin-top:2.6rem;border-top:1px solid var(--line);padding-top:.4rem;font-size:.9em}}
@media (max-width:40rem){{.charts{{grid-template-columns:1fr}}}}
@media print{{:root{{{LIGHT}}}@page{{margin:14mm}}
body{{font-size:11px;max-width:none;margin:0;padding:0;-webkit-print-color-adjust:exact;print-color-adjust:exact}}
.charts{{grid-template-columns:1fr 1fr}}}}
"""


def versions() -> dict[str, str]:
    """What made the numbers: Mien, Python, packages, machine."""
    out = {"mien": mien_version(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # not every environment has every package
    out["machine"] = machine()
    return out


def machine() -> str:
    """The class of machine: "Linux x86_64, 2 CPU cores"."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"


def command_line() -> str:
    """The command as the user could type it again."""
    return shlex.join([Path(sys.argv[0]).name or "mien", *sys.argv[1:]])


def _mark(measure: Measure) -> str:
    """A sign and its word, so that colour is not all that tells."""
    if measure.good is None:
        return ""
    return '<span class="good">✓</span> ' if measure.good else '<span class="bad">⚠</span> '


def _better(measure: Measure) -> str:
    if measure.limits is None:
        return measure.better
    low, high = measure.limits
    if low == -np.inf:
        return f"at most {number(high)}"
    return f"at least {number(low)}" if high == np.inf else number(low) if low == high else f"{number(low)} to {number(high)}"


class Page:
    """Collects a report's parts in order."""

    def __init__(self, title: str, lead: str = "") -> None:
        self.title, self._parts = title, [f"<h1>{escape(title)}</h1>"]
        if lead:
            self._parts.append(f'<p class="lead">{escape(lead)}</p>')

    def heading(self, text: str) -> None:
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def subheading(self, text: str) -> None:
        self._parts.append(f"<h3>{escape(text)}</h3>")

    def text(self, text: str) -> None:
        self._parts.append(f"<p>{escape(text)}</p>")

    def cards(self, measures: Iterable[tuple[str, Measure]]) -> None:
        """The few numbers to see first: (what it says, measure); what was not measured is left out."""
        cells = [f'<div class="card"><b>{_mark(m)}{escape(m.text)}</b><span>{escape(what)}</span></div>'
                 for what, m in measures if m.value is not None]
        if cells:
            self._parts.append(f'<div class="cards">{"".join(cells)}</div>')

    def chart(self, *svgs: str) -> None:
        """Of `charts`; several stand side by side where there is room."""
        drawn = [s for s in svgs if s]
        self._parts.append(f'<div class="charts">{"".join(drawn)}</div>' if len(drawn) > 1 else "".join(drawn))

    def picture(self, rgb: np.ndarray, what: str) -> None:
        """(H, W, 3) uint8 with its caption, embedded as JPEG."""
        data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        self._parts.append(f'<figure><img alt="{escape(what)}" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">'
                           f"<figcaption>{escape(what)}</figcaption></figure>")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Columns of numbers stand to the right; a Measure as a cell shows its value and whether it is within its limits."""
        rows = [list(row) for row in rows]
        right = [bool(rows) and all(row[i] is None or isinstance(row[i], (Measure, int, float)) for row in rows) for i in range(len(header))]

        def cell(value: Any, i: int) -> str:
            if isinstance(value, Measure):
                text = _mark(value) + (number(value.value) if value.value is not None else "–")
            else:
                text = escape(number(value) if isinstance(value, float) or value is None else str(value))
            return f'<td class="right">{text}</td>' if right[i] else f"<td>{text}</td>"

        head = "".join(f'<th class="right">{escape(h)}</th>' if right[i] else f"<th>{escape(h)}</th>" for i, h in enumerate(header))
        body = "".join("<tr>" + "".join(cell(v, i) for i, v in enumerate(row)) + "</tr>" for row in rows)
        self._parts.append(f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')

    def measures(self, measures: Sequence[Measure]) -> None:
        """One table, a part for each group in the order in which they come; then what was not measured, and what it needs."""
        known = [m for m in measures if not m.needs]
        rows = []
        for group in dict.fromkeys(m.group for m in known):
            rows.append(f'<tr class="group"><th colspan="4">{escape(group)}</th></tr>')
            rows += [f'<tr><td>{escape(m.name)}</td><td class="number">{_mark(m)}{escape(m.text)}</td><td class="better">{escape(_better(m))}</td>'
                     f'<td class="note">{escape(m.note)}</td></tr>' for m in known if m.group == group]
        if rows:
            columns = "".join(f'<col style="width:{w}%">' for w in (27, 18, 13)) + "<col>"
            self._parts.append(f'<table class="measures"><colgroup>{columns}</colgroup><thead><tr><th>Metric</th><th>Value</th><th>Wanted</th>'
                               f'<th>How</th></tr></thead><tbody>{"".join(rows)}</tbody></table>')
        self.not_measured(measures)

    def not_measured(self, measures: Sequence[Measure]) -> None:
        """What the metrics without a number need; nothing when all have one."""
        needs: dict[str, list[str]] = {}
        for m in measures:
            if m.needs and m.name not in needs.setdefault(m.needs, []):
                needs[m.needs].append(m.name)
        if needs:
            self.subheading("Not measured")
            rows = "".join(f'<tr><td>{escape(", ".join(names))}</td><td class="missing">needs {escape(what)}</td></tr>'
                           for what, names in needs.items())
            self._parts.append(f'<table class="measures"><colgroup><col style="width:27%"><col></colgroup><tbody>{rows}</tbody></table>')

    def html(self, command: str, facts: Mapping[str, str]) -> str:
        """The whole page, with the command and the versions at its end."""
        made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        told = " · ".join(f"{escape(k)} {escape(v)}" for k, v in facts.items())
        end = f"<footer><h2>How this was made</h2><p><code>{escape(command)}</code></p><p>{made} · {told}</p></footer>"
        return (f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                f"<title>{escape(self.title)}</title><style>{STYLE}</style></head><body>{''.join(self._parts)}{end}</body></html>\n")

    def write(self, path: Path | str, command: str) -> None:
        """Write the file at once or not at all. Raises MienError when its folder cannot be written."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.html(command, versions()), encoding="utf-8")
