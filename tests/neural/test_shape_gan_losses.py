# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of section 3.3.1, equations 1-7 and the linearity, each against vertices, a closed form or autograd."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.neural.shape_gan import losses
from mien.neural.shape_gan.discriminator import Discriminator, DiscriminatorConfig
from mien.neural.shape_gan.generator import Generator, GeneratorConfig
from mien.neural.shape_gan.trunk import load_network, save_network

N = 5


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def norms(model):
    return losses.Norms.of(model, torch.float64)


@pytest.fixture
def batch():
    """Four sets of coefficients (N, 144), double, with gradients."""
    torch.manual_seed(0)
    return [torch.randn(N, 144, dtype=torch.float64).mul(0.3).requires_grad_() for _ in range(4)]


def vertices(model, c):
    """(N, 144) -> (N, V, 3) metres, the long way."""
    c = c.detach().numpy()
    A = model.identity_count
    return np.stack([model.mean.astype(float) + np.einsum("a,avk->vk", row[:A], model.identity) + np.einsum("b,bvk->vk", row[A:], model.expression)
                     for row in c])


def mean_square(a, b, scale):
    return (((a - b) * scale) ** 2).sum(-1).mean()


def lips(model, v):
    return v[:, model.lip_upper] - v[:, model.lip_lower]


def test_networks_are_the_papers():
    g, d = Generator(), Discriminator()
    assert [tuple(p.shape) for p in g.parameters() if p.ndim == 2] == [(512, 151), (512, 512), (512, 512), (512, 512), (144, 512)]
    assert [tuple(p.shape) for p in d.parameters() if p.ndim == 2] == [(512, 144), (512, 512), (512, 512), (512, 512), (1, 512), (7, 512)]
    assert sum(isinstance(m, torch.nn.LeakyReLU) for m in g.modules()) == 4
    assert g(torch.zeros(3, 144), torch.zeros(3, 7)).shape == (3, 144)
    score, emotion = d(torch.zeros(3, 144))
    assert score.shape == (3,) and emotion.shape == (3, 7)


def test_files_round_trip(tmp_path):
    torch.manual_seed(1)
    g = Generator(GeneratorConfig(hidden=16, model_hash="abc"))
    save_network(g, tmp_path / "generator.safetensors")
    assert json.loads((tmp_path / "generator.json").read_text())["hidden"] == 16
    again = load_network(Generator, GeneratorConfig, tmp_path / "generator.safetensors")
    assert again.config == g.config
    assert all(torch.equal(a, b) for a, b in zip(g.parameters(), again.parameters()))
    with pytest.raises(MienError, match="Discriminator"):
        load_network(Discriminator, DiscriminatorConfig, tmp_path / "generator.safetensors")
    (tmp_path / "generator.safetensors").write_bytes(b"nothing")
    with pytest.raises(MienError, match="generator.safetensors"):
        load_network(Generator, GeneratorConfig, tmp_path / "generator.safetensors")


def test_adversarial():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.5, -0.5])
    assert losses.adversarial(real, fake).item() == 2.0


def test_gradient_penalty_of_a_linear_critic():
    """D(x) = w.x has the gradient w everywhere, so the penalty is (|w| - 1)^2."""
    w = torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64)
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad((x @ w).sum(), x)[0]
    assert losses.gradient_penalty(gradient).item() == pytest.approx(16, rel=1e-9)
    # a critic with slope 1 has no kinks: the discriminator is linear, and its gradient the product of its matrices
    d = Discriminator(DiscriminatorConfig(3, 7, hidden=8, slope=1.0)).double()
    product = d.critic.weight
    for i in (6, 4, 2, 0):
        product = product @ d.trunk[i].weight
    want = (product.norm().item() - 1) ** 2
    assert losses.gradient_penalty(d.critic_gradient(x.detach())).item() == pytest.approx(want, rel=1e-9)


def test_critic_gradient_against_autograd():
    """The closed form, its penalty, and the penalty's gradient in every weight, against create_graph."""
    torch.manual_seed(2)
    d = Discriminator(DiscriminatorConfig(144, 7, hidden=32)).double()
    c = torch.randn(9, 144, dtype=torch.float64, requires_grad=True)
    want = torch.autograd.grad(d(c)[0].sum(), c, create_graph=True)[0]
    have = d.critic_gradient(c.detach())
    assert torch.allclose(have, want, atol=1e-12)
    parameters = [p for n, p in d.named_parameters() if n.endswith("weight") and not n.startswith("regression")]
    for a, b in zip(torch.autograd.grad(losses.gradient_penalty(have), parameters), torch.autograd.grad(losses.gradient_penalty(want), parameters)):
        assert torch.allclose(a, b, atol=1e-12)


