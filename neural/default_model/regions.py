# SPDX-License-Identifier: GPL-3.0-or-later
"""Soft regions of the face, weights in 0..1 per vertex."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .fields import Face, smooth
from .lower_face import jaw_weight
from .topology import BROW_RIGHT, LIP_LOWER_RINGS, LIP_UPPER_RINGS
from .upper_face import LOWER_LID_RINGS, UPPER_LID_RINGS


def soft_regions(face: Face) -> dict[str, np.ndarray]:
    """brow_left, brow_right, lids_left, lids_right, lips, nose, cheeks, forehead, jaw: name -> (V,)."""
    x, y = face.points[:, 0], face.points[:, 1]

    def near(places: np.ndarray, inner: float, outer: float) -> np.ndarray:
        return 1 - smooth(cKDTree(places).query(face.points)[0], inner, outer)

    hair = face.lm[face.base.mirror[list(BROW_RIGHT)]].reshape(2, 5, 3)
    along = np.linspace(0, 4, 41)
    edges = [np.stack([np.interp(along, np.arange(5), edge[:, k]) for k in range(3)], 1) for edge in hair]
    brow = near(np.concatenate([edges[0] + t * (edges[1] - edges[0]) for t in np.linspace(0, 1, 9)]), 1.5, 6.0)
    lids = smooth(face.carry(face.eye_distance), 10, 5)
    lids *= near(face.lm[[i for ring in (*UPPER_LID_RINGS, *LOWER_LID_RINGS) for i in ring]], 7, 11)
    lip_ids = sorted({i for rings in (LIP_UPPER_RINGS, LIP_LOWER_RINGS) for ring in rings for i in ring})
    lips = np.clip(face.carry(np.isin(np.arange(468), lip_ids).astype(float)), 0, 1)
    nose = smooth(np.abs(x), 24, 15) * smooth(y, -10, 2) * smooth(y, 48, 41)
    cheeks = np.maximum(face.bump(np.array([44.0, 40.0, -56.0]), (30, 38, 46), 0.35), face.bump(np.array([-44.0, 40.0, -56.0]), (30, 38, 46), 0.35))
    cheeks *= (1 - lips) * (1 - nose) * (1 - np.maximum(lids, face.mirrored(lids)))
    forehead = smooth(y, -18, -27) * (1 - np.maximum(brow, face.mirrored(brow)))
    jaw = np.clip(face.carry(jaw_weight(face)), 0, 1)
    out = {"brow_left": brow, "brow_right": face.mirrored(brow), "lids_left": lids, "lids_right": face.mirrored(lids), "lips": lips, "nose": nose,
           "cheeks": cheeks, "forehead": forehead, "jaw": jaw}
    return {name: np.clip(value, 0, 1) for name, value in out.items()}
