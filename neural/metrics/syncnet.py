# SPDX-License-Identifier: GPL-3.0-or-later
"""SyncNet (Chung and Zisserman 2016), with the parameter names of the public checkpoint syncnet_v2.model, which the Wav2Lip evaluation uses.

The checkpoint is the user's own: a state dict of tensors, read with weights_only. Sound goes in as (B, 1, 13, 20) cepstra (0.2 s), pictures as
(B, 3, 5, 224, 224) BGR in 0..255 (five frames at 25 a second); both come out as (B, 1024).
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from ...mesh.errors import MienError

SOURCE = "syncnet_v2.model of the SyncNet authors (www.robots.ox.ac.uk/~vgg/software/lipsync)"
FEATURES = 1024


def _sound(inputs: int, outputs: int, kernel: tuple[int, int] = (3, 3), padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()]


def _lips(inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1, padding: int = 0) -> list[nn.Module]:
    return [nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), (0, padding, padding)), nn.BatchNorm3d(outputs), nn.ReLU()]


def _pool(padding: int = 0) -> nn.Module:
    return nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, padding, padding))


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, FEATURES))


class SyncNet(nn.Module):
    """Two towers whose outputs are near each other where lips and sound belong together."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_sound(1, 64), nn.MaxPool2d(1, 1), *_sound(64, 192), nn.MaxPool2d(3, (1, 2)), *_sound(192, 384), *_sound(384, 256), *_sound(256, 256),
            nn.MaxPool2d(3, 2), *_sound(256, 512, (5, 4), 0))
        self.netfcaud, self.netfclip = _head(), _head()
        self.netcnnlip = nn.Sequential(
            *_lips(3, 96, (5, 7, 7), 2), _pool(), *_lips(96, 256, (1, 5, 5), 2, 1), _pool(1), *_lips(256, 256, (1, 3, 3), 1, 1),
            *_lips(256, 256, (1, 3, 3), 1, 1), *_lips(256, 256, (1, 3, 3), 1, 1), _pool(), *_lips(256, 512, (1, 6, 6)))

    def sound(self, cepstra: Tensor) -> Tensor:
        """(B, 1, 13, 20) -> (B, 1024)."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))

    def lips(self, pictures: Tensor) -> Tensor:
        """(B, 3, 5, 224, 224) -> (B, 1024)."""
        return self.netfclip(self.netcnnlip(pictures).flatten(1))


def load_syncnet(path: Path | str) -> SyncNet:
    """The user's checkpoint. Raises MienError when it is missing, no plain state dict, or of another network."""
    path = Path(path)
    if not path.is_file():
        raise MienError(f"The SyncNet checkpoint {path} does not exist; give {SOURCE}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError) as error:  # whatever the file holds
        raise MienError(f"{path} is no checkpoint of tensors only; give {SOURCE}.") from error
    network = SyncNet()
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise MienError(f"{path} holds another network than SyncNet; give {SOURCE}.") from error
    return network.eval()
