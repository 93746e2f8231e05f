# SPDX-License-Identifier: GPL-3.0-or-later
"""The cast in Blender: what the solve is asked, who may be chosen, and what the panel says of the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.mesh.cast import SETTING, Actor, Look, Verdict


@pytest.fixture
def scene(blender, saved, make_shot):
    """A scene with a solved shot and a cast of two beside the .blend."""
    shot = make_shot(folder=saved.parent)
    for name in ("Bela", "anna"):
        Actor(saved.parent / "cast" / name, "network", {"key-0": Look("../talk.mien", (1,), np.zeros((1, 2)))}).save()
    blender.ops.mien.open_shot(directory=str(shot.folder))
    blender.context.scene.mien.cast = "//cast"
    return blender.context.scene


def verdict(scene, given: Verdict) -> None:
    from mien.operators import shots
    shot = shots.shot_info(shots.absolute(scene.mien.shot_folder)).shot
    shot.settings[SETTING] = given.to_dict()
    shot.save()
    shots.forget()


def info(scene):
    from mien.operators import shots
    return shots.shot_info(shots.absolute(scene.mien.shot_folder))


def test_cast_and_actor_reach_the_solve(scene, saved) -> None:
    from mien.operators import track
    options = track.solve_options(scene)
    assert Path(options["cast"]) == saved.parent / "cast" and "actor" not in options
    scene.mien.actor_name = " Anna "
    assert track.solve_options(scene)["actor"] == "Anna"
    scene.mien.cast = ""
    assert not {"cast", "actor"} & set(track.solve_options(scene)), "a name means nothing without a cast"


def test_the_actors_of_the_folder_are_offered(scene) -> None:
    from mien.operators import track
    assert track.cast_actors(scene) == ["anna", "Bela"]
    scene.mien.cast = "//nowhere"
    assert track.cast_actors(scene) == []


def test_the_panel_tells_who_it_is(scene) -> None:
    from mien.operators import track
    assert track.actor_words(info(scene)) == ("", False)
    verdict(scene, Verdict("recognised", "anna", 0.412))
    assert track.actor_words(info(scene)) == ("Actor: anna, recognised (0.41).", False)
    verdict(scene, Verdict("new", "actor 3"))
    assert track.actor_words(info(scene)) == ("Actor: actor 3, new in the cast.", False)
    verdict(scene, Verdict("unsure", distance=0.53, reason="it is 0.53 from anna"))
    words, wrong = track.actor_words(info(scene))
    assert wrong and "0.53 from anna" in words and "choose the Actor under Method" in words
    assert "actor: not clear" in track.solve_sentence({"solved": 1, "frames": 1, "reprojection": 0.01, "lost": [],
                                                       "cast": Verdict("unsure", distance=0.53).to_dict()})


def test_another_name_makes_the_solve_out_of_date(scene) -> None:
    from mien.operators import track
    verdict(scene, Verdict("recognised", "anna", 0.4))
    assert track.out_of_date(scene, info(scene)) == ""
    scene.mien.actor_name = "ANNA"
    assert track.out_of_date(scene, info(scene)) == ""
    scene.mien.actor_name = "Bela"
    assert track.out_of_date(scene, info(scene)) == "another actor was named since"


def test_the_other_faces_of_a_plate_are_other_actors(scene) -> None:
    from mien.operators import shot_items, shots
    scene.mien.actor_name = "anna"
    shot_items.enlist_others(scene, [shots.absolute(scene.mien.shot_folder) / "faces" / "1.mien"])
    assert scene.mien.shots[-1].face_number == 1 and scene.mien.shots[-1].actor_name == ""
