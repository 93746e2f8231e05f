# SPDX-License-Identifier: GPL-3.0-or-later
"""A Frechet distance of textures that needs no downloaded network: FID's formula (Heusel et al. 2017) on 96 features that are stated here.

The features of a picture, in 8-bit levels: the mean colour of each cell of a 4 x 4 grid (48), and the mean strength of the detail
of luma in each cell at three scales of a Laplacian pyramid (48). Distances are in squared levels and compare only with one another.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..metrics.frechet import Moments, frechet

BANDS = 3


def texture_features(pictures: Tensor) -> Tensor:
    """(N, 3, H, H) -1..1, H at least 32 -> (N, 96)."""
    x = (pictures.clamp(-1, 1) + 1) * 127.5
    parts = [F.adaptive_avg_pool2d(x, 4)]
    luma = x.mean(1, keepdim=True)
    for _ in range(BANDS):
        small = F.avg_pool2d(luma, 2)
        detail = luma - F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
        parts.append(F.adaptive_avg_pool2d(detail.abs(), 4))
        luma = small
    return torch.cat([p.flatten(1) for p in parts], 1)


def moments(features: Tensor) -> Moments:
    """Mean and covariance of (N, 96)."""
    out = Moments()
    for row in features.double().cpu().numpy():
        out.add(np.asarray(row))
    return out


def texture_distance(a: Tensor, b: Tensor) -> float:
    """Distance of two sets of features (N, 96), (M, 96)."""
    return frechet(moments(a), moments(b))
