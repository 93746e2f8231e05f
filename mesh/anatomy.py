# SPDX-License-Identifier: GPL-3.0-or-later
"""What a face keeps under an edit, whichever editor makes it: words on the lips, room for brows and mouth, a resting face without a frown."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from . import facs
from .model import FaceModel

MOUTH_RIDGE = 0.02
"""Weight of the prior in the mouth step, against squared lip distances in millimetres."""
FIRMER = 1.25
"""How much more firmly than the gap between the lips the mouth step holds their height, as a power of what it leaves: 0.58 of it at a half."""
STILL = (61, 291, 129, 358)
"""Landmarks that the mouth step leaves where the emotion has them: the corners of the mouth and the wings of the nose."""
BROWS = ((55, 133), (65, 133), (285, 362), (295, 362))
"""Landmarks of the inner brows' lower edge and the inner corners of the eyes below them, which no lid moves."""
LEAST_ROOM = 0.46
"""A brow comes no nearer to the eye than this part of its distance on the average face: below lies the folded lid."""
MISTAKEN = 0.2
"""Millimetres: how closely the identity follows an expression that is mistaken for it; one standard deviation of it costs as much."""
CORNERS = ((61, 291),)
WIDEST = 1.18
"""A mouth is stretched (AU 20) no wider than this part of its own rest width; beyond, its lips would be drawn flat."""
LEAST = 0.05
"""Room that there always is, as a part of that limit."""
USUAL_BROWS = 1.0
"""Standard deviations by which the brows of people lie low; what is more counts as a frown."""


