# SPDX-License-Identifier: GPL-3.0-or-later
"""The training: repeatable, resumable to the byte, cancellable, and it learns."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.shape_gan import ShapeGan, read_safetensors
from mien.neural.progress import Cancelled, Silent
from mien.neural.shape_gan import losses
from mien.neural.shape_gan.cast import cast_data
from mien.neural.shape_gan.config import CastConfig, TrainConfig
from mien.neural.shape_gan.data import FIELDS, Coefficients
from mien.neural.shape_gan.generator import Generator, GeneratorConfig
from mien.neural.shape_gan.run import deterministic, train
from mien.neural.shape_gan.trainer import LOSSES, Sampler, Training, step_size

SMALL = TrainConfig(iterations=30, batch=16, hidden=32, log_every=5, save_every=10)
FILES = ("generator.safetensors", "discriminator.safetensors", "losses.csv", "checkpoint.safetensors")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    deterministic()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def cast():
    return cast_data(load_model(), CastConfig(takes=1, frames=40), 0, 3)


@pytest.fixture(scope="module")
def trained(model, cast, tmp_path_factory):
    folder = tmp_path_factory.mktemp("actor")
    return folder, train(model, cast, cast, folder, SMALL, Silent())


class StopAt(Silent):
    """Cancels once so many iterations are done."""

    def __init__(self, iteration: int):
        super().__init__()
        self.iteration = iteration

    def step(self, stage: str, done: int, total: int) -> None:
        if done >= self.iteration:
            raise Cancelled


def test_what_a_training_leaves(model, trained):
    folder, result = trained
    rows = list(csv.DictReader((folder / "losses.csv").open()))
    assert [int(r["iteration"]) for r in rows] == [5, 10, 15, 20, 25, 30] and set(rows[0]) == {"iteration", *LOSSES}
    assert xml.etree.ElementTree.parse(folder / "losses.svg").getroot().tag.endswith("svg")
    assert json.loads((folder / "train.json").read_text())["training"]["batch"] == 16
    assert result["iterations"] == 30 and {"recognised", "intensity", "cycle_mm", "identity_mm"} <= result["held_back"].keys()
    editor = ShapeGan(model, folder / "generator.safetensors")
    assert np.isfinite(editor.generate(np.zeros(80, np.float32), np.zeros((2, 64), np.float32), np.zeros((2, 7), np.float32))[1]).all()


def test_same_seed_same_bytes(model, cast, trained, tmp_path):
    train(model, cast, None, tmp_path, SMALL, Silent())
    assert all((tmp_path / f).read_bytes() == (trained[0] / f).read_bytes() for f in FILES)
    train(model, cast, None, tmp_path / "other", replace(SMALL, seed=1), Silent())
    assert (tmp_path / "other" / FILES[0]).read_bytes() != (trained[0] / FILES[0]).read_bytes()


def test_stopped_and_resumed_gives_the_same_bytes(model, cast, trained, tmp_path):
    with pytest.raises(Cancelled):  # between two of the usual checkpoints
        train(model, cast, None, tmp_path, replace(SMALL, save_every=1000), StopAt(20))
    stopped = ShapeGan(model, tmp_path / "generator.safetensors")  # edits can use what was learnt so far
    assert np.isfinite(stopped.generate(np.zeros(80, np.float32), np.zeros((2, 64), np.float32), np.zeros((2, 7), np.float32))[1]).all()
    assert (tmp_path / "generator.safetensors").read_bytes() != (trained[0] / "generator.safetensors").read_bytes()
    train(model, cast, None, tmp_path, SMALL, Silent(), resume=True)
    assert all((tmp_path / f).read_bytes() == (trained[0] / f).read_bytes() for f in FILES)


def test_a_training_does_not_write_over_its_own_start(model, cast, trained):
    with pytest.raises(MienError, match="another folder"):
        train(model, cast, None, trained[0], SMALL, Silent(), resume=True, start=trained[0] / "generator.safetensors")


def test_resume_is_refused_for_another_training(model, cast, trained, tmp_path):
    with pytest.raises(MienError, match="--resume"):
        train(model, cast, None, trained[0], SMALL, Silent())
    with pytest.raises(MienError, match=r"rec 5000\.0, not 1"):
        train(model, cast, None, trained[0], replace(SMALL, rec=1.0), Silent(), resume=True)
    with pytest.raises(MienError, match="missing"):
        train(model, cast, None, tmp_path, SMALL, Silent(), resume=True)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"broken")
    with pytest.raises(MienError, match="cannot be resumed"):
        train(model, cast, None, tmp_path, SMALL, Silent(), resume=True)
    quiet = Silent()
    train(model, cast, None, trained[0], SMALL, quiet, resume=True)
    assert "nothing is left" in quiet.warnings[0]


def test_batches(cast):
    sampler = Sampler(cast, SMALL)
    b = sampler.batch(7, 1)
    assert not b.label[:8].any() and (b.label[8:].amax(1) > 0).all() and not b.target[8:].any()
    assert not b.target[:2].any() and ((b.target[2:8] > 0).sum(1) == 1).all() and b.target.max() <= 1
    assert torch.equal(b.target[:8], b.kind * b.strength) and (b.kind.amax(1) == 1).all() and b.other.min() >= 0 and b.other.max() <= 1
    frames = {row.tobytes(): e for row, e in zip(cast.c, cast.emotion)}
    assert all(np.array_equal(frames[c.tobytes()], e) for c, e in zip(b.c.numpy(), b.label.numpy()))
    sampler.batch(1234, 0)
    assert torch.equal(sampler.batch(7, 1).c, b.c) and not torch.equal(sampler.batch(7, 0).c, b.c)


@pytest.mark.parametrize("decay, want", [(0.0, [1, 1, 1, 1]), (0.5, [1, 1, 0.6, 0.1]), (1.0, [1, 0.75, 0.3, 0.05])])
def test_the_step_falls_to_zero_over_the_last_part(decay, want):
    config = TrainConfig(iterations=200, lr=2e-3, decay=decay)
    assert [step_size(config, i) for i in (0, 50, 140, 190)] == pytest.approx([2e-3 * w for w in want])


def test_decay_counts_iterations_and_not_calls(model, cast, tmp_path):
    """A training that is stopped within its decay and resumed gives the bytes of one that was not; one without decay gives others."""
    config = replace(SMALL, decay=0.8)
    train(model, cast, None, tmp_path / "a", config, Silent())
    with pytest.raises(Cancelled):
        train(model, cast, None, tmp_path / "b", config, StopAt(20))
    train(model, cast, None, tmp_path / "b", config, Silent(), resume=True)
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in FILES)
    train(model, cast, None, tmp_path / "c", replace(SMALL, decay=0.0), Silent())
    assert (tmp_path / "a" / FILES[0]).read_bytes() != (tmp_path / "c" / FILES[0]).read_bytes()


def test_one_long_gradient_does_not_throw_the_training_off(model, cast):
    """After steady small gradients Adam answers a huge one by many times its step; shortened, it is a step as any other."""
    def last_step(clip: float) -> float:
        training = Training(losses.Norms.of(model), 144, 7, replace(SMALL, clip=clip))
        weights = list(training.generator.parameters())
        for size in [1.0] * 20 + [1e4]:
            before = weights[0].detach().clone()
            training._step(torch.stack([(w * torch.full_like(w, size)).sum() for w in weights]).sum(), weights, training.adam_g)
        return float((weights[0] - before).abs().max())

    assert last_step(0.0) > 2 * SMALL.lr and last_step(10.0) < 1.2 * SMALL.lr


def test_a_training_starts_from_trained_weights(model, cast, trained, tmp_path):
    """With a learning rate of 0 it ends where it began; the discriminator's lead comes first; other sizes are refused."""
    start = trained[0] / "generator.safetensors"
    train(model, cast, None, tmp_path / "a", replace(SMALL, iterations=2, lr=0.0, lead=3), Silent(), start=start)
    for name in ("generator.safetensors", "discriminator.safetensors"):
        a, b = (read_safetensors(folder / name) for folder in (tmp_path / "a", trained[0]))
        assert all(np.array_equal(a[k], b[k]) for k in b)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("generator.safetensors", "generator.json"):
        (alone / name).write_bytes((trained[0] / name).read_bytes())
    train(model, cast, None, tmp_path / "b", replace(SMALL, iterations=1, lead=5), Silent(), start=alone / "generator.safetensors")
    a, b = (read_safetensors(folder / "discriminator.safetensors") for folder in (tmp_path / "b", trained[0]))
    assert any(not np.array_equal(a[k], b[k]) for k in b)
    with pytest.raises(MienError, match="another size"):
        train(model, cast, None, tmp_path / "c", replace(SMALL, hidden=16), Silent(), start=start)
    with pytest.raises(MienError, match="cannot be read"):
        train(model, cast, None, tmp_path / "d", SMALL, Silent(), start=tmp_path / "none.safetensors")


