# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as one HTML file that needs nothing else: tables, charts, pictures, the command and the versions."""

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
from .metrics.measure import Measure
from .version import mien_version

PACKAGES = ("numpy", "torch", "opencv-contrib-python", "mediapipe", "scikit-image", "scipy", "av", "numba")
STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #8886}
table{border-collapse:collapse;width:100%;margin:.6rem 0}
th,td{text-align:left;padding:.22rem .7rem .22rem 0;border-bottom:1px solid #8883;vertical-align:top}
td.number{font-variant-numeric:tabular-nums;white-space:nowrap;font-weight:600}td.missing{opacity:.7}td.note{opacity:.75;font-size:.9em}
svg{width:100%;height:auto;margin:.6rem 0}svg text{font:11px system-ui,sans-serif;fill:currentColor}svg text.title{font-size:13px;font-weight:600}
svg .grid{stroke:#8884}svg .axis{stroke:currentColor;fill:none}img{max-width:100%;height:auto}code{overflow-wrap:anywhere}
"""


def versions() -> dict[str, str]:
    """What made the numbers: Mien, Python, packages, machine."""
    out = {"mien": mien_version(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # not every environment has every package
    out["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"
    return out


def command_line() -> str:
    """The command as the user could type it again."""
    return shlex.join([Path(sys.argv[0]).name or "mien", *sys.argv[1:]])


class Page:
    """Collects a report's parts in order."""

    def __init__(self, title: str, lead: str = "") -> None:
        self.title, self._parts = title, [f"<h1>{escape(title)}</h1>"]
        if lead:
            self._parts.append(f"<p>{escape(lead)}</p>")

    def heading(self, text: str) -> None:
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        self._parts.append(f"<p>{escape(text)}</p>")

    def chart(self, svg: str) -> None:
        """Of `charts.line_chart`."""
        self._parts.append(svg)

    def picture(self, rgb: np.ndarray, what: str) -> None:
        """(H, W, 3) uint8, embedded as JPEG."""
        data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        self._parts.append(f'<img alt="{escape(what)}" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">')

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        head = "".join(f"<th>{escape(h)}</th>" for h in header)
        body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
        self._parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")

    def measures(self, measures: Sequence[Measure]) -> None:
        """A table for each group, in the order in which they come."""
        for group in dict.fromkeys(m.group for m in measures):
            self.heading(group)
            rows = []
            for m in (m for m in measures if m.group == group):
                kind = "missing" if m.value is None else "number"
                rows.append(f'<tr><td>{escape(m.name)}</td><td class="{kind}">{escape(m.text)}</td><td>{escape(m.better)}</td>'
                            f'<td class="note">{escape(m.note)}</td></tr>')
            self._parts.append("<table><thead><tr><th>Metric</th><th>Value</th><th>Better</th><th>How</th></tr></thead><tbody>"
                               + "".join(rows) + "</tbody></table>")

    def html(self, command: str, facts: Mapping[str, str]) -> str:
        """The whole page, with the command and the versions at its end."""
        made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in facts.items())
        end = (f"<h2>How this was made</h2><p><code>{escape(command)}</code></p>"
               f"<table><tbody>{rows}<tr><td>made</td><td>{made}</td></tr></tbody></table>")
        return (f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                f"<title>{escape(self.title)}</title><style>{STYLE}</style></head><body>{''.join(self._parts)}{end}</body></html>\n")

    def write(self, path: Path | str, command: str) -> None:
        """Write the file at once or not at all. Raises MienError when its folder cannot be written."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.html(command, versions()), encoding="utf-8")
