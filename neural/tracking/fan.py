# SPDX-License-Identifier: GPL-3.0-or-later
"""face-alignment (Bulat & Tzimiropoulos 2017) as a landmark backend: its network places the iBUG-68 points, MediaPipe all others around them.

MediaPipe finds the face on a frame and all its 478 landmarks; the 51 inner points of the 68 move to where the network sees them, and the rest
follow by a thin-plate spline (Bookstein 1989), so that the track keeps its scheme, its depth and its irises. The 17 points of the outline are no
points of the skin and are left out. Nothing is downloaded here: the user puts the weights where they belong, and their checksum is looked at.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator

from ...mesh.errors import MienError
from ..models.register import CONTOUR, IBUG_TO_MEDIAPIPE
from .mediapipe_tracker import Face

WEIGHTS = "2DFAN4-cd938726ad.zip"
"""The file that face-alignment 1.4.1 loads. The digits after the dash are the first of its sha256."""
URL = f"https://www.adrianbulat.com/downloads/python-fan/{WEIGHTS}"
IRISES = 468
"""Landmarks from here on are the irises; the eyes' corners and lids carry them."""
SMOOTHING = 1e-3
"""Of the spline, in face widths squared: the network's points jump by a quarter of a cell of its heat maps."""
BROW_TO_CHIN = (10, 152, 234, 454)
"""Landmarks whose box is what a face detector would give: top, chin, both sides."""


class FaceAlignmentPoints:
    """Refines MediaPipe's landmarks. Raises MienError when the package or its weights are missing, or the weights are other ones."""

    def __init__(self) -> None:
        if importlib.util.find_spec("face_alignment") is None:
            raise MienError("The landmark backend face-alignment is not installed in the engine; install it with 'pip install --no-deps "
                            "face-alignment==1.4.1', or track with mediapipe.")
        check_weights(weights_path())
        import face_alignment
        device = "cuda" if torch.cuda.is_available() else "cpu"
        # The detector 'folder' is none: boxes come from MediaPipe, so that only one file of weights is needed.
        self._network: Any = face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, device=device, face_detector="folder")

    def refine(self, rgb: np.ndarray, face: Face) -> Face:
        """(H, W, 3) uint8 sRGB and landmarks (478, 3), pixels -> the landmarks with the 68 where the network sees them."""
        corners = face[list(BROW_TO_CHIN), :2]
        box = np.concatenate([corners.min(0), corners.max(0)])
        points = self._network.get_landmarks_from_image(rgb, detected_faces=[box])[0]
        return moved_onto(face, points)


def moved_onto(face: Face, points: np.ndarray) -> Face:
    """Landmarks (478, 3) bent so that their iBUG points lie on points (68, 2), pixels; depths stay."""
    width = float(np.ptp(face[:IRISES, 0]))
    rows = np.array(IBUG_TO_MEDIAPIPE[CONTOUR:])
    at = face[rows, :2].astype(np.float64) / width
    wanted = points[CONTOUR:].astype(np.float64) / width
    bend = RBFInterpolator(at, wanted - at, kernel="thin_plate_spline", smoothing=SMOOTHING)
    out = face.copy()
    out[:, :2] += (bend(face[:, :2].astype(np.float64) / width) * width).astype(np.float32)
    return out


def weights_path() -> Path:
    """Where face-alignment looks for its weights: torch's own folder of checkpoints."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS


def check_weights(path: Path) -> None:
    """Raises MienError when the file is missing, or is not the one that its name says."""
    if not path.is_file():
        raise MienError(f"The weights of face-alignment are missing; download {URL} to {path}, or track with mediapipe.")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read()).hexdigest()
    want = path.stem.rsplit("-", 1)[1]
    if not digest.startswith(want):
        raise MienError(f"{path} is damaged: its checksum begins with {digest[: len(want)]}, expected {want}; download it again from {URL}.")
