# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights as safetensors, constructor arguments as JSON beside them; previews as PNG."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ...mesh.errors import MienError
from ...mesh.files import atomic_path, read_json, write_json

N = TypeVar("N", bound=nn.Module)


def plain_state(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """The weights of a network for a safetensors file."""
    return {prefix + k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any] | None = None) -> None:
    """Tensors and one JSON object in one file, atomically; the same input gives the same bytes."""
    with atomic_path(path) as temporary:
        # one entry, since several are written in no fixed order
        temporary.write_bytes(save(tensors, metadata={"mien": json.dumps(about or {}, sort_keys=True)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote. Raises MienError when it is missing or damaged."""
    if not path.exists():
        raise MienError(f"{path} is missing; run the step that makes it again.")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("mien", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 - the file is no mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise MienError(f"{path} cannot be read ({error}); run the step that makes it again.") from error


def save_network(network: nn.Module, path: Path) -> None:
    """PATH.safetensors with the weights and PATH.json with the config, the JSON last."""
    save_tensors(path, plain_state(network))
    write_json(path.with_suffix(".json"), {"network": type(network).__name__, **asdict(network.config)})


def load_network(kind: type[N], config_type: type[Any], path: Path) -> N:
    """What `save_network` wrote. Raises MienError when the files are missing, damaged or of another network."""
    data = read_json(path.with_suffix(".json"))
    try:
        if data.pop("network", None) != kind.__name__:
            raise TypeError("it describes another network")
        network = kind(config_type(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}))
        network.load_state_dict(load_tensors(path)[0])
    except (TypeError, ValueError, RuntimeError) as error:
        raise MienError(f"{path} cannot be used ({str(error).splitlines()[0]}); train it again.") from error
    return network


def to_pixels(pictures: Tensor) -> np.ndarray:
    """(N, 3, H, W) -1..1 -> (N, H, W, 3) uint8."""
    return ((pictures.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def write_sheet(path: Path, rows: list[np.ndarray], least: int = 128) -> None:
    """Rows of (n, H, W, 3) uint8 RGB pictures as one PNG, thin lines between them; small ones are enlarged to `least` pixels."""
    scale = max(1, -(-least // rows[0].shape[1]))
    gap = 2
    lines = []
    for row in rows:
        tiles = [np.pad(np.kron(tile, np.ones((scale, scale, 1), np.uint8)), ((gap, gap), (gap, gap), (0, 0)), constant_values=24) for tile in row]
        lines.append(np.concatenate(tiles, 1))
    width = max(line.shape[1] for line in lines)
    sheet = np.concatenate([np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=24) for line in lines], 0)
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
            raise OSError(f"{path} cannot be written")
