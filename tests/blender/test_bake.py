# SPDX-License-Identifier: GPL-3.0-or-later
"""Which frames are baked, versions, and the command line; with stand-in jobs in a real engine process."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.shot import Shot
from mien.neural.client import Engine
from mien.tests.blender.conftest import write_png

FAKE = Path(__file__).with_name("fake_jobs.py")


@pytest.fixture
def face(blender, saved, make_shot, monkeypatch):
    """The imported face of a shot of 12 frames, 1001 to 1012, happy keyed on each."""
    from mien.operators import engine
    monkeypatch.setattr(engine, "Engine", functools.partial(Engine, arguments=("--jobs", str(FAKE))))
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    shot = make_shot(folder=saved.parent)
    blender.ops.mien.open_shot(directory=str(shot.folder))
    blender.ops.mien.import_face()
    face = blender.context.scene.mien.face
    for frame in range(1001, 1013):
        face.mien.happy = 0.5
        face.keyframe_insert("mien.happy", frame=frame)
    return face


def state(face):
    from mien.operators import bake_state, shots
    shots.forget()
    return bake_state.bake_state(face, shots.shot_info(shots.absolute(face.mien.shot_folder)))


def key(face, frame: int, value: float, name: str = "happy") -> None:
    setattr(face.mien, name, value)
    face.keyframe_insert(f"mien.{name}", frame=frame)


def test_the_frames_whose_mask_is_another_one(blender, face) -> None:
    """Drawn, drawn anew, taken away: the strip tells the edited frames under it, as the engine will bake them."""
    from mien.operators import shots
    from mien.operators.bake_state import FRESH, STALE
    folder = shots.absolute(face.mien.shot_folder) / "occlusion"
    for frame in (1001, 1002, 1003):  # nothing to bake there
        key(face, frame, 0.0)
    blender.ops.mien.bake()
    assert state(face).count(FRESH) == 12
    for frame in range(1002, 1009):
        write_png(folder / f"mask.{frame}.png", np.zeros((54, 96, 3), np.uint8))
    assert state(face).runs == [(FRESH, 1001, 1002), (STALE, 1003, 1008), (FRESH, 1009, 1012)]  # 1004's edit reaches 1003
    assert state(face).text.endswith("the mask changed since")
    blender.ops.mien.bake()
    assert state(face).count(FRESH) == 12
    write_png(folder / "mask.1006.png", np.full((54, 96, 3), 255, np.uint8))
    assert state(face).runs[1] == (STALE, 1006, 1006)
    for picture in folder.iterdir():
        picture.unlink()
    assert state(face).runs[1] == (STALE, 1003, 1008)
    blender.ops.mien.bake()
    assert state(face).count(FRESH) == 12


def test_the_frames_that_a_key_reaches(blender, face) -> None:
    from mien.operators.bake_state import FRESH, MISSING, STALE
    assert state(face).runs == [(MISSING, 1001, 1012)]
    blender.ops.mien.bake()
    assert state(face).runs == [(FRESH, 1001, 1012)]
    key(face, 1005, 0.9)
    assert state(face).runs == [(FRESH, 1001, 1003), (STALE, 1004, 1006), (FRESH, 1007, 1012)]
    assert "3 out of date (1004-1006): an emotion changed since" in state(face).text
    key(face, 1005, 0.5)  # back to what was baked
    assert state(face).count(FRESH) == 12
    face.mien.glasses = "on"
    assert state(face).count(STALE) == 12
    assert "a setting changed" in state(face).text


def test_frames_at_rest_never_go_out_of_date(blender, face) -> None:
    from mien.operators.bake_state import FRESH, STALE
    for frame in range(1001, 1013):
        key(face, frame, 0.5 if frame > 1008 else 0.0)
    blender.ops.mien.bake()
    face.mien.mouth = 0.9
    assert state(face).runs == [(FRESH, 1001, 1007), (STALE, 1008, 1012)]  # 1008 is smoothed with 1009


def test_a_part_of_the_frames(blender, face) -> None:
    from mien.operators import bake_command
    assert bake_command.main(["bake", "--frames", "1003-1005,1009"]) == 0
    assert [run[1:] for run in state(face).runs if run[0] == 2] == [(1003, 1005), (1009, 1009)]
    assert "8 missing" in state(face).text


def test_versions(blender, face) -> None:
    from mien.operators.bake_state import FRESH
    folder = Path(blender.path.abspath(face.mien.shot_folder))
    with pytest.raises(RuntimeError, match="Nothing is baked yet"):
        blender.ops.mien.new_bake_version()
    blender.ops.mien.bake()
    blender.ops.mien.composite()
    scene = next(s for s in blender.data.scenes if s.get("mien_stage") == "composite")
    tree = scene.compositing_node_group if blender.app.version >= (5, 0, 0) else scene.node_tree
    layer = tree.nodes["Mien Face"].image
    assert "/bake/v001/" in layer.filepath
    assert blender.ops.mien.new_bake_version() == {"FINISHED"}
    assert Shot.load(folder).bake_folder == folder / "bake" / "v002"
    assert "/bake/v002/" in layer.filepath
    assert state(face).count(FRESH) == 0
    key(face, 1002, 0.1)
    blender.ops.mien.bake()
    assert state(face).count(FRESH) == 12
    assert blender.ops.mien.use_bake_version(version="1") == {"FINISHED"}
    assert "/bake/v001/" in layer.filepath
    assert state(face).count(FRESH) == 9  # the key on 1002 came with v002
    assert Shot.load(folder).bake_versions() == [1, 2]


# -- the command line ---------------------------------------------------------------------------------------------------------

def test_the_command_bakes_every_shot(blender, face, capfd) -> None:
    from mien.operators import bake_command
    assert bake_command.main(["bake"]) == 0
    assert "talk: baked 12 of 12 frames into v001" in capfd.readouterr().out
    assert bake_command.main(["bake", "--shot", "talk", "--new-version"]) == 0
    assert "into v002" in capfd.readouterr().out
    asked = [json.loads(line) for line in (Path(blender.path.abspath(face.mien.shot_folder)) / "asked.jsonl").read_text().splitlines()]
    assert [a["job"] for a in asked] == ["bake", "bake"]


@pytest.mark.parametrize("arguments, code, words", [
    (["bake", "--shot", "nosuch"], 1, "has no shot 'nosuch'; it has talk."),
    (["bake", "--frames", "9-3"], 2, "no frame number or range"),
    (["fry"], 2, "invalid choice"),
    ([], 2, "required"),
])
def test_what_the_command_refuses(blender, face, capfd, arguments, code, words) -> None:
    from mien.operators import bake_command
    assert bake_command.main(arguments) == code
    assert words in capfd.readouterr().err


def test_a_file_without_a_face(blender, saved, capfd) -> None:
    from mien.operators import bake_command
    assert bake_command.main(["bake"]) == 1
    assert capfd.readouterr().err.startswith("error: ")


def test_frames_of() -> None:
    from mien.operators.bake_command import frames_of
    assert frames_of("101-120, 131") == [[101, 120], [131, 131]]
    assert frames_of("-5--2") == [[-5, -2]]


def test_neighbours() -> None:
    from mien.operators.bake_state import with_neighbours
    assert with_neighbours(np.array([1, 0, 0, 0, 1, 0], bool)).tolist() == [True, True, False, True, True, True]
