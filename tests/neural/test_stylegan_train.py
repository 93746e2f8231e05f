# SPDX-License-Identifier: GPL-3.0-or-later
"""The training of StyleGAN2 and of its encoder: losses against independent formulas, augmentation, resumption, cancelling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mien.mesh.errors import MienError
from mien.neural.progress import Cancelled, Silent
from mien.neural.stylegan import losses
from mien.neural.stylegan.augment import MOST, augment, colour_matrix, next_probability, place_matrix
from mien.neural.stylegan.command import configs
from mien.neural.stylegan.config import GeneratorConfig, PspConfig, StyleGanConfig
from mien.neural.stylegan.data import completed, split
from mien.neural.stylegan.encoder_losses import latent_loss, pixel_loss, pyramid_loss
from mien.neural.stylegan.encoder_run import train_encoder
from mien.neural.stylegan.features import texture_distance, texture_features
from mien.neural.stylegan.files import load_tensors
from mien.neural.stylegan.generator import Generator
from mien.neural.stylegan.run import train
from mien.neural.stylegan.trainer import Training, r1_weight
from mien.tests.neural.stylegan_files import fill, probe

TINY = {"size": 32, "batch": 4, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8, "measure_count": 16,
        "ada_kimg": 0.1}


def textures(count: int = 20, size: int = 32) -> np.ndarray:
    """Soft blobs of colour that move."""
    y, x = np.mgrid[0:size, 0:size] / size
    t = np.linspace(0, 2 * np.pi, count)
    return np.stack([np.stack([120 + 100 * np.sin(6 * x + a + c) * np.cos(5 * y + c) for c in range(3)], -1) for a in t]).astype(np.uint8)


def test_r1_of_a_quadratic():
    x = probe((3, 3, 4, 4)).double().requires_grad_()
    a = probe((3, 4, 4)).double()
    score = (a * x.square()).sum((1, 2, 3))[:, None]
    want = ((2 * a * x) ** 2).sum((1, 2, 3)).mean()
    assert torch.allclose(losses.r1(score, x), want)


def test_r1_has_a_true_gradient():
    weight = probe((5, 48)).double().requires_grad_()
    x = probe((2, 3, 4, 4)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda w: losses.r1(torch.tanh(x.flatten(1) @ w.T).sum(1, keepdim=True), x), weight)


def test_path_lengths_of_a_linear_generator():
    jacobian = probe((2 * 5, 3 * 4 * 4)).double()
    ws = probe((3, 2, 5)).double().requires_grad_()
    pictures = (ws.flatten(1) @ jacobian).view(3, 3, 4, 4)
    noise = probe((3, 3, 4, 4)).double()
    rows = (noise.flatten(1) / 4) @ jacobian.T  # J^T y, y over sqrt(4 x 4)
    want = rows.view(3, 2, 5).square().sum(2).mean(1).sqrt()
    assert torch.allclose(losses.path_lengths(pictures, ws, noise), want)


def test_adversarial_losses():
    real, fake = torch.tensor([[0.3], [-2.0]]), torch.tensor([[1.5], [-0.5]])
    assert torch.allclose(losses.generator_loss(fake), -torch.sigmoid(fake).log().mean())
    assert torch.allclose(losses.discriminator_loss(real, fake), -torch.sigmoid(real).log().mean() - (1 - torch.sigmoid(fake)).log().mean())


def test_gamma_follows_its_rule():
    assert r1_weight(StyleGanConfig(size=64, batch=8)) == pytest.approx(0.0002 * 64 * 64 / 8)
    assert r1_weight(StyleGanConfig(size=64, batch=8, gamma=3.0)) == 3


def test_the_augmentation_steers_for_the_target():
    p = 0.0
    for _ in range(100):
        p = next_probability(p, 0.9, 0.6, 64, 20)
    assert p == pytest.approx(100 * 64 / 20_000)
    assert next_probability(p, 0.3, 0.6, 64, 20) == pytest.approx(99 * 64 / 20_000)
    assert next_probability(0.0, 0.0, 0.6, 64, 20) == 0 and next_probability(MOST, 1.0, 0.6, 640, 20) == MOST


def test_augmentation_hits_as_often_as_it_should():
    dice = torch.Generator().manual_seed(0)
    assert torch.equal(augment(probe((2, 3, 8, 8)), 0.0, dice), probe((2, 3, 8, 8)))
    eye3, eye4 = torch.eye(3), torch.eye(4)
    for p, low, high in ((0.1, 0.3, 0.6), (0.6, 0.9, 1.0)):
        moved = (place_matrix(4000, p, 64, dice) - eye3).abs().amax((1, 2)) > 1e-6
        assert low < moved.float().mean() < high
    # Five changes of colour, of which the flip of luma does nothing half of the time.
    changed = (colour_matrix(20000, 0.1, dice) - eye4).abs().amax((1, 2)) > 1e-6
    assert float(changed.float().mean()) == pytest.approx(1 - 0.9**4 * 0.95, abs=0.02)


def test_colours_turn_about_grey():
    """Brightness apart, a grey stays a grey."""
    m = colour_matrix(500, 0.8, torch.Generator().manual_seed(1))
    grey = torch.einsum("bij,j->bi", m, torch.tensor([0.3, 0.3, 0.3, 1.0]))[:, :3]
    assert (grey - grey.mean(1, keepdim=True)).abs().max() < 1e-4


def test_features_tell_sharp_from_soft():
    true = torch.from_numpy(textures(40).transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1
    soft = torch.nn.functional.avg_pool2d(true, 5, 1, 2, count_include_pad=False)
    f = [texture_features(x) for x in (true[::2], true[1::2], soft[1::2])]
    assert f[0].shape == (20, 96)
    assert texture_distance(f[0], f[0]) < 1e-6
    assert texture_distance(f[0], f[1]) < 0.5 * texture_distance(f[0], f[2])


def test_what_a_frame_hides_comes_from_the_others():
    pictures = np.stack([np.full((4, 4, 3), v, np.uint8) for v in (100, 140)])
    seen = np.ones((2, 4, 4), np.float32)
    seen[0, :2] = 0
    out = completed(pictures, seen)
    assert (out[0, :2] == 140).all() and (out[0, 2:] == 100).all() and (out[1] == 140).all()
    assert [len(part) for part in split(np.zeros((20, 2, 2, 3)))] == [16, 4]


def run(folder: Path, kimg: float, *, resume: bool = False, report: Silent | None = None) -> dict:
    return train(textures(), folder, StyleGanConfig(kimg=kimg, measure_kimg=0.032, **TINY), report or Silent(), resume=resume,
                 device=torch.device("cpu"))


class Stop(Silent):
    """The user cancels after some pictures."""

    def step(self, stage: str, done: int, total: int) -> None:
        if done >= 48:
            raise Cancelled


def test_a_training_goes_on_with_the_same_bytes(tmp_path):
    whole = run(tmp_path / "whole", 0.096)
    with pytest.raises(Cancelled):
        run(tmp_path / "parts", 0.096, report=Stop())
    assert (tmp_path / "parts" / "generator.safetensors").exists()
    with pytest.raises(MienError, match="--resume"):
        run(tmp_path / "parts", 0.096)
    parts = run(tmp_path / "parts", 0.096, resume=True)
    a, b = (load_tensors(tmp_path / name / "checkpoint.safetensors")[0] for name in ("whole", "parts"))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert (tmp_path / "whole" / "generator.safetensors").read_bytes() == (tmp_path / "parts" / "generator.safetensors").read_bytes()
    assert {**whole, "folder": 0} == {**parts, "folder": 0}
    previews = [sorted(p.name for p in (tmp_path / name / "preview").iterdir()) for name in ("whole", "parts")]
    assert previews[0] == previews[1] and len(previews[0]) == 4
    with pytest.raises(MienError, match="lr"):
        train(textures(), tmp_path / "parts", StyleGanConfig(kimg=0.2, lr=1e-3, **TINY), Silent(), resume=True, device=torch.device("cpu"))


def test_the_best_generator_is_kept(tmp_path):
    result = run(tmp_path, 0.128)
    rows = np.genfromtxt(tmp_path / "distances.csv", delimiter=",", names=True)
    assert result["distance"] == pytest.approx(rows["distance"].min(), rel=1e-5)
    assert result["best_kimg"] == pytest.approx(rows["kimg"][rows["distance"].argmin()], rel=1e-5)


def test_bfloat16_follows_float32():
    """The way of a GPU, on the processor: convolutions in bfloat16, weights, score and losses in float32, and the same training."""
    pictures, found = torch.from_numpy(textures()).permute(0, 3, 1, 2).contiguous(), {}
    for half in (0, 2):
        training, kinds = Training(StyleGanConfig(**TINY, half=half), torch.device("cpu")), {}
        for network in (training.generator, training.discriminator):
            for name, module in network.named_modules():
                def note(_module, _inputs, out, name=f"{type(network).__name__}.{name}", kinds=kinds):
                    kinds[name] = out.dtype if torch.is_tensor(out) else None
                module.register_forward_hook(note)
        rows = [training.iterate(pictures, i) for i in range(24)]
        found[half] = {name: torch.stack([r[name] for r in rows if name in r]) for name in rows[0]}
        inner = torch.bfloat16 if half else torch.float32
        assert kinds["Generator.synthesis.b32.conv1"] == kinds["Discriminator.b32.conv1"] == inner
        assert kinds["Generator.synthesis"] == kinds["Discriminator.b4.conv"] == kinds["Discriminator.b4.out"] == torch.float32
        assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in training.generator.parameters())
    for name, exact in found[0].items():
        first = 0.03 if name in ("path", "r1") else 2e-3  # gradients of gradients keep fewer digits
        assert float(found[2][name][0]) == pytest.approx(float(exact[0]), rel=first), name
        assert float(found[2][name].mean()) == pytest.approx(float(exact.mean()), rel=0.05), name


@pytest.mark.long
def test_training_brings_the_distance_down(tmp_path):
    config = StyleGanConfig(kimg=4.0, measure_kimg=1.0, **{**TINY, "batch": 8, "ema_kimg": 0.5, "ada_kimg": 20.0})
    result = train(textures(100), tmp_path, config, Silent(), device=torch.device("cpu"))
    rows = np.genfromtxt(tmp_path / "distances.csv", delimiter=",", names=True)
    assert result["distance"] < 0.3 * rows["distance"][0]


def test_encoder_losses():
    a, b = probe((2, 3, 16, 16)), probe((2, 3, 16, 16)).flip(0)
    assert float(pixel_loss(a, b)) == pytest.approx(float(((a - b) ** 2).mean()))
    w = probe((2, 4, 5))
    assert float(latent_loss(w)) == pytest.approx(np.mean([np.sqrt((w[i].numpy() ** 2).sum()) for i in range(2)]))
    soft = torch.nn.functional.avg_pool2d(a, 3, 1, 1)
    assert float(pyramid_loss(a, a)) == 0 and float(pyramid_loss(soft, a)) > float(pyramid_loss(a + 0.01 * b, a)) > 0
    # A change of brightness alone is left to the pixel loss.
    assert float(pyramid_loss(a + 0.5, a)) == pytest.approx(0, abs=1e-5)


def test_the_encoder_learns_and_goes_on_with_the_same_bytes(tmp_path):
    generator = fill(Generator(GeneratorConfig(32, 8, 8, 2, 128, 8)))
    mean = generator.wide(generator.mapping.w_avg[None])[0].clone()
    config = PspConfig(steps=40, batch=4, lr=1e-3, width=4, units=4)
    report = Silent()
    train_encoder(textures(), generator, mean, tmp_path / "whole", config, report, device=torch.device("cpu"))
    assert "LPIPS" in report.warnings[0]

    class Half(Silent):
        def step(self, stage: str, done: int, total: int) -> None:
            if done == 25:
                raise Cancelled

    with pytest.raises(Cancelled):
        train_encoder(textures(), generator, mean, tmp_path / "parts", config, Half(), device=torch.device("cpu"))
    train_encoder(textures(), generator, mean, tmp_path / "parts", config, Silent(), resume=True, device=torch.device("cpu"))
    names = ("encoder.safetensors", "encoder_checkpoint.safetensors", "encoder_losses.csv")
    assert all((tmp_path / "whole" / n).read_bytes() == (tmp_path / "parts" / n).read_bytes() for n in names)
    rows = np.genfromtxt(tmp_path / "whole" / "encoder_losses.csv", delimiter=",", names=True)
    assert rows["loss"][-10:].mean() < rows["loss"][:10].mean()


@pytest.mark.parametrize(("settings", "message"), [({"size": 100}, "size"), ({"kimgs": 1}, "kimgs"), ({"lr": "a"}, "lr"), ({"batch": 1}, "batch"),
                                                   ({"encoder_units": 5}, "units"), ({"ada_target": 1.0}, "parts")])
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(MienError, match=message):
        configs(settings)


def test_weights_of_another_size_are_refused():
    from mien.neural.stylegan.published import Published
    start = Published(fill(Generator(GeneratorConfig(16, 8, 8, 2, 128, 8))))
    with pytest.raises(MienError, match="--size 16"):
        Training(StyleGanConfig(**TINY), torch.device("cpu"), start)
