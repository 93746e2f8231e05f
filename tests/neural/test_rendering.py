# SPDX-License-Identifier: GPL-3.0-or-later
import cv2
import numpy as np
import pytest

from mien.mesh.camera import Camera
from mien.mesh.model import load_model
from mien.neural.rendering import PlateRenderer
from mien.neural.rendering.band import extend, solve_laplace
from mien.neural.rendering.raster import rasterise, visible
from mien.neural.rendering.renderer import sample


def raster(xy, depth, triangles, values, size, facing=0.0):
    values = np.asarray(values, np.float32)
    out, z = np.zeros((*size, values.shape[1]), np.float32), np.full(size, np.inf, np.float32)
    rasterise(np.asarray(xy, np.float32), np.asarray(depth, np.float32), np.asarray(triangles, np.int32), values, out, z, facing)
    return out, z


def test_rasteriser_interpolates_linearly():
    xy = [(2, 1), (30, 4), (9, 27)]
    values = np.array([[1.0, 0], [0, 5], [2, 2]])
    out, z = raster(xy, [1, 1, 1], [(0, 1, 2)], values, (32, 32))
    plane = np.linalg.solve(np.c_[xy, np.ones(3)], values)
    rows, columns = np.nonzero(np.isfinite(z))
    assert len(rows) > 250
    want = np.c_[columns + 0.5, rows + 0.5, np.ones(len(rows))] @ plane
    assert np.allclose(out[rows, columns], want, atol=1e-4)


def test_rasteriser_shows_the_nearer_and_leaves_no_crack():
    square = [(0, 0), (16, 0), (16, 16), (0, 16)]
    xy = square * 2
    triangles = [(0, 1, 2), (0, 2, 3), (4, 5, 6), (4, 6, 7)]
    out, z = raster(xy, [2] * 4 + [1] * 4, triangles, [[0.0]] * 4 + [[1.0]] * 4, (16, 16))
    assert np.isfinite(z).all() and (out == 1).all()


def test_rasteriser_culls():
    xy = [(0, 0), (8, 0), (0, 8)]
    seen = [np.isfinite(raster(xy, [1] * 3, [(0, 1, 2)], np.zeros((3, 1)), (8, 8), f)[1]).any() for f in (1.0, -1.0, 0.0)]
    assert seen == [True, False, True]


def test_a_texture_lies_where_its_coordinates_say():
    """Against OpenCV's remap at coordinates that were carried to the picture as values."""
    rng = np.random.default_rng(5)
    texture = cv2.GaussianBlur(rng.random((64, 64, 2)).astype(np.float32), (0, 0), 1.5)
    xy = np.array([(3, 2), (44, 6), (40, 37), (5, 30)], np.float32)
    uv = np.array([(5, 4), (60, 9), (55, 60), (7, 52)], np.float32)
    triangles = np.array([(0, 1, 2), (0, 2, 3)], np.int32)
    surface = visible(xy, np.ones(4), triangles, (40, 48), 0.0)
    at = surface.carry(uv, triangles)
    want = cv2.remap(texture, at[..., 0] - 0.5, at[..., 1] - 0.5, cv2.INTER_LINEAR)
    got = surface.carry_texture(texture, uv[triangles])
    assert surface.mask.sum() > 1000 and not got[~surface.mask].any()
    assert np.abs(got - want)[surface.mask].max() < 0.01  # OpenCV counts in 1/32 texels
    assert np.array_equal(surface.carry_texture(texture, uv[triangles], 2), got[::2, ::2])
    without = surface.carry_texture(texture, uv[triangles[:1]])  # the second triangle has no place in the texture
    assert np.array_equal(without[surface.faces == 0], got[surface.faces == 0]) and not without[surface.faces == 1].any()


def test_laplace_on_a_ring_against_the_closed_form():
    """Between circles of radius a and b, with 1 inside and 0 outside, the solution is log(b / r) / log(b / a)."""
    n, a, b = 97, 12.0, 42.0
    y, x = np.mgrid[:n, :n] - n // 2
    r = np.hypot(x, y)
    field = solve_laplace(np.ones((n, n, 1), np.float32), r <= a, (r > a) & (r < b))[..., 0]
    ring = (r > a + 2) & (r < b - 2)
    assert np.abs(field - np.log(b / r.clip(1)) / np.log(b / a))[ring].max() < 0.04


