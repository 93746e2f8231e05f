# SPDX-License-Identifier: GPL-3.0-or-later
"""Frown lines fade as far as an edit lets the brows go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mien.mesh.anatomy import directions
from mien.mesh.camera import Camera
from mien.mesh.model import load_model
from mien.neural.furrows import FULL, RING, Furrows
from mien.neural.media import srgb_to_linear
from mien.neural.rendering import FaceLayer, PlateRenderer
from mien.neural.rendering.raster import Surface

SIZE = 400
GRAIN = 2.0


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def lowering(model):
    """AU 4 (B,)."""
    return directions(model, {"browDownLeft": 1.0, "browDownRight": 1.0, "browCentreDown": 0.6})


@pytest.fixture(scope="module")
def after(model):
    """The face on the picture, (V, 2)."""
    renderer = PlateRenderer(model, Camera.centred(SIZE, SIZE, 1000))
    return renderer.project_shape(model.mean, np.zeros(3), np.array([0, 0, 0.6]))[0]


@pytest.fixture
def creased(model, after):
    """Grainy skin with a dark line down the middle between the brows, and another on the cheek, 30 levels deep."""
    ring = after[model.vertices_of_landmarks(list(RING))]
    patch = np.full((SIZE, SIZE, 3), 150.0) + np.random.default_rng(0).normal(0, GRAIN, (SIZE, SIZE, 1))
    y, x = np.mgrid[:SIZE, :SIZE]
    middle = ring.mean(0)
    for column, row in (middle, middle + (70, 90)):
        patch -= 30 * (np.exp(-(((x - column) / 2.0) ** 2)) * np.exp(-(((y - row) / 8.0) ** 2)))[..., None]
    layer = FaceLayer((0, 0, SIZE, SIZE), patch.round().clip(0, 255).astype(np.uint8), np.ones((SIZE, SIZE), np.float32),
                      np.zeros((SIZE, SIZE, 2), np.float32), Surface(np.zeros((SIZE, SIZE), np.int32), np.zeros((SIZE, SIZE, 2), np.float32)))
    return layer, middle.astype(int)


def depth(patch, at):
    """Levels by which the line at (x, y) is darker than the skin around."""
    x, y = at
    rows = patch[y - 4 : y + 5].astype(float).mean((0, 2))
    return np.r_[rows[x - 14 : x - 8], rows[x + 9 : x + 15]].mean() - rows[x - 1 : x + 2].mean()


def test_a_line_fades_with_the_frown_and_nothing_else_changes(model, lowering, after, creased):
    layer, middle = creased
    fade = Furrows(model, 1.0, False)
    assert fade.over(layer, 0.3 * lowering, after) is layer and fade.over(layer, 0 * lowering, after) is layer, "no frown is let go"
    whole, half = (fade.over(layer, -part * FULL * lowering, after).patch for part in (1.0, 0.5))
    was = depth(layer.patch, middle)
    assert was > 20 and depth(whole, middle) < 0.4 * was and 0.55 * was < depth(half, middle) < 0.85 * was
    changed = (whole != layer.patch).any(2)
    ring = after[model.vertices_of_landmarks(list(RING))]
    y, x = np.nonzero(changed)
    assert len(y) and x.min() > ring[:, 0].min() and x.max() < ring[:, 0].max() and y.min() > ring[:, 1].min() - 1 and y.max() < ring[:, 1].max() + 1
    assert depth(whole, middle + (70, 90)) == depth(layer.patch, middle + (70, 90))
    beside = np.s_[middle[1] - 3 : middle[1] + 4, middle[0] - 9 : middle[0] - 6]
    assert np.diff(whole[beside].astype(float), axis=0).std() > 0.8 * np.diff(layer.patch[beside].astype(float), axis=0).std(), "grain stays"


def test_strength_and_linear_plates(model, lowering, after, creased):
    layer, middle = creased
    assert Furrows(model, 0.0, False).over(layer, -lowering, after) is layer
    linear = replace(layer, patch=srgb_to_linear(layer.patch.astype(np.float32) / 255))
    a = Furrows(model, 0.7, False).over(layer, -lowering, after).patch / 255
    b = Furrows(model, 0.7, True).over(linear, -lowering, after).patch
    assert b.dtype == np.float32 and np.abs(srgb_to_linear(a.astype(np.float32)) - b).max() < 0.004
