# SPDX-License-Identifier: GPL-3.0-or-later
"""From a trained StyleGAN and encoder to a texture model that edits can use: how the expression moves the latents, learnt on the actor's frames,
and where labelled takes are among them, the paper's directions d_y (Sun et al. 2023, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...mesh.emotion import EMOTIONS
from ..appearance import ShotFaces
from ..latent.eigen import EigenImages
from ..level2 import TextureModel, regress
from ..level2_train import LaidOver, emotion_directions
from ..progress import Reporter
from ..shape_gan.takes import NEUTRAL, Take
from .latent import StyleGanImages

COMPONENTS = 40
"""Principal directions of the latents that the regression works in."""


def write_actor(images: StyleGanImages, takes: Sequence[Take], faces: Sequence[ShotFaces], output: Path, report: Reporter) -> dict[str, Any]:
    """Encode the takes' frames, learn the directions of the expression and of the emotions and save ACTOR/texture.*.

    faces[n] are those of takes[n]. Returns `frames`, `predicted` and `emotions`, the names of those that have a direction.
    """
    laid = LaidOver(takes, faces, images.size[0])
    rows, latents, shown = [f.samples() for f in faces], [], np.zeros(images.size, np.float32)
    for n, some in enumerate(rows):
        report.step("latents", n, len(faces))
        part, seen = _latents(images, laid, n, some)
        latents.append(part)
        shown += seen / len(faces)
    report.step("latents", len(faces), len(faces))
    flat = np.concatenate(latents).reshape(sum(map(len, rows)), -1)
    of = np.repeat(np.arange(len(faces)), [len(r) for r in rows])
    neutral = np.array([t.emotion == NEUTRAL for t in takes])[of]
    rest = flat[neutral if neutral.any() else slice(None)].mean(0)
    images, flat = replace(images, rest=images.rest + torch.from_numpy(rest.reshape(images.latent_shape))), flat - rest
    directions = emotion_directions(flat, [takes[i].emotion for i in of], [takes[i].level for i in of])
    model = replace(_moved(images, faces, rows, flat, shown), emotions=directions)
    model.save(output)
    return {"frames": len(flat), "predicted": model.predicted, "emotions": [e for e, d in zip(EMOTIONS, directions) if d.any()]}


def _latents(images: StyleGanImages, laid: LaidOver, take: int, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, layers, w_dim) of those frames of a take, and how often each texel is seen (S, S)."""
    out, shown = [], np.zeros(images.size, np.float32)
    for texture, seen in laid.textures(take, some):
        out.append(images.encode(texture[None])[0])
        shown += seen / len(some)
    return np.stack(out), shown


def _moved(images: StyleGanImages, faces: Sequence[ShotFaces], rows: list[np.ndarray], flat: np.ndarray, shown: np.ndarray) -> TextureModel:
    """The regression of level 2 in the principal directions of the latents; the pictures of steps along them tell where it is trusted."""
    mean = flat.mean(0)
    _, scale, basis = np.linalg.svd(flat - mean, full_matrices=False)
    basis, scale = basis[:COMPONENTS], scale[:COMPONENTS] / np.sqrt(max(len(flat) - 1, 1))
    basis = basis[scale > 1e-6 * max(float(scale.max(initial=0)), 1e-12)]
    scale = scale[: len(basis)]
    few = (flat - mean) @ basis.T
    of = np.repeat(np.arange(len(faces)), [len(r) for r in rows])
    beta = np.concatenate([f.solve.beta[r] for f, r in zip(faces, rows)])
    turned = np.concatenate([f.solve.rotation[r] for f, r in zip(faces, rows)])
    takes = (of[:, None] == np.arange(1, len(faces))[None]).astype(float)
    found = regress(few, beta, np.concatenate([turned, takes], 1), np.maximum(faces[0].renderer.model.expression_sigma, 1e-3))
    centre = mean.reshape(1, *images.latent_shape).astype(np.float32)
    steps = [images.delta(centre, (s * b).reshape(centre.shape).astype(np.float32))[0] / s for s, b in zip(scale, basis)]
    near = EigenImages(images.decode(centre)[0], np.arange(images.size[0] * images.size[1], dtype=np.int32),
                       np.stack(steps).reshape(len(steps), -1).astype(np.float32), (scale**2).astype(np.float32), 0.0, 1.0)
    return TextureModel(images, (found.directions @ basis).astype(np.float32), np.zeros((len(EMOTIONS), flat.shape[1]), np.float32),
                        found.trust(near, shown), found.predicted)