def test_regression():
    wanted, found = torch.zeros(2, 7), torch.zeros(2, 7)
    found[0, :2] = torch.tensor([3.0, 4.0])
    assert losses.regression(wanted, found).item() == pytest.approx(2.5, abs=1e-5)
    assert torch.isfinite(torch.autograd.grad(losses.regression(wanted, found.requires_grad_()), found)[0]).all()


def test_cycle_against_vertices(model, norms, batch):
    a, b, c, d = (vertices(model, x) for x in batch)
    assert losses.cycle(norms, *batch).item() == pytest.approx(mean_square(a, b, 10) + mean_square(c, d, 10), rel=1e-5)


def test_mouth_against_vertices(model, norms, batch):
    a, b, c, d = (lips(model, vertices(model, x)) for x in batch)
    assert losses.mouth(norms, *batch).item() == pytest.approx(mean_square(a, b, 1000) + mean_square(c, d, 1000), rel=1e-5)


def test_identity_against_vertices(model, norms, batch):
    before, after = (x.detach().clone() for x in batch[:2])
    want = losses.identity(norms, before, after).item()
    for x in (before, after):
        x[:, model.identity_count:] = 0
    assert want == pytest.approx(mean_square(vertices(model, before), vertices(model, after), 10), rel=1e-5)


def test_linearity_against_vertices(model, norms, batch):
    """Of vertices per unit of intensity; it is zero for a way that is straight and even, whatever its length."""
    apart = torch.tensor([[0.5], [-0.25], [1.0], [0.1], [-0.8]], dtype=torch.float64)
    between, whole = batch[0], batch[1]
    want = mean_square(vertices(model, between / apart), vertices(model, whole), 10)
    assert losses.linearity(norms, apart, between, whole).item() == pytest.approx(want, rel=1e-5)
    assert losses.linearity(norms, apart, apart * whole, whole).item() < 1e-20
    close = apart * 1e-9  # two draws that are nearly the same intensity blow nothing up, and punish nothing that is even
    assert losses.linearity(norms, close, close * whole, whole).item() < 1e-20
    assert losses.linearity(norms, close, 1e-6 * between, whole).item() < losses.linearity(norms, apart, between, whole).item()


def test_one_millimetre_costs_what_the_documentation_says(model, norms):
    d = torch.zeros(1, 144, dtype=torch.float64)
    d[0, 3] = 1
    d /= np.sqrt(mean_square(vertices(model, d), model.mean.astype(float)[None], 1000))
    zero = torch.zeros_like(d)
    w = losses.Weights()
    assert w.rec * losses.cycle(norms, d, zero, zero, zero).item() == pytest.approx(0.5, rel=1e-5)
    assert w.r * losses.identity(norms, d, zero).item() == pytest.approx(0.1, rel=1e-5)


def test_objectives():
    """Equations 6 and 7 with the paper's weights."""
    one = torch.tensor(1.0)
    assert losses.discriminator_loss(losses.Weights(), 2 * one, 3 * one, 5 * one).item() == -2 + 30 + 100
    assert losses.generator_loss(losses.Weights(), 2 * one, 3 * one, one, 7 * one, one).item() == 2 + 60 + 5000 + 7 + 1000
    assert losses.generator_loss(replace(losses.Weights(), mouth=4.0), *(one,) * 5).item() == 1 + 20 + 5000 + 4 + 1000
    assert losses.generator_loss(replace(losses.Weights(), lin=7.0), *(one,) * 6).item() == 1 + 20 + 5000 + 1 + 1000 + 7


def test_gradients(norms, batch):
    small = losses.Norms(norms.mesh[-6:, -6:] * 1e3, norms.mouth[-6:, -6:], 3)
    x = [b[:3, :6].detach().requires_grad_() for b in batch]
    e = [b[:3, :7].detach().requires_grad_() for b in batch[:2]]
    check = torch.autograd.gradcheck
    assert check(lambda *a: losses.cycle(small, *a), x)
    assert check(lambda *a: losses.mouth(small, *a), x)
    assert check(lambda *a: losses.identity(small, *a), x[:2])
    assert check(lambda *a: losses.linearity(small, *a), [torch.full((3, 1), 0.3, dtype=torch.float64, requires_grad=True), *x[:2]])
    assert check(losses.regression, e)
    assert check(losses.adversarial, [t[:, 0] for t in e])
    assert check(losses.gradient_penalty, e[:1])


def test_wrong_sizes_raise(norms):
    with pytest.raises(RuntimeError):
        losses.squared_norm(norms.mesh, torch.zeros(2, 143, dtype=torch.float64))
    with pytest.raises(RuntimeError):
        losses.regression(torch.zeros(2, 7), torch.zeros(2, 6))
