# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of level 2 (Sun et al. 2023, section 3.4) and of the mouth (3.5.2), whichever network or algebra implements it.

Pictures are (N, H, W, 3) float32 in the working space: display-like sRGB, 0 to 1 (`working.to_working`). A model's files lie in one
folder as NAME.safetensors (arrays) and NAME.json (`kind`, `schema` and the model's own config); nothing is pickled.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from ...mesh.errors import MienError
from ...mesh.files import read_json

SCHEMA = 1

KINDS: Mapping[str, tuple[str, str]] = {
    "eigen": (".eigen", "EigenImages"),
    "stylegan2": ("..stylegan.latent", "StyleGanImages"),
}
"""kind -> (module, relative to this package, class with a `load`); imported only when a file of that kind is met."""


class LatentImageModel(Protocol):
    """What the editor of the texture and the filler of the mouth ask of a model. Latents are (N, *latent_shape) float32."""

    kind: str
    """A key of KINDS."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of its pictures."""
        ...

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(L,) for "eigen", (layers, 512) for W+ of "stylegan2"."""
        ...

    @property
    def hash(self) -> str:
        """Hex digits over everything that changes a result; it goes into the content hash of a bake."""
        ...

    def encode(self, images: np.ndarray, mask: np.ndarray | None = None, expected: np.ndarray | None = None) -> np.ndarray:
        """enc(t): images (N, H, W, 3) float32 0..1, mask (N, H, W) float32 0..1 of what is known (None: all) -> latents (N, *latent_shape).

        expected (N, *latent_shape): what the latents should be where the mask leaves them open; a model may do without.
        """
        ...

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """(N, *latent_shape) -> images (N, H, W, 3) float32, not clipped."""
        ...

    def delta(self, latents: np.ndarray, change: np.ndarray) -> np.ndarray:
        """dec(w + d) - dec(w): both (N, *latent_shape) -> (N, H, W, 3) float32; exactly zero where the change is.

        A linear model needs no `latents`; the others may spare the second decode where `change` is zero.
        """
        ...

    def restricted(self, mask: np.ndarray) -> LatentImageModel:
        """A model whose `delta` is asked about the texels of mask (H, W) bool only, and may be anything elsewhere; it may be this one."""
        ...

    def save(self, folder: Path, name: str) -> None:
        """Write NAME.safetensors and NAME.json into the folder, atomically, the JSON last."""
        ...

    @classmethod
    def load(cls, folder: Path, name: str) -> LatentImageModel:
        """Raises MienError that names the file that is wrong."""
        ...


def model_files(folder: Path, name: str) -> tuple[Path, Path]:
    """(arrays, description) of a model in a folder."""
    return folder / f"{name}.safetensors", folder / f"{name}.json"


def describe(folder: Path, name: str) -> dict:
    """The checked JSON of a model. Raises MienError when it is missing, of another schema, or of an unknown kind."""
    path = model_files(folder, name)[1]
    data = read_json(path)
    if data.get("schema") != SCHEMA or data.get("kind") not in KINDS:
        raise MienError(f"{path} describes no image model that this version of Mien knows (schema {data.get('schema')}, "
                        f"kind {data.get('kind')!r}); train it again.")
    return data


def load_latent(folder: Path, name: str) -> LatentImageModel:
    """The model NAME of a folder, whatever its kind. Raises MienError."""
    module, cls = KINDS[describe(folder, name)["kind"]]
    return getattr(importlib.import_module(module, __package__), cls).load(Path(folder), name)
