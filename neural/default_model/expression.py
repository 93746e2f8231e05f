# SPDX-License-Identifier: GPL-3.0-or-later
"""The 64 named expression directions: ARKit-52 without tongueOut, browInnerUp and cheekPuff per side, and twelve more from FACS.

A muscle-vector construction in the manner of Waters 1987 ("A muscle model for animating three-dimensional facial expression"): local fields with
smooth falloffs, one per muscle or pair of muscles, and a rigid jaw. "Left" is the subject's left (image right, +x).
"""

from __future__ import annotations

import numpy as np

from .fields import Face
from .lower_face import jaw_fields, mouth_fields
from .middle_face import cheek_fields, nose_fields
from .upper_face import brow_fields, lid_fields

SIGMA: dict[str, float] = {
    "browDown": 0.30, "browInnerUp": 0.30, "browOuterUp": 0.30, "browCentreDown": 0.15,
    "eyeBlink": 0.35, "eyeWide": 0.25, "eyeSquint": 0.25, "eyeLookUp": 0.25, "eyeLookDown": 0.30, "eyeLookIn": 0.20, "eyeLookOut": 0.20,
    "cheekSquint": 0.25, "cheekPuff": 0.12, "noseSneer": 0.20, "nasolabialDeepen": 0.15, "nostrilDilate": 0.12, "nostrilCompress": 0.10,
    "jawOpen": 0.30, "jawForward": 0.12, "jawLeft": 0.12, "jawRight": 0.12, "mouthClose": 0.10,
    "mouthSmile": 0.35, "mouthFrown": 0.25, "mouthDimple": 0.20, "mouthStretch": 0.25, "cornerPullSharp": 0.15,
    "mouthUpperUp": 0.25, "mouthLowerDown": 0.25, "mouthPress": 0.25, "mouthPucker": 0.30, "mouthFunnel": 0.25,
    "mouthLeft": 0.12, "mouthRight": 0.12, "mouthRollUpper": 0.20, "mouthRollLower": 0.25, "mouthShrugUpper": 0.15, "mouthShrugLower": 0.25,
    "lipTightenUpper": 0.15, "lipTightenLower": 0.15,
}
"""Plausible standard deviation of a performance, in apexes; per side where a name has sides."""

PAIRED = ("browDown", "browInnerUp", "browOuterUp", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide",
          "cheekPuff", "cheekSquint", "noseSneer", "nasolabialDeepen", "nostrilDilate", "nostrilCompress", "mouthSmile", "cornerPullSharp",
          "mouthFrown", "mouthDimple", "mouthStretch", "mouthPress", "mouthLowerDown", "mouthUpperUp")
"""Actions with a Left and a Right direction."""
MIRRORED = (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"))
"""Whole-face actions whose other side is their mirror image."""
SINGLE = ("browCentreDown", "jawOpen", "jawForward", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper",
          "mouthShrugLower", "mouthShrugUpper", "lipTightenUpper", "lipTightenLower")


def expression_basis(face: Face) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names (64), directions (64, V, 3) in metres at the apex, and sigma (64,)."""
    designs: dict[str, np.ndarray] = {}
    for make in (brow_fields, lid_fields, cheek_fields, nose_fields, jaw_fields, mouth_fields):
        designs |= make(face)
    fields: dict[str, np.ndarray] = {}
    for name in PAIRED:
        fields[name + "Left"] = designs[name + "Left"]
        fields[name + "Right"] = face.mirrored(designs[name + "Left"])
    for left, right in MIRRORED:
        fields[left] = designs[left]
        fields[right] = face.mirrored(designs[left])
    for name in SINGLE:
        fields[name] = 0.5 * (designs[name] + face.mirrored(designs[name]))
    names = tuple(sorted(fields))
    sigma = np.array([SIGMA[name] if name in SIGMA else SIGMA[name.removesuffix("Left").removesuffix("Right")] for name in names])
    return names, np.stack([fields[name] for name in names]) / 1000, sigma
