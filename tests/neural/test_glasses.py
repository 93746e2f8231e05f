# SPDX-License-Identifier: GPL-3.0-or-later
import cv2
import numpy as np
import pytest

from mien.mesh.model import load_model
from mien.neural.glasses import GLASSES_THRESHOLD, GlassesHold, glasses_score

LIDS, MOUTH, BROWS = [159, 145, 386, 374, 168, 6], [61, 291, 17, 0], [105, 66, 334, 296]


@pytest.fixture(scope="module")
def model():
    return load_model("default")


@pytest.fixture(scope="module")
def hold(model):
    return GlassesHold(model)


def test_the_skin_under_glasses_is_still_and_the_mouth_free(model, hold):
    before = model.mean[:, :2] * 1000
    after = hold(before, before + np.array([2.0, 3.0]))
    moved = after - before
    assert not moved[model.vertices_of_landmarks(LIDS)].any()
    assert np.allclose(moved[model.vertices_of_landmarks(MOUTH)], [2, 3])


def test_brows_move_as_a_whole(model, hold):
    """No gradient across a brow: its lower edge comes with its upper one, or it would change its thickness."""
    before = model.mean[:, :2] * 1000
    for way in (-3.0, 3.0):
        moved = (hold(before, before + np.array([0, way])) - before)[:, 1]
        upper, lower = moved[model.vertices_of_landmarks([105, 334])], moved[model.vertices_of_landmarks([52, 282])]
        assert (np.abs(upper) > 1.4).all() and np.allclose(lower, upper, rtol=0.35)


def test_the_nose_wrinkles_below_the_pads(model, hold):
    """Its wings and tip lie between two lenses, not under one; pads and rims do not come along."""
    before = model.mean[:, :2] * 1000
    moved = hold(before, before + np.array([0.0, -4.0])) - before
    assert (moved[model.vertices_of_landmarks([129, 358, 98, 327, 1]), 1] < -3.9).all()
    assert not moved[model.vertices_of_landmarks([174, 399, 217, 437, 126, 355])].any()


@pytest.mark.parametrize(("stem", "amount"), [("browDown", 0.85), ("noseSneer", 1.1)])
def test_no_skin_folds(model, hold, stem, amount):
    """A frown pushes the brows down onto the rim, disgust the wings of the nose up to it: the triangles between must keep their way round."""
    before = model.mean[:, :2] * 1000
    beta = np.zeros(model.expression_count)
    for side in ("Left", "Right"):
        beta[model.expression_index[stem + side]] = amount
    freely = before + model.displacement(beta)[:, :2] * 1000
    after = hold(before, freely)

    def area(p):
        a, b, c = (p[model.triangles[:, i]] for i in range(3))
        return (b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1]

    facing = (np.abs(area(before)) > 0.05) & (np.sign(area(freely)) == np.sign(area(before)))  # a raised rim of a nostril turns away by itself
    assert (np.sign(area(after)) == np.sign(area(before)))[facing].mean() > 0.999


def test_a_frame_across_the_bridge_is_seen(model):
    rng = np.random.default_rng(0)
    skin = cv2.GaussianBlur(rng.normal(0, 30, (1024, 1024, 3)).astype(np.float32), (0, 0), 6) + (190, 150, 130)
    uv = np.zeros((model.vertex_count, 2), np.float32)
    uv[model.triangles.ravel()] = model.uv[model.uv_triangles.ravel()]
    x, y = (uv[model.vertices_of_landmarks([168])[0]] * (1024, -1024) + (0, 1024)).astype(int)
    framed = skin.copy()
    cv2.line(framed, (x - 90, y), (x + 90, y), (40, 35, 35), 8)
    bare, worn = (glasses_score(np.clip(t, 0, 255).astype(np.uint8), model) for t in (skin, framed))
    assert bare < GLASSES_THRESHOLD < worn
