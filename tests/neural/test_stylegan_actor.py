# SPDX-License-Identifier: GPL-3.0-or-later
"""A StyleGAN of labelled takes gives the paper's directions d_y, and an edit uses them: w+ goes along them with the intensity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.mesh.emotion import EMOTIONS
from mien.mesh.model import FaceModel, load_model
from mien.neural.full_texture import FullTexture
from mien.neural.hair import skin_alone
from mien.neural.jobs import JOBS
from mien.neural.level2 import MUTED, TextureLayer, TextureModel, weight_map
from mien.neural.level2_train import LaidOver, emotion_directions, open_faces
from mien.neural.progress import Silent
from mien.neural.shape_gan.takes import Take
from mien.neural.stages import solve, track
from mien.neural.stylegan.config import EncoderConfig, GeneratorConfig
from mien.neural.stylegan.encoder import Encoder
from mien.neural.stylegan.generator import Generator
from mien.neural.stylegan.latent import StyleGanImages
from mien.neural.texture import Unwrapper
from mien.tests.neural.portraits import FRAMES, portrait, write_movie
from mien.tests.neural.stylegan_files import fill, probe

TINY = {"size": 32, "kimg": 0.008, "batch": 4, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8,
        "measure_kimg": 0.008, "measure_count": 8, "encoder_steps": 2, "encoder_batch": 2, "encoder_width": 4, "encoder_units": 4}


@pytest.fixture(scope="module")
def face() -> FaceModel:
    return load_model("default")


@pytest.fixture(scope="module")
def actor(face: FaceModel) -> TextureModel:
    """Networks of made-up weights, and directions of two emotions."""
    generator = fill(Generator(GeneratorConfig(size=32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8)))
    mean, encoder = generator.wide(generator.mapping.w_avg[None])[0].clone(), fill(Encoder(EncoderConfig(16, 8, 8, 4, (1, 1, 1, 1))))
    images = StyleGanImages(generator, encoder, mean, 0.5 * probe(tuple(mean.shape)))
    emotions = np.zeros((len(EMOTIONS), 64), np.float32)
    emotions[[1, 4]] = np.random.default_rng(0).normal(0, 0.3, (2, 64))
    return TextureModel(images, np.zeros((face.expression_count, 64), np.float32), emotions, np.ones((32, 32), np.float32), 0.5)


def made(actor: TextureModel, latent: np.ndarray) -> np.ndarray:
    """The picture of w+ relative to the face at rest, by the generator itself."""
    g = actor.images
    with torch.no_grad():
        w = g.mean + g.rest + torch.from_numpy(latent.reshape(g.latent_shape).astype(np.float32))
        return (g.generator.synthesis(w[None])[0] / 2 + 0.5).permute(1, 2, 0).numpy()


def test_an_edit_goes_along_the_direction_in_w_plus(face: FaceModel, actor: TextureModel) -> None:
    """dec(w + t d) - dec(w) for every intensity t, several emotions at once, `borrow` of it, and nothing at zero."""
    layer, bare = TextureLayer(actor, actor, face, 0.0, 0.5, False), np.zeros(face.expression_count, np.float32)
    shown = (weight_map(Unwrapper(face, 32)) * skin_alone(actor, weight_map(Unwrapper(face, 32)) > 0.02))[..., None]
    assert layer.delta(bare, np.zeros(7, np.float32)) is None
    bend = []
    for happy, contempt in ((0.25, 0.0), (0.5, 0.0), (1.0, 0.0), (0.7, 0.4)):
        e = np.zeros(7, np.float32)
        e[4], e[1] = happy, contempt
        latent = 0.5 * (happy * actor.emotions[4] + contempt * actor.emotions[1])
        want = shown * ((made(actor, latent) - made(actor, 0 * latent)) @ MUTED)
        found = layer.delta(bare, e)
        assert found is not None and np.abs(want).max() > 0.01
        assert np.allclose(found, want, atol=2e-5 + np.abs(want).max() / 500)
        bend.append(found)
    assert np.abs(bend[2] - 2 * bend[1]).max() > 1e-4, "the picture is linear: it is the latent that should be"


@pytest.mark.parametrize("borrow", [0.5, 1.0])
def test_the_whole_skin_goes_along_it_from_the_frames_own_w(face: FaceModel, actor: TextureModel, borrow: float) -> None:
    w = np.random.default_rng(1).normal(0, 0.3, (2, 64)).astype(np.float32)
    full, e = FullTexture(actor, w, face, 1.0, borrow, False), np.zeros(7, np.float32)
    bare, e[4] = np.zeros(face.expression_count, np.float32), 0.6
    shown = weight_map(Unwrapper(face, 32))
    own, change = full.textures(1, bare, e)
    assert np.allclose(own, shown[..., None] * made(actor, w[1]), atol=1e-4)
    difference = made(actor, w[1] + 0.6 * borrow * actor.emotions[4]) - made(actor, w[1])
    kept = (shown * skin_alone(actor, shown > 0.02))[..., None]
    assert np.allclose(change, kept * (difference @ MUTED), atol=2e-4) and np.abs(change).max() > 0.01
    assert not full.textures(1, bare, 0 * e)[1].any()


def test_only_the_highest_level_makes_a_direction_in_w_plus() -> None:
    rng = np.random.default_rng(2)
    rest, weak, strong = (rng.normal(m, 1, (6, 64)).astype(np.float32) for m in (0, 1, 3))
    found = emotion_directions(np.concatenate([rest, weak, strong]), ["neutral"] * 6 + ["happy"] * 12, [0] * 6 + [1] * 6 + [3] * 6)
    assert np.allclose(found[EMOTIONS.index("happy")], strong.mean(0) - rest.mean(0), atol=1e-5)


@pytest.mark.long
def test_labelled_takes_give_the_directions_of_emotions(shot, tmp_path):
    other = tmp_path / "happy.mien"
    track(write_movie(tmp_path / "happy.mov", [(0.6 * portrait(0.7 * i)).astype(np.uint8) for i in range(FRAMES)]), other, report=Silent())
    solve(other, report=Silent())
    table = tmp_path / "takes.csv"
    table.write_text(f"clip,actor,emotion,level\n{shot.folder.name},one,neutral,1\nhappy.mien,one,happy,3\n", encoding="utf-8")
    output = tmp_path / "actor"
    result = JOBS["train_stylegan"]({"shots": [str(table)], "output": str(output), "settings": TINY}, Silent())
    assert result["emotions"] == ["happy"] and result["textures"] + result["held_out"] == 2 * FRAMES
    model = TextureModel.load(output)
    faces = [open_faces(folder, load_model("default")) for folder in (shot.folder, other)]
    laid = LaidOver([Take(shot.folder, "one", "neutral", 1), Take(other, "one", "happy", 3)], faces, TINY["size"])
    means = [np.mean([model.images.encode(t[None])[0] for t, _ in laid.textures(n, f.samples())], 0) for n, f in enumerate(faces)]
    assert np.allclose(means[0], 0, atol=1e-5)  # latents are relative to the face at rest
    at = EMOTIONS.index("happy")
    assert np.allclose(model.emotions[at], (means[1] - means[0]).ravel(), atol=1e-5) and np.abs(model.emotions[at]).max() > 1e-6
    assert not np.delete(model.emotions, at, 0).any()
