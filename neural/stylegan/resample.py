# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures at twice and half the size through the filter [1, 3, 3, 1] (Karras et al. 2020, appendix B), without zeros to multiply.

All functions take and give (B, C, H, W) and can be differentiated twice, which R1 and the path length penalty need.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (1.0, 3.0, 3.0, 1.0)
"""The low-pass filter, per axis, before it is normalised to a sum of 1."""


def blur(x: Tensor, pad: int, stride: int = 1, gain: float = 1.0, bias: Tensor | None = None) -> Tensor:
    """Zero-pad on all sides, filter by TAPS times `gain`, keep every `stride`-th value, add bias (C,): (B, C, H, W) -> (B, C, h, w)."""
    C = x.shape[1]
    taps = torch.tensor(TAPS, dtype=x.dtype, device=x.device) / sum(TAPS)
    kernel = (gain * taps[:, None] * taps[None, :]).expand(C, 1, 4, 4)
    return F.conv2d(x, kernel, bias, stride=stride, padding=pad, groups=C)


def downsample(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H/2, W/2)."""
    return blur(x, 1, stride=2)


def upsample(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 2H, 2W). The filter at twice the size is bilinear interpolation, but for zeros outside of the picture."""
    y = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2.0, mode="bilinear", align_corners=False)
    return y[..., 2:-2, 2:-2]


def conv_down(x: Tensor, weight: Tensor) -> Tensor:
    """Filter, then convolve in steps of two: weight (O, I, k, k), k 1 or 3; (B, I, H, W) -> (B, O, H/2, W/2)."""
    if weight.shape[-1] == 1:
        return F.conv2d(downsample(x), weight)
    return F.conv2d(blur(x, 2), weight, stride=2)


def conv_up(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Transposed convolution in steps of two, then filter: weight (O, I, k, k), k 1 (without bias) or 3; (B, I, H, W) -> (B, O, 2H, 2W)."""
    if weight.shape[-1] == 1:
        return upsample(F.conv2d(x, weight))
    return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, gain=4.0, bias=bias)
