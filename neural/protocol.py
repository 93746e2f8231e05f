# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's language: one JSON object a line, each with a `type`. Standard library only; both processes import it.

Requests (to the engine's stdin):    RUN, CANCEL, QUIT
Replies (from the engine's stdout):  HELLO once, then for each RUN any number of PROGRESS and WARN and, last, one DONE or ERROR

Arrays never travel here: they are files in the shot folder, and messages name them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

PROTOCOL = 1
"""Both sides must have the same number."""

KINDS = ("user", "defect", "cancelled", "crash")
"""Of an ERROR: the user can mend it; a mistake of ours; the user asked for it; the engine's process ended by itself."""


class ProtocolError(ValueError):
    """A line that is no message of this protocol. Its text says what is wrong with which field."""


@dataclass(frozen=True)
class Run:
    """Do a job; see neural.jobs for the names and their parameters."""

    job: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cancel:
    """Stop the job at its next step. The engine lives on and answers with an ERROR of kind "cancelled"."""


@dataclass(frozen=True)
class Quit:
    """Stop the job, if any, and end the engine."""


@dataclass(frozen=True)
class Hello:
    """The engine is up. Always its first message."""

    protocol: int
    python: str
    pid: int
    mien: str


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of `stage` are finished; `seconds_left` of this stage, None while nobody can tell."""

    stage: str
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class Warn:
    """One sentence that the user must see although the job goes on."""

    text: str


@dataclass(frozen=True)
class Error:
    """The job failed: last message of it."""

    text: str
    """One sentence for the user."""
    log: str = ""
    """Path of the log file; empty when there is none."""
    kind: str = "user"
    """One of KINDS."""
    details: str = ""
    """The end of the engine's stderr after a crash."""


@dataclass(frozen=True)
class Done:
    """The job succeeded: last message of it."""

    result: dict[str, Any] = field(default_factory=dict)


Message = Run | Cancel | Quit | Hello | Progress | Warn | Error | Done

TYPES: dict[str, type] = {"RUN": Run, "CANCEL": Cancel, "QUIT": Quit, "HELLO": Hello, "PROGRESS": Progress,
                          "WARN": Warn, "ERROR": Error, "DONE": Done}
NAMES = {cls: name for name, cls in TYPES.items()}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# Keyed by the annotations above, which `from __future__ import annotations` leaves as text.
_CHECKS = {"str": (lambda v: isinstance(v, str), "text"), "int": (_is_int, "a whole number"),
           "dict[str, Any]": (lambda v: isinstance(v, dict), "an object"), "float | None": (lambda v: v is None or _is_number(v), "a number or null")}


def encode(message: Message) -> str:
    """The message as one line, without its newline.

    Raises ProtocolError when it holds something that JSON cannot carry (NaN, a Path, an array).
    """
    name = NAMES[type(message)]
    try:
        return json.dumps({"type": name, **{f.name: getattr(message, f.name) for f in fields(message)}}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"{name} holds a value that JSON cannot carry: {error}") from error


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def decode(line: str | bytes) -> Message:
    """Read one line. Raises ProtocolError for anything but a complete, well-typed message."""
    try:
        data = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        shown = line if isinstance(line, str) else line.decode("utf-8", "replace")
        raise ProtocolError(f"no JSON ({error}): {shown.strip()[:200]!r}") from error
    if not isinstance(data, dict):
        raise ProtocolError(f"a message is a JSON object, this is {type(data).__name__}")
    name = data.pop("type", None)
    cls = TYPES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise ProtocolError(f"unknown message type {name!r}; known are {', '.join(TYPES)}")
    known = {f.name: f for f in fields(cls)}
    for key, value in data.items():
        if key not in known:
            raise ProtocolError(f"{name} has no field {key!r}")
        check, wanted = _CHECKS[str(known[key].type)]
        if not check(value):
            raise ProtocolError(f"{name}: field {key!r} must be {wanted}, it is {value!r:.80}")
    if "kind" in data and data["kind"] not in KINDS:
        raise ProtocolError(f"{name}: field 'kind' must be one of {', '.join(KINDS)}, it is {data['kind']!r}")
    try:
        return cls(**data)
    except TypeError as error:
        raise ProtocolError(f"{name} lacks a field ({error})") from error
