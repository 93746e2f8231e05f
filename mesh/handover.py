# SPDX-License-Identifier: GPL-3.0-or-later
"""A solved performance for other programs: ARKit-52 curves as a Live Link Face table, vertices as a PC2 point cache."""

from __future__ import annotations

import csv
import struct
from pathlib import Path

import numpy as np

from .camera import place, rotation_matrix
from .files import atomic_path
from .model import FaceModel

LIVE_LINK = (
    *(f"Eye{name}{side}" for side in ("Left", "Right") for name in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")),
    "JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker", "MouthRight", "MouthLeft",
    "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight", "MouthDimpleLeft", "MouthDimpleRight",
    "MouthStretchLeft", "MouthStretchRight", "MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper",
    "MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight", "MouthUpperUpLeft", "MouthUpperUpRight",
    "BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft", "CheekSquintRight",
    "NoseSneerLeft", "NoseSneerRight", "TongueOut")
"""The 52 curves in the order of Apple's Live Link Face recordings."""
ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll")
"""Radians. Yaw: towards the subject's left; pitch: up; roll: towards the subject's left shoulder."""
EYE_TURN = 0.5
"""Radians by which an eye is turned when its look curve is 1; the face model has lids, no eyeballs."""


def held(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(T, ...) with the frames that are not known taking the last known value, or the first one before it. `known` (T,) has a True."""
    index = np.where(known, np.arange(len(known)), -1)
    index = np.maximum.accumulate(index)
    index[index < 0] = int(np.argmax(known))
    return values[index]


def live_link_curves(model: FaceModel, beta: np.ndarray) -> np.ndarray:
    """(T, B) -> (T, 52) in 0..1. A curve that the model has by sides only is their mean; one that it lacks is 0."""
    out = np.zeros((len(beta), len(LIVE_LINK)))
    for column, name in enumerate(LIVE_LINK):
        stem = name[0].lower() + name[1:]
        rows = [model.expression_index[n] for n in (stem, stem + "Left", stem + "Right") if n in model.expression_index]
        if rows:
            out[:, column] = np.clip(beta[:, rows].mean(1), 0, 1)
    return out


def head_angles(rotation: np.ndarray) -> np.ndarray:
    """Head rotations (T, 3), rotation vectors in OpenCV axes -> (T, 3) yaw, pitch, roll of R = Ry Rx Rz."""
    R = rotation_matrix(rotation)
    return np.stack([-np.arctan2(R[:, 0, 2], R[:, 2, 2]), np.arcsin(np.clip(R[:, 1, 2], -1, 1)), np.arctan2(R[:, 1, 0], R[:, 1, 1])], 1)


def timecode(number: int, rate: float) -> str:
    """Frame number -> HH:MM:SS:FF.mmm, without drop frames."""
    per_second = max(1, round(rate))
    seconds, frame = divmod(number, per_second)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frame:02d}.000"


def write_live_link(path: Path, model: FaceModel, beta: np.ndarray, rotation: np.ndarray, first_frame: int, rate: float) -> None:
    """A table with a row per frame in the layout of Live Link Face: Timecode, BlendshapeCount, 52 curves, 9 angles. Raises MienError."""
    curves = live_link_curves(model, beta)
    at = {name: i for i, name in enumerate(LIVE_LINK)}
    eyes = []
    for side, sign in (("Left", 1), ("Right", -1)):
        look = {way: curves[:, at[f"EyeLook{way}{side}"]] for way in ("Out", "In", "Up", "Down")}
        eyes += [sign * EYE_TURN * (look["Out"] - look["In"]), EYE_TURN * (look["Up"] - look["Down"]), np.zeros(len(beta))]
    table = np.concatenate([curves, head_angles(rotation), np.stack(eyes, 1)], 1)
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Timecode", "BlendshapeCount", *LIVE_LINK, *ANGLES])
        for i, row in enumerate(table):
            writer.writerow([timecode(first_frame + i, rate), len(LIVE_LINK) + len(ANGLES), *(f"{value:.9f}" for value in row)])


def write_pc2(path: Path, model: FaceModel, alpha: np.ndarray, beta: np.ndarray, rotation: np.ndarray, translation: np.ndarray,
              first_frame: int) -> None:
    """Every frame's vertices before the solved camera, metres, x right, y up, z towards the camera, as PC2, a frame at a time.

    alpha (A,) or (T, A), the others (T, ...). Raises MienError.
    """
    alpha = np.broadcast_to(alpha, (len(beta), model.identity_count))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, model.vertex_count, float(first_frame), 1.0, len(beta)))
        for a, b, r, t in zip(alpha, beta, rotation, translation):
            points = place(model.shape(a, b), r, t) * np.array([1, -1, -1], np.float32)
            file.write(np.ascontiguousarray(points, "<f4").tobytes())
