# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmark backend, R-Net and refinement in Blender: what the jobs are asked, and what is said when something is missing."""

from __future__ import annotations

import pytest

from mien.neural.tracking import fan


@pytest.fixture
def ready(blender, saved, tmp_path, monkeypatch):
    """A scene with a plate; the folder of weights is empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = saved.parent / "a.mp4"
    path.write_bytes(b"not read here")
    blender.ops.mien.choose_plate(filepath=str(path))
    return blender.context.scene


def test_usual_choices_ask_for_nothing(ready):
    from mien.operators import track
    assert "landmarks" not in track.track_params(ready) and track.solve_options(ready) == {"model": "default"}


def test_chosen_ones_reach_the_jobs(ready, tmp_path):
    from mien.operators import track
    ready.mien.landmarks, ready.mien.photometric, ready.mien.rnet = "face-alignment", True, "//epoch_20.pth"
    assert track.track_params(ready)["landmarks"] == "face-alignment"
    options = track.solve_options(ready)
    assert options["photometric"] is True and options["rnet"].endswith("epoch_20.pth") and not options["rnet"].startswith("//")


def test_missing_weights_are_told_by_name(blender, ready, tmp_path):
    from mien.operators import backends
    ready.mien.landmarks = "face-alignment"
    assert backends.WEIGHTS == fan.WEIGHTS
    with pytest.raises(RuntimeError, match="weights of face-alignment are missing"):
        blender.ops.mien.track()
    backends.weights_path().parent.mkdir(parents=True)
    backends.weights_path().write_bytes(b"")
    assert backends.missing_landmarks(ready.mien) == ""
    import torch
    assert backends.weights_path() == fan.weights_path() or torch.hub.get_dir() != str(tmp_path / "torch" / "hub")


def test_rnet_wants_its_file_and_a_basel_model(blender, ready, tmp_path):
    from mien.operators import backends
    ready.mien.rnet = str(tmp_path / "epoch_20.pth")
    with pytest.raises(RuntimeError, match="epoch_20.pth is missing"):
        blender.ops.mien.track()
    (tmp_path / "epoch_20.pth").write_bytes(b"")
    with pytest.raises(RuntimeError, match="Basel Face Model"):
        blender.ops.mien.track()
    ready.mien.model = "bfm"
    assert backends.missing_start(ready.mien) == ""
