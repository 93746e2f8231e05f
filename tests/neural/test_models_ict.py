# SPDX-License-Identifier: GPL-3.0-or-later
"""ICT-FaceKit: a real sample where there is one, wrong folders always; the folder of models and `mien model`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.mesh.model import FaceModel, load_model, model_names
from mien.neural import cli
from mien.neural.models.add import add_model
from mien.neural.models.ict import FACE, INDICES, NEUTRAL, camel_case, read_ict


@pytest.fixture(scope="module")
def ict() -> FaceModel:
    """The sample at $MIEN_ICT, or ../shared/models/ICT-FaceKit beside the repository."""
    folder = Path(os.environ.get("MIEN_ICT") or Path(__file__).resolve().parents[3] / "shared" / "models" / "ICT-FaceKit")
    if not folder.is_dir():
        pytest.skip(f"no ICT-FaceKit sample: {folder} is missing (set MIEN_ICT to a folder that has it)")
    return read_ict(folder)


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MIEN_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_names_are_arkits() -> None:
    names = {"browDown_L": "browDownLeft", "jawOpen": "jawOpen", "PupilDilate_R": "pupilDilateRight", "mouthLeft": "mouthLeft"}
    assert [camel_case(name) for name in names] == list(names.values())


@pytest.mark.long
def test_the_sample_is_a_symmetric_face_in_metres(ict) -> None:
    assert ict.eye_distance == pytest.approx(0.089, abs=0.003)
    assert set(ict.loops) == {"border", "mouth", "eye_left", "eye_right"}
    assert len(set(ict.landmark_vertices.tolist())) == 468
    default = load_model()
    mirror = np.linalg.norm(default.mean[:468, None] - default.mean[None, :468] * (-1, 1, 1), axis=-1).argmin(1)
    points = ict.mean[ict.landmark_vertices]
    assert np.median(np.linalg.norm(points[mirror] * (-1, 1, 1) - points, axis=1)) < 5e-4


@pytest.mark.long
def test_actions_move_what_they_name(ict) -> None:
    def moved(name: str) -> tuple[np.ndarray, np.ndarray]:
        move = ict.expression[ict.expression_index[name]]
        top = np.linalg.norm(move, axis=1).argmax()
        return ict.mean[top], move[top]
    for side, sign in (("Left", 1), ("Right", -1)):
        place, move = moved("eyeBlink" + side)
        assert place[0] * sign > 0.02
        assert move[1] > 0.005
        place, move = moved("mouthSmile" + side)
        assert place[0] * sign > 0.01
        assert move[0] * sign > 0 > move[1]
    assert moved("jawOpen")[1][1] > 0.02


@pytest.mark.long
def test_the_facial_landmarks_lie_on_the_openings(ict) -> None:
    for loop, ids in (("mouth", (78, 13, 308, 14)), ("eye_right", (33, 159, 133, 145)), ("eye_left", (263, 386, 362, 374))):
        assert np.isin(ict.vertices_of_landmarks(list(ids)), ict.loops[loop]).all()


def folder_of(tmp_path: Path, vertices: int, points: int = 68) -> Path:
    folder = tmp_path / "ict" / "FaceXModel"
    folder.mkdir(parents=True)
    lines = ["v 0 0 0"] * vertices + ["vt 0 0"] + ["f 1/1 2/1 3/1"]
    (folder / NEUTRAL).write_text("\n".join(lines))
    (folder / INDICES).write_text(json.dumps({"idx_to_landmark_verts": list(range(points))}))
    return folder


@pytest.mark.parametrize("vertices, points, words", [
    (99, 68, f"has 99 vertices, the face alone has {FACE}"), (FACE, 67, "'idx_to_landmark_verts' has 67"), (FACE, 68, "lacks identity shapes")])
def test_wrong_folders_name_what_is_wrong(tmp_path, vertices, points, words) -> None:
    with pytest.raises(MienError, match=words):
        read_ict(folder_of(tmp_path, vertices, points).parent)


def test_shapes_of_another_mesh_are_told(tmp_path) -> None:
    folder = folder_of(tmp_path, FACE)
    (folder / "identity000.obj").write_text("v 0 0 0\n")
    (folder / "jawOpen.obj").write_text("v 0 0 0\n")
    with pytest.raises(MienError, match=r"identity000\.obj has 1 vertices"):
        read_ict(folder)


def test_damaged_lines_are_told(tmp_path) -> None:
    folder = folder_of(tmp_path, FACE)
    (folder / NEUTRAL).write_text("v 0 0\nv 1 2 3\n")
    with pytest.raises(MienError, match="not 3 numbers"):
        read_ict(folder)


def test_the_folder_of_models(models, capsys) -> None:
    assert model_names() == ["default"]
    with pytest.raises(MienError, match="no face model 'mine'.*mien model add"):
        load_model("mine")
    source = models.parent / "mine.npz"
    load_model().save(source)
    assert add_model(source) == models / "mine.npz"
    assert model_names() == ["default", "mine"]
    assert load_model("mine").vertex_count == load_model().vertex_count
    assert cli.main(["model", "list"]) == 0
    assert str(models / "mine.npz") in capsys.readouterr().out
    assert cli.main(["model", "info", "mine"]) == 0
    assert "468 of mediapipe478" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, words", [(["model", "info", "none"], "no face model 'none'"), (["model", "add", "no.mat"], "does not exist"),
                                              (["model", "add", "README.md"], "no face model that Mien knows"),
                                              (["model", "add", ".", "--name", "../x"], "cannot name a face model")])
def test_failures_are_one_sentence(models, capsys, monkeypatch, repository, arguments, words) -> None:
    monkeypatch.chdir(repository)
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
