# SPDX-License-Identifier: GPL-3.0-or-later
"""Frame numbers told as ranges, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def frame_ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Frame numbers as sorted [first, last] ranges: 3 4 5 9 -> [3, 5], [9, 9]."""
    ranges: list[list[int]] = []
    for number in sorted(map(int, numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


def ranges_text(ranges: Sequence[Sequence[int]], most: int | None = None) -> str:
    """[[3, 5], [9, 9]] -> "3-5, 9"; of a long list the first `most` ranges and how many more there are."""
    text = [str(a) if a == b else f"{a}-{b}" for a, b in ranges]
    kept = text[:most]
    return ", ".join(kept) + (f" and {len(text) - len(kept)} more" if len(kept) < len(text) else "")
