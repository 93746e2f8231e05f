# SPDX-License-Identifier: GPL-3.0-or-later
"""The jaw and the muscles of the mouth. Millimetres.

Lip fields are authored per column (11 along each lip, u = -1 at the subject's right corner to 1 at the left) and ring (4 from the inner to
the outer edge), so that the inner edges of both lips meet or part exactly as asked and the lips keep their height.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .fields import Face
from .topology import LIP_LOWER_RINGS, LIP_UPPER_RINGS

U = np.array([-1, -0.83, -0.66, -0.46, -0.24, 0, 0.24, 0.46, 0.66, 0.83, 1])
"""Column coordinate: the share of the inner lip's arc length from the middle to the corner, as measured on the mean."""
ARCH = 1 - U**2
"""1 at the middle of the lips, 0 at the corners."""
TMJ = np.array([0.0, 15.0, -8.0])
"""A point on the axis of the jaw joints, which runs along x."""
FLAT = (1.0, 0.97, 0.92, 0.85)
"""Share of the inner edge's displacement that the rings carry: nearly all, so that lips do not fatten."""


def columns(x: np.ndarray | float = 0.0, y: np.ndarray | float = 0.0, z: np.ndarray | float = 0.0) -> np.ndarray:
    """(11, 3) displacements of the columns; y down, z backwards."""
    return np.stack([np.broadcast_to(np.asarray(v, np.float64), 11) for v in (x, y, z)], 1)


def lip_handles(face: Face, upper: np.ndarray, lower: np.ndarray, upper_outer: np.ndarray | None = None, lower_outer: np.ndarray | None = None,
                rings: tuple[float, ...] = FLAT) -> dict[int, np.ndarray]:
    """Handles of all lip landmarks from the inner edges' displacements (11, 3).

    With `*_outer` the outer edge moves by that instead of its share, and the rings between go linearly.
    """
    handles: dict[int, np.ndarray] = {}
    # At the corners the four rings lie within 2 mm: there they move as one.
    open_up, flat = (1 - np.abs(U) ** 6)[:, None], (1 - np.abs(U) ** 4)[:, None]
    for ids, inner, outer in ((LIP_UPPER_RINGS, upper, upper_outer), (LIP_LOWER_RINGS, lower, lower_outer)):
        for k, ring in enumerate(ids):
            values = inner * (1 - (1 - rings[k]) * flat) if outer is None else inner + (outer - inner) * open_up * k / 3
            for i, d in zip(ring, values):
                handles[i] = d if i not in handles else 0.5 * (handles[i] + d)
    return handles


def mouth(face: Face, lips: Mapping[int, np.ndarray], reach: float = 26.0, chin: float | None = 20.0,
          extra: Mapping[int, np.ndarray] | None = None) -> np.ndarray:
    """Field (V, 3) of a mouth action: lips as told, resting beyond `reach` mm from them and on the nose; `chin`: resting below so many mm."""
    handles: dict[int, np.ndarray] = {}
    lip_bottom = face.lm[17, 1]
    for i in range(468):
        x, y, _ = face.lm[i]
        nose = y < 43 and abs(x) < 20
        if face.lip_distance[i] > reach or nose or (chin is not None and y > lip_bottom + chin):
            handles[i] = np.zeros(3)
    handles |= dict(extra or {})
    handles |= dict(lips)
    return face.carry(face.relax(handles))


def jaw_weight(face: Face) -> np.ndarray:
    """(468,) share of the jaw's motion: 1 on chin and lower lip, 0.4 at the mouth corners, 0 on upper lip and above."""
    handles: dict[int, float] = {}
    for i in range(468):
        x, y, _ = face.lm[i]
        if y < 42:
            handles[i] = 0.0
        elif y > 82 and abs(x) < 24:
            handles[i] = 1.0
    line = {149: 0.97, 150: 0.88, 136: 0.72, 172: 0.52, 58: 0.3, 132: 0.11, 93: 0.02, 192: 0.14, 187: 0.03, 50: 0.0, 147: 0.05}
    for i, w in line.items():
        handles[i] = handles[int(face.base.mirror[i])] = w
    upper = 0.03 + 0.37 * np.abs(U) ** 3
    lower = 0.40 + 0.60 * np.maximum(ARCH, 0) ** 0.6
    for rings, w in ((LIP_UPPER_RINGS, upper), (LIP_LOWER_RINGS, lower)):
        for ring in rings:
            handles |= dict(zip(ring, w))
    return np.clip(face.relax(handles), 0, 1)


