# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's language: every message survives the way, everything else is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mien.neural.protocol import NAMES, TYPES, Cancel, Done, Error, Hello, Progress, ProtocolError, Quit, Run, Warn, decode, encode

MESSAGES = [
    Run("bake", {"folder": "C:\\Übung 1\\näme.mien", "n": 3, "deep": {"list": [1, 2.5, None, True]}}),
    Run("selftest"),
    Cancel(),
    Quit(),
    Hello(1, "3.11.7", 4711, "0.1.0"),
    Progress("track", 3, 10, 4.5),
    Progress("track", 0, 10),
    Warn("Line one\nline two\u2028 and “quotes”"),
    Error("No face.", "/tmp/x.log", "crash", "tail\n"),
    Error("No face."),
    Done({"frames": 3}),
    Done(),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_round_trip(message):
    line = encode(message)
    assert "\n" not in line
    assert line.isascii()
    assert decode(line) == message
    assert decode(line.encode() + b"\r\n") == message


def test_every_type_is_tested():
    assert {type(m) for m in MESSAGES} == set(TYPES.values()) == set(NAMES)


def test_a_path_that_is_no_text_survives():
    name = b"/clips/caf\xe9.mp4".decode("utf-8", "surrogateescape")
    assert decode(encode(Run("track", {"plate": name}))).params["plate"] == name


@pytest.mark.parametrize(("line", "word"), [
    ("", "no JSON"),
    ("{", "no JSON"),
    ("hello", "no JSON"),
    (b"\xff\xfe", "no JSON"),
    ("[1]", "list"),
    ("{}", "unknown message type"),
    ('{"type": "BOO"}', "'BOO'"),
    ('{"type": ["RUN"]}', "unknown message type"),
    ('{"type": "RUN"}', "job"),
    ('{"type": "RUN", "job": 3}', "'job'"),
    ('{"type": "RUN", "job": "x", "params": []}', "'params'"),
    ('{"type": "RUN", "job": "x", "parms": {}}', "'parms'"),
    ('{"type": "PROGRESS", "stage": "s", "done": 1.5, "total": 2}', "'done'"),
    ('{"type": "PROGRESS", "stage": "s", "done": true, "total": 2}', "'done'"),
    ('{"type": "PROGRESS", "stage": "s", "done": 1, "total": 2, "seconds_left": "3"}', "'seconds_left'"),
    ('{"type": "PROGRESS", "stage": "s", "done": 1, "total": 2, "seconds_left": NaN}', "NaN"),
    ('{"type": "ERROR", "text": "x", "kind": "odd"}', "'kind'"),
])
def test_anything_else_is_refused(line, word):
    with pytest.raises(ProtocolError, match=word):
        decode(line)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Path("x"), {1, 2}, b"x"])
def test_what_json_cannot_carry_is_refused(value):
    with pytest.raises(ProtocolError, match="DONE"):
        encode(Done({"value": value}))


def test_the_type_is_on_the_wire():
    assert json.loads(encode(Cancel())) == {"type": "CANCEL"}
