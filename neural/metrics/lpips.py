# SPDX-License-Identifier: GPL-3.0-or-later
"""LPIPS (Zhang et al. 2018, "The unreasonable effectiveness of deep features", version 0.1 with AlexNet), from the files that its users have.

Two files, both state dicts of tensors: AlexNet of torchvision (alexnet-owt-7be5be79.pth), whose convolutions are the features, and the
authors' linear heads (alex.pth of the package `lpips`, weights/v0.1). Neither ships with Mien.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...mesh.errors import MienError

SOURCE = "LPIPS: alex.pth of its authors' package (--lpips-network FILE) and torchvision's alexnet-owt-7be5be79.pth (--alexnet FILE)"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What AlexNet's normalisation is for pictures in -1..1."""
TINY = 1e-10
CHANNELS = (64, 192, 384, 256, 256)


class LPIPS(nn.Module):
    """d(a, b) = sum over layers of the mean over pixels of w . (phi(a) - phi(b))^2, phi unit length over the channels."""

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS
        self.features = nn.Sequential(
            nn.Conv2d(3, c[0], 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(c[0], c[1], 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(c[1], c[2], 3, padding=1), nn.ReLU(), nn.Conv2d(c[2], c[3], 3, padding=1), nn.ReLU(), nn.Conv2d(c[3], c[4], 3, padding=1),
                                      nn.ReLU())
        self.heads = nn.ParameterList([nn.Parameter(torch.ones(1, n, 1, 1)) for n in c])
        self.register_buffer("shift", torch.tensor(SHIFT)[None, :, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[None, :, None, None])

    def _layers(self, x: Tensor) -> list[Tensor]:
        """After each ReLU, unit length over the channels: five of (B, C, h, w)."""
        x, out = (x - self.shift) / self.scale, []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                out.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + TINY))
        return out

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), RGB in -1..1, at least 64 x 64 -> (B,)."""
        parts = [((p - q) ** 2 * w).sum(1).mean((1, 2)) for p, q, w in zip(self._layers(a), self._layers(b), self.heads)]
        return torch.stack(parts).sum(0)


def _state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise MienError(f"{path} does not exist; give {SOURCE}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError) as error:  # whatever the file holds
        raise MienError(f"{path} is no file of tensors only; give {SOURCE}.") from error
    if not isinstance(state, dict):
        raise MienError(f"{path} holds no named tensors; give {SOURCE}.")
    return state


def load_lpips(heads: Path | str, alexnet: Path | str) -> LPIPS:
    """From the authors' heads and torchvision's AlexNet. Raises MienError when one is missing or something else."""
    network = LPIPS()
    for path, own, names in ((Path(alexnet), network.features.state_dict(), lambda k: f"features.{k}"),
                             (Path(heads), network.heads.state_dict(), lambda k: f"lin{k}.model.1.weight")):
        state = _state(path)
        for key, tensor in own.items():
            given = state.get(names(key))
            if not isinstance(given, Tensor) or given.shape != tensor.shape:
                raise MienError(f"{path} holds no '{names(key)}' of the right size; give {SOURCE}.")
            tensor.copy_(given)
    return network.eval()


def lpips_of_files(heads: Path | str, alexnet: Path | str) -> Callable[[np.ndarray, np.ndarray], float]:
    """The distance of two face pictures (H, W, 3) uint8 sRGB. Raises MienError."""
    network = load_lpips(heads, alexnet)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        pair = [torch.from_numpy(np.ascontiguousarray(p)).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in (a, b)]
        with torch.inference_mode():
            return float(network(*pair))

    return distance
