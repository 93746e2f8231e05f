# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake with the real engine, and what is left of it when the engine or Blender is killed in the middle."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("bpy")
posix = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="signals and process handles as Linux has them")

SCRIPT = """
import os, sys
import bpy
import mien
bpy.ops.wm.read_factory_settings(use_empty=True)
mien.register()
from mien.operators import bake_command
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
code = bake_command.main(["bake"])
sys.stdout.flush()
os._exit(code)
"""


QUIT = """
import sys
import bpy
import mien
bpy.ops.wm.read_factory_settings(use_empty=True)
mien.register()
from mien.operators import bake, emotion, engine
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
face = bpy.context.scene.mien.face
emotion.write_emotion(face)
run = engine.JobRun(engine.session_engine(bpy.context), "Bake", [("bake", bake.bake_params(face))])
while not (engine.STATE.stage == "bake" and engine.STATE.done >= 8):
    assert not run.advance()
    run.engine._process.news.wait(0.05)
print(run.engine.hello.pid, flush=True)
mien.unregister()  # as Blender does with every extension when it ends
sys.exit(0)
"""


def real_shot(folder: Path, frames: int):
    """A small plate of the portrait, tracked and solved for real."""
    from mien.neural.progress import Silent
    from mien.neural.stages import solve, track
    from mien.tests.neural.portraits import portrait, write_movie
    plate = write_movie(folder / "portrait.mov", [portrait(0.7 * (i % 10)) for i in range(frames)])
    track(plate, folder / "portrait.mien", report=Silent())
    return solve(folder / "portrait.mien", report=Silent())


def import_face(blender, shot):
    blender.ops.mien.open_shot(directory=str(shot.folder))
    blender.ops.mien.import_face()
    return blender.context.scene.mien.face


def baked(shot) -> dict[str, str]:
    """Frame number -> content hash, of a manifest that is whole; each frame's files can be read."""
    from mien.neural.media import read_exr
    frames = json.loads((shot.bake_folder / "manifest.json").read_text())["frames"]
    for number in frames:
        index = int(number) - shot.plate.first_frame
        assert read_exr(shot.face_path(index)).shape[:2] == read_exr(shot.matte_path(index)).shape[:2] == (shot.plate.height, shot.plate.width)
    return frames


@pytest.fixture
def ready(blender, saved, monkeypatch):
    """(shot of 24 frames, face), imported, everything edited, saved."""
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    shot = real_shot(saved.parent, 24)
    face = import_face(blender, shot)
    face.mien.happy = 0.8
    blender.ops.wm.save_mainfile()
    return shot, face


@pytest.mark.long
@posix
def test_a_killed_engine_loses_the_frames_in_work_only(blender, ready) -> None:
    from mien.neural.protocol import Progress
    from mien.operators import bake, emotion, engine
    shot, face = ready
    emotion.write_emotion(face)
    client = engine.session_engine(blender.context)
    job = client.run("bake", bake.bake_params(face))
    seen = 0

    def watch(message) -> None:
        nonlocal seen
        if isinstance(message, Progress) and message.stage == "bake" and message.done >= 8 and not seen:
            seen = message.done
            os.kill(client.hello.pid, signal.SIGKILL)

    assert "was killed" in job.wait(watch, timeout=120).text
    kept = baked(shot)
    assert seen <= len(kept) < 24
    assert blender.ops.mien.bake() == {"FINISHED"}
    assert len(baked(shot)) == 24
    assert engine.STATE.total == 24 - len(kept)


@pytest.mark.long
@posix
def test_killed_blender_loses_the_frames_in_work_only(blender, ready, tmp_path) -> None:
    shot, _ = ready
    script = tmp_path / "bake.py"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, str(script), blender.data.filepath]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for line in process.stderr:
        if "Bake" in line and int(line.split("%")[0].split()[-1]) >= 30:
            break
    engines = [os.pidfd_open(int(p.name)) for p in Path("/proc").glob("[0-9]*") if parent_of(p) == process.pid]
    assert engines
    process.kill()
    process.wait()
    for engine in engines:  # readable once the process is gone
        assert select.select([engine], [], [], 30)[0], "the engine outlives Blender"
        os.close(engine)
    kept = baked(shot)
    assert 0.3 * 24 - 1 <= len(kept) < 24
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0, again.stderr
    assert f"baked {24 - len(kept)} of 24 frames" in again.stdout


@pytest.mark.long
@posix
def test_quitting_in_the_middle_of_a_bake_keeps_it_and_ends_the_engine(blender, ready, tmp_path) -> None:
    shot, _ = ready
    script = tmp_path / "quit.py"
    script.write_text(QUIT, encoding="utf-8")
    done = subprocess.run([sys.executable, str(script), blender.data.filepath], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    engine = int(done.stdout.split()[-1])
    with pytest.raises(ProcessLookupError):
        os.kill(engine, 0)
    kept = baked(shot)
    assert 8 <= len(kept) < 24
    assert blender.ops.mien.bake() == {"FINISHED"}
    from mien.operators.engine import STATE
    assert (len(baked(shot)), STATE.total) == (24, 24 - len(kept))


def parent_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.long
def test_touching_keys_on_20_of_300_frames_bakes_at_most_24(blender, saved, monkeypatch) -> None:
    from mien.operators import bake_state, shots
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    shot = real_shot(saved.parent, 300)
    face = import_face(blender, shot)
    for frame in range(100, 201):
        face.mien.happy = 0.5
        face.keyframe_insert("mien.happy", frame=frame)
    for frame in (99, 201):
        face.mien.happy = 0.0
        face.keyframe_insert("mien.happy", frame=frame)
    blender.ops.mien.bake()
    assert bake_state.bake_state(face, shots.shot_info(shot.folder)).count(bake_state.FRESH) == 300
    before = baked(shot)
    for frame in range(150, 170):
        face.mien.happy = 0.9
        face.keyframe_insert("mien.happy", frame=frame)
    told = bake_state.bake_state(face, shots.shot_info(shot.folder))
    blender.ops.mien.bake()
    after = baked(shot)
    changed = sorted(int(n) for n in after if after[n] != before[n])
    assert set(range(150, 170)) <= set(changed)
    assert len(changed) <= 24
    assert told.count(bake_state.STALE) == len(changed)  # what the panel said is what was baked
