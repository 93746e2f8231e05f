# SPDX-License-Identifier: GPL-3.0-or-later
"""A cast: the folder that knows the actors of a production, so that every shot of an actor gets the same face.

    CAST/NAME/actor.json   who taught it: the shots, their frames, and which shots made each face
    CAST/NAME/actor.npz    `look.KEY` (n, D), what a recognition network says of n frames of the shot KEY; `alpha.HASH` (A,), the actor's face
                           in the face model with that hash

The name of the folder is the actor's. Nothing else is kept: deleting a folder forgets the actor. The npz is written before the json that names
what is in it, so a solve that is interrupted leaves what was there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import MienError
from .files import check_arrays, read_json, read_npz, write_json, write_npz
from .shot import Shot

SCHEMA = 1
FORBIDDEN = re.compile(r"[\x00-\x1f/\\:*?\"<>|]|^[. ]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""What no folder may be called on one of the three systems."""
LONGEST = 60
"""Letters of a name."""
SETTING = "cast"
"""Key of `Shot.settings` with the verdict on a shot that was solved with a cast."""
WORDS = {"recognised": "recognised", "named": "as you say", "new": "new in the cast"}


@dataclass(frozen=True)
class Limits:
    """What distances between two descriptions of faces mean; they are a network's own."""

    same: float
    """Up to here it is one person."""
    other: float
    """From here on it is another one."""
    margin: float
    """By how much a second actor must be farther away than the nearest one."""


@dataclass(frozen=True, eq=False)
class Look:
    """A shot that showed the actor."""

    shot: str
    """Its folder, relative to the cast's where both are on one drive, with forward slashes."""
    frames: tuple[int, ...]
    """Numbers of the n frames that were described; none where the face is too small or turned away."""
    descriptors: np.ndarray
    """(n, D) float64"""


@dataclass(frozen=True, eq=False)
class KnownFace:
    """The actor's face in one face model."""

    model: str
    """The model's name."""
    alpha: np.ndarray
    """(A,) float32"""
    source: tuple[str, ...]
    """Keys of the shots that it was solved from."""
    shots: tuple[str, ...]
    """Keys of the shots that have it."""


