# SPDX-License-Identifier: GPL-3.0-or-later
"""StyleGAN2's layers against naive formulas, and whole networks against golden figures of the references' own code.

The figures in stylegan_golden.json were printed by NVlabs' stylegan2-ada-pytorch (generators, discriminators; operations without compiled
extensions, float32) and by pixel2style2pixel (encoder, with a quarter of its feature maps), with weights and inputs by `stylegan_files`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mien.neural.stylegan.config import DiscriminatorConfig, EncoderConfig, GeneratorConfig
from mien.neural.stylegan.discriminator import Discriminator, minibatch_deviation
from mien.neural.stylegan.encoder import Encoder
from mien.neural.stylegan.generator import Generator
from mien.neural.stylegan.layers import modulated_conv
from mien.neural.stylegan.resample import conv_down, conv_up, downsample, upsample
from mien.tests.neural.stylegan_files import fill, probe

TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8
GOLDEN = json.loads((Path(__file__).parent / "stylegan_golden.json").read_text())


def upfirdn(x: np.ndarray, up: int, down: int, before: int, after: int, gain: float) -> np.ndarray:
    """Zeros between, zeros around, filter, every `down`-th: by loops over x (H, W)."""
    wide = np.zeros((x.shape[0] * up, x.shape[1] * up))
    wide[::up, ::up] = x
    wide = np.pad(wide, ((before, after), (before, after)))
    n, m = wide.shape[0] - 3, wide.shape[1] - 3
    out = np.zeros((n, m))
    for i in range(n):
        for j in range(m):
            out[i, j] = gain * (wide[i:i + 4, j:j + 4] * np.outer(TAPS, TAPS)).sum()
    return out[::down, ::down]


def correlate(x: np.ndarray, w: np.ndarray, stride: int) -> np.ndarray:
    """x (I, H, W), w (O, I, k, k), no padding."""
    k = w.shape[-1]
    n, m = (x.shape[1] - k) // stride + 1, (x.shape[2] - k) // stride + 1
    parts = [[x[:, i * stride:i * stride + k, j * stride:j * stride + k] for j in range(m)] for i in range(n)]
    return np.stack([np.array([[(part * o).sum() for part in row] for row in parts]) for o in w])


def close(a: Tensor, b: np.ndarray) -> bool:
    return a.shape == b.shape and float(np.abs(a.detach().numpy() - b).max()) < 1e-9


def test_resampling_is_upfirdn():
    x = probe((1, 2, 6, 8)).double()
    for c in range(2):
        assert close(upsample(x)[0, c], upfirdn(x[0, c].numpy(), 2, 1, 2, 1, 4))
        assert close(downsample(x)[0, c], upfirdn(x[0, c].numpy(), 1, 2, 1, 1, 1))


@pytest.mark.parametrize("kernel", [1, 3])
def test_conv_down_filters_then_steps(kernel):
    x, w = probe((1, 2, 6, 8)).double(), probe((3, 2, kernel, kernel)).double()
    pad = 1 + kernel // 2
    blurred = np.stack([upfirdn(x[0, c].numpy(), 1, 1, pad, pad, 1) for c in range(2)])
    assert close(conv_down(x, w)[0], correlate(blurred, w.numpy(), 2))


def test_conv_up_is_a_convolution_of_the_picture_with_zeros_between():
    x, w = probe((1, 2, 4, 5)).double(), probe((3, 2, 3, 3)).double()
    wide = np.zeros((2, 8, 10))
    wide[:, ::2, ::2] = x[0].numpy()
    turned = w.numpy()[:, :, ::-1, ::-1]  # a convolution, not a correlation
    full = correlate(np.pad(wide, ((0, 0), (2, 1), (2, 1))), turned, 1)
    want = np.stack([upfirdn(c, 1, 1, 1, 1, 4) for c in full])
    assert close(conv_up(x, w)[0], want)


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_conv_is_a_conv_by_scaled_weights(demodulate):
    x, w, s = probe((2, 3, 5, 6)).double(), probe((4, 3, 3, 3)).double(), probe((2, 3)).double()
    out = modulated_conv(x, w, s, demodulate=demodulate)
    for b in range(2):
        scaled = w.numpy() * s[b].numpy()[None, :, None, None]
        if demodulate:
            scaled = scaled / np.sqrt((scaled**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        assert close(out[b], correlate(np.pad(x[b].numpy(), ((0, 0), (1, 1), (1, 1))), scaled, 1))


@pytest.mark.parametrize("up", [True, False])
def test_modulated_conv_has_true_gradients_of_both_orders(up):
    parts = [probe(s).double().requires_grad_() for s in ((1, 2, 3, 3), (2, 2, 3, 3), (1, 2))]
    assert torch.autograd.gradcheck(lambda x, w, s: modulated_conv(x, w, s, up=up), parts)
    assert torch.autograd.gradgradcheck(lambda x, w, s: modulated_conv(x, w, s, up=up), parts)


def test_resampling_has_true_gradients_of_both_orders():
    x = probe((1, 1, 4, 4)).double().requires_grad_()
    for f in (upsample, downsample):
        assert torch.autograd.gradcheck(f, x) and torch.autograd.gradgradcheck(f, x)


def test_minibatch_deviation_compares_pictures_of_a_group():
    x = probe((8, 3, 2, 2)).double()
    y = minibatch_deviation(x, 4)
    assert y.shape == (8, 4, 2, 2)
    for n in range(8):
        group = x.numpy()[n % 2::2]  # pictures n % 2, n % 2 + 2, ...
        want = np.sqrt(group.var(0) + 1e-8).mean()
        assert np.allclose(y[n, 3].numpy(), want, atol=1e-6)


def test_a_batch_gives_what_single_pictures_give():
    generator = fill(Generator(GeneratorConfig(32, 16, 24, 2, 512, 32)))
    z = probe((3, 16))
    with torch.no_grad():
        assert torch.allclose(generator(z), torch.cat([generator(part) for part in z.split(1)]), atol=1e-5)


def figures(x: Tensor) -> dict[str, list[float]]:
    x = x.detach().double().flatten()
    half = len(x) // 2
    return {"sums": [float(x.sum()), float(x.abs().sum())], "first": x[:4].tolist(), "middle": x[half:half + 4].tolist()}


def assert_golden(name: str, x: Tensor) -> None:
    got, want = figures(x), GOLDEN[name]
    assert np.allclose(got["first"] + got["middle"], want["first"] + want["middle"], rtol=0, atol=1e-4), (got, want)
    # Differences of up to 1e-4 a value, of either sign.
    assert np.allclose(got["sums"], want["sums"], rtol=0, atol=max(1e-5 * x.numel(), 1e-4)), (got, want)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_networks_give_what_the_reference_gives(architecture):
    generator = fill(Generator(GeneratorConfig(32, 32, 48, 3, 512, 32, architecture)))
    discriminator = fill(Discriminator(DiscriminatorConfig(32, 512, 32, architecture)))
    with torch.no_grad():
        assert_golden(f"generator {architecture}", generator(probe((2, 32)), 0.7))
        assert_golden(f"discriminator {architecture}", discriminator(probe((8, 3, 32, 32))))


def test_encoder_gives_what_the_reference_gives():
    encoder = fill(Encoder(EncoderConfig(256, 8, 128, 16)))
    with torch.no_grad():
        assert_golden("encoder", encoder(probe((2, 3, 64, 64))))
