# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the demo's plate: one portrait, tracked and solved, then moved by the renderer as a head that talks and blinks.

    python -m mien.neural.demo.plate OUT.mp4 [--frames 120]

The portrait is NASA's photograph of Eileen Collins (public domain), which ships inside scikit-image's wheel; nothing is
downloaded. The movie has no existence outside the demo, so it may show the renderer's traces: it is footage to try the product on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ...mesh.camera import Camera, place, rotation_matrix, rotation_vector
from ...mesh.errors import MienError
from ...mesh.model import FaceModel, load_model
from ...mesh.shot import Plate, Solve
from ..failures import tells_errors
from ..media import Frame
from ..progress import Reporter, Silent
from ..rendering import PlateRenderer, RenderSettings
from ..solving import solve_track
from ..tracking import track_faces
from .mouth import MouthLayer
from .speech import blink, camera_shake, head_motion, speech_actions
from .voice import voice
from .writer import write_movie

RATE = Fraction(25)
FRAMES = 120
SIZE = 720
"""Width and height of the movie, pixels."""
MARGIN = 40
"""Pixels around the movie's picture that the camera may shake into."""
CROP = (115, 0, 226)
"""left, top, side of the square of the portrait that is shown, pixels of the original."""
SMILE_LEFT = -0.4
"""How much of the portrait's own smile the plate keeps. Below zero, because the smile's folds and shadows stay in the pixels."""
SMILE = ("mouthSmile", "mouthDimple", "cheekSquint", "mouthUpperUp", "mouthStretch")
GRAIN = 2.0
"""Standard deviation of the film grain, 8-bit levels."""
SOUND_RATE = 48000


def portrait() -> np.ndarray:
    """(SIZE + 2 MARGIN, same, 3) uint8: head and shoulders, enlarged. Raises MienError without scikit-image."""
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise MienError("The demo's portrait comes with scikit-image, which is not installed; install requirements/engine.txt.") from error
    left, top, side = CROP
    cropped = astronaut()[top:top + side, left:left + side]
    size = SIZE + 2 * MARGIN
    return cv2.resize(cropped, (size, size), interpolation=cv2.INTER_CUBIC)


@dataclass(eq=False)
class Head:
    """The portrait's solve: what is moved."""

    picture: np.ndarray
    model: FaceModel
    camera: Camera
    alpha: np.ndarray
    beta: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    landmarks: np.ndarray

    @classmethod
    def solved(cls, report: Reporter) -> Head:
        """Track and solve the portrait as a shot of one frame."""
        picture, model = portrait(), load_model("default")
        plate = Plate("portrait", "movie", picture.shape[1], picture.shape[0], (RATE.numerator, RATE.denominator), 1, 1)
        track = track_faces([Frame(0, 0.0, picture)], plate, report)[0]
        solve: Solve = solve_track(model, track, plate, report)
        return cls(picture, model, solve.camera, solve.alpha, solve.beta[0], solve.rotation[0].astype(np.float64),
                   solve.translation[0].astype(np.float64), track.landmarks[0].astype(np.float64))

    def performance(self, times: np.ndarray) -> np.ndarray:
        """(T,) seconds -> (T, B): the portrait's expression with part of its smile taken, plus speech and blinks."""
        names = self.model.expression_names
        keep = np.array([SMILE_LEFT if name.startswith(SMILE) else 0.1 if name.startswith(("mouth", "jaw")) else 1.0 for name in names])
        beta = np.tile(self.beta * keep, (len(times), 1))
        actions = {**speech_actions(times), "eyeBlinkLeft": blink(times), "eyeBlinkRight": blink(times)}
        for name, values in actions.items():
            if name not in self.model.expression_index:
                raise MienError(f"The face model '{self.model.name}' has no direction '{name}', which the demo's plate needs.")
            i = self.model.expression_index[name]
            # A lid that is half down already has less far to fall.
            beta[:, i] = beta[:, i] + (1 - np.clip(beta[:, i], 0, 1)) * values if name.startswith("eyeBlink") else beta[:, i] + values
        return beta.astype(np.float32)


def pictures(head: Head, frames: int, report: Reporter) -> Iterator[np.ndarray]:
    """The movie's frames (SIZE, SIZE, 3) uint8."""
    times = np.arange(frames) / float(RATE)
    betas = head.performance(times)
    turns, steps = head_motion(times)
    shakes = camera_shake(times)
    renderer = PlateRenderer(head.model, head.camera, RenderSettings(band=0.5))
    before, _ = renderer.project(head.alpha, head.beta, head.rotation, head.translation)
    offset = renderer.lock(before, head.landmarks)
    mouth = MouthLayer(head.picture, head.model, before + offset)
    grain = np.random.default_rng(3)
    report.step("demo plate", 0, frames)
    for i in range(frames):
        rotation = rotation_vector(rotation_matrix(turns[i]) @ rotation_matrix(head.rotation))
        translation = head.translation + steps[i]
        points = place(head.model.shape(head.alpha, betas[i]).astype(np.float64), rotation, translation)
        after = head.camera.project(points) + offset
        layer = renderer.render(head.picture, before + offset, after, points[:, 2].astype(np.float32))
        picture = head.picture if layer is None else layer.over(head.picture)
        skull, _ = renderer.project(head.alpha, head.beta, rotation, translation)
        picture = mouth.over(picture, skull + offset, after)
        yield grained(shaken(picture, shakes[i]), grain)
        report.step("demo plate", i + 1, frames)


def shaken(picture: np.ndarray, shake: np.ndarray) -> np.ndarray:
    """The part of the picture that the camera sees; shake: see camera_shake."""
    x, y, roll, zoom = shake
    middle = picture.shape[0] / 2
    matrix = cv2.getRotationMatrix2D((middle - 0.5, middle - 0.5), float(np.degrees(roll)), float(1 + zoom))
    matrix[:, 2] += np.array([x, y]) * SIZE - MARGIN
    return cv2.warpAffine(picture, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def grained(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The picture (H, W, 3) uint8 with a film's grain."""
    noise = random.standard_normal((*picture.shape[:2], 1)).astype(np.float32) * GRAIN
    noise = cv2.GaussianBlur(noise, (0, 0), 0.7)[..., None] * 1.8
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def make_plate(path: Path | str, *, frames: int = FRAMES, report: Reporter | None = None) -> None:
    """Write the demo's plate as a movie with sound. Raises MienError."""
    report = report or Silent()
    head = Head.solved(report)
    write_movie(Path(path), pictures(head, frames, report), RATE, voice(frames / float(RATE), SOUND_RATE), SOUND_RATE)


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mien-demo-plate", description="Make the demo's plate: a portrait that talks and blinks.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=FRAMES)
    options = parser.parse_args(arguments)
    make_plate(options.out, frames=options.frames)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
