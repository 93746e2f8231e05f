# SPDX-License-Identifier: GPL-3.0-or-later
"""MediaPipe FaceMesh as a landmark backend. Its networks are inside the wheel, so it needs no network and no download."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from mediapipe.python.solutions.face_mesh import FaceMesh

SCHEME = "mediapipe478"
LANDMARKS = 478
MAX_FACES = 6
LONGEST_SIDE = 2300
"""Larger pictures are halved for the network, which looks at 192 x 192 pixels of a face in any case."""

Face = np.ndarray
"""(478, 3) float32: x, y in pixels of the frame, z in the same scale, forward."""


class MediaPipeTracker:
    """Finds faces frame by frame, keeping to those it already follows. Use as a context manager."""

    scheme = SCHEME

    def __init__(self, faces: int = 1):
        self._faces = faces
        self._mesh: FaceMesh | None = None
        self._still: FaceMesh | None = None

    def __enter__(self) -> MediaPipeTracker:
        return self

    def __exit__(self, *exc: object) -> None:
        for network in (self._mesh, self._still):
            if network:
                network.close()

    def process(self, rgb: np.ndarray) -> list[Face]:
        """(H, W, 3) uint8 sRGB -> the faces of this frame, in no lasting order."""
        if self._mesh is None:
            self._mesh = _network(self._faces, still=False)
        return self._run(self._mesh, rgb)

    def detect(self, rgb: np.ndarray) -> list[Face]:
        """All faces of one picture, afresh, without touching the faces that are being followed."""
        if self._still is None:
            self._still = _network(MAX_FACES, still=True)
        return self._run(self._still, rgb)

    @staticmethod
    def _run(mesh: FaceMesh, rgb: np.ndarray) -> list[Face]:
        height, width = rgb.shape[:2]
        while max(rgb.shape[:2]) > LONGEST_SIDE:
            rgb = cv2.resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), interpolation=cv2.INTER_AREA)
        found = mesh.process(np.ascontiguousarray(rgb)).multi_face_landmarks or []
        scale = np.array([width, height, width], np.float32)
        return [np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) * scale for face in found]


def _network(faces: int, *, still: bool) -> FaceMesh:
    from mediapipe.python.solutions.face_mesh import FaceMesh  # takes a second, which a bake or a preview need not wait
    return FaceMesh(static_image_mode=still, max_num_faces=faces, refine_landmarks=True)
