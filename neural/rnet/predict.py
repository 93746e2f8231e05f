# SPDX-License-Identifier: GPL-3.0-or-later
"""R-Net over a plate: identity, expressions and poses in the shot's one camera, where a solve on a Basel Face Model can start from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch

from ...mesh.camera import Camera, rotation_vector
from ...mesh.errors import MienError
from ...mesh.model import FaceModel
from ...mesh.shot import Plate, Track
from ..media import Frame, display8
from ..progress import Reporter
from ..solving import Start
from .coefficients import COUNT, DISTANCE, FLIP, FOCAL, on_crop, rotations, unpack
from .crop import Crop, crop_of, cut
from .network import HEADS, load_rnet

BATCH = 8


def check_model(model: FaceModel) -> None:
    """Raises MienError when R-Net's coefficients are not this model's."""
    want = HEADS["identity"], HEADS["expression"]
    if (model.identity_count, model.expression_count) != want or not np.any(model.centre):
        raise MienError(f"R-Net gives {want[0]} identity and {want[1]} expression coefficients of the Basel Face Model, the face model "
                        f"'{model.name}' is another; choose one that 'mien model add BFM_model_front.mat' made.")


def predict(weights: Path, frames: Iterable[Frame], plate: Plate, track: Track, model: FaceModel, camera: Camera, report: Reporter) -> Start:
    """R-Net on every tracked frame, carried into `camera`. Raises MienError for a wrong model or checkpoint."""
    check_model(model)
    network = load_rnet(weights)
    T = plate.frame_count
    values, crops = np.full((T, COUNT), np.nan), {}
    waiting: list[tuple[int, np.ndarray]] = []

    def run() -> None:
        if waiting:
            pictures = torch.from_numpy(np.stack([p for _, p in waiting])).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                values[[i for i, _ in waiting]] = network(pictures).numpy()
            waiting.clear()

    for frame in frames:
        i = frame.index
        if track.found[i]:
            crops[i] = crop_of(track.landmarks[i], plate.width, plate.height)
            waiting.append((i, cut(display8(frame.pixels, plate.linear), crops[i])))
        if len(waiting) == BATCH:
            run()
        report.step("R-Net", i + 1, T)
    run()
    return start_from(values, crops, model, camera)


def start_from(values: np.ndarray, crops: dict[int, Crop], model: FaceModel, camera: Camera) -> Start:
    """(T, 257) values of the frames in `crops` -> a start in the shot's camera.

    Every crop has a camera of its own. What the network says on a frame is where it sees the face's landmarks; the pose in the shot's camera is the
    one that puts them there (a perspective-n-point problem, by Levenberg-Marquardt from R-Net's own pose).
    """
    rows = np.array(sorted(crops))
    c = unpack(values[rows])
    alpha = c.identity.mean(0)
    nothing = np.full((len(values), 3), np.nan)
    start = Start(alpha.astype(np.float32), np.full((len(values), model.expression_count), np.nan, np.float32), nothing, nothing.copy())
    start.beta[rows] = c.expression
    vertices = model.landmark_vertices
    own = model.mean[vertices] + np.einsum("na,avx->nvx", c.identity, model.identity[:, vertices]) \
        + np.einsum("nb,bvx->nvx", c.expression, model.expression[:, vertices])
    seen = on_crop(own - model.centre, c)
    K = np.array([[camera.focal, 0, camera.cx], [0, camera.focal, camera.cy], [0, 0, 1]])
    turn = FLIP[:, None] * rotations(c.angles) * FLIP
    for n, i in enumerate(rows):
        crop = crops[int(i)]
        on_plate = crop.to_plate(seen[n])
        points = model.shape(alpha, c.expression[n])[vertices].astype(np.float64)
        depth = (DISTANCE - c.translation[n, 2]) / 10 * camera.focal / FOCAL * crop.width / crop.plate[0]
        middle = (on_plate.mean(0) - (camera.cx, camera.cy)) / camera.focal * depth
        shift = np.array([*middle, depth]) - turn[n] @ points.mean(0) * (1, 1, 0)
        _, r, t = cv2.solvePnP(points, on_plate, K, None, rotation_vector(turn[n]).reshape(3, 1), shift.reshape(3, 1), True, cv2.SOLVEPNP_ITERATIVE)
        start.rotation[i], start.translation[i] = r[:, 0], t[:, 0]
    return start