def test_takes_and_cast_share_the_frames(cast):
    rows = np.flatnonzero(cast.neutral)[:3], np.flatnonzero(~cast.neutral)[:40]
    takes = Coefficients(*(getattr(cast, name)[np.concatenate(rows)] + (100 if name == "actor" else 0) for name in FIELDS))
    mixed = Coefficients.mixed(takes, cast, 0.5)
    for kind in (True, False):
        own = mixed.actor[mixed.neutral == kind] >= 100
        assert 0.45 < own.mean() < 0.55
    only = Coefficients(*(getattr(takes, name)[3:] for name in FIELDS))
    mixed = Coefficients.mixed(only, cast, 0.5)
    assert (mixed.actor[mixed.neutral] < 100).all() and 0.45 < (mixed.actor[~mixed.neutral] >= 100).mean() < 0.55


def test_an_update_moves_only_its_own_network(model, cast):
    training = Training(losses.Norms.of(model), 144, 7, SMALL)
    b = Sampler(cast, SMALL).batch(0, 0)
    before = training.state()
    training.update_discriminator(b)
    middle = training.state()
    training.update_generator(b)
    after = training.state()

    def moved(a, b, name):
        return any(not torch.equal(a[k], b[k]) for k in a if k.startswith(name + "."))

    assert moved(before, middle, "discriminator") and not moved(before, middle, "generator")
    assert moved(middle, after, "generator") and not moved(middle, after, "discriminator")


