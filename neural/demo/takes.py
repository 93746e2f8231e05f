# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes of a virtual actor, labelled by who made them: footage in which an emotion is known to the last pixel.

    python -m mien.neural.demo.takes FOLDER --emotion happy [--actor 1]

Writes neutral_1, EMOTION_1, neutral_2 and EMOTION_2 (.avi, lossless) and takes.csv, which names the first two. An actor of the cast
(`shape_gan.cast`) with ways of its own plays on the demo's portrait. Skin that is bent gets creases (`CREASES`): drawn in the texture by this module,
as deep as the action is strong, so that what level 2 learns here is nothing that it could have made itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ...mesh.camera import place, rotation_matrix, rotation_vector
from ...mesh.emotion import EMOTIONS
from ...mesh.errors import MienError
from ...mesh.files import atomic_path
from ...mesh.model import FaceModel
from ...mesh.shot import Plate
from ..failures import tells_errors
from ..latent.working import from_working, to_working
from ..level2 import carry_to_picture, corners_of, weight_map
from ..media import open_writer
from ..progress import Reporter, Silent
from ..rendering import PlateRenderer, RenderSettings
from ..shape_gan.cast import VISEMES, make_actor, perform, spread
from ..shape_gan.takes import COLUMNS, NEUTRAL
from ..texture import Unwrapper, vertex_texels
from .mouth import MouthLayer
from .plate import RATE, SIZE, SMILE, Head, grained, shaken
from .speech import camera_shake, head_motion

FRAMES = 50
AROUND = 45
"""Frames before and after a take, at least."""
TEXTURE = 512
DEEP, WIDE = 0.2, 0.012
"""Darkness of a crease at its apex, working space, and the width of its stroke as a part of the texture's size: those of a filmed frown."""
BULGE = 0.45
"""Light of the skin beside a crease, as a part of its darkness, three times as wide."""
CREASES: dict[tuple[str, ...], tuple[tuple[int, ...], ...]] = {
    ("browInnerUp", "browOuterUp"): ((104, 69, 108, 151, 337, 299, 333), (63, 105, 66, 9, 296, 334, 293)),
    ("browDown",): ((108, 107, 55), (337, 336, 285)),
    ("mouthSmile",): ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432)),
    ("cheekSquint",): ((130, 35, 143), (130, 31, 111), (359, 265, 372), (359, 261, 340)),
    ("mouthFrown",): ((61, 202, 210), (291, 422, 430)),
    ("noseSneer",): ((193, 245, 188), (417, 465, 412)),
}
"""Expression directions by the start of their names, the strongest of which counts -> creases along landmarks."""


