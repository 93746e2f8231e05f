# SPDX-License-Identifier: GPL-3.0-or-later
"""Several faces on a plate: numbers that stay, tracks of all, edits of all."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.mesh.shot import Shot, Track
from mien.neural import cli
from mien.neural.jobs import JOBS
from mien.neural.progress import Silent
from mien.neural.tracking.faces import Faces
from mien.tests.neural.portraits import portrait
from mien.tests.neural.test_stages import decoded, write_movie


def at(x: float, y: float = 100, width: float = 50) -> np.ndarray:
    """Landmarks of a face of some width around (x, y)."""
    rng = np.random.default_rng(0)
    face = np.zeros((478, 3), np.float32)
    face[:, :2] = rng.uniform(-0.5, 0.5, (478, 2)) * width + (x, y)
    return face


@pytest.fixture
def numbers():
    """Feed positions frame by frame, get {number: x}."""
    faces = Faces()

    def step(index: int, *found: np.ndarray, cut: bool = False) -> dict[int, float]:
        class Given:
            def __init__(self, *_): ...
            def __exit__(self, *_): ...
            def detect(self, _): return list(found)
            def process(self, _): return list(found)
        faces._tracker = faces._finder = Given()
        faces._restart = lambda many: setattr(faces, "_many", many)  # the detector is given here, it is the numbers that are looked at
        return {n: round(float(f[:468, 0].mean())) for n, f in sorted(faces.follow(np.zeros((4, 4, 3), np.uint8), index, cut).items())}
    return step


def centre(x: float, width: float = 50) -> int:
    return round(float(at(x, width=width)[:468, 0].mean()))


def test_numbers_stay_whatever_order_the_detector_gives(numbers) -> None:
    assert numbers(0, at(100), at(300, width=80)) == {0: centre(300, 80), 1: centre(100)}
    for i in range(1, 8):
        a, b = at(100 + 5 * i), at(300 - 5 * i, width=80)
        found = (a, b) if i % 2 else (b, a)
        assert numbers(i, *found) == {0: centre(300 - 5 * i, 80), 1: centre(100 + 5 * i)}


def test_who_comes_later_has_the_next_number_and_who_returns_has_his_own(numbers) -> None:
    for i in range(8):
        numbers(i, at(100), at(200))
    assert numbers(8, at(100)) == {0: centre(100)} or numbers(8, at(100)) == {1: centre(100)}
    known = numbers(9, at(100), at(200))
    assert set(known) == {0, 1}
    assert numbers(10, at(100), at(200), at(400)) == {**known, 2: centre(400)}
    assert numbers(16, at(100), at(400), at(240)) == {**{n: x for n, x in known.items() if x == centre(100)},
                                                      **{n: centre(240) for n, x in known.items() if x == centre(200)}, 2: centre(400)}


def test_a_lone_face_may_jump_and_a_second_find_of_it_is_none(numbers) -> None:
    assert numbers(0, at(100)) == {0: centre(100)}
    assert numbers(1, at(400)) == {0: centre(400)}
    assert numbers(2, at(400), at(405)) == {0: centre(400)}


def test_after_a_cut_the_numbers_go_to_the_nearest(numbers) -> None:
    for i in range(8):
        numbers(i, at(100), at(300, width=80))
    assert numbers(8, at(500, width=80), at(180), cut=True) == {0: centre(500, 80), 1: centre(180)}


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    a = portrait(size=(240, 300))
    b = np.full((300, 240, 3), 60, np.uint8)
    b[30:255, 30:210] = cv2.resize(a, (180, 225), interpolation=cv2.INTER_AREA)[:, ::-1]
    return write_movie(tmp_path_factory.mktemp("two") / "two.mov", [np.concatenate([a, b], 1)] * 6)


def test_both_faces_are_edited(plate, tmp_path, capsys) -> None:
    out, shot = tmp_path / "out.mov", tmp_path / "two.mien"
    assert cli.main(["edit", str(plate), "--emotion", "happy=1", "--emotion", "1:surprised=1", "--shot", str(shot), "-o", str(out),
                     "--codec", "ffv1"]) == 0
    folders = Shot.load(shot).face_folders()
    assert list(folders) == [0, 1]
    assert (Track.load(Shot.load(folders[0])).landmarks[:, :468, 0].mean(1) < 240).all()
    assert (Track.load(Shot.load(folders[1])).landmarks[:, :468, 0].mean(1) > 240).all()
    changed = np.abs(decoded(out)[3].astype(int) - decoded(plate)[3]).max(-1) > 3
    assert changed[:, :240].mean() > 0.02 and changed[:, 240:].mean() > 0.02
    # Each face alone gives the same pixels as both together do on its side.
    alone = tmp_path / "alone.mov"
    assert cli.main(["edit", str(shot), "--emotion", "1:surprised=1", "-o", str(alone), "--codec", "ffv1"]) == 0
    one, both, filmed = (decoded(p)[3] for p in (alone, out, plate))
    assert np.array_equal(one[:, :200], filmed[:, :200])
    assert np.array_equal(one[:, 300:], both[:, 300:])
    with pytest.raises(MienError, match="no other face number 7"):
        JOBS["edit"]({"folder": str(shot), "output": str(out), "controls": {}, "others": {"7": {"controls": {"sad": 1}}}}, Silent())
    assert cli.main(["edit", str(shot), "--emotion", "4:sad=1", "-o", str(out), "--codec", "ffv1"]) == 1
    assert "mien track --all-faces" in capsys.readouterr().err
