# SPDX-License-Identifier: GPL-3.0-or-later
"""The losses of the pSp encoder (Richardson et al. 2021, section 3.3). Pictures are (B, 3, H, W), -1 to 1.

The perceptual loss (equation 5) is `metrics.lpips.LPIPS` where the user has its weights, else `pyramid_loss`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LEVELS = 4


def pixel_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean square of the difference (equation 4)."""
    return (made - wanted).square().mean()


def latent_loss(offsets: Tensor) -> Tensor:
    """|E(x)|, the distance of the latents from their mean (equation 6): offsets (B, layers, w_dim), mean over the batch."""
    return offsets.flatten(1).norm(dim=1).mean()


def pyramid_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Our substitute for LPIPS where its weights are not at hand: the mean absolute difference of the bands of a Laplacian pyramid and of
    their local strength, which punishes blur as well as misplaced edges. Half a picture's contrast everywhere gives about 1.
    """
    loss = made.new_zeros(())
    for _ in range(LEVELS):
        if min(made.shape[2:]) < 4:
            break
        small_made, small_wanted = F.avg_pool2d(made, 2), F.avg_pool2d(wanted, 2)
        a, b = made - _doubled(small_made), wanted - _doubled(small_wanted)
        strength = (F.avg_pool2d(a.abs(), 4, 2, 1) - F.avg_pool2d(b.abs(), 4, 2, 1)).abs().mean()
        loss = loss + (a - b).abs().mean() + strength
        made, wanted = small_made, small_wanted
    return loss


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