def crease_maps(unwrap: Unwrapper) -> np.ndarray:
    """(len(CREASES), S, S) float32: change of the skin's brightness at the apex of each, working space."""
    model, size, maps = unwrap.model, unwrap.size, []
    at = vertex_texels(model, size)
    for lines in CREASES.values():
        drawn = np.zeros((size, size), np.float32)
        for line in lines:
            points = at[model.vertices_of_landmarks(list(line))]
            way = np.linspace(0, len(points) - 1, 64)
            smooth = np.stack([np.interp(way, np.arange(len(points)), points[:, k]) for k in (0, 1)], 1)
            cv2.polylines(drawn, [(smooth * 16).round().astype(np.int32)], False, (1.0,), max(1, round(WIDE * size)), cv2.LINE_AA, 4)
        narrow, broad = (cv2.GaussianBlur(drawn, (0, 0), k * WIDE * size) for k in (0.7, 2.5))
        maps.append(-DEEP * (narrow - BULGE * broad) / max(float(narrow.max()), 1e-6))
    inside = cv2.erode((weight_map(unwrap) > 0.02).astype(np.float32), np.ones((size // 32, size // 32)))
    return np.stack(maps) * cv2.GaussianBlur(inside, (0, 0), size / 128)  # soft where the face, an eye or the mouth begins


def depths(model: FaceModel, beta: np.ndarray) -> np.ndarray:
    """(T, len(CREASES)) in 0..1 from expressions (T, B): how deep each crease is."""
    columns = []
    for stems in CREASES:
        rows = [i for name, i in model.expression_index.items() if name.startswith(stems)]
        columns.append(np.clip(beta[:, rows].max(1), 0, 1) if rows else np.zeros(len(beta)))
    return np.stack(columns, 1)


@dataclass(frozen=True, eq=False)
class VirtualActor:
    """One of the cast on the portrait. Takes of one actor differ in speech, blinks, motion and grain."""

    head: Head
    number: int
    """Which of the cast."""

    def played(self, emotion: str, take: int, frames: int) -> np.ndarray:
        """(frames, B): the expression of a take; EMOTIONS, or "neutral". The emotion is there from the first frame to the last, as in MEAD."""
        model = self.head.model
        actor = make_actor(model, np.random.default_rng((0, self.number)))
        which = None if emotion == NEUTRAL else EMOTIONS.index(emotion)
        visemes = {name: spread(model, amounts) for name, amounts in VISEMES.items()}
        # The cast comes into an emotion and out of it: the middle of a longer performance does neither.
        around = max(frames, AROUND)
        whole, _ = perform(model, actor, visemes, which, 1.0, frames + 2 * around, np.random.default_rng((self.number, take, len(emotion))), 0.0)
        beta = whole[around:around + frames]
        smiles = np.array([name.startswith((*SMILE, "mouth", "jaw")) for name in model.expression_names])
        return (beta + np.where(smiles, 0, self.head.beta)).astype(np.float32)

    def pictures(self, emotion: str, take: int, frames: int, report: Reporter) -> Iterator[np.ndarray]:
        """(SIZE, SIZE, 3) uint8, one after another."""
        head, unwrap, times = self.head, Unwrapper(self.head.model, TEXTURE), (np.arange(frames) + 37 * take) / float(RATE)
        beta, (turns, steps), shakes = self.played(emotion, take, frames), head_motion(times), camera_shake(times)
        creases, deep, corners = crease_maps(unwrap), depths(head.model, beta), corners_of(unwrap)
        renderer = PlateRenderer(head.model, head.camera, RenderSettings(band=0.5))
        before, _ = renderer.project(head.alpha, head.beta, head.rotation, head.translation)
        offset = renderer.lock(before, head.landmarks)
        mouth, grain = MouthLayer(head.picture, head.model, before + offset), np.random.default_rng((take, len(emotion)))
        for i in range(frames):
            rotation = rotation_vector(rotation_matrix(turns[i]) @ rotation_matrix(head.rotation))
            points = place(head.model.shape(head.alpha, beta[i]).astype(np.float64), rotation, head.translation + steps[i])
            after = head.camera.project(points) + offset
            layer = renderer.render(head.picture, before + offset, after, points[:, 2].astype(np.float32), always=True)
            picture = head.picture
            if layer is not None:
                change = carry_to_picture(layer, corners, np.repeat(np.tensordot(deep[i].astype(np.float32), creases, 1)[..., None], 3, 2))
                layer.patch[..., :3] = from_working(to_working(layer.patch[..., :3], False) + change, layer.patch.dtype, False)
                picture = layer.over(picture)
            skull, _ = renderer.project(head.alpha, head.beta, rotation, head.translation + steps[i])
            yield grained(shaken(mouth.over(picture, skull + offset, after), shakes[i]), grain)
            report.step(f"{emotion} {take}", i + 1, frames)


def make_takes(folder: Path, emotion: str, *, actor: int = 1, frames: int = FRAMES, report: Reporter | None = None) -> Path:
    """Write the takes and their table, whose path is returned. Raises MienError for an unknown emotion or a folder that cannot be written."""
    if emotion not in EMOTIONS:
        raise MienError(f"There is no emotion '{emotion}'; use one of {', '.join(EMOTIONS)}.")
    report = report or Silent()
    played = VirtualActor(Head.solved(report), actor)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (NEUTRAL, emotion):
        for take in (1, 2):
            plate = Plate("virtual", "movie", SIZE, SIZE, (RATE.numerator, RATE.denominator), 1, frames)
            with open_writer(folder / f"{name}_{take}.avi", plate, "ffv1") as writer:
                for i, picture in enumerate(played.pictures(name, take, frames, report)):
                    writer.write(picture, i / float(RATE))
    table = folder / "takes.csv"
    with atomic_path(table) as temporary:
        temporary.write_text(f"{','.join(COLUMNS)}\nneutral_1.avi,virtual,{NEUTRAL},\n{emotion}_1.avi,virtual,{emotion},3\n", encoding="utf-8")
    return table


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mien-demo-takes", description="Make labelled takes of a virtual actor.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--emotion", default="happy", choices=EMOTIONS)
    parser.add_argument("--actor", type=int, default=1, metavar="N", help="which of the cast (1)")
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help=f"frames of a take ({FRAMES})")
    options = parser.parse_args(arguments)
    print(make_takes(options.folder, options.emotion, actor=options.actor, frames=options.frames))
    return 0


if __name__ == "__main__":
    sys.exit(main())
