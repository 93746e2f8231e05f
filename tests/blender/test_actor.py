# SPDX-License-Identifier: GPL-3.0-or-later
"""Trainings from Blender: what is asked of the engine, the pictures on the way, stopping and going on."""

from __future__ import annotations

import functools
import json
import sys
import time
from pathlib import Path

import pytest

from mien.mesh.errors import MienError
from mien.neural.client import Engine

FAKE = Path(__file__).with_name("fake_jobs.py")


@pytest.fixture
def training(blender, saved, monkeypatch):
    """The settings of a scene's training; its shot folder exists, and an engine with stand-in jobs is at hand."""
    from mien.operators import engine
    monkeypatch.setattr(engine, "Engine", functools.partial(Engine, arguments=("--jobs", str(FAKE))))
    monkeypatch.setenv("MIEN_PYTHON", sys.executable)
    (saved.parent / "clip.mien").mkdir()
    (saved.parent / "clip.mien" / "shot.json").write_text("{}")
    scene = blender.context.scene
    scene.mien.shot_folder, scene.mien.training.actor = "//clip.mien", "//actor"
    return scene.mien.training


def asked(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "asked.jsonl").read_text().splitlines()]


def test_what_is_asked_of_the_engine(blender, training, saved) -> None:
    from mien.operators.actor import train_job
    scene, output = blender.context.scene, str(saved.parent / "actor")
    shot, table = saved.parent / "clip.mien", saved.parent / "takes.csv"
    assert train_job(scene, shot) == ("train_texture", {"output": output, "takes": str(shot)})
    training.kind, training.takes = "mouth", str(table)
    with pytest.raises(MienError, match=r"takes\.csv does not exist"):
        train_job(scene, shot)
    table.write_text("clip,actor,emotion,level\n")
    assert train_job(scene, shot) == ("train_mouth", {"output": output, "takes": str(table)})
    training.kind = "shape"
    assert train_job(scene, shot) == ("train_shape", {"output": output, "takes": str(table), "resume": False})
    training.takes = ""
    assert train_job(scene, None) == ("train_shape", {"output": output, "cast": True, "resume": False})
    training.kind, training.size, training.kimg = "stylegan", "64", 2.0
    settings = {"size": 64, "kimg": 2.0}
    assert train_job(scene, shot) == ("train_stylegan", {"output": output, "shots": [str(shot)], "settings": settings, "resume": False})
    with pytest.raises(MienError, match="There are no takes"):
        train_job(scene, None)
    training.actor = ""
    with pytest.raises(RuntimeError, match="Choose the actor folder"):
        blender.ops.mien.train_actor()


def test_these_are_jobs_of_the_engine(blender, training, saved) -> None:
    """The real jobs know the parameters: what they complain of is the empty shot folder."""
    from mien.neural.jobs import JOBS
    from mien.neural.progress import Silent
    from mien.operators.actor import train_job
    for kind in ("texture", "mouth", "stylegan"):
        training.kind = kind
        job, params = train_job(blender.context.scene, saved.parent / "clip.mien")
        with pytest.raises(MienError, match=r"shot\.json"):
            JOBS[job](params, Silent())


def test_a_training_is_stopped_shown_and_goes_on(blender, training, saved) -> None:
    from mien.operators import engine
    from mien.operators.actor import PREVIEW, train_job
    actor = saved.parent / "actor"
    training.kind, training.kimg = "stylegan", 9.0
    assert not blender.ops.mien.training_preview.poll()
    run = engine.JobRun(engine.session_engine(blender.context), "Training", [train_job(blender.context.scene, saved.parent / "clip.mien")])
    end = time.monotonic() + 60
    while not (actor / "stylegan" / "checkpoint.safetensors").exists() and time.monotonic() < end:
        run.advance()
    assert blender.ops.mien.training_preview() == {"FINISHED"}  # while it runs
    image = blender.data.images[PREVIEW]
    assert tuple(image.size) == (8, 4) and image.pixels[0] == pytest.approx(100 / 255, abs=0.01)
    run.cancel()
    with pytest.raises(engine.JobFailed) as stopped:
        run.wait()
    assert stopped.value.kind == "cancelled" and (actor / "stylegan" / "checkpoint.safetensors").read_bytes() == b"kept"
    training.kimg = 1.0
    assert blender.ops.mien.train_actor() == {"FINISHED"}
    assert [row["resume"] for row in asked(actor)] == [False, True]
    assert blender.ops.mien.training_preview() == {"FINISHED"}
    assert blender.data.images[PREVIEW] == image and image.pixels[0] == pytest.approx(200 / 255, abs=0.01)


def test_a_stopped_shape_training_is_of_use(blender, training, saved) -> None:
    """What the training wrote before it was stopped is what the face's edits use."""
    from mien.operators import actor
    from mien.tests.blender.fake_jobs import STOPPED
    face = blender.data.objects.new("face", blender.data.meshes.new("face"))
    blender.context.scene.collection.objects.link(face)
    face.mien.shot_folder = blender.context.scene.mien.shot_folder
    training.kind, training.takes = "shape", "//clip.mien"
    with pytest.raises(RuntimeError, match=STOPPED):
        blender.ops.mien.train_actor()
    assert (saved.parent / "actor" / actor.SHAPE_WEIGHTS).exists()
    assert actor.train_job(blender.context.scene, None)[1]["resume"] is False
    blender.context.scene.mien.face = face
    with pytest.raises(RuntimeError, match=STOPPED):
        blender.ops.mien.train_actor()
    assert face.mien.actor == "//actor"


def test_the_face_uses_what_was_trained(blender, training) -> None:
    face = blender.data.objects.new("face", blender.data.meshes.new("face"))
    blender.context.scene.collection.objects.link(face)
    face.mien.shot_folder = blender.context.scene.mien.shot_folder
    blender.context.scene.mien.face = face
    assert blender.ops.mien.train_actor() == {"FINISHED"}
    assert face.mien.actor == "//actor"
