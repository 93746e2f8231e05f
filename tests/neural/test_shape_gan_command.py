# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien train shape` from the command line to the actor folder."""

from __future__ import annotations

import json

import pytest
import torch

from mien.mesh.editor import make_editor
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.neural import cli
from mien.neural.edit import EditSettings
from mien.neural.jobs import JOBS
from mien.neural.progress import Silent
from mien.neural.shape_gan.command import configs
from mien.neural.shape_gan.config import CastConfig, TrainConfig

SMALL = ["--iterations", "6", "--batch", "8", "--hidden", "16", "--log-every", "2", "--cast-actors", "2", "--cast-held-back", "1",
         "--cast-takes", "1", "--cast-frames", "30"]


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_training_on_the_cast(tmp_path, capsys):
    actor = tmp_path / "Ann é"
    assert cli.main(["train", "shape", "--cast", "-o", str(actor), "--seed", "3", "--mouth", "4", *SMALL]) == 0
    out = capsys.readouterr().out
    for words in ("iterations               6", "cycle error, mm", "(actors held back)", f"written                  {actor}"):
        assert words in out
    assert make_editor("gan", load_model(), actor).name == "gan"
    settings = json.loads((actor / "train.json").read_text())["training"]
    assert settings["mouth"] == 4 and settings["seed"] == 3 and settings["rec"] == 5e3
    assert cli.main(["train", "shape", "--cast", "-o", str(actor), *SMALL]) == 1
    assert "--resume" in capsys.readouterr().err
    longer = [*SMALL, "--seed", "3", "--mouth", "4", "--iterations", "8", "--resume"]
    assert cli.main(["train", "shape", "--cast", "-o", str(actor), *longer]) == 0
    assert [line.split(",")[0] for line in (actor / "losses.csv").read_text().splitlines()] == ["iteration", "2", "4", "6", "8"]


@pytest.mark.parametrize("arguments", ["train", "train dance", "train shape", "train shape --cast", "train shape -o x --iterations many"])
def test_wrong_usage_is_2(arguments, capsys):
    assert cli.main(arguments.split()) == 2
    assert "usage: mien train" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, words", [("", "nothing to train on"), ("--cast --iterations 0", "'iterations' must be at least 1"),
                                              ("none.csv", "does not exist"), ("--cast --model none", "no face model 'none'")])
def test_what_cannot_be_trained_is_told(arguments, words, tmp_path, capsys):
    assert cli.main(["train", "shape", "-o", str(tmp_path / "a"), *arguments.split()]) == 1
    assert words in capsys.readouterr().err


def test_help_names_every_setting(capsys):
    assert cli.main(["train", "shape", "--help"]) == 0
    out = capsys.readouterr().out
    for words in ("--gp X", "--rec X", "--cast-actors N", "--resume", "80000"):
        assert words in out


def test_settings_reach_their_configs():
    assert configs({}) == (TrainConfig(), CastConfig())
    assert configs({"seed": 1, "cast_seed": 2}) == (TrainConfig(seed=1), CastConfig(seed=2))
    with pytest.raises(MienError, match="cast_colour"):
        configs({"cast_colour": 1})


def test_the_job_checks_its_parameters(tmp_path):
    with pytest.raises(MienError, match="output"):
        JOBS["train_shape"]({"cast": True}, Silent())
    with pytest.raises(MienError, match="'cast' of 'train_shape' must be true or false"):
        JOBS["train_shape"]({"output": str(tmp_path), "cast": 1}, Silent())


def test_edit_settings_know_the_editor(tmp_path, capsys):
    settings = EditSettings.from_dict({"editor": "gan", "actor": str(tmp_path)})
    assert settings.editor == "gan" and settings.actor == str(tmp_path)
    with pytest.raises(MienError, match="analytic or gan"):
        EditSettings.from_dict({"editor": "magic"})
    assert cli.main(["edit", "s.mien", "-o", "o.mp4", "--emotion", "happy=1", "--editor", "magic"]) == 2


def test_edit_passes_the_editor_on(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(cli, "JOBS", {"edit": lambda params, report: asked.append(params) or {"output": "o"}})
    (tmp_path / "s.mien").mkdir()
    shot, output = str(tmp_path / "s.mien"), str(tmp_path / "o.mp4")
    assert cli.main(["edit", shot, "-o", output, "--emotion", "happy=1", "--editor", "gan", "--actor", "Ann"]) == 0
    assert asked[0]["settings"] == {"editor": "gan", "actor": "Ann"}
