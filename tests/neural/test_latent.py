# SPDX-License-Identifier: GPL-3.0-or-later
"""The eigen model against a plain singular value decomposition, and what its interface promises."""

import json

import numpy as np
import pytest

from mien.mesh.emotion import EMOTIONS
from mien.mesh.errors import MienError
from mien.neural.latent import load_latent
from mien.neural.latent.eigen import EigenFit, fit_masked
from mien.neural.latent.working import from_working, to_working
from mien.neural.level2 import regress
from mien.neural.level2_train import emotion_directions

SIZE, RANK = 24, 5


def pictures(count, seed=0, noise=0.0):
    """Pictures (count, SIZE, SIZE, 3) that vary along RANK patterns, and those numbers (count, RANK)."""
    random = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).normal(0, 1, (RANK, SIZE * SIZE * 3))
    numbers = random.normal(0, 1, (count, RANK)) * (0.1, 0.08, 0.06, 0.05, 0.04)
    flat = 0.5 + numbers @ patterns + noise * random.normal(0, 1, (count, SIZE * SIZE * 3))
    return flat.reshape(count, SIZE, SIZE, 3).astype(np.float32), numbers


def fitted(images, components=RANK, batch=7, mask=None):
    fit = EigenFit(np.ones(images.shape[1:3], bool) if mask is None else mask, components, np.zeros(images.shape[1:], np.float32))
    for start in range(0, len(images), batch):
        fit.add(images[start : start + batch])
    return fit.model()


def test_streamed_components_are_those_of_one_decomposition():
    images, _ = pictures(60, noise=0.02)
    model = fitted(images)
    flat = images.reshape(60, -1).astype(np.float64)
    centred = flat - flat.mean(0)
    _, values, rows = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(model.mean.ravel(), flat.mean(0), atol=1e-5)
    assert np.allclose(model.variance, values[:RANK] ** 2 / 59, rtol=0.02)
    overlap = np.linalg.svd(model.components.astype(np.float64) @ rows[:RANK].T, compute_uv=False)
    assert overlap.min() > 0.995
    assert model.explained == pytest.approx((values[:RANK] ** 2).sum() / (values**2).sum(), abs=0.01)


def test_pictures_come_back_from_their_latents():
    images, _ = pictures(40)
    model = fitted(images)
    more, _ = pictures(5, seed=1)
    assert np.abs(model.decode(model.encode(more)) - more).max() < 2e-3


def test_texels_outside_the_mask_stay_the_background():
    images, _ = pictures(20)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[4:12, 6:20] = True
    model = fitted(images, mask=mask)
    assert np.array_equal(model.decode(model.encode(images[:2]))[:, ~mask], np.zeros((2, (~mask).sum(), 3), np.float32))


def test_no_change_is_exactly_no_difference_and_differences_are_linear():
    model = fitted(pictures(30)[0])
    change = np.random.default_rng(2).normal(0, 1, (1, RANK)).astype(np.float32)
    assert not model.delta(change, np.zeros_like(change)).any()
    assert np.allclose(model.delta(change, 2 * change), 2 * model.delta(change, change), atol=1e-6)
    assert np.allclose(model.delta(change, change), model.decode(change) - model.decode(np.zeros_like(change)), atol=1e-5)


def test_a_restricted_model_agrees_where_it_is_asked():
    model = fitted(pictures(30)[0])
    mask = np.zeros((SIZE, SIZE), bool)
    mask[3:9, 5:15] = True
    change = np.ones((1, RANK), np.float32)
    part, whole = model.restricted(mask).delta(change, change)[0], model.delta(change, change)[0]
    assert np.allclose(part[mask], whole[mask], atol=1e-6) and not part[~mask].any()


