# SPDX-License-Identifier: GPL-3.0-or-later
import cv2
import numpy as np
import pytest

from mien.neural.rendering.renderer import sample
from mien.neural.rendering.sharpness import PIXEL_BLUR, blur_of, match_sharpness, scales

SIZE = 240


def scene(blur: float) -> np.ndarray:
    """A picture with a 1/f spectrum, seen through a Gaussian lens; float32 display values."""
    noise = np.fft.fft2(np.random.default_rng(0).normal(size=(SIZE, SIZE)))
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
    picture = np.fft.ifft2(noise / np.maximum(f, 1 / SIZE) * np.exp(-2 * (np.pi * f * blur) ** 2)).real
    picture = (picture - picture.min()) / np.ptp(picture) * 200 + 20
    return np.repeat(picture[..., None].astype(np.float32), 3, 2)


def scaling(scale: float) -> np.ndarray:
    """Displacement of a patch whose rows are `scale` times as far apart on the plate; never exactly zero."""
    y = np.arange(SIZE, dtype=np.float32) - SIZE / 2 + 0.013
    field = np.zeros((SIZE, SIZE, 2), np.float32)
    field[..., 1] = ((scale - 1) * y)[:, None]
    return field


def energy(picture: np.ndarray) -> float:
    return float(cv2.Laplacian(picture[..., 0].astype(np.float32), cv2.CV_32F)[40:-40, 40:-40].var())


@pytest.mark.parametrize("blur", [1.0, 1.5, 2.0])
def test_blur_of_a_known_lens(blur):
    assert blur_of(scene(blur)) == pytest.approx(blur, rel=0.25)


def test_scales_of_a_known_map():
    larger, smaller = scales(scaling(1.3))
    assert np.allclose(larger[5:-5, 5:-5], 1.3**2, atol=1e-3) and np.allclose(smaller[5:-5, 5:-5], 1, atol=1e-3)


def test_squeezed_pixels_are_softened_to_the_plates_lens():
    plate, field = scene(1.5), scaling(1.4)
    raw = sample(plate, (0, 0, SIZE, SIZE), field)
    before, after = (energy(p) / energy(plate) for p in (raw, match_sharpness(raw, field, 1.5)))
    assert before > 1.25 and abs(after - 1) < 0.6 * (before - 1)


def test_stretched_pixels_get_their_contrast_back():
    plate, field = scene(PIXEL_BLUR), scaling(0.85)
    raw = sample(plate, (0, 0, SIZE, SIZE), field)
    before, after = (energy(p) / energy(plate) for p in (raw, match_sharpness(raw, field, PIXEL_BLUR)))
    assert before < 0.93 and abs(after - 1) < 0.7 * (1 - before)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_still_pixels_are_left_alone(dtype):
    patch = scene(1.0).astype(dtype)
    field = scaling(1.5)
    field[:, :120] = 0
    out = match_sharpness(patch, field, 2.0)
    assert np.array_equal(out[:, :120], patch[:, :120]) and out.dtype == dtype
    assert not np.array_equal(out[:, 120:], patch[:, 120:])


def test_a_plain_shift_changes_nothing():
    patch = scene(1.0)
    field = np.full((SIZE, SIZE, 2), 3.3, np.float32)
    assert np.allclose(match_sharpness(patch, field, 2.0), patch, atol=1e-4)
