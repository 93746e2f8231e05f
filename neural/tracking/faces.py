# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces that keep their numbers from frame to frame."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np

from .mediapipe_tracker import MAX_FACES, Face, MediaPipeTracker

LOOK_AROUND = 12
"""Frames between two looks for further faces."""
JUMP = 0.6
"""A face whose centre moved by more than this many of its own widths a frame is another face."""
FAR = 1e6
ESTABLISHED = 5
"""Frames after which a face is no mistake of the detector."""


class Faces:
    """Follows a single face while there is one on the picture, several once there are more. Close it at the end."""

    def __init__(self) -> None:
        self._tracker, self._finder = MediaPipeTracker(1), MediaPipeTracker()
        self._many = False
        self._last: dict[int, Face] = {}
        self._when: dict[int, int] = {}
        self._frames: Counter[int] = Counter()
        self.seen = 0
        """Faces on the last frame."""
        self._finding = threading.Lock()

    def close(self) -> None:
        self._tracker.__exit__()
        self._finder.__exit__()

    def looks_around(self, index: int) -> bool:
        """Will `follow` want to know how many faces this frame has? It may want that of others too."""
        return not self._many and index % LOOK_AROUND == 0

    def count(self, rgb: np.ndarray) -> int:
        """Faces on a picture (H, W, 3) uint8 sRGB. From any thread."""
        with self._finding:
            return len(self._finder.detect(rgb))

    def follow(self, rgb: np.ndarray, index: int, cut: bool, count: int | None = None) -> dict[int, Face]:
        """(H, W, 3) uint8 sRGB -> number of a face -> its landmarks. count: what `count` says of the frame, where that is known already.

        Numbers are given by size on the first frame that shows any, the largest is 0; who comes later gets the next one. After a cut a number goes
        to the face that is nearest to where its last owner was, since nothing tells more.
        """
        if cut:
            self._restart(self._many)
        if not self._many and (not self._last or cut or index % LOOK_AROUND == 0) and (self.count(rgb) if count is None else count) > 1:
            self._restart(True)
        found = self._tracker.process(rgb)
        self.seen = len(found)
        alone = len(found) == 1 and sum(n >= ESTABLISHED for n in self._frames.values()) <= 1
        numbered = self._numbered(found, index, anywhere=cut or alone)
        self._last.update(numbered)
        self._when.update(dict.fromkeys(numbered, index))
        self._frames.update(numbered.keys())
        return numbered

    def _restart(self, many: bool) -> None:
        self._tracker.__exit__()
        self._tracker, self._many = MediaPipeTracker(MAX_FACES if many else 1), many

    def _numbered(self, found: list[Face], index: int, anywhere: bool) -> dict[int, Face]:
        """anywhere: a face may have moved by any distance, as after a cut, or when there was only one all the time."""
        if not self._last:
            return dict(enumerate(sorted(found, key=face_width, reverse=True)))
        known = sorted(self._last, key=lambda number: -self._frames[number])
        result: dict[int, Face] = {}
        if found:
            from scipy.optimize import linear_sum_assignment  # a fifth of a second that nobody needs who tracks nothing
            far = np.array([[self._distance(face, number) / (index - self._when[number]) for number in known] for face in found])
            allowed = np.full_like(far, anywhere, bool) | (far <= JUMP)
            for row, column in zip(*linear_sum_assignment(np.where(allowed, far, FAR))):
                if allowed[row, column]:
                    result[known[column]] = found[row]
        # Who is not known gets a number, unless it is a second find of a face that has one.
        for face in found:
            again = (np.linalg.norm(face_centre(face) - face_centre(taken)) < JUMP / 2 * face_width(taken) for taken in result.values())
            if not any(again):
                result[max((*known, *result)) + 1] = face
        return result

    def _distance(self, face: Face, number: int) -> float:
        """From where a number was seen last, in its face's widths."""
        last = self._last[number]
        return float(np.linalg.norm(face_centre(face) - face_centre(last)) / face_width(last))


def face_centre(face: Face) -> np.ndarray:
    """(2,) pixels."""
    return face[:468, :2].mean(0)


def face_width(face: Face) -> float:
    """Pixels."""
    return float(np.ptp(face[:468, 0]))
