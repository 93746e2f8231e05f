# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator in numpy gives what it gives in torch."""

from __future__ import annotations

import numpy as np
import torch

from mien.mesh.model import load_model
from mien.mesh.shape_gan import ShapeGan
from mien.neural.shape_gan.generator import Generator, GeneratorConfig
from mien.neural.shape_gan.trunk import save_network


def test_numpy_equals_torch(tmp_path):
    model = load_model()
    torch.manual_seed(0)
    network = Generator(GeneratorConfig(model_hash=model.hash))
    with torch.no_grad():  # outputs of the size that coefficients have; a fresh network's are near zero
        network.output.weight.mul_(30)
    save_network(network, tmp_path / "generator.safetensors")
    rng = np.random.default_rng(0)
    alpha = rng.normal(0, 1, 80).astype(np.float32)
    beta, e = rng.normal(0, 0.3, (50, 64)).astype(np.float32), rng.uniform(0, 1, (50, 7)).astype(np.float32)
    a, b = ShapeGan(model, tmp_path / "generator.safetensors").generate(alpha, beta, e)
    with torch.no_grad():
        want = network(torch.from_numpy(np.concatenate([np.tile(alpha, (50, 1)), beta], 1)), torch.from_numpy(e)).numpy()
    assert np.abs(want).max() > 1
    assert np.abs(np.concatenate([a, b], 1) - want).max() < 1e-5
