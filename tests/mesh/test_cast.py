# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a cast, and who a face is by its distances from the actors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mien.mesh.cast import Actor, Cast, KnownFace, Limits, Look, Verdict, actor_names, shot_key, told
from mien.mesh.errors import MienError
from mien.mesh.shot import Plate, Shot

LIMITS = Limits(same=0.5, other=0.6, margin=0.1)
NETWORK = "made up"


def at(*place: float) -> np.ndarray:
    """Descriptors of three frames whose mean lies there, in 3 dimensions."""
    spread = np.array([[0.1, 0, 0], [-0.1, 0.1, 0], [0, -0.1, 0]])
    return np.array([*place, 0.0, 0.0, 0.0][:3]) + spread


def cast(folder, **places) -> Cast:
    """Actors by the place of their look; its key is plateN-0."""
    for n, (name, place) in enumerate(places.items()):
        Actor(folder / name, NETWORK, {f"plate{n}-0": Look(f"../{name}.mien", (1, 5, 9), at(*place))}).save()
    return Cast.load(folder)


def who(given: Cast, *place: float, named: str = "", keys=("new-0",)) -> Verdict:
    return given.who(at(*place) if place else np.zeros((0, 3)), NETWORK, LIMITS, named, keys)


def test_what_is_saved_is_read_again(tmp_path) -> None:
    alpha = np.arange(4, dtype=np.float32)
    looks = {"a-0": Look("../a.mien", (1001, 1009, 1011), at(1)), "b-1": Look("../b.mien", (), at()[:0])}
    actor = Actor(tmp_path / "cast é" / "Anna K", NETWORK, looks,
                  {"0123": KnownFace("ict", alpha, ("a-0",), ("a-0", "b-1"))})
    actor.save()
    read = Cast.load(tmp_path / "cast é").actors[0]
    assert (read.name, read.network) == ("Anna K", NETWORK) and list(read.looks) == ["a-0", "b-1"]
    assert read.looks["a-0"].frames == (1001, 1009, 1011) and np.array_equal(read.looks["a-0"].descriptors, at(1))
    face = read.faces["0123"]
    assert np.array_equal(face.alpha, alpha) and (face.model, face.source, face.shots) == ("ict", ("a-0",), ("a-0", "b-1"))
    assert actor_names(tmp_path / "cast é") == ["Anna K"] and actor_names(tmp_path / "none") == []


def test_near_is_the_same_far_is_new_and_between_is_unsure(tmp_path) -> None:
    known = cast(tmp_path, anna=(0, 0), bela=(3, 0))
    assert who(known, 0.4) == Verdict("recognised", "anna", pytest.approx(0.4))
    assert who(known, 2.7).actor == "bela"
    assert who(known, 1.2) == Verdict("new", "actor 1")
    unsure = who(known, 0.55)
    assert (unsure.how, unsure.actor, unsure.distance) == ("unsure", "", pytest.approx(0.55)) and "0.55 from anna" in unsure.reason
    assert who(Cast.load(tmp_path / "empty"), 1.2) == Verdict("new", "actor 1")


def test_two_alike_near_are_unsure(tmp_path) -> None:
    known = cast(tmp_path, anna=(0, 0), bela=(0.8, 0))
    assert who(known, 0.38).how == "unsure" and "anna (0.38) and bela (0.42)" in who(known, 0.38).reason
    assert who(known, 0.2).actor == "anna", "bela is 0.6 away: another person"


def test_the_nearest_look_counts(tmp_path) -> None:
    actor = Actor(tmp_path / "anna", NETWORK, {"a-0": Look("a", (1, 2, 3), at(0)), "b-0": Look("b", (1, 2, 3), at(2))})
    assert actor.distance(at(1.7)) == pytest.approx(0.3)
    assert actor.distance(at(1.7), without=["b-0"]) == pytest.approx(1.7)
    assert actor.distance(at()[:0]) == np.inf


def test_the_artists_word_holds(tmp_path) -> None:
    known = cast(tmp_path, anna=(0, 0), bela=(3, 0))
    assert who(known, 0.1, named="BELA") == Verdict("named", "bela", pytest.approx(2.9))
    assert who(known, 0.1, named="Cleo") == Verdict("new", "Cleo")
    assert who(known, named="anna").how == "named"  # no frame shows the face well