def jaw_fields(face: Face) -> dict[str, np.ndarray]:
    """jawOpen, jawForward, jawLeft, mouthClose: name -> (V, 3)."""
    weight = jaw_weight(face)[:, None]
    arm = face.lm - TMJ
    angle = 0.27
    turned = np.stack([arm[:, 0], arm[:, 1] * np.cos(angle) - arm[:, 2] * np.sin(angle), arm[:, 1] * np.sin(angle) + arm[:, 2] * np.cos(angle)], 1)
    # The joint's head also slides down and forward, so that the chin goes down more than back.
    opened = weight * (turned - arm + (0, 8.0, -8.0))
    # Opening draws the corners towards each other and stretches the cheek.
    corner = np.exp(-((np.abs(face.lm[:, 0]) - 25) / 13) ** 2 - ((face.lm[:, 1] - 67) / 16) ** 2)
    opened[:, 0] -= 1.5 * np.sign(face.lm[:, 0]) * corner
    forward = weight * (0, 0.8, -6.5)
    # To one side the jaw also slides a little down and forward, along the teeth and out of the other joint.
    sway = (0, 1.6, -1.2) + arm[:, 2:3] * np.array([-1.0, 0, 0]) * 0.12 + arm[:, :1] * np.array([0, 0, 1.0]) * 0.12
    upper = np.array([opened[i] for i in LIP_UPPER_RINGS[0]])
    lower = np.array([opened[i] for i in LIP_LOWER_RINGS[0]])
    gap = lower - upper
    close = mouth(face, lip_handles(face, 0.3 * gap, -0.7 * gap, rings=(1.0, 0.95, 0.85, 0.72)), 24, 18)
    return {"jawOpen": face.carry(opened), "jawForward": face.carry(forward), "jawLeft": face.carry(weight * sway), "mouthClose": close}


