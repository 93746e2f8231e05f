# SPDX-License-Identifier: GPL-3.0-or-later
"""What is handed over, read back: Alembic and USD in Blender, the table and the point cache from their bytes."""

from __future__ import annotations

import csv
import struct

import numpy as np
import pytest

from mien.mesh.camera import place, rotation_matrix, rotation_vector
from mien.mesh.errors import MienError
from mien.mesh.handover import ANGLES, LIVE_LINK, head_angles, timecode
from mien.mesh.model import DEFAULT_MODEL_PATH, load_model
from mien.mesh.shot import Solve


@pytest.fixture
def scene(blender, make_shot):
    """(scene, face, shot) after the import of a shot whose frames 1004 and 1005 are lost."""
    from mien.operators import face
    shot = make_shot(frames=8, lost=(3, 4))
    return blender.context.scene, face.import_shot(blender.context.scene, shot).face, shot


def expected(shot) -> np.ndarray:
    """(T, V, 3) vertices in camera axes, lost frames as the last one before."""
    model, solve = load_model(shot.model), Solve.load(shot)
    frames = [2 if i in (3, 4) else i for i in range(len(solve.beta))]
    return np.stack([place(model.shape(solve.alpha, solve.beta[i]), solve.rotation[i], solve.translation[i]) for i in frames])


def seen(blender, object) -> np.ndarray:
    """(V, 3) world vertices as evaluated."""
    evaluated = object.evaluated_get(blender.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    points = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    world = np.array(evaluated.matrix_world)
    return points.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]


@pytest.mark.parametrize("kind, reader", [("abc", "alembic_import"), ("usd", "usd_import")])
def test_mesh_and_camera_come_back(blender, scene, tmp_path, kind, reader) -> None:
    from mien.mesh.camera import TO_BLENDER
    _, _, shot = scene
    path = tmp_path / f"face é.{kind}"
    blender.context.scene.frame_set(1006)
    assert blender.ops.mien.hand_over(filepath=str(path), kind=kind) == {"FINISHED"}
    assert blender.context.scene.frame_current == 1006
    assert [p.name for p in tmp_path.glob("*.tmp*")] == []
    lens = blender.context.scene.camera.data.lens
    blender.ops.wm.read_factory_settings(use_empty=True)
    blender.context.scene.render.fps = 24
    options = {"set_frame_range": True, **({"as_background_job": False} if kind == "abc" else {})}
    assert getattr(blender.ops.wm, reader)(filepath=str(path), **options) == {"FINISHED"}
    objects = {o.type: o for o in blender.data.objects if o.type in ("MESH", "CAMERA")}
    assert (blender.context.scene.frame_start, blender.context.scene.frame_end) == (1001, 1008)
    want = expected(shot) @ TO_BLENDER.T
    for i in range(8):
        blender.context.scene.frame_set(1001 + i)
        assert np.abs(seen(blender, objects["MESH"]) - want[i]).max() < 1e-5, i
    assert len(objects["MESH"].data.uv_layers) == 1
    camera = objects["CAMERA"]
    assert camera.data.lens * 36 / camera.data.sensor_width == pytest.approx(lens, rel=1e-4)
    look = np.array(camera.matrix_world)[:3]
    assert np.allclose(look[:, 3], 0, atol=1e-6)
    assert np.allclose(look[:, :3] @ (0, 0, -1), (0, 1, 0), atol=1e-5)


def test_the_table_has_the_layout_of_live_link_face(scene, blender, tmp_path) -> None:
    _, _, shot = scene
    path = tmp_path / "curves.csv"
    assert blender.ops.mien.hand_over(filepath=str(path), kind="csv") == {"FINISHED"}
    rows = list(csv.reader(path.open(encoding="utf-8")))
    assert rows[0] == ["Timecode", "BlendshapeCount", *LIVE_LINK, *ANGLES]
    assert len(rows) == 9
    assert {len(row) for row in rows} == {63}
    assert rows[1][:2] == ["00:00:41:17.000", "61"]
    model, solve = load_model(shot.model), Solve.load(shot)
    beta = solve.beta[:, model.expression_index["jawOpen"]]
    column = np.array([float(row[rows[0].index("JawOpen")]) for row in rows[1:]])
    assert np.allclose(column, np.clip(beta[[0, 1, 2, 2, 2, 5, 6, 7]], 0, 1), atol=1e-6)
    assert float(rows[1][rows[0].index("TongueOut")]) == 0


def test_the_point_cache(scene, blender, tmp_path) -> None:
    _, _, shot = scene
    path = tmp_path / "face.pc2"
    assert blender.ops.mien.hand_over(filepath=str(path), kind="pc2") == {"FINISHED"}
    data = path.read_bytes()
    want = expected(shot)
    assert struct.unpack("<12siiffi", data[:32]) == (b"POINTCACHE2\0", 1, want.shape[1], 1001.0, 1.0, 8)
    points = np.frombuffer(data[32:], "<f4").reshape(want.shape)
    assert np.abs(points * (1, -1, -1) - want).max() < 1e-6


def test_an_edit_is_handed_over_when_it_is_shown(blender, make_shot, tmp_path) -> None:
    from mien.operators import face as faces
    from mien.operators import preview
    face = faces.import_shot(blender.context.scene, make_shot(frames=4, model=str(DEFAULT_MODEL_PATH))).face
    face.mien.happy = 0.8
    column = LIVE_LINK.index("MouthSmileLeft") + 2
    values = {}
    for edited in (False, True):
        preview.show(face, edited)
        blender.ops.mien.hand_over(filepath=str(tmp_path / "c.csv"), kind="csv")
        values[edited] = [float(row[column]) for row in list(csv.reader((tmp_path / "c.csv").open(encoding="utf-8")))[1:]]
    assert sum(values[True]) > sum(values[False])


def test_selection_and_range_are_put_back(scene, blender, tmp_path) -> None:
    current, face, _ = scene
    other = blender.data.objects.new("other", None)
    current.collection.objects.link(other)
    other.select_set(True)
    current.frame_start, current.frame_end = 3, 5
    assert blender.ops.mien.hand_over(filepath=str(tmp_path / "f.abc"), kind="abc") == {"FINISHED"}
    assert (current.frame_start, current.frame_end) == (3, 5)
    assert other.select_get()
    assert not face.select_get()


def test_failures_leave_no_file(scene, blender, tmp_path) -> None:
    _, face, _ = scene
    from mien.operators.handover import hand_over
    face.hide_set(True)
    with pytest.raises(MienError, match="is hidden"):
        hand_over(blender.context, face, tmp_path / "f.usd", "usd")
    face.hide_set(False)
    blocked = tmp_path / "file"
    blocked.write_text("")
    for kind in ("abc", "csv"):
        with pytest.raises((MienError, RuntimeError), match="Cannot write|could not write"):
            hand_over(blender.context, face, blocked / f"f.{kind}", kind)
    assert not list(tmp_path.glob("*.usd"))


def test_angles_and_timecode() -> None:
    turn = {axis: rotation_matrix(np.eye(3)[axis] * angle) for axis, angle in ((0, 0.2), (1, -0.3), (2, 0.1))}
    assert np.allclose(head_angles(rotation_vector(turn[1] @ turn[0] @ turn[2])[None]), [[0.3, -0.2, 0.1]])
    assert [timecode(0, 25), timecode(90061 * 25 + 24, 25), timecode(24, 23.976)] == ["00:00:00:00.000", "01:01:01:24.000", "00:00:01:00.000"]
    assert len(set(LIVE_LINK)) == 52