def test_a_shot_stays_with_whom_it_was_filed(tmp_path) -> None:
    known = cast(tmp_path, anna=(0, 0), bela=(3, 0))
    assert who(known, 3.0, keys=("plate0-0",)) == Verdict("recognised", "anna", None)
    both = who(known, 0.0, keys=("plate0-0", "plate1-0"))
    assert both.how == "unsure" and "anna and bela" in both.reason


def test_nobody_is_twice_in_a_picture(tmp_path) -> None:
    known = cast(tmp_path, anna=(0, 0))
    twin = who(known, 0.1, keys=("plate0-1",))
    assert twin.how == "unsure" and "another face of this plate" in twin.reason
    assert who(known, 0.1, keys=("plate9-1",)).actor == "anna"


def test_a_face_that_is_nowhere_large_is_unsure(tmp_path) -> None:
    assert who(cast(tmp_path, anna=(0, 0))).reason.startswith("it is too small")


def test_a_face_no_shot_has_any_more_is_forgotten(tmp_path) -> None:
    alpha = np.zeros(2, np.float32)
    actor = Actor(tmp_path / "anna", NETWORK, {k: Look(k, (1, 2, 3), at(0)) for k in ("a-0", "b-0")},
                  {"one": KnownFace("default", alpha, ("a-0",), ("a-0",)), "two": KnownFace("ict", alpha, ("a-0",), ("a-0", "b-0"))})
    assert actor.forget(["a-0"]) and not actor.forget(["a-0"])
    assert list(actor.looks) == ["b-0"] and list(actor.faces) == ["two"] and actor.faces["two"].shots == ("b-0",)
    actor.save()
    (tmp_path / "anna" / "notes.txt").write_text("hers")
    actor.remove()
    assert actor_names(tmp_path) == [] and (tmp_path / "anna" / "notes.txt").exists()


@pytest.mark.parametrize("name", ["", " anna", "anna.", "a/b", "..", ".hidden", "NUL", "com1.x", "a:b", "x" * 61, "a\nb"])
def test_names_that_no_folder_can_have(tmp_path, name) -> None:
    with pytest.raises(MienError, match="cannot be called"):
        Cast.load(tmp_path).actor(name)


def test_new_names_are_counted_on(tmp_path) -> None:
    assert cast(tmp_path, **{"Actor 1": (0, 0), "actor 3": (3, 0)}).free_name() == "actor 2"


def test_damage_is_told_with_the_file(tmp_path) -> None:
    cast(tmp_path, anna=(0, 0))
    path = tmp_path / "anna" / "actor.json"
    whole = json.loads(path.read_text())
    for change, words in (({"schema": 2}, "schema 2"), ({"faces": {"f00": {"model": "x", "source": [], "shots": []}}}, "lacks the array 'alpha.f00'"),
                          ({"shots": {"plate0-0": {"shot": "a", "frames": [1]}}}, "3 x 3, expected 1"), ({"shots": [1]}, "is incomplete")):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(MienError, match=words):
            Cast.load(tmp_path)
    path.write_text(json.dumps(whole))
    with pytest.raises(MienError, match="another recognition network"):
        Cast.load(tmp_path).distances(at(0), "arcface")


def test_a_file_or_a_shot_folder_is_no_cast(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match="is no folder"):
        Cast.load(tmp_path / "file")
    Shot(tmp_path / "a.mien", Plate("a.mov", "movie", 8, 8, (25, 1), 1, 1)).save()
    with pytest.raises(MienError, match="is a shot folder"):
        Cast.load(tmp_path / "a.mien")


def test_the_key_of_a_shot_is_its_plate_and_face(tmp_path) -> None:
    plate = Plate("a.mov", "movie", 8, 8, (25, 1), 1, 1, fingerprint="f1")
    assert shot_key(Shot(tmp_path / "a.mien", plate, 2)) == shot_key(Shot(tmp_path / "copy.mien", plate, 2)) == "f1-2"


@pytest.mark.parametrize("verdict, words", [
    (Verdict("recognised", "M030", 0.414), "M030, recognised (0.41)"), (Verdict("recognised", "M030"), "M030, recognised"),
    (Verdict("new", "actor 2"), "actor 2, new in the cast"), (Verdict("named", "Anna", 0.7), "Anna, as you say (0.70)"),
    (Verdict("unsure", distance=0.53), "not clear (0.53); solved on its own")])
def test_the_verdict_in_words(verdict, words) -> None:
    assert told(json.loads(json.dumps(verdict.to_dict()))) == words
