# SPDX-License-Identifier: GPL-3.0-or-later
"""The edited mesh in the viewport is what level 1 makes of the curves."""

from __future__ import annotations

import numpy as np
import pytest

from mien.mesh.editor import edit_shape, make_editor
from mien.mesh.model import DEFAULT_MODEL_PATH, load_model
from mien.mesh.shot import Solve


def key_values(face, frames) -> np.ndarray:
    """(T, B) of the shape key curves."""
    from mien import compat
    curves = {c.data_path: c for c in compat.channelbag(face.data.shape_keys).fcurves}
    return np.array([[curves[f'key_blocks["{k.name}"].value'].evaluate(f) for k in face.data.shape_keys.key_blocks[1:-1]] for f in frames])


def test_edited_and_as_filmed(blender, make_shot) -> None:
    from mien.operators import emotion, face, shots
    shot = make_shot(model=str(DEFAULT_MODEL_PATH), lost=(3,))
    object = face.import_shot(blender.context.scene, shot).face
    blender.context.view_layer.objects.active = object
    solve, model = Solve.load(shot), load_model(str(DEFAULT_MODEL_PATH))
    present = solve.solved
    frames = [n for n, ok in zip(range(1001, 1013), present) if ok]
    filmed = key_values(object, frames)
    assert np.allclose(filmed, solve.beta[present], atol=1e-6)
    for frame, value in ((1001, 0.0), (1012, 1.0)):
        object.mien.happy = value
        object.keyframe_insert("mien.happy", frame=frame)
    assert shots.shown(object) == "live"
    assert blender.ops.mien.show_performance(edited=True) == {"FINISHED"}
    curves, _ = emotion.sample(object, shot)
    expected = solve.beta + edit_shape(model, solve, curves, make_editor("analytic", model)).beta
    assert np.allclose(key_values(object, frames), expected[present], atol=1e-5)
    assert np.abs(expected[present][-1] - solve.beta[present][-1]).max() > 0.2
    assert shots.shown(object) == "edited"
    object.mien.sad = 0.3
    assert shots.shown(object) == "stale"
    assert blender.ops.mien.show_performance(edited=False) == {"FINISHED"}
    assert np.array_equal(key_values(object, frames), filmed)
    assert shots.shown(object) == "filmed"


def test_a_shot_solved_again_says_so(blender, make_shot) -> None:
    from mien.operators import face
    model = str(DEFAULT_MODEL_PATH)
    blender.context.view_layer.objects.active = face.import_shot(blender.context.scene, make_shot(model=model)).face
    make_shot(model=model, seed=5)
    with pytest.raises(RuntimeError, match="press Import Again"):
        blender.ops.mien.show_performance(edited=True)
