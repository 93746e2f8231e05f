# SPDX-License-Identifier: GPL-3.0-or-later
"""A cast in a solve: who is filmed, which face the actor has, and what the shot teaches. The folder itself is mesh/cast.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..mesh.cast import Cast, KnownFace, Look, Verdict, shot_key, told_from
from ..mesh.model import FaceModel
from ..mesh.shot import Shot, Solve, Track, main_folder
from .progress import Reporter
from .recognition import Recogniser, look_of, recogniser


@dataclass(eq=False)
class Role:
    """What shots of one person have to do with a cast."""

    cast: Cast
    network: Recogniser
    keys: list[str]
    looks: list[Look]
    verdict: Verdict

    def alpha(self, model: FaceModel) -> np.ndarray | None:
        """(A,) of the face that the solve is to hold; None where it is to find one.

        A single shot has the actor's face. The face is found anew where the actor has none in this model, where no other shot has it yet, and where
        several shots are solved together: these make a better one.
        """
        actor = self.cast.find(self.verdict.actor)
        face = actor.faces.get(model.hash) if actor else None
        return face.alpha if face and len(self.keys) == 1 and set(face.shots) - set(self.keys) else None

    def learn(self, name: str, model: FaceModel, solves: Sequence[Solve], report: Reporter) -> None:
        """Keep the looks and, where it was found anew, the face. Tells which shots have a former face. name: the model's, as the user knows it."""
        if not self.verdict.actor:
            return
        held = self.alpha(model) is not None
        actor = self.cast.actor(self.verdict.actor)
        actor.network = self.network.name
        for other in self.cast.actors:  # the artist may have said that it is somebody else than thought before
            if other is not actor and other.forget(self.keys):
                (other.save if other.looks else other.remove)()
        actor.looks.update(zip(self.keys, self.looks))
        before, alpha = actor.faces.get(model.hash), solves[0].alpha.astype(np.float32)
        if before and held:
            actor.faces[model.hash] = KnownFace(before.model, before.alpha, before.source, tuple(dict.fromkeys([*before.shots, *self.keys])))
        else:
            actor.faces[model.hash] = KnownFace(name, alpha, tuple(self.keys), tuple(self.keys))
            late = [key for key in before.shots if key not in self.keys] if before and not np.array_equal(before.alpha, alpha) else []
            if late:
                report.warn(f"{actor.name} has a new face; {', '.join(actor.looks[key].shot for key in late)} still "
                            f"{'has' if len(late) == 1 else 'have'} the former one: solve again.")
        actor.save()


def role_of(folder: Path, shots: Sequence[Shot], tracks: Sequence[Track], named: str, report: Reporter) -> Role:
    """Who is it? All shots show one person, as the user says. named: the actor's name where the user says that too, known or new.

    Tells what it does not know. Raises MienError where the network is missing or the cast cannot be read.
    """
    cast, network = Cast.load(folder), recogniser()
    if named:
        cast.check_name(named)
    keys, looks = [], []
    for shot, track in zip(shots, tracks):
        frames, descriptors = look_of(shot, track, network, report)
        keys.append(shot_key(shot))
        looks.append(Look(told_from(folder, shot.folder), frames, descriptors))
    seen = [look.descriptors for look in looks if len(look.descriptors)]
    verdict = cast.who(np.concatenate(seen) if seen else np.zeros((0, 0)), network.name, network.limits, named, keys)
    _warn(verdict, network, shots, looks, report)
    return Role(cast, network, keys, looks, verdict)


def _warn(verdict: Verdict, network: Recogniser, shots: Sequence[Shot], looks: Sequence[Look], report: Reporter) -> None:
    limits = network.limits
    if verdict.how == "unsure":
        report.warn(f"Whose face {_called(shots[0])} shows is not clear: {verdict.reason}. It is solved on its own; "
                    "name the actor (--actor NAME, or Actor under Method) to give it that one's face.")
    elif verdict.how == "named" and verdict.distance is not None and verdict.distance >= limits.other:
        report.warn(f"{_called(shots[0])} does not look like {verdict.actor} ({verdict.distance:.2f}; up to {limits.same:.2f} is one person); "
                    f"{verdict.actor} it is, as you say.")
    means = [(shot, look.descriptors.mean(0)) for shot, look in zip(shots, looks) if len(look.descriptors)]
    for shot, mean in means[1:]:
        apart = float(np.linalg.norm(mean - means[0][1]))
        if apart >= limits.other:
            report.warn(f"{_called(means[0][0])} and {_called(shot)} do not look like one person ({apart:.2f}); look whether they are.")


def _called(shot: Shot) -> str:
    main = main_folder(shot.folder)
    return shot.folder.name if main == shot.folder else f"{main.name}, face {shot.face},"
