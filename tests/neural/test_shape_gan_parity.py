# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator in numpy gives what it gives in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.mesh.model import load_model
from mien.mesh.shape_gan import WEIGHTS, ShapeGan
from mien.neural.shape_gan.generator import Generator, GeneratorConfig
from mien.neural.shape_gan.trunk import load_network, save_network


def both(model, network, weights):
    """Numpy's and torch's answers (50, 144) for the same coefficients."""
    rng = np.random.default_rng(0)
    alpha = rng.normal(0, 1, 80).astype(np.float32)
    beta, e = rng.normal(0, 0.3, (50, 64)).astype(np.float32), rng.uniform(0, 1, (50, 7)).astype(np.float32)
    a, b = ShapeGan(model, weights).generate(alpha, beta, e)
    gaze = [80 + i for i, name in enumerate(model.expression_names) if name.startswith("eyeLook")]
    ahead = beta.copy()
    ahead[:, [i - 80 for i in gaze]] = 0  # the network sees none
    with torch.no_grad():
        want = network(torch.from_numpy(np.concatenate([np.tile(alpha, (50, 1)), ahead], 1)), torch.from_numpy(e)).numpy()
    want[:, gaze] = beta[:, [i - 80 for i in gaze]]  # the gaze stays as filmed
    assert len(gaze) == 8
    return np.concatenate([a, b], 1), want


def test_numpy_equals_torch(tmp_path):
    model = load_model()
    torch.manual_seed(0)
    network = Generator(GeneratorConfig(model_hash=model.hash))
    with torch.no_grad():  # outputs of the size that coefficients have; a fresh network's are near zero
        network.output.weight.mul_(30)
    save_network(network, tmp_path / "generator.safetensors")
    found, want = both(model, network, tmp_path / "generator.safetensors")
    assert np.abs(want).max() > 1 and np.abs(found - want).max() < 1e-5


@pytest.mark.skipif(not WEIGHTS.exists(), reason="no weights are shipped")
def test_shipped_weights():
    model = load_model()
    found, want = both(model, load_network(Generator, GeneratorConfig, WEIGHTS), WEIGHTS)
    assert np.abs(found - want).max() < 1e-5
    assert WEIGHTS.stat().st_size <= 5e6
