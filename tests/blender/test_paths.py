# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving elsewhere, moving and renaming: the .blend goes on finding its shot folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def two_shots(blender, saved, make_shot):
    """A scene with two imported shots beside the .blend, and a composite scene of the second."""
    for name in ("one", "two"):
        shot = make_shot(name, folder=saved.parent, frames=3)
        blender.ops.mien.open_shot(directory=str(shot.folder))
        blender.ops.mien.import_face()
    from mien.operators import composite
    composite.shot_scene(shot, "composite")
    blender.ops.wm.save_mainfile()
    return saved


def folders(blender) -> list[Path]:
    """Where each of Mien's paths leads."""
    scenes, faces = list(blender.data.scenes), [o for o in blender.data.objects if o.type == "MESH" and o.mien.shot_folder]
    stored = [f.mien.shot_folder for f in faces] + [s["mien_shot"] for s in scenes if s.get("mien_shot")]
    stored += [item.shot_folder for s in scenes for item in s.mien.shots] + [s.mien.shot_folder for s in scenes if s.mien.shot_folder]
    assert len(stored) == 6
    return [Path(blender.path.abspath(p)).resolve() for p in stored]


def check(blender, beside: Path) -> None:
    assert {p.name for p in folders(blender)} == {"one.mien", "two.mien"}
    assert all(p.parent == beside.resolve() and (p / "shot.json").exists() for p in folders(blender))
    scene = next(s for s in blender.data.scenes if s.mien.plate)
    assert Path(blender.path.abspath(scene.mien.plate)).parent.resolve() == (beside / "footage").resolve()


def test_save_as_into_another_folder(blender, two_shots, tmp_path) -> None:
    elsewhere = tmp_path / "else" / "deep" / "copy.blend"
    elsewhere.parent.mkdir(parents=True)
    blender.ops.wm.save_as_mainfile(filepath=str(elsewhere))
    check(blender, two_shots.parent)
    assert blender.context.scene.mien.shot_folder == "//../../shots and é/two.mien"
    blender.ops.wm.open_mainfile(filepath=str(elsewhere))
    check(blender, two_shots.parent)
    blender.ops.wm.open_mainfile(filepath=str(two_shots))
    check(blender, two_shots.parent)


def test_every_path_goes_along(blender, two_shots, tmp_path) -> None:
    """The actor of a face, the files of the shot's method, those of a training: whatever holds a path."""
    from mien.operators import paths
    scene = blender.context.scene
    face, training = scene.mien.face, scene.mien.training
    given = {(face.mien, "actor"): "//two.mien/actor", (scene.mien, "rnet"): "//nets/r.pth", (scene.mien.shots[0], "rnet"): "//nets/s.pth",
             (scene.mien, "cast"): "//cast", (scene.mien, "model"): "//models/a.npz", (scene.mien.shots[0], "model"): "ict",
             (training, "takes"): "//takes.csv", (training, "actor"): "//actors/her"}
    for (group, name), path in given.items():
        setattr(group, name, path)
    paths_of_groups = {(group.path_from_id(), name) for group in (face.mien, scene.mien, scene.mien.shots[0], training)
                       for name in paths.path_names(group)}
    covered = {(group.path_from_id(), name) for group, name in given}
    assert {name for _, name in paths_of_groups} == {"plate", "shot_folder", "actor", "cast", "rnet", "model", "takes"} and covered <= paths_of_groups
    elsewhere = tmp_path / "else" / "copy.blend"
    elsewhere.parent.mkdir()
    blender.ops.wm.save_as_mainfile(filepath=str(elsewhere))
    for (group, name), path in given.items():
        told = getattr(group, name)
        assert told == (path if path == "ict" else f"//../shots and é/{path[2:]}")
    blender.ops.wm.open_mainfile(filepath=str(elsewhere))
    assert blender.context.scene.mien.face.mien.actor == "//../shots and é/two.mien/actor"


def test_the_live_edit_outlives_a_save_elsewhere(blender, saved, make_shot, tmp_path) -> None:
    """Saving tells the actor's path anew: the mesh keeps following the sliders."""
    from mien.mesh.model import DEFAULT_MODEL_PATH
    shot = make_shot("gan", folder=saved.parent, model=str(DEFAULT_MODEL_PATH))
    blender.ops.mien.open_shot(directory=str(shot.folder))
    blender.ops.mien.import_face()
    face = blender.context.scene.mien.face
    from mien.operators import live
    face.mien.editor, face.mien.actor = "gan", "//gan.mien/actor"
    elsewhere = tmp_path / "else" / "copy.blend"
    elsewhere.parent.mkdir()
    before = live.live_shot(face)
    blender.ops.wm.save_as_mainfile(filepath=str(elsewhere))
    assert live.live_shot(face) == before  # the same shot, or the same sentence that names the missing actor


