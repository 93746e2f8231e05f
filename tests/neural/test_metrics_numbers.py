# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of numbers on cases whose answer is known: LIE, Frechet distance, ID, lips, jitter, coefficients."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from mien.neural.metrics.coefficients import average_coefficient_distance
from mien.neural.metrics.frechet import Moments, frechet, frechet_distance
from mien.neural.metrics.identity import cosine_of_means
from mien.neural.metrics.lie import lie, mesh_distance, neighbour_distances, pixel_distance
from mien.neural.metrics.measure import Measure, missing, number
from mien.neural.metrics.motion import Jitter, correlation, gain, jitter_ratio


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def moments(features) -> Moments:
    out = Moments()
    for f in features:
        out.add(f)
    return out


class TestLIE:
    def test_even_steps_are_linear(self):
        assert lie(np.full(10, 0.3)) == pytest.approx(0, abs=1e-12)

    def test_known_coefficient_of_variation(self):
        assert lie([1, 3]) == pytest.approx(0.5)  # mean 2, deviation 1

    def test_the_scale_does_not_matter(self, rng):
        d = rng.uniform(0.1, 1, 20)
        assert lie(1000 * d) == pytest.approx(lie(d))

    def test_quadratic_response(self):
        """x^2 over n even steps: d_i = (2i - 1) / n^2, whose CV is sqrt((n^2 - 1) / 3) / n."""
        n = 50
        d = neighbour_distances([(i / n) ** 2 for i in range(n + 1)], lambda a, b: abs(a - b))
        assert lie(d) == pytest.approx(np.sqrt((n * n - 1) / 3) / n)

    @pytest.mark.parametrize("bad", [[], [1], [0, 0, 0], [1, -1], [1, np.nan]])
    def test_undefined(self, bad):
        with pytest.raises(ValueError):
            lie(bad)

    def test_distances(self):
        a, b = np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), 7, np.uint8)
        assert pixel_distance(a, b) == pytest.approx(7)
        half = np.zeros((4, 5))
        half[:2] = 1
        b[2:] = 200
        assert pixel_distance(a, b, half) == pytest.approx(7)
        assert mesh_distance(np.zeros((6, 3)), np.tile([3.0, 4.0, 0.0], (6, 1))) == pytest.approx(5)


class TestFrechet:
    def test_identical_sets_give_zero(self, rng):
        x = rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12))
        assert frechet(moments(x), moments(x)) == pytest.approx(0, abs=1e-8)

    def test_a_shift_gives_its_squared_length(self, rng):
        x, shift = rng.normal(size=(40, 5)), np.array([3.0, 0, 0, -4.0, 0])
        assert frechet(moments(x), moments(x + shift)) == pytest.approx(25, rel=1e-9)

    def test_two_gaussians_that_commute(self):
        """diag(a), diag(b): sum (sqrt a - sqrt b)^2."""
        a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
        assert frechet_distance(np.zeros(3), np.diag(a), np.zeros(3), np.diag(b)) == pytest.approx(1 + 0 + 4)

    def test_general_covariances_against_scipys_matrix_root(self, rng):
        a, b = (m @ m.T for m in rng.normal(size=(2, 7, 7)))
        mean = rng.normal(size=7)
        wanted = mean @ mean + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
        assert frechet_distance(mean, a, np.zeros(7), b) == pytest.approx(wanted, rel=1e-6)

    def test_it_is_symmetric_and_does_not_turn(self, rng):
        x, y = rng.normal(size=(50, 6)), rng.normal(size=(70, 6)) * 2 + 1
        turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
        d = frechet(moments(x), moments(y))
        assert frechet(moments(y), moments(x)) == pytest.approx(d)
        assert frechet(moments(x @ turn), moments(y @ turn)) == pytest.approx(d)

    def test_fewer_features_than_dimensions(self, rng):
        x = rng.normal(size=(4, 40))
        assert frechet(moments(x), moments(x + 2)) == pytest.approx(160, rel=1e-6)

    def test_moments_are_those_of_numpy_even_far_from_zero(self, rng):
        x = rng.normal(size=(30, 4)) + 1e6
        m = moments(x)
        np.testing.assert_allclose(m.mean, x.mean(0))
        np.testing.assert_allclose(m.covariance, np.cov(x.T), rtol=1e-6)

    def test_mapped_moments_are_those_of_the_mapped_features(self, rng):
        x, matrix = rng.normal(size=(30, 4)) + 100, rng.normal(size=(3, 4))
        m = moments(x).mapped(matrix)
        np.testing.assert_allclose(m.mean, (x @ matrix.T).mean(0))
        np.testing.assert_allclose(m.covariance, np.cov((x @ matrix.T).T))

    def test_what_cannot_be_measured(self):
        m = moments([[1.0, 2.0]])
        with pytest.raises(ValueError):
            m.add(np.zeros(3))
        with pytest.raises(ValueError):
            m.add(np.array([np.nan, 0]))
        with pytest.raises(ValueError):
            frechet(m, m)
        with pytest.raises(ValueError):
            _ = Moments().mean


