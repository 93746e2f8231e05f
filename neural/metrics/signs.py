# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of faces compared without a network: by the signs of facial actions, by the skin, and by both together, which stands in for FED.

An emotion network sees shape and skin at once (Sun et al. 2023, section 4.2 and table 1), so "signs" is the distance that is nearest to what the
paper calls FED; the other two say where it comes from.
"""

from __future__ import annotations

import numpy as np

from . import face
from .frechet import Moments, frechet
from .skin import NAMES, PLACES, skin

STAND_INS = {"signs": "Frechet distance of the signs", "geometry": "Frechet distance of geometry", "skin": "Frechet distance of the skin"}
"""Set of features -> the name of its distance."""
NOTES = {"signs": "no network: geometry and skin together, each number in standard deviations of its own in the set that is compared with",
         "geometry": "no network: the nine signs of expression, in hundredths of the eye distance",
         "skin": "no network: fine lines and shading in up to eleven places where both sets show skin, levels"}
SEEN = 0.5
"""Part of a place that is skin, mean of a set, from which on both sets count as showing it."""
LEAST = 0.3
"""The least that a standard deviation counts for, levels or hundredths of the eye distance: what rounding to 8 bits makes."""


def signs(crop: np.ndarray, where: np.ndarray, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """The features of each of STAND_INS: a face `crop` (256, 256, 3) uint8, its landmarks in it (478, 2) and in the picture (478, 2+), pixels."""
    geometry, surface = 100 * face.features(face.eye_frame(landmarks)), skin(crop, where)
    return {"signs": np.concatenate([geometry, surface]), "geometry": geometry, "skin": surface}


def set_distance(name: str, a: Moments, b: Moments, filmed: Moments | None = None) -> float | None:
    """Frechet distance of the sets `a` and `b` of the features `name`; of STAND_INS the comparable part. None where they show too little skin.

    filmed: the plate that `a` is an edit of: its skin and not the edit's decides what is compared, so that all edits are compared alike.
    Raises ValueError when one has fewer than two features.
    """
    if name not in ("signs", "skin"):
        return frechet(a, b)
    chosen = _comparable(filmed or a, b)
    if chosen is None:
        return None
    if name == "signs":
        chosen = chosen / np.maximum(np.sqrt(np.diag(b.mapped(chosen).covariance)), LEAST)[:, None]
    return frechet(a.mapped(chosen), b.mapped(chosen))


def _comparable(a: Moments, b: Moments) -> np.ndarray | None:
    """(n, D): what both sets tell of their features: lines, and shade less the mean shade, of the places that both show, and all that is not skin."""
    count, before = len(PLACES), len(a.mean) - len(NAMES)
    seen = np.flatnonzero(np.minimum(a.mean, b.mean)[before + 2 * count:] >= SEEN)
    if len(seen) < 2:
        return None
    whole = np.eye(len(a.mean))
    lines, shade = whole[before + seen], whole[before + count + seen]
    return np.concatenate([whole[:before], lines, shade - shade.mean(0)])