def toward_inner(face: Face, share: float, rings: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """(11, 3) displacement of the outer edge by `share` of its way to the inner edge."""
    return share * (face.lm[list(rings[0])] - face.lm[list(rings[3])]) * (0.3, 1, 0.5)


def mouth_fields(face: Face) -> dict[str, np.ndarray]:
    """Two-sided and left-hand mouth actions, name -> (V, 3). Two-sided designs are cut by side here."""
    a = np.abs(U)
    side = np.sign(U)
    zero = columns()
    thin_up, thin_low = toward_inner(face, 1.0, LIP_UPPER_RINGS), toward_inner(face, 1.0, LIP_LOWER_RINGS)
    fields: dict[str, np.ndarray] = {}

    def cheek(amount: tuple[float, float, float], ids: Mapping[int, float]) -> dict[int, np.ndarray]:
        """Left landmark -> share of `amount` (out, down, back), on both sides."""
        out = {}
        for i, w in ids.items():
            out[i] = w * np.array(amount)
            out[int(face.base.mirror[i])] = w * np.array(amount) * (-1, 1, 1)
        return out

    # Zygomaticus major: the lip line becomes a parabola, its centre rising 12 % of the corners.
    # The cheek goes out and up with it, the wing of the nose a little too.
    lift = 0.12 + 0.88 * a**1.6
    smile = columns(7.6 * side * a, -8.0 * lift, 0.6 + 4.2 * a**2)
    cheeks = cheek((3.3, -3.8, -0.5), {425: 1.0, 411: 1.0, 280: 0.95, 427: 1.0, 266: 0.75, 330: 0.6, 352: 0.7, 376: 0.85, 426: 1.0, 436: 1.3,
                                       433: 0.75, 416: 0.95})
    cheeks |= cheek((1.5, -1.9, 0.0), {358: 1.0, 327: 0.9, 294: 1.0, 278: 0.8, 279: 0.8})
    whole = mouth(face, lip_handles(face, smile, smile, smile * 0.92 + 0.15 * thin_up * ARCH[:, None],
                                    smile * 0.9 + 0.15 * thin_low * ARCH[:, None]), 44, 26, cheeks)
    fields["mouthSmileLeft"] = face.left(whole, 12)
    # Levator anguli oris (AU13): the corner goes straight up and the cheek puffs.
    sharp = columns(0.8 * side * a**2, -6.2 * (0.03 + 0.97 * a**2.3), 0.6 * a**2)
    puffed = cheek((0.6, -3.0, -3.0), {425: 1.0, 411: 0.7, 280: 0.5, 427: 0.6, 426: 0.9, 436: 1.0})
    fields["cornerPullSharpLeft"] = face.left(mouth(face, lip_handles(face, sharp, sharp), 40, 24, puffed), 12)
    # Depressor anguli oris.
    frown = columns(1.2 * side * a**2, 7.0 * (0.02 + 0.98 * a**2.6), 1.0 * a**2)
    fields["mouthFrownLeft"] = face.left(mouth(face, lip_handles(face, frown, frown), 34, 32), 12)
    # Buccinator: corners back against the teeth.
    dimple = columns(4.2 * side * a**2.5, -0.6 * a**2, 0.4 + 4.6 * a**2.5)
    fields["mouthDimpleLeft"] = face.left(mouth(face, lip_handles(face, dimple, dimple, dimple + 0.1 * thin_up, dimple + 0.1 * thin_low), 26, 20), 12)
    # Risorius and platysma: wide, back and a little down; lips thin.
    stretch = columns(9.5 * side * a**1.15, 2.0 * a**2, 0.8 + 4.0 * a**2)
    fields["mouthStretchLeft"] = face.left(
        mouth(face, lip_handles(face, stretch, stretch + columns(0, 1.2 * ARCH), stretch + 0.15 * thin_up, stretch + 0.1 * thin_low), 40, 32), 12)
    # Levator labii superioris; depressor labii inferioris: per side, strongest off the middle, none at the corners.
    raised = columns(0.5 * side * a * (1 - a), -6.5 * ARCH**0.8, 0.8 * ARCH)
    snarl = cheek((0.2, -3.6, -0.9), {391: 1.2, 327: 0.35, 423: 0.8, 426: 0.8, 322: 1.15, 371: 0.5})
    fields["mouthUpperUpLeft"] = face.left(mouth(face, lip_handles(face, raised, zero, raised * 0.95), 28, 24, snarl), 16)
    lowered = columns(1.2 * side * a * (1 - a), 7.0 * ARCH**0.8, 1.2 * ARCH)
    fields["mouthLowerDownLeft"] = face.left(mouth(face, lip_handles(face, zero, lowered, None, lowered * 0.92), 26, 26), 17)
    # Orbicularis oris pressing the lips together: the red narrows, the line between stays.
    press = columns(0.6 * side * a**2, 0.0, 0.4 + 0.8 * a**2)
    fields["mouthPressLeft"] = face.left(
        mouth(face, lip_handles(face, press, press, press + 0.33 * thin_up, press + 0.33 * thin_low), 22, 20), 12)
    # Incisivus and orbicularis: pucker and funnel.
    x0 = face.lm[list(LIP_UPPER_RINGS[0]), 0]
    pucker = columns(-0.42 * x0, 0.0, -6.5 + 1.0 * a**2)
    rim_up, rim_low = pucker + columns(0, 0.6 * ARCH, 2.0), pucker + columns(0, -0.6 * ARCH, 2.0)
    fields["mouthPucker"] = mouth(face, lip_handles(face, pucker, pucker, rim_up, rim_low), 34, 26)
    funnel = columns(-0.26 * x0, 0.0, -6.0 + 1.5 * a**2)
    up, low = funnel + columns(0, -4.5 * ARCH**0.6), funnel + columns(0, 5.5 * ARCH**0.6)
    fields["mouthFunnel"] = mouth(face, lip_handles(face, up, low, up + columns(0, -0.8 * ARCH, 1.5), low + columns(0, 0.8 * ARCH, 1.5)), 34, 30)
    # Sideways, along the dental arch.
    shift = columns(8.5 * (0.85 + 0.15 * ARCH), -1.0 * U**2 - 1.4 * np.maximum(U, 0) ** 2, 2.6 * U + 0.8 * ARCH)
    fields["mouthLeft"] = mouth(face, lip_handles(face, shift, shift), 36, 30)
    # Lips rolled in over the teeth.
    rolled_up = columns(0, 0.6 * ARCH, 3.0 * ARCH**0.5)
    fields["mouthRollUpper"] = mouth(face, lip_handles(face, rolled_up, columns(0, 0.6 * ARCH), rolled_up * (1, 1, 0.6) + 0.5 * thin_up), 20, 18)
    rolled_low = columns(0, -0.6 * ARCH, 3.2 * ARCH**0.5)
    rim_low = rolled_low * (1, 1, 0.6) + 0.5 * thin_low
    fields["mouthRollLower"] = mouth(face, lip_handles(face, columns(0, -0.6 * ARCH), rolled_low, None, rim_low), 20, 22)
    # Mentalis (AU17): chin boss and lower lip up, pushing the upper lip; the upper lip's own shrug is forward and up.
    boss = {i: np.array([0, -4.2, -0.8]) for i in (199, 200, 208, 428, 201, 421)} | {175: np.array([0, -2.8, 0.2]), 152: np.array([0, -1.5, 0.2])}
    boss |= {i: np.array([0, -1.8, 0.1]) for i in (171, 396)} | {i: np.array([0, -1.0, 0.0]) for i in (148, 377, 140, 369)}
    push = columns(0, -2.6 * ARCH - 0.3, -1.2 * ARCH)
    rim_low = push + columns(0, -1.8 * ARCH, -1.0 * ARCH)
    fields["mouthShrugLower"] = mouth(face, lip_handles(face, push * 0.97, push, push * 0.55, rim_low), 28, 48, boss)
    shrug = columns(0, -0.4 * ARCH, -1.8 * ARCH)
    fields["mouthShrugUpper"] = mouth(face, lip_handles(face, shrug, shrug * 0.9, shrug + columns(0, -2.6 * ARCH, -1.4 * ARCH), shrug * 0.2), 24, 20)
    # AU23 per lip: the lip tightens, narrow and thin, and turns out a little.
    tight = columns(-1.6 * side * a**1.5, 0.0, -0.9 * ARCH)
    fields["lipTightenUpper"] = mouth(face, lip_handles(face, tight, tight * (1, 1, 0.3), tight + 0.38 * thin_up, tight * 0.5), 20, 18)
    fields["lipTightenLower"] = mouth(face, lip_handles(face, tight * (1, 1, 0.3), tight, tight * 0.5, tight + 0.38 * thin_low), 20, 18)
    return fields
