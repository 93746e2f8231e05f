# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins: where the artist says that points of the solved face belong on the plate, and where the solve has them (operators: pinning.py).

They are kept in SHOT/pins.json and written at once, so they survive whatever happens to the session. The face object remembers them as text, and
when undo or redo changes that text the file follows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..mesh.camera import place
from ..mesh.errors import MienError
from ..mesh.pins import LANDMARKS, Pin, Pins, pins_path
from ..mesh.shot import Shot, Solve
from . import shots
from .face import cached_model

# -- what is pinned -------------------------------------------------------------------------------------------------------

def pins_of(folder: Path) -> Pins:
    """The pins of a shot folder; none where its file cannot be read (`problem_of` tells). Quick enough to draw with."""
    return _look(folder)[0]


def problem_of(folder: Path) -> str:
    """Why the file of pins cannot be read, one sentence; "" where it can."""
    return _look(folder)[1]


_pins: dict[Path, tuple[object, Pins, str]] = {}


def _look(folder: Path) -> tuple[Pins, str]:
    info = shots.shot_info(folder)
    if info.shot is None:
        return Pins(), ""
    stamp = _stamp(pins_path(info.shot))
    if folder not in _pins or _pins[folder][0] != stamp:
        try:
            _pins[folder] = stamp, Pins.load(info.shot), ""
        except MienError as error:
            _pins[folder] = stamp, Pins(), str(error)
    return _pins[folder][1:]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes when the file does; None where there is none, as while a job is at work."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def changed(folder: Path) -> bool:
    """Are there pins that the solve was not made with, or did it have some that are gone?"""
    points = points_of(folder)
    if points is None:
        return False
    rows, used = pins_of(folder).rows(points.shot), points.solve.pins
    return len(rows) != (0 if used is None else len(used)) or (used is not None and not np.allclose(rows, used))


def set_pin(face: bpy.types.Object, number: int, landmark: int, pin: Pin | None) -> None:
    """Pin a landmark on a frame, or take its pin away (None). Raises MienError for a file of pins that is damaged or cannot be written."""
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    pins = Pins.load(shot)
    if pin is None:
        pins.remove(number, landmark)
    else:
        pins.put(number, landmark, pin)
    keep(face, shot, pins)


def clear(face: bpy.types.Object, number: int | None = None) -> int:
    """Take away the pins of a frame, or all; how many there were. A file that cannot be read goes too. Raises MienError."""
    shot = Shot.load(shots.absolute(face.mien.shot_folder))
    pins = pins_of(shot.folder)
    gone = pins.count if number is None else len(pins.frames.get(number, {}))
    keep(face, shot, Pins() if number is None else Pins({n: dict(p) for n, p in pins.frames.items() if n != number}))
    return gone


def keep(face: bpy.types.Object, shot: Shot, pins: Pins) -> None:
    """Write the pins, and remember them on the face for undo."""
    pins.save(shot)
    face.mien.pins = as_text(pins)
    _written[shots.absolute(face.mien.shot_folder)] = face.mien.pins


def remember(face: bpy.types.Object, folder: Path) -> None:
    """Before the first change of a session: an undo step that knows the pins which are there, so that undo comes back to them."""
    text = as_text(pins_of(folder))
    if face.mien.pins != text or folder not in _written:
        face.mien.pins = _written[folder] = text
        bpy.ops.ed.undo_push(message="Pins")


def as_text(pins: Pins) -> str:
    return json.dumps([[n, k, p.x, p.y, p.weight] for n, found in sorted(pins.frames.items()) for k, p in sorted(found.items())])


def from_text(text: str) -> Pins:
    pins = Pins()
    for number, landmark, *values in json.loads(text or "[]"):
        pins.put(number, landmark, Pin(*values))
    return pins


_written: dict[Path, str] = {}
"""Shot folder -> what this session has written last: another text on a face means that undo or redo was there."""


@persistent
def after_undo(_scene: object = None, _more: object = None) -> None:
    """Bring the files to what undo or redo has made of the faces."""
    for face in bpy.data.objects:
        if not shots.is_face(face):
            continue
        folder = shots.absolute(face.mien.shot_folder)
        if folder in _written and face.mien.pins and face.mien.pins != _written[folder]:  # "" is from before there was anything to remember
            try:
                keep(face, Shot.load(folder), from_text(face.mien.pins))
            except MienError as error:  # nobody is there to tell but the panel
                _pins[folder] = None, Pins(), str(error)


# -- where the solve has the landmarks ------------------------------------------------------------------------------------

@dataclass(eq=False)
class Points:
    """The landmarks of a solved shot, ready to be drawn."""

    shot: Shot
    solve: Solve
    ids: np.ndarray
    """(L,) the tracker's numbers."""
    neutral: np.ndarray
    """(L, 3)"""
    directions: np.ndarray
    """(B, L, 3)"""

    def on(self, number: int) -> np.ndarray | None:
        """(L, 2) plate pixels on a frame; None where no face is solved."""
        index, s = number - self.shot.plate.first_frame, self.solve
        if not 0 <= index < len(s.beta) or not s.solved[index]:
            return None
        points = self.neutral + np.tensordot(s.beta[index].astype(np.float64), self.directions, 1)
        return s.camera.project(place(points, s.rotation[index].astype(np.float64), s.translation[index].astype(np.float64)))


_points: dict[Path, tuple[str, Points]] = {}


def points_of(folder: Path) -> Points | None:
    """None for a shot that is not solved, or whose files do not fit."""
    info = shots.shot_info(folder)
    if info.shot is None or not info.is_solved or info.problem:
        return None
    # The hash of a solve does not know its pins: a re-solve that moved nothing must still be read again.
    key = f"{info.solve_hash} {_stamp(info.shot.solve_path)}"
    if folder not in _points or _points[folder][0] != key:
        try:
            model, solve = cached_model(info.shot.model), Solve.load(info.shot)
        except MienError:
            return None
        chosen = np.flatnonzero(model.landmark_ids < LANDMARKS)
        vertices = model.landmark_vertices[chosen]
        _points.clear()
        _points[folder] = key, Points(info.shot, solve, model.landmark_ids[chosen], model.neutral(solve.alpha)[vertices].astype(np.float64),
                                      model.expression[:, vertices].astype(np.float64))
    return _points[folder][1]


def dots(folder: Path, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """On a frame: landmarks (L,), places (L, 2) on the plate, a pin's own where there is one, and (L,) bool: pinned. None without a face."""
    points = points_of(folder)
    places = None if points is None else points.on(number)
    if points is None or places is None:
        return None
    pinned = pins_of(folder).frames.get(number, {})
    held = np.isin(points.ids, list(pinned))
    for i in np.flatnonzero(held):
        pin = pinned[int(points.ids[i])]
        places[i] = pin.x, pin.y
    return points.ids, places, held


def register() -> None:
    bpy.app.handlers.undo_post.append(after_undo)
    bpy.app.handlers.redo_post.append(after_undo)


def unregister() -> None:
    for handlers in (bpy.app.handlers.undo_post, bpy.app.handlers.redo_post):
        if after_undo in handlers:
            handlers.remove(after_undo)
    for kept in (_pins, _points, _written):
        kept.clear()


CLASSES = ()
