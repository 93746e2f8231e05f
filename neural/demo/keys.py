# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo keys: two emotions, one after the other, and the frames that its contact sheet shows."""

from __future__ import annotations

import numpy as np

from ...mesh.emotion import EMOTIONS, EmotionCurves

KEYS: dict[str, tuple[tuple[float, float], ...]] = {
    "happy": ((0.06, 0.0), (0.2, 0.9), (0.38, 0.9), (0.5, 0.0)),
    "angry": ((0.52, 0.0), (0.66, 1.0), (0.84, 1.0), (0.96, 0.0)),
}
"""Emotion -> (part of the clip, intensity)."""
SHOWN = (0.0, 0.13, 0.29, 0.51, 0.6, 0.75)
"""Parts of the clip on the contact sheet: at rest, on the way and at the height of both."""


def frame_keys(first_frame: int, frames: int) -> dict[str, list[tuple[int, float]]]:
    """Emotion -> [(frame number, intensity)] for a clip; keys that fall on one frame of a very short clip are dropped but for the last."""
    return {name: list(dict(_on_frame(key, first_frame, frames) for key in keys).items()) for name, keys in KEYS.items()}


def _on_frame(key: tuple[float, float], first_frame: int, frames: int) -> tuple[int, float]:
    return first_frame + round(key[0] * (frames - 1)), key[1]


def demo_curves(first_frame: int, frames: int) -> EmotionCurves:
    """The keys as curves, straight from key to key."""
    numbers = first_frame + np.arange(frames)
    columns = {name: np.interp(numbers, *zip(*keys)) for name, keys in frame_keys(first_frame, frames).items()}
    return EmotionCurves.from_columns(columns, frames)


def shown_frames(frames: int) -> list[int]:
    """Indices of the frames on the contact sheet, ascending, each once."""
    return sorted({round(part * (frames - 1)) for part in SHOWN})


def frame_label(number: int, emotions: np.ndarray) -> str:
    """"frame 36  happy 0.90"; emotions (7,) in the order of EMOTIONS."""
    values = [f"{name} {value:.2f}" for name, value in zip(EMOTIONS, emotions) if value >= 0.005]
    return "  ".join([f"frame {number}", *(values or ["at rest"])])