def test_band_is_exact_inside_and_zero_beyond():
    mask = np.zeros((200, 240), bool)
    mask[60:140, 80:160] = True
    field, away = extend(np.full((200, 240, 2), 3.0, np.float32) * mask[..., None], mask, 80.0, 0.25)
    assert np.allclose(field[90:110, 100:140], 3.0)
    assert not field[away > 0.3].any()
    line = field[100, 160:185, 0]
    assert (np.diff(line) <= 1e-4).all() and line[0] > 2 and line[-1] < 0.5


def test_sampling_is_a_copy_where_nothing_moves():
    plate = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    field = np.zeros((20, 30, 2), np.float32)
    assert np.array_equal(sample(plate, (5, 6, 35, 26), field), plate[6:26, 5:35])
    field[:, :, 0] = 3
    assert np.array_equal(sample(plate, (5, 6, 35, 26), field), plate[6:26, 8:38])


@pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535), (np.float32, 8.0)])
def test_sampling_a_smooth_picture_between_pixels(dtype, top):
    y, x = np.mgrid[:60, :60].astype(np.float32)
    smooth = np.repeat(((np.sin(x / 9) + np.cos(y / 7) + 2) / 4 * top)[..., None], 3, 2)
    moved = sample((smooth if dtype == np.float32 else np.round(smooth)).astype(dtype), (20, 20, 40, 40), np.full((20, 20, 2), 0.5, np.float32))
    ys, xs = y[20:40, 20:40] + 0.5, x[20:40, 20:40] + 0.5
    want = (np.sin(xs / 9) + np.cos(ys / 7) + 2) / 4 * top
    assert np.abs(moved[..., 0] - want).max() <= max(1.0, 0.004 * top) * (1 if dtype != np.float32 else 0.04)


@pytest.fixture(scope="module")
def scene():
    model = load_model("default")
    renderer = PlateRenderer(model, Camera.centred(320, 320, 420.0))
    before, depth = renderer.project(np.zeros(model.identity_count), np.zeros(model.expression_count), np.zeros(3), np.array([0, 0, 0.45]))
    plate = np.random.default_rng(3).integers(0, 256, (320, 320, 3), np.uint8)
    return model, renderer, before, depth.astype(np.float32), plate


def test_nothing_moves_nothing_is_rendered(scene):
    _, renderer, before, depth, plate = scene
    assert renderer.render(plate, before, before.copy(), depth) is None


def test_outside_the_matte_the_plate_is_untouched(scene):
    model, renderer, before, depth, plate = scene
    beta = np.zeros(model.expression_count)
    beta[[model.expression_index["mouthSmileLeft"], model.expression_index["jawOpen"]]] = 0.8
    after, _ = renderer.project(np.zeros(model.identity_count), beta, np.zeros(3), np.array([0, 0, 0.45]))
    layer = renderer.render(plate, before, after, depth)
    out = layer.over(plate)
    full = np.zeros(plate.shape[:2], np.float32)
    l, t, r, b = layer.box
    full[t:b, l:r] = layer.matte
    assert (out != plate).any()
    assert np.array_equal(out[full == 0], plate[full == 0])
    # In the soft edge patch and plate are the same, which is why the matte's edge cannot show.
    edge = (full > 0) & (full < 1)
    assert edge.any() and np.array_equal(out[edge], plate[edge])


def test_a_known_shift_moves_the_pixels_by_it(scene):
    model, renderer, before, depth, _ = scene
    x = np.arange(320, dtype=np.float32)
    ramp = np.repeat(np.repeat((x / 2).astype(np.float32)[None, :, None], 320, 0), 3, 2)
    layer = renderer.render(ramp, before, before + np.array([4.0, 0]), depth)
    l, t, r, b = layer.box
    centre = np.round(before.mean(0)).astype(int)
    got = layer.patch[centre[1] - t, centre[0] - l, 0]
    assert got == pytest.approx((centre[0] - 4) / 2, abs=0.02)


def test_lock_brings_the_mesh_onto_the_landmarks(scene):
    _, renderer, before, _, _ = scene
    model = renderer.model
    landmarks = np.zeros((478, 2))
    landmarks[model.landmark_ids] = before[model.landmark_vertices] + np.random.default_rng(0).normal(0, 2, (len(model.landmark_ids), 2))
    locked = before + renderer.lock(before, landmarks)
    assert np.allclose(locked[model.landmark_vertices], landmarks[model.landmark_ids], atol=1e-3)
    assert np.abs(locked - before).max() < 15