def test_identity_is_the_angle_of_the_means():
    assert cosine_of_means(np.array([1.0, 2]), np.array([10.0, 20])) == pytest.approx(1)
    assert cosine_of_means(np.array([1.0, 0]), np.array([0, 5.0])) == pytest.approx(0)
    assert cosine_of_means(np.array([1.0, 0]), np.array([1.0, np.sqrt(3)])) == pytest.approx(0.5)
    with pytest.raises(ValueError):
        cosine_of_means(np.zeros(3), np.ones(3))


class TestLips:
    def test_gain_and_correlation_of_a_scaled_copy(self, rng):
        plate = rng.uniform(0, 0.3, 50)
        assert correlation(plate, 0.6 * plate + 0.1) == pytest.approx(1)
        assert gain(plate, 0.6 * plate + 0.1) == pytest.approx(0.6)
        assert correlation(plate, -plate) == pytest.approx(-1)

    def test_a_delay_lowers_the_correlation(self):
        t = np.arange(200) / 10
        assert correlation(np.sin(t), np.sin(t - np.pi / 3)) == pytest.approx(0.5, abs=0.05)

    def test_still_lips_have_none(self):
        assert correlation(np.ones(5), np.arange(5.0)) is None and gain(np.ones(5), np.arange(5.0)) is None


class TestJitter:
    @staticmethod
    def fed(frames) -> Jitter:
        out = Jitter()
        for f in frames:
            out.add(f)
        return out

    def test_even_motion_has_none(self):
        assert self.fed(np.full((4, 2), 0.1 * t) for t in range(20)).mean == pytest.approx(0, abs=1e-12)

    def test_the_ratio_is_that_of_the_amplitudes(self, rng):
        noise = rng.normal(size=(30, 8, 2))
        assert jitter_ratio(self.fed(noise), self.fed(1.7 * noise)) == pytest.approx(1.7)

    def test_nothing_is_measured_across_a_gap(self):
        a, b = np.zeros((3, 2)), np.ones((3, 2))
        assert self.fed([a, a, a, None, b, b, b]).mean == 0 and self.fed([a, a, b]).mean == 1

    def test_a_still_plate_gives_no_ratio(self):
        still = self.fed([np.zeros((2, 2))] * 4)
        assert jitter_ratio(still, still) is None


def test_coefficient_distance_skips_unsolved_frames():
    a, b = np.zeros((3, 4), np.float32), np.full((3, 4), 0.25, np.float32)
    a[1] = np.nan
    assert average_coefficient_distance(a, b) == pytest.approx(0.25)
    a[:] = np.nan
    assert average_coefficient_distance(a, b) is None
    with pytest.raises(ValueError):
        average_coefficient_distance(a, b[:2])


def test_average_distance_of_coefficients_is_over_frames_and_coefficients():
    a, b = np.zeros((2, 2), np.float32), np.array([[1, -3], [0, 2]], np.float32)
    assert average_coefficient_distance(a, b) == pytest.approx(1.5)  # (1 + 3 + 0 + 2) / 4


def test_limits_tell_good_from_bad():
    assert Measure("Lips", "r", 0.95, limits=(0.94, 1)).good is True and Measure("Lips", "r", 0.9, limits=(0.94, 1)).good is False
    assert Measure("Lips", "r", 0.9).good is None and Measure("Lips", "r", None, limits=(0.94, 1)).good is None


def test_numbers_keep_four_digits():
    assert [number(v) for v in (None, 0.0, 150.0, 0.95361, -0.00385, 1.0081, 39.09123, 216.12, 3.8e-7)] == [
        "–", "0", "150", "0.9536", "-0.0039", "1.008", "39.09", "216.1", "4e-07"]


def test_a_measure_says_what_it_is():
    assert Measure("Picture", "PSNR", 31.25, "dB").text == "31.25 dB"
    assert Measure("Delivery", "frames", 300.0).text == "300"
    assert missing("Emotion", "FED", "an emotion network from you").text == "not measured: needs an emotion network from you"
    assert Measure("Lips", "gain", None).text == "undefined"
