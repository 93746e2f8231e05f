# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables that users make in a spreadsheet."""

from __future__ import annotations

import csv
from pathlib import Path

from ..mesh.errors import MienError


def table_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV in UTF-8, by the names in its first line. Raises MienError when it cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MienError(f"{path} cannot be read as a table ({error}); save it as CSV in UTF-8.") from error
