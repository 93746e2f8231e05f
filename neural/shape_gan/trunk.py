# SPDX-License-Identifier: GPL-3.0-or-later
"""What both networks share: the hidden layers, and their files."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from ...mesh.errors import MienError
from ...mesh.files import atomic_path, read_json, write_json

N = TypeVar("N", bound=nn.Module)


def trunk(inputs: int, hidden: int, layers: int, slope: float) -> nn.Sequential:
    """`layers` hidden layers of `hidden` units with LeakyReLU; (N, inputs) -> (N, hidden)."""
    parts: list[nn.Module] = []
    for i in range(layers):
        parts += [nn.Linear(inputs if i == 0 else hidden, hidden), nn.LeakyReLU(slope)]
    return nn.Sequential(*parts)


def save_network(network: nn.Module, path: Path) -> None:
    """Weights as safetensors at `path`, the constructor's arguments as JSON beside it."""
    write_json(path.with_suffix(".json"), {"network": type(network).__name__, **asdict(network.config)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({k: v.detach().contiguous() for k, v in network.state_dict().items()}))  # save_file lets only its owner read


def load_network(kind: type[N], config_type: type[Any], path: Path) -> N:
    """The network saved at `path`. Raises MienError when the files are missing, damaged or of another network."""
    data = read_json(path.with_suffix(".json"))
    known = {f.name for f in fields(config_type)}
    if data.pop("network", None) != kind.__name__ or set(data) - known:
        raise MienError(f"{path.with_suffix('.json')} does not describe a {kind.__name__} of this version; train the actor again.")
    network = kind(config_type(**data))
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError, json.JSONDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise MienError(f"{path} cannot be used ({reason}); train the actor again.") from error
    return network
