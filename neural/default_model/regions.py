# SPDX-License-Identifier: GPL-3.0-or-later
"""Soft regions of the face, weights in 0..1 per vertex."""

from __future__ import annotations

import numpy as np

from .fields import Face, smooth
from .lower_face import jaw_weight
from .topology import BROW_RIGHT, LIP_LOWER_RINGS, LIP_UPPER_RINGS
from .upper_face import LOWER_LID_RINGS, UPPER_LID_RINGS


def regions(face: Face) -> dict[str, np.ndarray]:
    """brow_left, brow_right, lids_left, lids_right, lips, nose, cheeks, forehead, jaw: name -> (V,)."""
    x, y = face.points[:, 0], face.points[:, 1]

    def near(ids: list[int], inner: float, outer: float) -> np.ndarray:
        distance = np.linalg.norm(face.points[:, None] - face.lm[None, ids], axis=2).min(1)
        return 1 - smooth(distance, inner, outer)

    brow = near([int(face.base.mirror[i]) for i in BROW_RIGHT], 3.5, 9)
    lids = smooth(face.carry(face.eye_distance), 10, 5)
    lids *= near([i for ring in (*UPPER_LID_RINGS, *LOWER_LID_RINGS) for i in ring], 7, 11)
    lip_ids = sorted({i for rings in (LIP_UPPER_RINGS, LIP_LOWER_RINGS) for ring in rings for i in ring})
    lips = near(lip_ids, 2.0, 6.0)
    nose = smooth(np.abs(x), 24 + 0 * y, 15) * smooth(y, -10, 2) * smooth(y, 48, 41)
    cheeks = np.maximum(face.bump(np.array([44.0, 40.0, -56.0]), (30, 38, 46), 0.35), face.bump(np.array([-44.0, 40.0, -56.0]), (30, 38, 46), 0.35))
    cheeks *= (1 - lips) * (1 - nose) * (1 - np.maximum(lids, face.mirrored(lids)))
    forehead = smooth(y, -18, -27) * (1 - np.maximum(brow, face.mirrored(brow)))
    jaw = np.clip(face.carry(jaw_weight(face)), 0, 1)
    out = {"brow_left": brow, "brow_right": face.mirrored(brow), "lids_left": lids, "lids_right": face.mirrored(lids), "lips": lips, "nose": nose,
           "cheeks": cheeks, "forehead": forehead, "jaw": jaw}
    return {name: np.clip(value, 0, 1) for name, value in out.items()}
