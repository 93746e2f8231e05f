# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that the user brings, as TorchScript files or exported programs (.pt2): for FED, FID, ID (features) and LPIPS (a distance).

A feature network is called with one face picture (1, 3, 256, 256) float32, RGB in 0..1, and returns its feature; sizes and normalisations of its
own are inside the file. An LPIPS network is called with two such pictures in -1..1 and returns one number. docs/metrics.md shows how to make them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ...mesh.errors import MienError

FeatureNetwork = Callable[[np.ndarray], np.ndarray]
"""A face picture (256, 256, 3) uint8 sRGB -> its feature (D,) float64."""


def _load(path: Path, what: str) -> Callable[..., torch.Tensor]:
    if not path.is_file():
        raise MienError(f"{what} {path} does not exist; give a TorchScript file or an exported program (.pt2).")
    try:
        if path.suffix == ".pt2":
            return torch.export.load(path).module()
        return torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError, LookupError, AssertionError) as error:
        first = (str(error).strip().splitlines() or ["unreadable"])[0]
        raise MienError(f"{what} {path} is no network that can be read ({first:.120}); save it as docs/metrics.md shows.") from error


def _run(module: Callable[..., torch.Tensor], path: Path, *pictures: torch.Tensor) -> np.ndarray:
    try:
        with torch.inference_mode():
            out = module(*pictures)
        return np.asarray(out.detach().numpy(), np.float64).ravel()
    except (RuntimeError, TypeError, AttributeError, AssertionError) as error:
        raise MienError(f"The network {path} did not take a face picture (1, 3, 256, 256) ({(str(error).strip().splitlines() or [''])[-1]:.120}); "
                        "see docs/metrics.md.") from error


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255


def feature_network(path: Path | str) -> FeatureNetwork:
    """Raises MienError when the file cannot be read; the function, when the network does not take the picture."""
    path = Path(path)
    module = _load(path, "The network")
    return lambda picture: _run(module, path, _tensor(picture))


def lpips_network(path: Path | str) -> Callable[[np.ndarray, np.ndarray], float]:
    """Distance of two face pictures (256, 256, 3) uint8 by the user's LPIPS. Raises MienError."""
    path = Path(path)
    module = _load(path, "The LPIPS network")
    return lambda a, b: float(_run(module, path, _tensor(a) * 2 - 1, _tensor(b) * 2 - 1).mean())
