# SPDX-License-Identifier: GPL-3.0-or-later
"""R-Net: a ResNet-50 (He et al. 2016, with the stride on the 3 x 3 convolution) and seven heads, 257 coefficients in all.

The modules are named so that the state dict has the 332 keys of Deep3DFaceRecon_pytorch's `net_recon`.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError  # only its name: tensors are read with weights_only

import torch
from torch import Tensor, nn

from ...mesh.errors import MienError

HEADS = {"identity": 80, "expression": 64, "texture": 80, "angles": 3, "lighting": 27, "shift": 2, "depth": 1}
"""The heads in the order of the 257 values, and how many each gives."""
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, blocks and stride of ResNet-50's four stages."""
EXPANSION = 4
FEATURES = STAGES[-1][0] * EXPANSION
CHECKPOINT_KEY = "net_recon"
INPUT = 224
"""Pixels along a side of the picture it sees."""


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions beside a shortcut."""

    def __init__(self, given: int, width: int, stride: int):
        super().__init__()
        out = width * EXPANSION
        self.conv1 = nn.Conv2d(given, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        fits = stride == 1 and given == out
        self.downsample = None if fits else nn.Sequential(nn.Conv2d(given, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        short = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + short)


class Backbone(nn.Module):
    """ResNet-50 without its classifier: (B, 3, H, W) -> (B, 2048, 1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        given = 64
        for i, (width, blocks, stride) in enumerate(STAGES, 1):
            setattr(self, f"layer{i}", nn.Sequential(*(Bottleneck(given if b == 0 else width * EXPANSION, width, stride if b == 0 else 1)
                                                       for b in range(blocks))))
            given = width * EXPANSION
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for i in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{i}")(x)
        return self.avgpool(x)


class RNet(nn.Module):
    """(B, 3, 224, 224) RGB in 0..1, cropped as crop.py does -> (B, 257) in the order of HEADS."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.final_layers = nn.ModuleList(nn.Conv2d(FEATURES, count, 1) for count in HEADS.values())

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)
        return torch.cat([head(features) for head in self.final_layers], 1).flatten(1)


def load_rnet(path: Path) -> RNet:
    """R-Net with the weights of a checkpoint (`epoch_20.pth`: a dictionary with `net_recon`) or of a bare state dict, ready to predict.

    Tensors only, nothing in the file is run. Raises MienError that names what is wrong.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise MienError(f"{path} does not exist; give the checkpoint of R-Net (epoch_20.pth of Deep3DFaceRecon_pytorch).") from error
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        raise MienError(f"{path} cannot be read as a PyTorch file of plain tensors ({str(error).splitlines()[0][:120]}); copy it again.") from error
    state = found.get(CHECKPOINT_KEY, found) if isinstance(found, dict) else found
    network = RNet()
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if not isinstance(state, dict):
        raise MienError(f"{path} is no checkpoint of R-Net: it holds no '{CHECKPOINT_KEY}'.")
    for name, shape in wanted.items():
        if not isinstance(state.get(name), Tensor):
            raise MienError(f"{path} is no checkpoint of R-Net: it lacks '{name}'.")
        if tuple(state[name].shape) != shape:
            raise MienError(f"{path} is no checkpoint of R-Net: '{name}' is {tuple(state[name].shape)}, expected {shape}.")
    network.load_state_dict({name: state[name] for name in wanted})
    return network.eval()
