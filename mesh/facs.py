# SPDX-License-Identifier: GPL-3.0-or-later
"""FACS action units over named expression directions, and emotions as action units.

Source of the combinations: Ekman, Friesen & Hager, Facial Action Coding System: Investigator's Guide (2002), table of
emotion prototypes and major variants. The amounts are Mien's: they were set by eye and by an independent tracker on real
footage so that intensity 1 is a strong expression and not a caricature. A trace of 1 and 2 opens the brow of a smile, which else keeps the
tension of the performance under it; more of 15 makes lips look closed that are not.
"""

from __future__ import annotations

ACTION_UNITS: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0},
    2: {"browOuterUp": 1.0},
    4: {"browDown": 1.0, "browCentreDown": 0.6},
    5: {"eyeWide": 1.0},
    6: {"cheekSquint": 1.0, "eyeSquint": 0.25},
    7: {"eyeSquint": 1.0},
    9: {"noseSneer": 1.0, "browCentreDown": 0.3},
    10: {"mouthUpperUp": 1.0},
    11: {"nasolabialDeepen": 1.0},
    12: {"mouthSmile": 1.0},
    13: {"cornerPullSharp": 1.0},
    14: {"mouthDimple": 1.0},
    15: {"mouthFrown": 1.0},
    16: {"mouthLowerDown": 1.0},
    17: {"mouthShrugLower": 1.0},
    18: {"mouthPucker": 1.0},
    20: {"mouthStretch": 1.0},
    22: {"mouthFunnel": 1.0},
    23: {"lipTightenUpper": 1.0, "lipTightenLower": 1.0},
    24: {"mouthPress": 1.0},
    26: {"jawOpen": 1.0},
    38: {"nostrilDilate": 1.0},
    39: {"nostrilCompress": 1.0},
}
"""AU -> direction -> amount; a direction that has sides is named by its stem and means both."""

PROTOTYPES: dict[str, dict[int | str, float]] = {
    "angry": {4: 0.85, 5: 0.25, 7: 0.6, 23: 0.6, 38: 0.5},
    "contempt": {"12R": 0.65, "14R": 1.0, "10R": 0.2, "7R": 0.15},
    "disgusted": {9: 1.1, 10: 0.45, 15: 0.35, 7: 0.35, 4: 0.25},
    "fear": {1: 0.9, 2: 0.5, 4: 0.35, 5: 0.8, 20: 1.0, 26: 0.08},
    "happy": {1: 0.12, 2: 0.1, 6: 0.9, 12: 0.9},
    "sad": {1: 1.1, 4: 0.2, 15: 0.55, 17: 0.2, "lidDroop": 0.12},
    "surprised": {1: 1.15, 2: 1.05, 5: 0.9, 26: 0.22},
}
"""Emotion -> AU -> amount at intensity 1. A letter R or L after the number means that side only, the subject's own."""

EXTRA: dict[str, dict[str, float]] = {"lidDroop": {"eyeBlink": 1.0}}

ANTAGONISTS: dict[str, dict[str, float]] = {
    "angry": {"mouthSmile": 0.6, "browInnerUp": 0.7, "browOuterUp": 0.5},
    "contempt": {"mouthFrown": 0.5},
    "disgusted": {"mouthSmile": 0.7, "eyeWide": 0.5},
    "fear": {"mouthSmile": 0.6, "eyeSquint": 0.6},
    "happy": {"mouthFrown": 0.35, "browDown": 0.6, "browCentreDown": 0.6, "noseSneer": 0.5},
    "sad": {"mouthSmile": 0.4, "browOuterUp": 0.4, "browDown": 0.4},
    "surprised": {"browDown": 0.9, "browCentreDown": 0.9, "eyeSquint": 0.8, "mouthPress": 0.3},
}
"""Emotion -> direction -> how much of the actor's own action relaxes at intensity 1: an acted frown must not stay under a smile."""

ACTED = ("browDown", "browInnerUp", "browOuterUp", "browCentreDown", "eyeWide", "eyeSquint", "cheekSquint", "noseSneer", "mouthSmile",
         "mouthFrown", "mouthStretch", "mouthDimple", "mouthUpperUp", "nasolabialDeepen", "cornerPullSharp", "mouthPress")
"""Directions by which an actor shows emotion rather than speaks; `neutralise` takes their lasting part away."""


def directions(action: int | str) -> dict[str, float]:
    """Names of expression directions and amounts of one action: 12, "12R", or a name of EXTRA.

    Raises KeyError for an unknown action unit.
    """
    if isinstance(action, str) and action in EXTRA:
        table, sides = EXTRA[action], ("Left", "Right")
    else:
        text = str(action)
        sides = {"R": ("Right",), "L": ("Left",)}.get(text[-1], ("Left", "Right"))
        table = ACTION_UNITS[int(text.rstrip("LR"))]
    return {stem + side: amount for stem, amount in table.items() for side in (*sides, "")}


def sided(stem: str) -> tuple[str, str, str]:
    """The names a stem may have on a model."""
    return stem, stem + "Left", stem + "Right"