def test_the_generator_starts_as_a_copy(model):
    generator = Training(losses.Norms.of(model), 144, 7, TrainConfig()).generator
    c = torch.randn(6, 144)
    assert torch.allclose(generator(c, torch.rand(6, 7)), c, atol=1e-5)
    assert not Generator(GeneratorConfig(hidden=100)).start_as_identity()
    usual = Training(losses.Norms.of(model), 144, 7, TrainConfig(copy=0)).generator
    assert (usual(c, torch.rand(6, 7)) - c).abs().max() > 1


def test_the_linearity_is_of_the_neutral_frames(model, cast):
    """Against one frame after another; and it is part of the generator's loss only where it has a weight."""
    norms, b = losses.Norms.of(model), Sampler(cast, SMALL).batch(0, 0)
    torch.manual_seed(0)
    training = Training(norms, 144, 7, replace(SMALL, copy=0))
    with torch.no_grad():
        g = training.generator
        g.trunk[0].weight[:, 144:] *= 30
        want = 0.0
        for c, k, s, u in zip(b.c[:8], b.kind, b.strength, b.other):
            at = [g(c[None], (k * x)[None])[0] for x in (s, u, 1.0, 0.0)]
            d = (at[0] - at[1]) / (s - u) - (at[2] - at[3])
            want += float(d @ norms.mesh @ d) / 8
    found = training.update_generator(b)
    assert want > 0 and float(found["g_lin"]) == pytest.approx(want, rel=1e-3)
    assert float(found["g"]) - float(found["g_adv"]) > training.weights.lin * want
    assert float(Training(norms, 144, 7, replace(SMALL, lin=0.0)).update_generator(b)["g_lin"]) == 0


def test_it_learns(model, cast, tmp_path):
    """A short training of small networks lowers the cycle and both regressions."""
    config = TrainConfig(iterations=400, batch=32, hidden=64, lr=3e-3, log_every=10, save_every=1000)
    train(model, cast, None, tmp_path, config, Silent())
    table = np.genfromtxt(tmp_path / "losses.csv", delimiter=",", names=True)
    for name in ("d_reg", "g_rec", "g_mouth"):
        assert table[name][-5:].mean() < 0.8 * table[name][:5].mean(), name


def test_data_without_neutral_frames_is_refused(model, cast, tmp_path):
    cast = replace(cast, emotion=np.ones_like(cast.emotion))
    with pytest.raises(MienError, match="neutral"):
        train(model, cast, None, tmp_path, SMALL, Silent())


def test_generator_file_is_the_checkpoints_generator(trained):
    folder = trained[0]
    weights, checkpoint = read_safetensors(folder / "generator.safetensors"), read_safetensors(folder / "checkpoint.safetensors")
    assert all(np.array_equal(w, checkpoint["generator." + k]) for k, w in weights.items())
