# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a shot through the operators: two shots in a file, no engine, enabled again. After every operator: test_every_operator.py."""

from __future__ import annotations

import pytest

from mien.mesh.model import DEFAULT_MODEL_PATH
from mien.tests.blender.file_picture import picture


def test_two_shots_in_a_file(blender, saved, make_shot, quick_engine) -> None:
    from mien.operators import shots
    one, two = make_shot("one", folder=saved.parent), make_shot("two", folder=saved.parent, frames=5, first_frame=1, seed=2)
    blender.ops.mien.open_shot(directory=str(one.folder))
    blender.ops.mien.import_face()
    first = blender.context.scene.mien.face
    first.mien.happy = 1.0
    blender.ops.mien.bake()
    blender.ops.mien.open_shot(directory=str(two.folder))
    settings = blender.context.scene.mien
    assert shots.shot_folder(blender.context) == two.folder  # the panels follow the shot just opened, not the face of the other
    assert [item.name for item in settings.shots] == ["one", "two"]
    assert settings.shot_index == 1
    assert shots.active_face(blender.context) is None
    blender.ops.mien.import_face()
    second = settings.face
    assert (first.mien.happy, second.mien.happy) == (1.0, 0.0)
    blender.ops.mien.bake()
    settings.shot_index = 0  # a press on the list's first row
    assert settings.face == first and blender.context.view_layer.objects.active == first
    assert (blender.context.scene.frame_start, blender.context.scene.frame_end) == (1001, 1012)
    assert shots.shot_folder(blender.context) == one.folder
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=str(saved))
    settings = blender.context.scene.mien
    settings.shot_index = 1
    assert settings.face.name == "two Face"
    assert (blender.context.scene.frame_start, blender.context.scene.frame_end) == (1, 5)
    assert {s.folder for s in (one, two)} == {shots.absolute(f.mien.shot_folder) for f in shots.faces(blender.context.scene)}


OF_A_SHOT = {"face_number": 2, "focal_mm": 35.0, "model": "ict", "landmarks": "face-alignment", "rnet": "//net.pth", "photometric": True,
             "actor_name": "Anna"}


def test_settings_of_a_shot_stay_with_it(blender, saved, make_shot) -> None:
    """Opened, imported, chosen in the list: each brings back what was set for that shot; a new one starts afresh."""
    from mien.operators import shot_items
    from mien.ui.properties import ShotSettings
    assert set(OF_A_SHOT) == set(ShotSettings.__annotations__) == set(shot_items.PER_SHOT)
    one, two = make_shot("one", folder=saved.parent), make_shot("two", folder=saved.parent)
    settings = blender.context.scene.mien

    def now() -> dict:
        return {name: getattr(settings, name) for name in shot_items.PER_SHOT}
    fresh = now()
    settings.focal_mm = 50.0  # before any shot is there: it is meant for the first
    blender.ops.mien.open_shot(directory=str(one.folder))
    assert now() == {**fresh, "focal_mm": 50.0}
    for name, value in OF_A_SHOT.items():
        setattr(settings, name, value)
    blender.ops.mien.open_shot(directory=str(two.folder))
    assert now() == fresh
    settings.shot_index = 0
    assert now() == OF_A_SHOT
    blender.ops.mien.import_face()
    first = settings.face
    settings.shot_index = 1
    blender.ops.mien.import_face()
    assert now() == fresh
    settings.focal_mm = 24.0
    blender.ops.mien.choose_plate(filepath=str(saved.parent / "footage/one.1001.png"))
    assert now() == OF_A_SHOT
    settings.shot_index = 1
    assert now() == {**fresh, "focal_mm": 24.0}
    blender.context.view_layer.objects.active = first
    blender.ops.mien.import_face()
    assert now() == OF_A_SHOT, "the active face's shot was imported again"
    blender.ops.mien.remove_shot()
    blender.ops.mien.remove_shot()
    assert now() == fresh, "nothing of a shot that was taken off the list"


def test_taking_a_shot_off_the_list_leaves_its_folder(blender, saved, make_shot) -> None:
    shots_made = [make_shot(name, folder=saved.parent) for name in ("one", "two")]
    for shot in shots_made:
        blender.ops.mien.open_shot(directory=str(shot.folder))
    settings = blender.context.scene.mien
    blender.ops.mien.remove_shot()
    assert [item.name for item in settings.shots] == ["one"]
    assert settings.shot_folder == "//one.mien"
    blender.ops.mien.remove_shot()
    assert (len(settings.shots), settings.shot_folder) == (0, "")
    with pytest.raises(RuntimeError, match="No shot is listed"):
        blender.ops.mien.remove_shot()
    assert all((shot.folder / "shot.json").exists() for shot in shots_made)


