# SPDX-License-Identifier: GPL-3.0-or-later
"""Upper face muscles: frontalis, corrugator, procerus (brows) and orbicularis oculi, levator palpebrae (lids). Millimetres."""

from __future__ import annotations

import numpy as np

from .fields import Face, smooth
from .topology import BROW_RIGHT, EYE_LEFT_LOWER, EYE_LEFT_UPPER

UPPER_LID_RINGS = ((467, 260, 259, 257, 258, 286, 414), (342, 445, 444, 443, 442, 441, 413))
"""Left eye, outer to inner: the crease of the upper lid, then the skin above it; columns are those of EYE_LEFT_UPPER[1:-1]."""
LOWER_LID_RINGS = ((255, 339, 254, 253, 252, 256, 341), (261, 448, 449, 450, 451, 452, 453))
"""Left eye: the lower lid's skin, then the groove under it."""


def brow_weight(face: Face) -> np.ndarray:
    """(V,) 1 over the whole height of both brows, 0 on the lid margins, fading up the forehead to a small rest at the hair line.

    Flat over the brow, so that brow actions carry the hair along as one piece and do not thicken it.
    """
    x, y = np.abs(face.points[:, 0]), face.points[:, 1]
    brow = face.lm[face.base.mirror[list(BROW_RIGHT)]]
    lower, upper = brow[4::-1], brow[:4:-1]
    lid = face.lm[list(EYE_LEFT_UPPER[::-1])]
    bottom = np.interp(x, lower[:, 0], lower[:, 1]) + 1.5
    top = np.interp(x, upper[:, 0], upper[:, 1]) - 2.5
    margin = np.interp(x, lid[:, 0], lid[:, 1]) - 0.5
    # Between the eyes there is no lid: the ramp runs down the bridge of the nose.
    margin = margin + 14 * smooth(x, 15, 4)
    below = smooth((margin - y) / np.maximum(margin - bottom, 4.0), 0.0, 1.0)
    above = smooth((y + 62) / (top + 62), 0.0, 1.0)
    weight = np.where(y > bottom, below, np.where(y < top, 0.22 + 0.78 * above, 1.0)) * smooth(x, 74, 56)
    # The brow's curves are broken lines; the blur rounds their corners, but never reaches the lids.
    lids = smooth(margin - y, 2.0, 8.0)
    return weight + (face.blur(weight, 2.5) - weight) * lids


def brow_fields(face: Face) -> dict[str, np.ndarray]:
    """Left-hand brow actions and browCentreDown, name -> (V, 3)."""
    x = np.abs(face.points[:, 0])
    weight = brow_weight(face)
    inner, outer = smooth(x, 45, 14), smooth(x, 16, 42)
    middle = smooth(x, 60, 25)
    side = np.sign(face.points[:, 0]) * smooth(x, 0, 10)

    def vector(right: np.ndarray | float, down: np.ndarray | float) -> np.ndarray:
        out = np.zeros_like(face.points)
        out[:, 0], out[:, 1] = right, down
        return out

    up = face.slide(vector(-0.8 * side, -8.0) * (weight * inner)[:, None])
    out = face.slide(vector(0.4 * side, -8.0) * (weight * outer)[:, None])
    lower = weight * middle * (1 - 0.2 * smooth(x, 10, 0))
    down = face.slide(vector(-3.0 * side, 6.5 - 1.5 * smooth(x, 20, 50)) * lower[:, None], 0.7)
    down += face.normals * (1.2 * face.bump(9, (11, 9, 30)))[:, None]
    centre = face.bump(np.array([0, -19.0, -70]), (20, 36, 44), 0.1)
    procerus = face.slide(vector(-0.08 * face.points[:, 0], 5.5) * centre[:, None], 0.8)
    procerus += face.normals * (0.8 * face.bump(168, (13, 13, 25)))[:, None]
    return {"browInnerUpLeft": face.left(up, 9), "browOuterUpLeft": face.left(out, 9), "browDownLeft": face.left(down, 7),
            "browCentreDown": procerus}


