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

    @property
    def text(self) -> str:
        """The number with its unit, or "not measured: needs ...", or "undefined" with the note's reason."""
        if self.value is None:
            return f"not measured: needs {self.needs}" if self.needs else "undefined"
        digits = f"{self.value:.0f}" if float(self.value).is_integer() and abs(self.value) < 1e9 else f"{self.value:.4g}"
        return f"{digits} {self.unit}".rstrip()


def missing(group: str, name: str, needs: str, better: str = "") -> Measure:
    """A metric that was not measured for want of something: "the AffectNet network from the user (--emotion-network FILE)"."""
    return Measure(group, name, None, better=better, needs=needs)
