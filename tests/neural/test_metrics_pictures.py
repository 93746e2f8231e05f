# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of pictures on cases whose answer is known: CPBD, pixel distances, the face's frame and its signs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy.stats
import skimage.data

from mien.neural.metrics import face
from mien.neural.metrics.cpbd import cpbd, edge_widths
from mien.neural.metrics.frechet import Moments
from mien.neural.metrics.pixels import average_pixel_distance, mouth_square, outside_difference, psnr, ssim
from mien.neural.metrics.signs import set_distance, signs
from mien.neural.metrics.skin import PLACES, places, skin


class TestCPBD:
    @pytest.mark.parametrize("picture", [skimage.data.astronaut(), skimage.data.camera(), skimage.data.chelsea()], ids=["face", "man", "cat"])
    def test_blur_lowers_it(self, picture):
        values = [cpbd(picture if s == 0 else cv2.GaussianBlur(picture, (0, 0), s)) for s in (0, 0.7, 1, 1.5, 2.5)]
        assert values[0] > 0.2 and values[-1] < 0.02
        assert all(a >= b for a, b in zip(values, values[1:])), values

    @pytest.mark.parametrize("width", [1, 3, 8])
    def test_an_edge_is_as_wide_as_it_is(self, width):
        ramp = np.interp(np.arange(64), [30, 30 + width], [40, 200]).astype(np.float32)
        edges, widths = edge_widths(np.tile(ramp, (64, 1)))
        assert edges.any() and set(widths[edges]) == {width}

    def test_just_noticeable_widths_depend_on_the_contrast(self):
        """A ramp 4 px wide is noticed as blurred at high contrast (3 px), not at low (5 px)."""
        def ramp(high: int) -> np.ndarray:
            return np.tile(np.interp(np.arange(128) % 64, [30, 34, 63], [100, high, high]), (128, 1)).astype(np.uint8)
        strong, weak = ramp(220), ramp(140)
        strong[:, 60:68], weak[:, 60:68] = strong[:, 50:51], weak[:, 50:51]  # one edge only
        assert cpbd(strong[:64, :64]) == 0 and cpbd(weak[:64, :64]) == 1

    def test_in_order_with_what_viewers_saw(self):
        """The published behaviour: the metric ranks one picture's blurs as their strength does, and pictures are ranked by sharpness at 256 x 256."""
        picture = cv2.resize(skimage.data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
        sigmas = np.linspace(0.3, 2.2, 8)
        values = [cpbd(cv2.GaussianBlur(picture, (0, 0), s)) for s in sigmas]
        assert scipy.stats.spearmanr(sigmas, values).statistic < -0.97
        small = cv2.resize(cv2.resize(picture, (96, 96), interpolation=cv2.INTER_AREA), (256, 256), interpolation=cv2.INTER_CUBIC)
        assert cpbd(small) < 0.3 * cpbd(picture)  # enlarged pictures are soft

    def test_every_edge_counts_alike(self):
        """Three edges: a narrow one, the seam between the two blocks, and a wide one; two of the three are seen as sharp."""
        x = np.arange(64)
        sharp, wide = np.interp(x, [30, 32], [40, 100]), np.interp(x, [30, 38], [40, 240])
        picture = np.tile(np.concatenate([sharp, wide[::-1]]), (64, 1)).astype(np.uint8)
        assert cpbd(picture) == pytest.approx(2 / 3, abs=0.02)

    def test_no_edges_no_value(self):
        assert cpbd(np.full((128, 128, 3), 90, np.uint8)) is None

    def test_too_small(self):
        with pytest.raises(ValueError):
            cpbd(np.zeros((20, 200), np.uint8))


class TestPixels:
    picture = skimage.data.astronaut()[:200, 100:320]

    def test_equal_pictures(self):
        assert psnr(self.picture, self.picture) == float("inf")
        assert ssim(self.picture, self.picture) == pytest.approx(1)
        assert average_pixel_distance(self.picture, self.picture) == 0

    def test_known_shift(self):
        a = np.full((40, 50, 3), 100, np.uint8)
        b = a + np.array([3, 0, 4], np.uint8)
        assert average_pixel_distance(a, b) == pytest.approx(5)
        assert psnr(a, a + np.uint8(10)) == pytest.approx(10 * np.log10(255**2 / 100))
        mask = np.zeros((40, 50), bool)
        assert np.isnan(average_pixel_distance(a, b, mask))
        mask[:10] = True
        b[10:] = 0
        assert average_pixel_distance(a, b, mask) == pytest.approx(5)

    def test_ssim_falls_with_noise(self):
        rng = np.random.default_rng(1)
        noisy = [(self.picture + rng.normal(0, s, self.picture.shape)).clip(0, 255).astype(np.uint8) for s in (5, 20, 60)]
        values = [ssim(self.picture, n) for n in noisy]
        assert 1 > values[0] > values[1] > values[2] > 0

    def test_mouth_square_is_cut_at_the_edge(self):
        assert mouth_square(np.array([128, 200]), (256, 256)).sum() == 72 * 72
        assert mouth_square(np.array([0, 250]), (256, 256)).sum() == 36 * 42
        assert mouth_square(np.array([-500, 0]), (256, 256)).sum() == 0

    def test_outside(self):
        a = np.zeros((100, 100, 3), np.uint8)
        b = a.copy()
        b[40:60, 40:60] = 255
        inside = np.zeros((100, 100), bool)
        inside[40:60, 40:60] = True
        assert outside_difference(a, b, inside) == (0, 0.0)
        b[0, :96, 1] = 9  # one percent of the outside
        assert outside_difference(a, b, inside) == (9, 0.0)
        b[1, 0] = 4
        assert outside_difference(a, b, inside)[1] == 4.0
        assert outside_difference(a, b, np.ones((100, 100), bool)) == (0, 0.0)


class TestSkin:
    @pytest.fixture
    def landmarks(self):
        """Eyes 120 px apart, upright, all else where `places` looks for it; (478, 2)."""
        p = np.tile([128.0, 128.0], (478, 1))
        for i, xy in {33: (68, 110), 263: (188, 110), 10: (128, 30), 151: (128, 50), 105: (90, 92), 334: (166, 92), 55: (112, 95), 107: (112, 90),
                      285: (144, 95), 336: (144, 90), 145: (90, 114), 374: (166, 114), 129: (108, 150), 61: (100, 185), 358: (148, 150),
                      291: (156, 185), 17: (128, 200), 152: (128, 235)}.items():
            p[i] = xy
        return p

    def test_plain_skin_has_no_lines_one_shade_and_is_all_seen(self, landmarks):
        lines, shade, seen = skin(np.full((256, 256, 3), 140, np.uint8), landmarks).reshape(3, -1)
        np.testing.assert_allclose(lines, 0, atol=1e-4)
        np.testing.assert_allclose(shade, 140, atol=1e-3)
        np.testing.assert_array_equal(seen, 1)

    @pytest.mark.parametrize("place", range(len(PLACES)))
    def test_lines_and_shade_are_seen_where_they_are(self, landmarks, place):
        centres, half = places(landmarks)
        x, y = centres[place]
        picture = np.full((256, 256, 3), 140, np.uint8)
        lined = picture.copy()
        lined[int(y - 3):int(y + 4):3, int(x - 9):int(x + 9)] = 90
        change = skin(lined, landmarks)
        assert np.argmax(change[:len(PLACES)]) == place and change[place] > 2
        darker = picture.copy()
        darker[int(y - half):int(y + half) + 1, int(x - half):int(x + half) + 1] = 110
        shade = skin(darker, landmarks)[len(PLACES):2 * len(PLACES)] - 140
        assert np.argmin(shade) == place and shade[place] == pytest.approx(-30, abs=8)

    def test_exposure_moves_every_shade_alike(self, landmarks):
        picture = np.random.default_rng(0).integers(60, 160, (256, 256, 3), np.uint8)
        wanted = skin(picture, landmarks) + np.repeat([0, 40, 0], len(PLACES))
        np.testing.assert_allclose(skin(picture + np.uint8(40), landmarks), wanted, atol=0.2)

    @pytest.mark.parametrize("place", range(len(PLACES)))
    def test_a_strand_of_hair_is_neither_line_nor_shade(self, landmarks, place):
        """Dark hair over a quarter of a place: what is left of it looks as it did, and less of it is seen. A furrow of the same width counts."""
        x, y = places(landmarks)[0][place].astype(int)
        plain = np.random.default_rng(1).integers(135, 146, (256, 256, 3), np.uint8)
        hair, furrow = plain.copy(), plain.copy()
        hair[y - 16:y + 17, x - 2:x + 3], furrow[y - 16:y + 17, x - 2:x + 3] = 20, 95
        before, after, lined = (skin(p, landmarks).reshape(3, -1)[:, place] for p in (plain, hair, furrow))
        assert abs(after[0] - before[0]) < 0.5 and abs(after[1] - before[1]) < 1 and 0.2 < after[2] < 0.8
        assert lined[0] > before[0] + 6 and lined[2] == 1

    def test_a_waves_strength_is_its_rms(self, landmarks):
        """A sine of amplitude a through the difference of Gaussians: a / sqrt 2 times exp(-w^2 / 2) - exp(-8 w^2)."""
        w, a = 2 * np.pi / 6, 40
        wave = 128 + a * np.sin(w * np.arange(256))
        picture = np.repeat(np.tile(wave, (256, 1))[..., None], 3, 2).round().astype(np.uint8)
        wanted = a / np.sqrt(2) * (np.exp(-(w**2) / 2) - np.exp(-8 * w**2))
        assert skin(picture, landmarks)[0] == pytest.approx(wanted, rel=0.08)


class TestSigns:
    COUNT = len(PLACES)

    @pytest.fixture
    def rng(self):
        return np.random.default_rng(4)

    def set_of(self, rng, shade=0.0, seen=1.0, geometry=0.0, n=40):
        """Features of n faces as `skin` gives them: lines 4, shade 120, both of a spread of 2; geometry (9,) before them, of a spread of 1."""
        found = Moments()
        for _ in range(n):
            surface = np.stack([rng.normal(4, 2, self.COUNT), rng.normal(120, 2, self.COUNT) + shade, np.zeros(self.COUNT) + seen])
            found.add(np.concatenate([rng.normal(0, 1, 9) + geometry, surface.ravel()]))
        return found

    def test_a_place_that_one_set_hides_is_not_compared(self, rng):
        """30 levels darker in one place: 900 of distance, less what the mean shade of the places takes up; nothing when hair covers it."""
        shade, hidden = np.eye(self.COUNT)[2] * -30, 1 - 0.7 * np.eye(self.COUNT)[2]
        seed = rng.integers(1 << 30)
        plain, darker, covered = (self.set_of(np.random.default_rng(seed), *v) for v in ((0, 1), (shade, 1), (shade, hidden)))
        skins = [m.mapped(np.eye(9 + 3 * self.COUNT)[9:]) for m in (plain, darker, covered)]
        assert set_distance("skin", skins[1], skins[0]) == pytest.approx(900 * (1 - 1 / self.COUNT), rel=1e-6)
        assert set_distance("skin", skins[2], skins[0]) == pytest.approx(0, abs=1e-6) == set_distance("skin", skins[0], skins[2])
        assert set_distance("signs", covered, plain) == pytest.approx(0, abs=1e-6)

    def test_the_plate_decides_what_is_compared(self, rng):
        """An edit that darkens a place until it looks like hair is not let off."""
        shade, hidden = np.eye(self.COUNT)[2] * -80, 1 - np.eye(self.COUNT)[2]
        plate, edit = self.set_of(rng), self.set_of(rng, shade, hidden)
        assert set_distance("signs", edit, plate, filmed=plate) > set_distance("signs", edit, plate) + 300

    def test_both_kinds_count_in_their_own_spread(self, rng):
        """Geometry by 3 of its standard deviations, or one shade by 3 of its own (6 levels): 9 each, but for what the mean shade takes up."""
        seed = rng.integers(1 << 30)
        plain, moved, shaded = (self.set_of(np.random.default_rng(seed), *v, n=4000)
                                for v in ((0,), (0, 1, 3 * np.eye(9)[4]), (6 * np.eye(self.COUNT)[1],)))
        assert set_distance("signs", moved, plain) == pytest.approx(9, rel=0.1)
        assert set_distance("signs", shaded, plain) == pytest.approx(9, rel=0.15)

    def test_too_little_skin(self, rng):
        bearded = self.set_of(rng, seen=np.eye(self.COUNT)[0])
        assert set_distance("signs", bearded, self.set_of(rng)) is None

    def test_features_of_a_face(self, rng):
        landmarks = rng.uniform(20, 236, (478, 3))
        found = signs(np.full((256, 256, 3), 140, np.uint8), landmarks[:, :2], landmarks)
        np.testing.assert_array_equal(found["signs"], np.concatenate([found["geometry"], found["skin"]]))


class TestFace:
    @pytest.fixture
    def landmarks(self):
        """Made up, but with eyes, brows, lips and an outline where they belong; (478, 2)."""
        p = np.tile([320.0, 260.0], (478, 1))
        angles = np.linspace(0, 2 * np.pi, len(face.OVAL), endpoint=False)
        p[list(face.OVAL)] = np.stack([320 + 100 * np.sin(angles), 260 - 130 * np.cos(angles)], 1)
        for i, xy in {33: (260, 220), 133: (295, 220), 362: (345, 220), 263: (380, 220), 61: (285, 320), 291: (355, 320), 13: (320, 315),
                      14: (320, 325), 82: (310, 316), 87: (310, 324), 312: (330, 316), 317: (330, 324)}.items():
            p[i] = xy
        return p

    def test_it_does_not_depend_on_where_how_large_or_how_tilted(self, landmarks):
        c, s = 1.7 * np.cos(0.4), 1.7 * np.sin(0.4)
        moved = landmarks @ np.array([[c, s], [-s, c]]) + [50, -80]
        np.testing.assert_allclose(face.features(face.eye_frame(moved)), face.features(face.eye_frame(landmarks)), atol=1e-12)

    @pytest.mark.parametrize("points, move, name, sign", [
        ((61, 291), (0, -6), "corner_up", 1), ((55, 107, 285, 336), (0, -6), "brow_inner", 1), ((46, 70, 276, 300), (0, 6), "brow_outer", -1),
        ((14, 87, 317), (0, 12), "lips_open", 1), ((61,), (-12, 0), "mouth_width", 1), ((129, 358), (0, -6), "nose_up", 1),
        ((159, 158, 386, 385), (0, -6), "eye_open", 1), ((0, 37, 267), (0, -6), "upper_lip_up", 1)])
    def test_each_sign_tells_its_own_action(self, landmarks, points, move, name, sign):
        before = face.features(face.eye_frame(landmarks))
        landmarks[list(points)] += move
        change = dict(zip(face.FEATURES, face.features(face.eye_frame(landmarks)) - before))
        assert np.sign(change.pop(name)) == sign
        others = {"lips_open"} if name == "eye_open" else set()
        assert all(abs(v) < 1e-9 for k, v in change.items() if k not in others)

    def test_outline_and_cut(self, landmarks):
        mask = face.oval_mask(landmarks, (480, 640))
        assert mask[260, 320] and not mask[20, 20]
        assert face.oval_mask(landmarks, (480, 640), 1.5).sum() == pytest.approx(2.25 * mask.sum(), rel=0.02)
        x, y, side = face.square(landmarks)
        assert side == pytest.approx(260 * 1.3, rel=0.01) and x + side / 2 == pytest.approx(320, abs=1) and y + side / 2 == pytest.approx(260, abs=1)
        picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
        assert face.cut(picture, (x, y, side)).shape == (256, 256, 3)
        np.testing.assert_array_equal(face.cut(picture, (10, 20, 256)), picture[20:276, 10:266])
        np.testing.assert_array_equal(face.cut(picture, (-100, -100, 256))[:100, :100], np.broadcast_to(picture[0, 0], (100, 100, 3)))
        np.testing.assert_allclose(face.into((10, 20, 128), np.array([[74, 84]])), [[128, 128]])
