# SPDX-License-Identifier: GPL-3.0-or-later
"""Two faces of one plate in Blender: a row of the list each, a mesh each, emotions of their own."""

from __future__ import annotations

import pytest

from mien.mesh.shot import FACES, Shot


@pytest.fixture
def plate_of_two(blender, saved, make_shot) -> tuple[Shot, Shot]:
    first = make_shot(folder=saved.parent)
    second = make_shot("1", folder=first.folder / FACES, seed=2)
    second.face = 1
    second.save()
    assert first.face_folders() == {0: first.folder, 1: second.folder}
    return first, second


def test_the_other_face_is_a_row_and_an_edit_of_its_own(blender, plate_of_two) -> None:
    from mien.operators import composite, shot_items, shots
    first, second = plate_of_two
    scene = blender.context.scene
    blender.ops.mien.open_shot(directory=str(first.folder))
    shot_items.enlist_others(scene, [second.folder])  # it is there already: opening the first shows both
    assert [item.name for item in scene.mien.shots] == ["talk", "talk face 1"]
    assert blender.ops.mien.import_face() == {"FINISHED"}
    scene.mien.shot_index = 1
    assert shots.absolute(scene.mien.shot_folder) == second.folder and scene.mien.face is None
    assert blender.ops.mien.import_face() == {"FINISHED"}
    faces = shots.faces(scene)
    assert {face.name for face in faces} == {"talk Face", "talk face 1 Face"}
    by_name = {face.name: face for face in faces}
    by_name["talk face 1 Face"].mien.sad = 0.7
    assert by_name["talk Face"].mien.sad == 0.0
    scene.mien.shot_index = 0
    assert scene.mien.face == by_name["talk Face"]
    made = composite.shot_scene(first, composite.COMPOSITE)
    scene.mien.shot_index = 1
    assert shots.stage_scene(blender.context, composite.COMPOSITE) == made, "both faces are in one composite"


def test_tracking_again_is_left_to_the_plates_first_face(blender, plate_of_two, monkeypatch) -> None:
    """The other face was tracked with it: its button only solves."""
    from mien.operators import track
    _, second = plate_of_two
    blender.ops.mien.open_shot(directory=str(second.folder))

    class Bare:
        steps = track.MIEN_OT_track.steps
    assert [job for job, _ in Bare().steps(blender.context)] == ["solve", "learn"]