def test_a_masked_fit_learns_what_no_single_picture_shows():
    images, _ = pictures(80, noise=0.005)
    random = np.random.default_rng(5)
    seen = np.zeros(images.shape[:3], np.float32)
    for row in seen:
        top = random.integers(0, SIZE // 2)
        row[top : top + SIZE // 2] = 1  # each shows half of the rows
    model = fit_masked(images, seen, np.full((SIZE, SIZE, 3), 0.5, np.float32), RANK)
    latents = model.encode(images, seen)
    hidden = seen == 0
    error = np.sqrt(((model.decode(latents) - images)[hidden] ** 2).mean())
    spread = np.sqrt(((images - images.mean(0))[hidden] ** 2).mean())
    assert error < 0.6 * spread


def test_where_nothing_is_seen_the_expected_latents_stay():
    images, _ = pictures(30)
    model = fitted(images)
    expected = np.random.default_rng(3).normal(0, 1, (2, RANK)).astype(np.float32)
    nothing = np.zeros((2, SIZE, SIZE), np.float32)
    assert np.array_equal(model.encode(images[:2], nothing, expected), expected)
    all_of_it = model.encode(images[:2], nothing + 1, expected)
    assert np.allclose(all_of_it, model.encode(images[:2]), atol=0.02 * np.abs(all_of_it).max())


def test_a_saved_model_gives_the_same_bytes(tmp_path):
    model = fitted(pictures(30)[0])
    model.save(tmp_path, "texture")
    again = load_latent(tmp_path, "texture")
    assert again.hash == model.hash and again.kind == "eigen" and again.latent_shape == (RANK,)
    latents = np.ones((1, RANK), np.float32)
    assert np.array_equal(again.decode(latents), model.decode(latents))


def test_damaged_and_unknown_models_are_named(tmp_path):
    fitted(pictures(10)[0]).save(tmp_path, "texture")
    (tmp_path / "texture.safetensors").write_bytes(b"no tensors")
    with pytest.raises(MienError, match=r"texture\.safetensors"):
        load_latent(tmp_path, "texture")
    (tmp_path / "texture.json").write_text(json.dumps({"schema": 1, "kind": "magic"}))
    with pytest.raises(MienError, match="magic"):
        load_latent(tmp_path, "texture")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_working_space_gives_every_code_back(dtype):
    codes = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(1, -1, 1).repeat(3, 2)
    assert np.array_equal(from_working(to_working(codes, False), dtype, False), codes)


def test_the_working_space_of_linear_plates_is_srgb_and_goes_on_above_one():
    linear = np.array([0.0, 0.0031308, 0.18, 1.0, 4.0], np.float32)
    working = to_working(linear, True)
    assert working[2] == pytest.approx(0.46135613, abs=1e-5) and working[3] == pytest.approx(1, abs=1e-6) and working[4] > 1.5
    assert np.allclose(from_working(working, np.float32, True), linear, rtol=1e-5, atol=1e-7)


def test_regression_finds_what_expression_does_and_not_what_it_does_not():
    random = np.random.default_rng(7)
    T, B = 150, 6
    beta, turn, true = random.normal(0, 1, (T, B)), random.normal(0, 1, (T, 2)), random.normal(0, 1, (B, 3))
    latents = np.concatenate([beta @ true + 2 * turn @ random.normal(0, 1, (2, 3)), random.normal(0, 1, (T, 1))], 1)
    found = regress(latents, beta, turn, np.ones(B))
    assert found.predicted > 0.3
    alike = np.corrcoef(found.directions[:, :3].ravel(), true.ravel())[0, 1]
    assert alike > 0.9
    assert np.abs(found.directions[:, 3]).max() < 0.1 * np.abs(found.directions[:, :3]).max()  # the last latent is noise
    noise = regress(np.cumsum(random.normal(0, 1, (T, 4)), 0), beta, turn, np.ones(B))
    assert noise.predicted < 0.1


def test_a_few_frames_teach_nothing():
    found = regress(np.ones((10, 4)), np.ones((10, 3)), np.ones((10, 1)), np.ones(3))
    assert not found.directions.any() and found.predicted == 0


def test_emotion_directions_are_of_the_highest_level_only():
    """d_y = mean of the latents of y at its highest level - mean of the neutral ones (section 3.4)."""
    latents = np.array([[1.0, 0], [3, 0], [10, 2], [14, 4], [100, 100]])
    d = emotion_directions(latents, ["neutral", "neutral", "happy", "happy", "happy"], [1, 1, 3, 3, 1])
    assert np.allclose(d[EMOTIONS.index("happy")], [10, 3])
    assert not np.delete(d, EMOTIONS.index("happy"), 0).any()
    assert not emotion_directions(latents[2:], ["happy"] * 3, [3, 3, 1]).any()