def lid_handles(face: Face, upper: np.ndarray, lower: np.ndarray, upper_rings: tuple[float, float] = (0.55, 0.1),
                lower_rings: tuple[float, float] = (0.6, 0.15)) -> np.ndarray:
    """Field (468, 3) of the left eye from displacements of the two margins, 9 columns each, outer to inner corner (9, 3).

    `*_rings`: the share of a column's displacement that the next two rings of skin follow. Everything farther rests.
    """
    handles: dict[int, np.ndarray] = {i: np.zeros(3) for i in np.flatnonzero(face.eye_distance > 11)}
    for rings, shares, margin in ((UPPER_LID_RINGS, upper_rings, upper), (LOWER_LID_RINGS, lower_rings, lower)):
        for ring, share in zip(rings, shares):
            for i, d in zip(ring, margin[1:-1]):
                handles[i] = share * d
    for i, d in zip(EYE_LEFT_LOWER, lower):
        handles[i] = d
    for i, d in zip(EYE_LEFT_UPPER, upper):
        handles[i] = d
    return face.relax(handles)


def lid_fields(face: Face) -> dict[str, np.ndarray]:
    """Left-hand lid actions, name -> (V, 3)."""
    upper, lower = face.lm[list(EYE_LEFT_UPPER)], face.lm[list(EYE_LEFT_LOWER)]
    gap = lower - upper
    s = np.linspace(0, 1, 9)
    arch = np.sin(np.pi * s)[:, None] ** 0.8

    def carried(up: np.ndarray, low: np.ndarray, **rings: tuple[float, float]) -> np.ndarray:
        return face.carry(lid_handles(face, up, low, **rings))

    down = np.array([0, 1.0, 0])
    forward = np.array([0, 0, -1.0])
    # The closed line lies near the lower margin, a little in front, where the eyeball's curve keeps it.
    closed = upper + 0.9 * gap + 0.35 * forward * arch
    blink = carried(closed - upper, closed - lower, upper_rings=(0.5, 0.06), lower_rings=(0.7, 0.2))
    crease = face.lm[list(UPPER_LID_RINGS[0])].mean(0)
    lid_bulge = face.bump(crease + (0, 3, 0), (15, 7, 14))
    blink += 0.5 * lid_bulge[:, None] * (0, 0, -1)
    # The bulge must not part the margins.
    blink[face.fine.loops["eye_left"]] = face.carry(lid_handles(face, closed - upper, closed - lower))[face.fine.loops["eye_left"]]
    fields = {
        "eyeBlinkLeft": blink,
        "eyeWideLeft": carried(-2.3 * arch * down + 0.3 * arch * forward, 0.6 * arch * down, upper_rings=(0.75, 0.35)),
        "eyeSquintLeft": carried(0.9 * arch * down, -2.6 * arch * down + 0.4 * arch * forward, lower_rings=(0.95, 0.7)),
        "eyeLookUpLeft": carried(-1.9 * arch * down, -1.0 * arch * down, upper_rings=(0.8, 0.45), lower_rings=(0.7, 0.3)),
        "eyeLookDownLeft": carried(2.9 * arch * down + 0.3 * arch * forward, 1.0 * arch * down, upper_rings=(0.45, 0.05), lower_rings=(0.9, 0.5)),
    }
    # The cornea's bulge wanders sideways under both lids: the lids' highest point goes with it. Looking out also draws the outer corner
    # out and opens the lids a little; looking in draws the inner corner.
    outer, inner = np.linspace(1, 0, 9)[:, None] ** 2, np.linspace(0, 1, 9)[:, None] ** 2
    for name, towards, corner, opens in (("eyeLookInLeft", 1.0, -0.5 * inner, -0.2), ("eyeLookOutLeft", -1.0, 1.2 * outer, 0.35)):
        tilt = np.sin(2 * np.pi * s)[:, None] * towards
        drag = np.array([-towards * 0.7, 0, 0]) * arch + np.array([1.0, 0, 0.25]) * corner
        fields[name] = carried(drag + 0.6 * tilt * down - opens * arch * down, 0.8 * drag - 0.3 * tilt * down + 0.4 * opens * arch * down)
    return fields
