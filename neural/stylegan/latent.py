# SPDX-License-Identifier: GPL-3.0-or-later
"""StyleGAN2 and pSp behind the interface of latent image models (`latent.model`). Latents are w+ relative to a face at rest, so zeros are its
picture: a direction does another thing at the generator's mean, which is nobody's face.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...mesh.errors import MienError
from ...mesh.files import write_json
from ..latent.model import SCHEMA, describe, model_files
from .config import EncoderConfig, GeneratorConfig
from .encoder import Encoder, encoder_view
from .files import load_tensors, plain_state, save_tensors
from .generator import Generator

BATCH = 8
"""Pictures at once."""


@dataclass(frozen=True, eq=False)
class StyleGanImages:
    """Implements LatentImageModel."""

    generator: Generator
    encoder: Encoder
    mean: Tensor
    """(layers, w_dim): the generator's mean latent, to which the encoder adds what it finds."""
    rest: Tensor
    """(layers, w_dim): what the encoder finds in the face at rest; latents are relative to `mean + rest`."""

    kind = "stylegan2"

    def __post_init__(self) -> None:
        self.generator.eval().requires_grad_(False)
        self.encoder.eval().requires_grad_(False)

    @property
    def size(self) -> tuple[int, int]:
        return self.generator.config.size, self.generator.config.size

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return self.generator.config.layers, self.generator.config.w_dim

    @cached_property
    def hash(self) -> str:
        digest = hashlib.sha256(repr((self.generator.config, self.encoder.config)).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()[:16]

    def _tensors(self) -> dict[str, Tensor]:
        own = {"mean": self.mean.contiguous(), "rest": self.rest.contiguous()}
        return {**plain_state(self.generator, "generator."), **plain_state(self.encoder, "encoder."), **own}

    @torch.inference_mode()
    def encode(self, images: np.ndarray, mask: np.ndarray | None = None, expected: np.ndarray | None = None) -> np.ndarray:
        """What the mask hides is filled from the picture of `expected`, or from that of the face at rest."""
        if images.shape[1:3] != self.size:
            raise MienError(f"The StyleGAN model takes pictures of {self.size[0]} pixels, not {images.shape[1]}; train it at that size.")
        out = []
        for start in range(0, len(images), BATCH):
            part = images[start:start + BATCH]
            if mask is not None:
                hidden = self.decode(np.zeros((1, *self.latent_shape), np.float32) if expected is None else expected[start:start + BATCH])
                part = hidden + mask[start:start + BATCH, ..., None] * (part - hidden)
            x = torch.from_numpy(np.ascontiguousarray(part.transpose(0, 3, 1, 2))).float() * 2 - 1
            out.append((self.encoder(encoder_view(x, self.encoder.config.size)) - self.rest).numpy())
        return np.concatenate(out) if out else np.zeros((0, *self.latent_shape), np.float32)

    @torch.inference_mode()
    def decode(self, latents: np.ndarray) -> np.ndarray:
        # One picture at a time: faster, and a batch may round differently.
        zero = self.mean + self.rest
        parts = [self.generator.synthesis(zero + torch.from_numpy(np.ascontiguousarray(w[None], np.float32))) for w in latents]
        if not parts:
            return np.zeros((0, *self.size, 3), np.float32)
        return np.ascontiguousarray((torch.cat(parts) / 2 + 0.5).permute(0, 2, 3, 1).numpy())

    @cached_property
    def _rest_picture(self) -> np.ndarray:
        return self.decode(np.zeros((1, *self.latent_shape), np.float32))

    def delta(self, latents: np.ndarray, change: np.ndarray) -> np.ndarray:
        out = np.zeros((len(change), *self.size, 3), np.float32)
        for i, (w, d) in enumerate(zip(latents, change)):
            if d.any():
                out[i] = self.decode((w + d)[None])[0] - (self.decode(w[None])[0] if w.any() else self._rest_picture[0])
        return out

    def restricted(self, mask: np.ndarray) -> StyleGanImages:
        """The same: a network makes the whole picture."""
        return self

    def save(self, folder: Path, name: str) -> None:
        arrays, description = model_files(folder, name)
        save_tensors(arrays, self._tensors())
        write_json(description, {"schema": SCHEMA, "kind": self.kind, "generator": asdict(self.generator.config),
                                 "encoder": asdict(self.encoder.config)})

    @classmethod
    def load(cls, folder: Path, name: str) -> StyleGanImages:
        """Raises MienError when a file is missing, damaged or of another kind."""
        path, about = model_files(folder, name)[0], describe(folder, name)
        tensors, _ = load_tensors(path)

        def part(prefix: str) -> dict[str, Any]:
            return {k[len(prefix):]: v for k, v in tensors.items() if k.startswith(prefix)}

        try:
            generator = Generator(GeneratorConfig(**about["generator"]))
            encoder = Encoder(EncoderConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in about["encoder"].items()}))
            generator.load_state_dict(part("generator."))
            encoder.load_state_dict(part("encoder."))
            mean, rest = (tensors[name].reshape(generator.config.layers, generator.config.w_dim) for name in ("mean", "rest"))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise MienError(f"{path} does not hold what its .json describes ({str(error).splitlines()[0]}); train the model again.") from error
        return cls(generator, encoder, mean, rest)
