# SPDX-License-Identifier: GPL-3.0-or-later
"""Cheeks and nose: buccinator's puff, orbicularis oculi's cheek part, levator labii alaeque nasi, nasalis, zygomaticus minor. Millimetres."""

from __future__ import annotations

import numpy as np

from .fields import Face, smooth
from .lower_face import ARCH, U, columns, lip_handles, mouth
from .upper_face import lid_handles


def cheek_fields(face: Face) -> dict[str, np.ndarray]:
    """Left-hand cheek actions, name -> (V, 3)."""
    puff = face.bump(np.array([42.0, 64.0, -50.0]), (32, 30, 36), 0.1)[:, None] * (face.skull_normals * 8.5)
    # The lips stay shut and only yield a little at the corner.
    puff *= (0.15 + 0.85 * smooth(face.carry(np.minimum(face.lip_distance, 30.0)), 0, 12))[:, None]
    cheek = face.bump(np.array([40.0, 27.0, -60.0]), (31, 24, 40), 0.15)[:, None]
    raised = face.slide(cheek * np.array([-0.8, -4.8, 0.0]), 0.7) + cheek * face.normals * 1.4
    arch = np.sin(np.pi * np.linspace(0, 1, 9))[:, None] ** 0.8
    lids = face.carry(lid_handles(face, arch * (0, 0.5, 0), arch * (0, -1.9, -0.3), lower_rings=(1.1, 1.0)))
    # The lids move by the lid field alone; the cheek's field takes over below the groove.
    clear = smooth(face.carry(np.minimum(face.eye_distance, 20.0)), 1, 11)[:, None]
    return {"cheekPuffLeft": puff, "cheekSquintLeft": raised * clear + lids}


def nose_fields(face: Face) -> dict[str, np.ndarray]:
    """Left-hand nose actions, name -> (V, 3)."""
    lip_centre = face.lm[13, 1] - 13
    above_lip = smooth(face.points[:, 1], lip_centre + 6, lip_centre - 8)[:, None]
    wing = face.bump(np.array([15.0, 29.0, -80.0]), (33, 25, 40), 0.2)[:, None]
    bridge = face.bump(np.array([8.0, 4.0, -72.0]), (15, 22, 24), 0.1)[:, None]
    glabella = face.bump(np.array([8.0, -20.0, -70.0]), (18, 20, 30), 0.1)[:, None]
    lift = columns(0, -2.8 * ARCH**0.7, 0.3 * ARCH)
    lip = mouth(face, lip_handles(face, lift, columns()), 22, 20, {i: np.array([0, -3.6, -0.2]) for i in (391, 165, 393, 167)})
    sneer = face.slide(wing * np.array([-0.5, -4.8, 0.0]), 0.6) * above_lip + face.slide(bridge * np.array([-0.4, -1.6, 0]), 0.8)
    sneer += bridge * face.normals * 0.9 + face.slide(glabella * np.array([-0.5, 1.6, 0]), 0.8)
    # Zygomaticus minor (AU11): the middle of the nasolabial fold rises and deepens, the cheek beside it swells.
    fold = face.bump(np.array([29.0, 42.0, -70.0]), (17, 19, 26), 0.1)[:, None]
    swell = face.bump(np.array([34.0, 36.0, -66.0]), (13, 15, 22))[:, None]
    line = face.bump(np.array([25.0, 46.0, -72.0]), (8, 13, 18))[:, None]
    deepen = face.slide(fold * np.array([1.0, -3.6, 0.0]), 0.7) + swell * face.normals * 1.5 - line * face.normals * 1.2
    raised = columns(0, -1.8 * np.abs(U) * (1 - U**2) * 2.6, 0)
    deepen += face.left(mouth(face, lip_handles(face, raised, columns(), raised * 1.0), 20, 20), 6)
    # Nasalis: its alar part opens the nostril, its transverse part narrows it and draws the wing in and down.
    ala = face.lm[[278, 294, 358, 344, 279]].mean(0)
    near = face.bump(ala, (10, 12, 15), 0.15)[:, None]
    dilate = near * np.array([2.8, -0.6, 0.3])
    narrow = face.bump(ala + (0, -3, 0), (10, 14, 16), 0.1)[:, None]
    compress = narrow * np.array([-2.2, 1.6, -0.4])
    return {"noseSneerLeft": face.left(sneer, 5) + face.left(lip, 9), "nasolabialDeepenLeft": deepen, "nostrilDilateLeft": dilate,
            "nostrilCompressLeft": compress}
