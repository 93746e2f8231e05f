# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of a result: a name and a number, or what the number would need."""

from __future__ import annotations

from dataclasses import dataclass

HIGHER, LOWER, ONE, ZERO = "higher", "lower", "near 1", "near 0"
"""Which way is better."""


@dataclass(frozen=True)
class Measure:
    """A metric's result. `value` is None when it was not measured; then `needs` says why."""

    group: str
    """Heading in the table: "Picture", "Lips" ..."""
    name: str
    value: float | None
    unit: str = ""
    better: str = ""
    """HIGHER, LOWER, ONE, ZERO or "" where neither is better."""
    note: str = ""
    """How it was measured, where that is not plain from the name."""
    needs: str = ""
    limits: tuple[float, float] | None = None
    """From and to (both included) where it is as it should be in a delivered shot; None where no such limit is known."""

    @property
    def text(self) -> str:
        """The number with its unit, or "not measured: needs ...", or "undefined" with the note's reason."""
        if self.value is None:
            return f"not measured: needs {self.needs}" if self.needs else "undefined"
        return f"{number(self.value)} {self.unit}".rstrip()

    @property
    def good(self) -> bool | None:
        """Whether the value lies within its limits; None without a value or limits."""
        if self.value is None or self.limits is None:
            return None
        return self.limits[0] <= self.value <= self.limits[1]


def number(value: float | None) -> str:
    """Four digits, as tables show them: "0.9536", "-0.0038", "150"; a dash for None."""
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:.0f}"
    if abs(value) < 5e-7:
        return f"{value:.0e}"
    decimals = 4 if abs(value) < 1 else 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1
    return f"{value:.{decimals}f}" if abs(value) >= 5e-5 else f"{value:.1e}"


def missing(group: str, name: str, needs: str, better: str = "") -> Measure:
    """A metric that was not measured for want of something: "the AffectNet network from the user (--emotion-network FILE)"."""
    return Measure(group, name, None, better=better, needs=needs)