class Anatomy:
    """What a model's faces keep. Everything is precomputed: a call costs a few products of small matrices."""

    def __init__(self, model: FaceModel):
        self.model, self._mouth, self._rooms = model, MouthStep(model), rooms(model)

    def keep(self, alpha: np.ndarray, beta: np.ndarray, da: np.ndarray, db: np.ndarray, mouth: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """The change of beta (T, B) that is left of db.

        alpha (A,), beta (T, B) of the plate; da (T, A), db (T, B) the edit; mouth (T,) in 0..1; asked (T,) how much of the edit's full intensity
        this is, 0..1: what has little room at 1 moves less at every intensity, so that intensities stay even. Zero stays zero.
        """
        db = db + self._mouth(da, db, mouth[:, None])
        for room in self._rooms:
            db = room(alpha, beta, db, asked)
        return db

    def relaxed(self, alpha: np.ndarray) -> np.ndarray:
        """Identity (A,) -> (B,): the change of beta that takes a lasting frown from it.

        The solve of a take in which an actor never lets go of a frown gives most of it to the identity. What brow lowering (AU 4) looks like as an
        identity is known; an identity that lies further out that way than people's do, in the model's prior, is taken for one that frowns.
        """
        length = float(np.linalg.norm(self._frown))
        if length < 1e-6:
            return np.zeros(self.model.expression_count, np.float32)
        excess = max(float(self._frown @ alpha) / length - USUAL_BROWS, 0.0)
        return -np.float32(excess / length) * self._lowering

    @cached_property
    def _lowering(self) -> np.ndarray:
        """(B,): AU 4."""
        return directions(self.model, facs.directions(4))

    @cached_property
    def _frown(self) -> np.ndarray:
        return as_identity(self.model, self._lowering[None])[0]


class MouthStep:
    """The change of beta that brings the lips back to the words: precomputed, linear in the edit.

    It undoes what the edit does to the vectors between the lips (those of eq. 4), and, more firmly, to the height of the middle of the mouth: lips
    that both rise keep their gap, but bare the teeth and read as another sound. What the emotion does to STILL is left to it.
    """

    def __init__(self, model: FaceModel):
        n = len(model.lip_upper)
        middle = slice(n // 4, n - n // 4)
        still = vertices(model, STILL)

        def words(basis: np.ndarray) -> np.ndarray:
            """(n, V, 3) metres -> (3P + 1, n) millimetres."""
            upper, lower = basis[:, model.lip_upper].astype(np.float64) * 1000, basis[:, model.lip_lower].astype(np.float64) * 1000
            height = (upper + lower)[:, middle, 1].mean(1) / 2
            return np.concatenate([(upper - lower).reshape(len(basis), -1), height[:, None]], 1).T

        own, held = words(model.expression), model.expression[:, still].reshape(model.expression_count, -1).T.astype(np.float64) * 1000
        ridge = np.diag(MOUTH_RIDGE / np.maximum(model.expression_sigma.astype(np.float64), 1e-3) ** 2)
        normal = own.T @ own + held.T @ held + ridge
        basis = np.concatenate((words(model.identity), own), 1)
        self.gap, self.height = (-np.linalg.solve(normal, own[part].T @ basis[part]).T.astype(np.float32) for part in (slice(-1), slice(-1, None)))
        """(A + B, B) each."""

    def __call__(self, alpha: np.ndarray, beta: np.ndarray, dial: np.ndarray | float = 1.0) -> np.ndarray:
        """Changes of alpha (T, A) and beta (T, B), dial (T, 1) in 0..1 -> (T, B)."""
        change = np.concatenate((alpha, beta), 1)
        return dial * (change @ self.gap) + (1 - (1 - dial) ** FIRMER) * (change @ self.height)


class Room:
    """An action that an edit makes ends before a limit: on an actor who frowns already, a second frown has less room.

    An edit that ends far from the limit stays as it is; one that would pass it at full intensity gets a smaller action throughout. A model
    without the landmarks or the action has no limit.
    """

    def __init__(self, model: FaceModel, action: int, pairs: tuple[tuple[int, int], ...], axis: int, limit: float, own: bool):
        """action: the AU that gives way. pairs of landmarks, whose distance (second less first, along the axis) it changes.

        limit: where it ends, as a part of that distance on the average face, or (own) on the person's resting face.
        """
        self._part = directions(model, facs.directions(action)) != 0
        found = vertices(model, sum(pairs, ()))
        self._active = len(found) == 2 * len(pairs) and bool(self._part.any())
        if not self._active:
            return
        first, second = found.reshape(-1, 2).T
        sign = np.float32(np.sign(1 - limit))

        def left(points: np.ndarray) -> np.ndarray:
            """(..., V, 3) metres -> (...): the distance, metres, so that it falls towards the limit."""
            return sign * (points[..., second, axis] - points[..., first, axis]).mean(-1).astype(np.float32)

        self._mean, self._identity, self._expression = left(model.mean), left(model.identity), left(model.expression)
        self._limit, self._own = np.float32(limit), own

    def __call__(self, alpha: np.ndarray, beta: np.ndarray, db: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """As `Anatomy.keep`; (T, B)."""
        if not self._active:
            return db
        rest = self._mean + alpha @ self._identity
        end = self._limit * (rest if self._own else self._mean)
        room = np.maximum(rest + beta @ self._expression - end, LEAST * abs(end))
        moved = np.maximum(-(db[:, self._part] @ self._expression[self._part]), 0)
        full = moved / np.maximum(asked, 1e-3)
        kept = 1 / np.sqrt(np.sqrt(1 + (full / room) ** 4))
        return np.where(self._part, kept[:, None].astype(np.float32) * db, db)


def rooms(model: FaceModel) -> tuple[Room, ...]:
    """Brows stop above the eyes, stretched lips before they are flat."""
    return Room(model, 4, BROWS, 1, LEAST_ROOM, False), Room(model, 20, CORNERS, 0, WIDEST, True)


def vertices(model: FaceModel, ids: tuple[int, ...]) -> np.ndarray:
    """Vertices (n,) of those of the landmarks that the model has."""
    known = set(map(int, model.landmark_ids))
    return model.vertices_of_landmarks([i for i in ids if i in known])


def directions(model: FaceModel, amounts: dict[str, float]) -> np.ndarray:
    """Amounts by the names of expression directions -> (B,) float32, of those that the model has."""
    return np.array([amounts.get(name, 0.0) for name in model.expression_names], np.float32)


def as_identity(model: FaceModel, beta: np.ndarray) -> np.ndarray:
    """Expressions (T, B) -> (T, A): the identity that a solve would take them for (ridge least squares over the vertices)."""
    i, e = (basis.reshape(len(basis), -1).astype(np.float64) * 1000 for basis in (model.identity, model.expression))
    return beta @ np.linalg.solve(i @ i.T + MISTAKEN**2 * model.vertex_count * np.eye(len(i)), i @ e.T).T