@dataclass(eq=False)
class Actor:
    """One person of the cast."""

    folder: Path
    network: str = ""
    """Which network described the looks."""
    looks: dict[str, Look] = field(default_factory=dict)
    """Key of a shot (`shot_key`) -> how the actor looks there."""
    faces: dict[str, KnownFace] = field(default_factory=dict)
    """Hash of a face model -> the face."""

    @property
    def name(self) -> str:
        return self.folder.name

    def distance(self, descriptors: np.ndarray, without: Collection[str] = ()) -> float:
        """Of a face, described by (n, D), to this actor: to the mean of that look which is nearest. Infinite where there is none; looks whose
        keys are in `without` do not count."""
        looks = [look.descriptors.mean(0) for key, look in self.looks.items() if len(look.descriptors) and key not in without]
        return min((float(np.linalg.norm(look - descriptors.mean(0))) for look in looks), default=float("inf")) if len(descriptors) else float("inf")

    def forget(self, keys: Collection[str]) -> bool:
        """Take looks out, and the faces that no other shot has; False where there was nothing to take."""
        there = [key for key in keys if key in self.looks]
        for key in there:
            del self.looks[key]
        left = {model: KnownFace(face.model, face.alpha, face.source, tuple(key for key in face.shots if key not in there))
                for model, face in self.faces.items()}
        self.faces = {model: face for model, face in left.items() if face.shots}
        return bool(there)

    def save(self) -> None:
        """Raises MienError when the folder cannot be written."""
        write_npz(self.folder / "actor.npz", {f"look.{key}": look.descriptors for key, look in self.looks.items()}
                  | {f"alpha.{model}": face.alpha.astype(np.float32) for model, face in self.faces.items()}, compressed=False)
        write_json(self.folder / "actor.json", {
            "schema": SCHEMA, "network": self.network,
            "shots": {key: {"shot": look.shot, "frames": list(look.frames)} for key, look in self.looks.items()},
            "faces": {model: {"model": face.model, "source": list(face.source), "shots": list(face.shots)} for model, face in self.faces.items()}})

    def remove(self) -> None:
        """Take the actor out of the cast; what else lies in the folder stays."""
        try:
            for name in ("actor.json", "actor.npz"):
                (self.folder / name).unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()
        except OSError as error:
            raise MienError(f"Cannot remove {self.folder} ({error.strerror}); check its permissions.") from error

    @classmethod
    def load(cls, folder: Path) -> Actor:
        """Raises MienError that names the file when it is damaged, or of another schema."""
        path, arrays = folder / "actor.json", read_npz(folder / "actor.npz")
        data = read_json(path)
        if data.get("schema") != SCHEMA:
            raise MienError(f"{path} has schema {data.get('schema')}, this version of Mien reads {SCHEMA}; delete {folder} and solve again.")
        try:
            shots, faces = data["shots"], data["faces"]
            check_arrays(folder / "actor.npz", arrays, {f"look.{k}": (len(s["frames"]), None) for k, s in shots.items()} |
                         {f"alpha.{m}": (None,) for m in faces})
            return cls(folder, str(data["network"]),
                       {k: Look(str(s["shot"]), tuple(map(int, s["frames"])), arrays[f"look.{k}"]) for k, s in shots.items()},
                       {m: KnownFace(str(f["model"]), arrays[f"alpha.{m}"], tuple(f["source"]), tuple(f["shots"])) for m, f in faces.items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MienError(f"{path} is incomplete ({error}); delete {folder} and solve its shots again.") from error


@dataclass(frozen=True)
class Verdict:
    """Who a face is, by its look or by the artist's word."""

    how: str
    """"recognised", "named" (the artist said so), "new" or "unsure"."""
    actor: str = ""
    """Name; "" when unsure."""
    distance: float | None = None
    """To that actor, or to the nearest one; None where there is nobody to compare with."""
    reason: str = ""
    """Why it is unsure, as the end of a sentence."""

    def to_dict(self) -> dict[str, Any]:
        """For shot.json."""
        return asdict(self) | {"distance": None if self.distance is None else round(self.distance, 3)}


def actor_names(folder: Path) -> list[str]:
    """Names of the actors in a cast folder, which need not exist yet."""
    return sorted((path.parent.name for path in Path(folder).glob("*/actor.json")), key=str.lower)


@dataclass(eq=False)
class Cast:
    """All actors of a cast folder."""

    folder: Path
    actors: list[Actor]

    @classmethod
    def load(cls, folder: Path | str) -> Cast:
        """A folder that does not exist is an empty cast. Raises MienError for a damaged actor, or when `folder` is something else."""
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise MienError(f"The cast {folder} is no folder; name a folder, it is made when it does not exist.")
        if (folder / "shot.json").exists():
            raise MienError(f"{folder} is a shot folder; name another folder for the cast, it is made when it does not exist.")
        return cls(folder, [Actor.load(folder / name) for name in actor_names(folder)])

    def find(self, name: str) -> Actor | None:
        """By name, whatever its capitals: folders that differ in these alone are one on two systems of three."""
        return next((actor for actor in self.actors if actor.name.lower() == name.lower()), None)

    def actor(self, name: str) -> Actor:
        """By name; a new one, not written yet, when there is none. Raises MienError as `check_name` does."""
        if found := self.find(name):
            return found
        self.check_name(name)
        self.actors.append(Actor(self.folder / name))
        return self.actors[-1]

    def check_name(self, name: str) -> None:
        """Raises MienError for a name that no folder can have."""
        if not name or len(name) > LONGEST or FORBIDDEN.search(name):
            raise MienError(f"An actor cannot be called '{name}', as a folder has that name; take at most {LONGEST} letters, digits and spaces.")

    def free_name(self) -> str:
        """ "actor 1", or the next number."""
        return next(name for n in range(1, len(self.actors) + 2) if self.find(name := f"actor {n}") is None)

    def distances(self, descriptors: np.ndarray, network: str, without: Collection[str] = ()) -> list[tuple[float, str]]:
        """(distance, name) of every actor, the nearest first. Raises MienError when an actor was described by another network."""
        for actor in self.actors:
            if actor.looks and actor.network != network:
                raise MienError(f"{actor.folder} was described by another recognition network ('{actor.network}', not '{network}'); "
                                "delete the folder and solve its shots again.")
        return sorted((actor.distance(descriptors, without), actor.name) for actor in self.actors)

    def who(self, descriptors: np.ndarray, network: str, limits: Limits, named: str = "", keys: Collection[str] = ()) -> Verdict:
        """Who is described by (n, D)? named: the artist's word, which always holds. keys: of the shots that are asked about.

        Raises MienError as `distances` does.
        """
        ranked = [(d, name) for d, name in self.distances(descriptors, network, without=keys) if np.isfinite(d)]
        near = {name: d for d, name in ranked}
        if named:
            known = self.find(named)
            return Verdict("named", known.name, near.get(known.name)) if known else Verdict("new", named)
        filed = sorted(actor.name for actor in self.actors if set(keys) & set(actor.looks))
        if len(filed) > 1:
            return Verdict("unsure", reason=f"the cast has these shots as {' and '.join(filed)}")
        if filed:
            return Verdict("recognised", filed[0], near.get(filed[0]))
        if not len(descriptors):
            return Verdict("unsure", reason="it is too small, covered or turned away on every frame")
        if not ranked or ranked[0][0] >= limits.other:
            return Verdict("new", self.free_name())
        distance, name = ranked[0]
        if distance > limits.same:
            return Verdict("unsure", distance=distance, reason=f"it is {distance:.2f} from {name}: up to {limits.same:.2f} would be the same person, "
                           f"from {limits.other:.2f} on another one")
        if len(ranked) > 1 and ranked[1][0] < min(distance + limits.margin, limits.other):
            return Verdict("unsure", distance=distance, reason=f"{name} ({distance:.2f}) and {ranked[1][1]} ({ranked[1][0]:.2f}) are alike near")
        if _in_picture(self.actor(name), keys):
            return Verdict("unsure", distance=distance, reason=f"it is {distance:.2f} from {name}, who is another face of this plate")
        return Verdict("recognised", name, distance)


def shot_key(shot: Shot) -> str:
    """The same for every shot folder of one face of one plate."""
    return f"{shot.plate.fingerprint or shot.folder.stem}-{shot.face}"


def _in_picture(actor: Actor, keys: Collection[str]) -> bool:
    """Is another face of one of these plates the actor? Nobody is twice in one picture."""
    plates = {key.rpartition("-")[0] for key in keys}
    return any(key.rpartition("-")[0] in plates for key in actor.looks)


def told_from(folder: Path, path: Path) -> str:
    """How `path` is written in a file of `folder`: relative where both are on one drive."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def told(verdict: Mapping[str, Any]) -> str:
    """ "M030, recognised (0.41)" from the verdict as shot.json has it."""
    distance = "" if verdict.get("distance") is None else f" ({verdict['distance']:.2f})"
    if verdict["how"] == "unsure":
        return f"not clear{distance}; solved on its own"
    return f"{verdict['actor']}, {WORDS[verdict['how']]}{distance}"
