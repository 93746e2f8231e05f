# SPDX-License-Identifier: GPL-3.0-or-later
"""Teeth and eyes of a face model that has them: objects under the face that play its action."""

from __future__ import annotations

import numpy as np
import pytest

from mien.mesh.model import Part, load_model
from mien.mesh.shot import Shot, Solve

SHIFT = 0.01
"""How far jawOpen lowers the teeth, metres."""


@pytest.fixture
def with_teeth(make_shot, tmp_path) -> Shot:
    """A shot of the default model with four vertices of teeth, which go down with jawOpen."""
    model = load_model()
    mean = np.array([[-0.01, 0.03, 0], [0.01, 0.03, 0], [0.01, 0.04, 0], [-0.01, 0.04, 0]], np.float32)
    expression = np.zeros((model.expression_count, 4, 3), np.float32)
    expression[model.expression_index["jawOpen"], :, 1] = SHIFT
    corners = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    still = np.zeros((model.identity_count, 4, 3), np.float32)
    model.parts = {"teeth": Part(mean, still, expression, corners, np.zeros((4, 2), np.float32), corners)}
    path = tmp_path / "teeth.npz"
    model.save(path)
    return make_shot(model=str(path))


def heights(blender, made, frame: int) -> np.ndarray:
    """(V,) the part's heights in the head frame as Blender evaluates them on a frame; z is up."""
    blender.context.scene.frame_set(frame)
    mesh = made.evaluated_get(blender.context.evaluated_depsgraph_get()).data
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)[:, 2]


def test_teeth_play_the_performance_and_the_live_edit(blender, with_teeth) -> None:
    from mien.operators import face as faces
    from mien.operators.live import live_shot, set_live
    from mien.operators.parts import parts_of
    result = faces.import_shot(blender.context.scene, with_teeth)
    teeth = parts_of(result.face)["teeth"]
    assert teeth.parent == result.face and teeth.data.shape_keys.animation_data.action == result.face.data.shape_keys.animation_data.action
    solve, jaw = Solve.load(with_teeth), load_model().expression_index["jawOpen"]
    rest = np.array([-0.03, -0.03, -0.04, -0.04])
    for index in (0, 5, 11):
        np.testing.assert_allclose(heights(blender, teeth, 1001 + index), rest - SHIFT * solve.beta[index, jaw], atol=1e-5)
    result.face.mien.surprised = 1.0  # opens the jaw
    live = live_shot(result.face)
    from mien.operators.sampling import sample_frames
    window = live.editor.window(5)
    _, beta = live.editor.edit(window, sample_frames(result.face, window + 1001))
    assert beta[jaw] > 0.05
    edited = heights(blender, teeth, 1006)
    np.testing.assert_allclose(edited, rest - SHIFT * (solve.beta[5, jaw] + beta[jaw]), atol=1e-5)
    set_live(result.face, False, 1006)
    np.testing.assert_allclose(heights(blender, teeth, 1006), rest - SHIFT * solve.beta[5, jaw], atol=1e-5)


def test_a_second_import_replaces_the_parts(blender, with_teeth) -> None:
    from mien.operators import face as faces
    from mien.operators.parts import parts_of
    scene = blender.context.scene
    faces.import_shot(scene, with_teeth)
    face = faces.import_shot(scene, with_teeth).face
    assert list(parts_of(face)) == ["teeth"]
    assert sum(o.type == "MESH" for o in scene.objects) == 2
    assert len(blender.data.meshes) == 2