def test_a_file_without_the_engine(blender, saved, make_shot, quick_engine, monkeypatch) -> None:
    """Opening, keying, the live edit and the composite need none; what needs one says so."""
    from mien.operators import bake_state, engine, shots
    shot = make_shot(folder=saved.parent)
    blender.ops.mien.open_shot(directory=str(shot.folder))
    blender.ops.mien.import_face()
    blender.context.scene.mien.face.mien.happy = 1.0
    blender.ops.mien.bake()
    blender.ops.wm.save_mainfile()
    monkeypatch.delenv("MIEN_PYTHON")
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    blender.ops.wm.open_mainfile(filepath=str(saved))
    face = blender.context.scene.mien.face
    assert bake_state.bake_state(face, shots.shot_info(shot.folder)).text == "12 of 12 frames baked"
    assert blender.ops.mien.key_emotion() == {"FINISHED"}
    assert blender.ops.mien.composite() == {"FINISHED"}
    import mien
    from mien.operators.engine import JobOperator
    jobs = [c.bl_idname.removeprefix("mien.") for m in mien._modules() for c in m.CLASSES if issubclass(c, JobOperator)]
    assert {"track", "solve", "bake", "deliver_layers", "train_actor", "selftest"} <= set(jobs)
    for name in set(jobs) - {"setup_engine", "resolve"}:  # the one makes an engine, the other has no pins to solve
        with pytest.raises(RuntimeError, match="Mien has no engine"):
            getattr(blender.ops.mien, name)()


def test_from_the_shot_to_its_composite_and_back(blender, saved, make_shot, quick_engine) -> None:
    from types import SimpleNamespace

    from mien.operators import show_scene
    from mien.ui import common
    shot = make_shot(folder=saved.parent, model=str(DEFAULT_MODEL_PATH))
    blender.ops.mien.open_shot(directory=str(shot.folder))
    blender.ops.mien.import_face()
    blender.context.scene.mien.face.mien.happy = 1.0
    blender.ops.mien.bake()
    blender.ops.mien.composite()
    home, composite = blender.context.scene, show_scene.scene_of(blender.context, "composite")
    there = SimpleNamespace(scene=composite, active_object=None)
    assert (show_scene.stage_of(home), show_scene.stage_of(composite)) == ("shot", "composite")
    assert show_scene.scene_of(there, "shot") == home
    assert common.next_action(there)[0] == "mien.deliver", "not Import Face: the face is in the shot's own scene"
    with blender.context.temp_override(scene=composite):
        assert not blender.ops.mien.import_face.poll()
    home.frame_set(1007)
    assert blender.ops.mien.show_scene(stage="composite") == {"FINISHED"}
    assert composite.frame_current == 1007
    assert "Video Editing" not in blender.data.workspaces
    blender.ops.mien.deliver(render=False)
    assert blender.ops.mien.show_scene(stage="delivery") == {"FINISHED"}
    if blender.context.window is not None:
        assert "Video Editing" in blender.data.workspaces, "the sequencer's workspace comes from Blender's template"
    assert blender.ops.mien.show_scene(stage="shot") == {"FINISHED"}
    assert blender.context.window is None or blender.context.window.scene == home
    blender.data.scenes.remove(composite)
    with pytest.raises(RuntimeError, match="not in this file any more; press Build Composite"):
        blender.ops.mien.show_scene(stage="composite")


@pytest.mark.parametrize("looks", ["CAMERA", "PERSP"])
def test_a_view_through_the_camera_stays_so_while_another_scene_is_in_the_window(blender, looks) -> None:
    from mien.operators.view import kept_camera_views
    window = blender.context.window_manager.windows[0]
    home, other = window.scene, blender.data.scenes.new("Without Camera")
    home.camera = blender.data.objects.new("Camera", blender.data.cameras.new("Camera"))
    home.collection.objects.link(home.camera)
    view = next(area.spaces.active.region_3d for area in window.screen.areas if area.type == "VIEW_3D")
    view.view_perspective = looks
    with kept_camera_views(window):
        window.scene = other
    window.scene = home
    assert view.view_perspective == looks


def test_switched_off_and_on_with_a_shot_in_the_file(blender, saved, make_shot, quick_engine) -> None:
    import mien
    shot = make_shot(folder=saved.parent)
    blender.ops.mien.open_shot(directory=str(shot.folder))
    blender.ops.mien.import_face()
    blender.context.scene.mien.face.mien.happy = 0.7
    blender.ops.wm.save_mainfile()
    before = picture(blender)
    mien.unregister()
    assert not hasattr(blender.context.scene, "mien")
    blender.ops.wm.open_mainfile(filepath=str(saved))  # a colleague without Mien
    assert any(len(o.data.shape_keys.key_blocks) > 6 for o in blender.data.objects if o.type == "MESH")
    blender.ops.wm.save_mainfile()
    mien.register()
    blender.ops.wm.open_mainfile(filepath=str(saved))
    assert picture(blender) == before
