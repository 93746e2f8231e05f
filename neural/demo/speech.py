# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo's head does over time: an utterance of made-up syllables, blinks, glances of the head. All deterministic.

One list of sounds drives both the lips (face actions) and the voice (see voice.py), so that they agree to the millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIPS: dict[str, dict[str, float]] = {
    "a": {"jawOpen": 0.50, "mouthLowerDownLeft": 0.15, "mouthLowerDownRight": 0.15},
    "e": {"jawOpen": 0.34, "mouthStretchLeft": 0.22, "mouthStretchRight": 0.22},
    "i": {"jawOpen": 0.16, "mouthStretchLeft": 0.34, "mouthStretchRight": 0.34},
    "o": {"jawOpen": 0.42, "mouthFunnel": 0.55},
    "u": {"jawOpen": 0.20, "mouthPucker": 0.70},
    "m": {"mouthPressLeft": 0.25, "mouthPressRight": 0.25},
    "l": {"jawOpen": 0.22},
    "-": {},
}
"""Face actions at the apex of each sound, ARKit names, apex units. "m" stands for all closed lips, "-" for silence."""

OPENING: dict[str, float] = {"a": 1.0, "e": 0.7, "i": 0.45, "o": 0.75, "u": 0.4, "m": 0.06, "l": 0.35, "-": 0.0}
"""How open the mouth is, as a part of "a": the voice's loudness follows it."""

UTTERANCE: tuple[tuple[str, float], ...] = (
    ("-", 0.28), ("m", 0.08), ("a", 0.17), ("m", 0.08), ("i", 0.15), ("l", 0.06), ("o", 0.20), ("-", 0.06), ("m", 0.07), ("e", 0.15), ("l", 0.06),
    ("a", 0.24), ("-", 0.34),
    ("m", 0.07), ("u", 0.17), ("l", 0.06), ("a", 0.16), ("m", 0.08), ("e", 0.14), ("l", 0.06), ("i", 0.19), ("-", 0.08), ("m", 0.07), ("o", 0.24),
    ("l", 0.05), ("a", 0.26), ("-", 0.30),
    ("m", 0.08), ("e", 0.16), ("l", 0.06), ("u", 0.18), ("m", 0.08), ("a", 0.19), ("-", 0.05), ("m", 0.06), ("i", 0.15), ("l", 0.06), ("a", 0.30),
    ("-", 0.40),
)
"""(sound, seconds), said once from the start."""

BLINKS = (0.45, 1.75, 3.05, 4.3)
"""Seconds at which the lids are fully closed."""
BLINK_CLOSING, BLINK_OPENING = 0.09, 0.16
"""Seconds; lids fall faster than they rise."""


@dataclass(frozen=True)
class Timeline:
    """The utterance against time."""

    sounds: tuple[str, ...]
    centres: np.ndarray
    """(n,) seconds."""
    ends: np.ndarray
    """(n,) seconds."""

    @classmethod
    def utterance(cls) -> Timeline:
        lengths = np.array([length for _, length in UTTERANCE])
        ends = np.cumsum(lengths)
        return cls(tuple(sound for sound, _ in UTTERANCE), ends - lengths / 2, ends)

    @property
    def duration(self) -> float:
        return float(self.ends[-1])

    def blend(self, value: dict[str, float], times: np.ndarray) -> np.ndarray:
        """(n,) seconds -> (n,): a value per sound, run through smoothly from the middle of one sound to that of the next."""
        targets = np.array([value[s] for s in self.sounds])
        i = np.clip(np.searchsorted(self.centres, times) - 1, 0, len(targets) - 2)
        way = np.clip((times - self.centres[i]) / (self.centres[i + 1] - self.centres[i]), 0, 1)
        way = way * way * (3 - 2 * way)
        return targets[i] * (1 - way) + targets[i + 1] * way


def speech_actions(times: np.ndarray) -> dict[str, np.ndarray]:
    """Face action -> (n,) values at `times`, seconds."""
    timeline = Timeline.utterance()
    names = sorted({name for lips in LIPS.values() for name in lips})
    return {name: timeline.blend({sound: lips.get(name, 0.0) for sound, lips in LIPS.items()}, times) for name in names}


def opening(times: np.ndarray) -> np.ndarray:
    """(n,) seconds -> (n,) how open the mouth is, 0..1."""
    return Timeline.utterance().blend(OPENING, times)


def blink(times: np.ndarray) -> np.ndarray:
    """(n,) seconds -> (n,) lid closure, 0..1."""
    closed = np.zeros_like(times)
    for at in BLINKS:
        way = np.where(times < at, (at - times) / BLINK_CLOSING, (times - at) / BLINK_OPENING)
        closed = np.maximum(closed, 0.5 + 0.5 * np.cos(np.pi * np.clip(way, 0, 1)))
    return closed


def _sway(times: np.ndarray, *waves: tuple[float, float, float]) -> np.ndarray:
    """Sum of (amplitude, period in seconds, phase in turns)."""
    return sum((a * np.sin(2 * np.pi * (times / period + phase)) for a, period, phase in waves), np.zeros_like(times))


def head_motion(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) seconds -> rotation vectors (n, 3), radians, and translations (n, 3), metres, relative to the portrait's pose.

    A nod on each stressed syllable and a slow look about; zero at no particular time.
    """
    degrees = np.stack([
        _sway(times, (1.1, 1.37, 0.1), (0.8, 0.71, 0.6)) + 1.2 * opening(times),  # nod
        _sway(times, (3.6, 4.1, 0.0), (0.9, 1.53, 0.3)),  # turn
        _sway(times, (1.5, 3.3, 0.2), (0.4, 1.1, 0.7)),  # tilt
    ], 1)
    metres = np.stack([_sway(times, (0.003, 3.7, 0.4)), _sway(times, (0.0015, 2.3, 0.1)), _sway(times, (0.004, 5.1, 0.0))], 1)
    return np.radians(degrees), metres


def camera_shake(times: np.ndarray) -> np.ndarray:
    """(n,) seconds -> (n, 4): x and y in parts of the picture's width, roll in radians, zoom minus one. A camera held by hand."""
    return np.stack([_sway(times, (0.0045, 2.9, 0.0), (0.0012, 0.83, 0.4)), _sway(times, (0.0035, 2.3, 0.3), (0.001, 0.67, 0.1)),
                     np.radians(_sway(times, (0.25, 3.1, 0.6))), _sway(times, (0.004, 4.7, 0.2))], 1)