def test_save_a_copy_leaves_the_open_file_alone(blender, two_shots, tmp_path) -> None:
    elsewhere = tmp_path / "copy.blend"
    blender.ops.wm.save_as_mainfile(filepath=str(elsewhere), copy=True)
    check(blender, two_shots.parent)
    assert blender.context.scene.mien.shot_folder == "//two.mien"
    blender.ops.wm.open_mainfile(filepath=str(elsewhere))
    check(blender, two_shots.parent)


def test_a_save_that_fails_changes_nothing(blender, two_shots, tmp_path) -> None:
    with pytest.raises(RuntimeError):
        blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "no such folder" / "x.blend"))
    assert blender.context.scene.mien.shot_folder == "//two.mien"
    check(blender, two_shots.parent)


def test_moved_and_renamed_with_its_shot_folders(blender, two_shots, tmp_path) -> None:
    blender.ops.wm.read_homefile(use_empty=True)
    moved = tmp_path / "archive"
    shutil.move(two_shots.parent, moved)
    (moved / "scene.blend").rename(moved / "renamed.blend")
    blender.ops.wm.open_mainfile(filepath=str(moved / "renamed.blend"))
    check(blender, moved)
    blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "up.blend"))  # and Save As from the new place
    check(blender, moved)


def test_a_shot_folder_renamed_by_hand_is_found_again(blender, two_shots) -> None:
    """Open Shot Folder brings the face back with its keys, instead of a second one."""
    from mien.operators import shots
    scene = blender.context.scene
    face = scene.mien.face
    face.mien.happy = 0.4
    face.keyframe_insert("mien.happy", frame=1001)
    face.mien.actor = "//two.mien/actor"
    renamed = two_shots.parent / "two graded.mien"
    (two_shots.parent / "two.mien").rename(renamed)
    assert blender.ops.mien.open_shot(directory=str(renamed)) == {"FINISHED"}
    assert scene.mien.face == face
    assert shots.absolute(face.mien.shot_folder) == renamed
    assert shots.absolute(face.mien.actor) == renamed / "actor", "the actor inside went along"
    assert [item.name for item in scene.mien.shots] == ["one", "two graded"]
    composite = next(s for s in blender.data.scenes if s.get("mien_shot"))
    assert shots.absolute(composite["mien_shot"]) == renamed
    assert len(shots.faces(scene)) == 2


def test_a_plate_moved_by_hand_is_found_again(blender, two_shots, tmp_path) -> None:
    from mien.mesh.shot import Shot
    folder, elsewhere = two_shots.parent / "two.mien", tmp_path / "footage elsewhere"
    shutil.move(two_shots.parent / "footage", elsewhere)
    assert blender.ops.mien.choose_plate(filepath=str(elsewhere / "two.1002.png")) == {"FINISHED"}
    assert Path(blender.path.abspath(blender.context.scene.mien.shot_folder)).resolve() == folder.resolve()
    assert Shot.load(folder).plate_path.resolve() == elsewhere / "two.####.png"
    assert (folder / "solve.npz").exists()


def test_undo_after_save_as(blender, two_shots, tmp_path) -> None:
    """Undo brings back property values from before Save As, whose paths were told from the old folder."""
    from mien.operators import paths
    elsewhere = tmp_path / "else" / "copy.blend"
    elsewhere.parent.mkdir()
    before = [s.mien.path_base for s in blender.data.scenes], blender.context.scene.mien.shot_folder
    blender.ops.wm.save_as_mainfile(filepath=str(elsewhere))
    for scene, base in zip(blender.data.scenes, before[0]):
        scene.mien.path_base = base
    paths.rewrite(lambda stored: paths.moved(stored, str(elsewhere.parent), str(two_shots.parent)))  # as undo would
    assert blender.context.scene.mien.shot_folder == before[1]
    paths._undo_post()
    check(blender, two_shots.parent)


def test_the_first_save_makes_paths_relative(blender, make_shot, tmp_path) -> None:
    shot = make_shot("talk", frames=3)
    blender.ops.mien.open_shot(directory=str(shot.folder))
    assert Path(blender.context.scene.mien.shot_folder).is_absolute()
    blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "first.blend"))
    assert blender.context.scene.mien.shot_folder == "//talk.mien"
