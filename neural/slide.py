# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the skin slides on the solved mesh: the motion of mesh points on the picture against the optical flow of the plate.

Points on forehead, cheeks and nose are looked for in the picture one frame later and LATER frames later, from where the mesh says they are
(Lucas & Kanade 1981, pyramids). A mesh that lies still on the skin finds them there. What the flow is not sure of is left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..mesh.camera import place
from ..mesh.model import FaceModel
from ..mesh.shot import Solve
from .visibility import facing

LATER = 12
REGIONS = ("forehead", "cheek", "nose")
"""What their names contain: skin that neither opens nor folds."""
POINTS = 300
EYES = 160.0
"""Pixels between the outer eye corners in the pictures that are compared."""
WINDOW = 25
BACK = 0.5
"""Pixels by which a point may miss its start when it is followed back."""
SLOW, CONTRAST = 6.0, 500.0
"""Pixels (standard deviation) from which on a change of brightness is light, not skin; and how much the rest is raised."""
TEXTURE = 1e-6
"""Least eigenvalue of the window's gradients: below it the flow is a guess."""


def detail(grey: np.ndarray) -> np.ndarray:
    """(H, W) uint8 less its slow changes, light and shading, which flow would take for motion."""
    soft = cv2.GaussianBlur(grey, (0, 0), SLOW).astype(np.float32)
    return np.clip(128 + CONTRAST * (grey / np.maximum(soft, 4.0) - 1), 0, 255).astype(np.uint8)


@dataclass
class Slide:
    """Takes the frames of a solved shot in order."""

    model: FaceModel
    solve: Solve
    _scale: float = 1.0
    _before: deque[tuple[int, np.ndarray]] = field(default_factory=lambda: deque(maxlen=LATER))
    _found: dict[int, list[np.ndarray]] = field(default_factory=lambda: {1: [], LATER: []})

    def __post_init__(self) -> None:
        m = self.model
        on = np.max([w for name, w in m.regions.items() if any(r in name for r in REGIONS)] or [np.ones(m.vertex_count)], axis=0)
        chosen = np.flatnonzero(on > 0.5)
        self._points = chosen[np.unique(np.linspace(0, len(chosen) - 1, POINTS).round().astype(int))]
        self._take = np.zeros(len(self.solve.beta), int)
        for number, (start, end) in enumerate(self.solve.segments):
            self._take[start:end] = number + 1

    def take(self, rgb: np.ndarray, index: int) -> None:
        """(H, W, 3) uint8 of the next frame."""
        if not self.solve.solved[index]:
            self._before.clear()
            return
        s = self.solve
        if not self._before or self._take[self._before[-1][0]] != self._take[index]:  # one scale for a take: what is compared must be of one size
            self._before.clear()
            self._scale = min(1.0, EYES * float(s.translation[index, 2]) / (self.model.eye_distance * s.camera.focal))
        scale, eye = self._scale, self.model.eye_distance * s.camera.focal / float(s.translation[index, 2])
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        grey = detail(grey)
        for at, other in self._before:
            if index - at in self._found:
                self._found[index - at].append(self._difference(other, grey, at, index, scale) / (eye * scale))
        self._before.append((index, grey))

    def _difference(self, a: np.ndarray, b: np.ndarray, first: int, second: int, scale: float) -> np.ndarray:
        """(n,) pixels between where mesh and flow have the points on the second picture."""
        (start, seen), (want, later) = (self._places(i, scale) for i in (first, second))
        inside = ((start > WINDOW) & (start < (a.shape[1] - WINDOW, a.shape[0] - WINDOW))).all(1) & (seen > 0.9) & (later > 0.9)
        start, want = start[inside, None], want[inside, None]
        if not len(start):
            return np.zeros(0)
        options = {"winSize": (WINDOW, WINDOW), "maxLevel": 2, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW, "minEigThreshold": TEXTURE}
        there, known, _ = cv2.calcOpticalFlowPyrLK(a, b, start, want.copy(), **options)
        back, known_back, _ = cv2.calcOpticalFlowPyrLK(b, a, there, start.copy(), **options)
        good = (known[:, 0] > 0) & (known_back[:, 0] > 0) & (np.linalg.norm(back - start, axis=2)[:, 0] < BACK)
        return np.linalg.norm(there - want, axis=2)[good, 0]

    def _places(self, index: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """(n, 2) float32 pixels of the small picture, OpenCV's way, and how far each is turned to the camera."""
        s = self.solve
        points = place(self.model.shape(s.alpha, s.beta[index]).astype(np.float64), s.rotation[index].astype(np.float64),
                       s.translation[index].astype(np.float64))
        xy = s.camera.project(points[self._points]) * scale - 0.5
        return xy.astype(np.float32), facing(points, self.model.triangles)[self._points]

    def summary(self) -> dict[str, float]:
        """Medians in parts of the eye distance: "slide" from one frame to the next, "slide_later" over LATER frames; without what is not known."""
        found = {name: np.concatenate(self._found[gap]) for name, gap in (("slide", 1), ("slide_later", LATER)) if self._found[gap]}
        return {name: float(np.median(values)) for name, values in found.items() if len(values)}
