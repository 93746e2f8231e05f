# SPDX-License-Identifier: GPL-3.0-or-later
"""Published weights are read without running anything of theirs; ours are saved and loaded; the latent image model."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.mesh.errors import MienError
from mien.neural.latent import load_latent
from mien.neural.stylegan.config import DiscriminatorConfig, EncoderConfig, GeneratorConfig
from mien.neural.stylegan.discriminator import Discriminator
from mien.neural.stylegan.encoder import Encoder
from mien.neural.stylegan.files import load_network, save_network
from mien.neural.stylegan.generator import Generator
from mien.neural.stylegan.latent import StyleGanImages
from mien.neural.stylegan.published import load_published
from mien.tests.neural.stylegan_files import fill, probe, write_nvlabs, write_psp, write_rosinality

SMALL = GeneratorConfig(16, 32, 32, 2, 512, 32)


def test_nvlabs_pickle(tmp_path):
    generator, discriminator = fill(Generator(SMALL)), fill(Discriminator(DiscriminatorConfig(16, 512, 32)))
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    state = {**generator.state_dict(), "synthesis.b8.conv0.resample_filter": taps[:, None] * taps}
    write_nvlabs(tmp_path / "a.pkl", {"G_ema": state, "G": state, "D": discriminator.state_dict()}, conv_clamp=256)
    read = load_published(tmp_path / "a.pkl")
    assert read.generator is not None and read.discriminator is not None
    assert read.generator.config == GeneratorConfig(16, 32, 32, 2, 512, 32, clamp=256.0)
    with torch.no_grad():
        assert torch.equal(read.generator(probe((2, 32))), fill(Generator(read.generator.config))(probe((2, 32))))
        assert torch.equal(read.discriminator(probe((4, 3, 16, 16))), discriminator(probe((4, 3, 16, 16))))


def test_other_filters_and_labels_are_refused(tmp_path):
    state = fill(Generator(SMALL)).state_dict()
    write_nvlabs(tmp_path / "a.pkl", {"G_ema": {**state, "synthesis.b8.resample_filter": torch.ones(4, 4) / 16}})
    with pytest.raises(MienError, match="another filter"):
        load_published(tmp_path / "a.pkl")
    write_nvlabs(tmp_path / "b.pkl", {"G_ema": state}, c_dim=10)
    with pytest.raises(MienError, match="labels"):
        load_published(tmp_path / "b.pkl")


class Harm:
    """Runs a command where it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_nothing_outside_of_the_list_is_run(tmp_path):
    harm = tmp_path / "harm"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G_ema": Harm(harm)}))
    torch.save({"g_ema": Harm(harm)}, tmp_path / "a.pt")
    # A tensor's bytes are a file of their own inside the pickle.
    inner = pickle.dumps(Harm(harm))
    (tmp_path / "b.pkl").write_bytes(b"ctorch.storage\n_load_from_bytes\n(C" + bytes([len(inner)]) + inner + b"tR.")
    for name in ("a.pkl", "a.pt", "b.pkl"):
        with pytest.raises(MienError, match=name):
            load_published(tmp_path / name)
    assert not harm.exists()


@pytest.mark.parametrize("line", ["cbuiltins\neval\n(S'1'\ntR.", "ctorch_utils.persistence\nimport_hook\n.", "cdnnlib.util\nopen_url\n.",
                                  "ctorch\nload\n.", "cnumpy\nload\n.", "ccollections\nnamedtuple\n.", "cos\nsystem\n."])
def test_names_outside_of_the_list_are_refused(tmp_path, line):
    (tmp_path / "a.pkl").write_bytes(line.encode())
    with pytest.raises(MienError, match="which no StyleGAN2 needs"):
        load_published(tmp_path / "a.pkl")


def test_rosinality_file(tmp_path):
    generator = fill(Generator(SMALL))
    mean = generator.mapping.w_avg.clone()
    write_rosinality(tmp_path / "a.pt", generator.state_dict(), mean)
    read = load_published(tmp_path / "a.pt").generator
    assert read is not None and read.config == SMALL
    with torch.no_grad():
        assert torch.equal(read(probe((2, 32)), 0.5), generator(probe((2, 32)), 0.5))


def test_psp_file(tmp_path):
    generator, encoder = fill(Generator(SMALL)), fill(Encoder(EncoderConfig(16, 6, 32, 4, (1, 1, 1, 1))))
    mean = probe((32,))
    write_psp(tmp_path / "a.pt", encoder.state_dict(), generator.state_dict(), mean)
    read = load_published(tmp_path / "a.pt")
    assert read.encoder is not None and read.generator is not None and read.mean is not None
    assert read.encoder.config == encoder.config and torch.equal(read.mean, mean.expand(6, -1))
    with torch.no_grad():
        assert torch.equal(read.encoder(probe((2, 3, 16, 16))), encoder(probe((2, 3, 16, 16))))
    write_psp(tmp_path / "b.pt", encoder.state_dict(), generator.state_dict(), mean, encoder_type="BackboneEncoderUsingLastLayerIntoW")
    with pytest.raises(MienError, match="BackboneEncoderUsingLastLayerIntoW"):
        load_published(tmp_path / "b.pt")


def test_networks_are_saved_and_loaded(tmp_path):
    generator = fill(Generator(SMALL))
    save_network(generator, tmp_path / "a.safetensors")
    first = (tmp_path / "a.safetensors").read_bytes()
    again = load_network(Generator, GeneratorConfig, tmp_path / "a.safetensors")
    save_network(again, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == first
    with pytest.raises(MienError, match="a.safetensors"):
        load_network(Discriminator, DiscriminatorConfig, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(first[:-9])
    with pytest.raises(MienError, match="a.safetensors"):
        load_network(Generator, GeneratorConfig, tmp_path / "a.safetensors")


@pytest.fixture
def images() -> StyleGanImages:
    generator = fill(Generator(SMALL))
    mean = generator.wide(generator.mapping.w_avg[None])[0].clone()
    return StyleGanImages(generator, fill(Encoder(EncoderConfig(16, 6, 32, 4, (1, 1, 1, 1)))), mean, 0.1 * probe(tuple(mean.shape)))


def test_latent_model_goes_through_its_files(images, tmp_path):
    images.save(tmp_path, "texture")
    again = load_latent(tmp_path, "texture")
    latents = np.random.default_rng(0).normal(0, 0.1, (3, 6, 32)).astype(np.float32)
    assert again.hash == images.hash and again.size == (16, 16) and again.latent_shape == (6, 32)
    assert np.array_equal(again.decode(latents), images.decode(latents))
    pictures = np.random.default_rng(1).uniform(0, 1, (3, 16, 16, 3)).astype(np.float32)
    assert np.array_equal(again.encode(pictures), images.encode(pictures))
    with pytest.raises(MienError, match="16"):
        images.encode(np.zeros((1, 8, 8, 3), np.float32))


def test_latent_model_delta(images):
    rng = np.random.default_rng(0)
    w, d = (rng.normal(0, 0.1, (3, 6, 32)).astype(np.float32) for _ in range(2))
    d[1] = 0
    w[2] = 0
    delta = images.delta(w, d)
    assert not delta[1].any()
    for i in (0, 2):
        assert np.array_equal(delta[i], images.decode((w[i] + d[i])[None])[0] - images.decode(w[i][None])[0]) and delta[i].any()


def test_latent_model_fills_what_is_hidden(images):
    picture = np.random.default_rng(0).uniform(0, 1, (1, 16, 16, 3)).astype(np.float32)
    mask = np.zeros((1, 16, 16), np.float32)
    mask[:, :8] = 1
    mean = images.decode(np.zeros((1, 6, 32), np.float32))
    filled = np.where(mask[..., None] > 0, picture, mean)
    assert np.allclose(images.encode(picture, mask), images.encode(filled), atol=1e-6)
