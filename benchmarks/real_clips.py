# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of solved shots, measured by a tracker that sees only the pictures: python benchmarks/real_clips.py SHOT ... [--editor gan] [--emotion happy]

For every shot and emotion at 1, one row: signs of the face in eye distances (edit less plate, mean over the frames), correlation of the lips'
gap with the plate's, sharpness (variance of the Laplacian in the face's outline, median over the frames) and jitter over the plate's. A value that
misses its limit stands in bold. --sweep EMOTION takes its intensity from 0 to 1 in quarters instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from mediapipe.python.solutions.face_mesh import FaceMesh

from mien.mesh.emotion import EMOTIONS, EmotionCurves
from mien.mesh.shot import Shot
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.media import PlateReader, display8
from mien.neural.metrics import face
from mien.neural.progress import Silent

SIGNS = {"corner": (61, 291), "brow in": (55, 285), "brow out": (46, 276), "nose": (129, 358)}
"""Heights of landmarks."""
ANYWHERE = {"lips r": (0.94, 1.0), "sharp": (0.9, 1.1), "jitter": (0.0, 1.4)}
LIMITS: dict[str, dict[str, tuple[float, float]]] = {
    "angry": {"brow in": (-1.0, -0.025)},
    "disgusted": {"nose": (0.01, 1.0), "corner": (-1.0, 0.01)},
    "happy": {"corner": (0.05, 0.1)},
    "sad": {"corner": (-1.0, -0.025), "brow in": (0.015, 1.0)},
    "surprised": {"brow out": (0.03, 1.0), "eyes": (0.008, 1.0)},
}
"""Lowest and highest value at intensity 1."""


class Side:
    """What is seen of one clip, plate or edit."""

    def __init__(self) -> None:
        self.tracker = FaceMesh(refine_landmarks=True)
        self.points: list[np.ndarray] = []

    def see(self, picture: np.ndarray) -> np.ndarray | None:
        """(H, W, 3) uint8 -> landmarks (478, 2), pixels; None where no face is found."""
        found = self.tracker.process(np.ascontiguousarray(picture)).multi_face_landmarks
        height, width = picture.shape[:2]
        return np.array([(p.x * width, p.y * height) for p in found[0].landmark]) if found else None

    def rows(self) -> dict[str, np.ndarray]:
        """Sign -> (T,) eye distances."""
        q = np.array(self.points)

        def gap(*pairs: tuple[int, int]) -> np.ndarray:
            return np.mean([np.linalg.norm(q[:, a] - q[:, b], axis=1) for a, b in pairs], 0)

        return {name: -q[:, list(ids), 1].mean(1) for name, ids in SIGNS.items()} | {"eyes": gap((159, 145), (386, 374)), "lips": gap((13, 14))}


def steady(landmarks: np.ndarray) -> np.ndarray:
    """(478, 2) pixels -> (478, 2) eye distances: origin between the outer corners of the eyes, which hardly move, x along them, y down."""
    right, left = landmarks[face.RIGHT_EYE[0]], landmarks[face.LEFT_EYE[1]]
    unit = np.linalg.norm(left - right)
    x = (left - right) / unit
    q = (landmarks - (right + left) / 2) / unit
    return np.stack([q @ x, q @ np.array([-x[1], x[0]])], 1)


def measured(editor: ShotEditor, frames: int | None) -> dict[str, float]:
    """One edit against its plate."""
    plate, output, sharp = Side(), Side(), []
    for frame in PlateReader(editor.shot.plate_path, editor.shot.plate).frames(0, frames):
        pictures = [display8(p[..., :3], editor.shot.plate.linear) for p in (frame.pixels, editor.composited(frame).pixels)]
        seen = [side.see(p) for side, p in zip((plate, output), pictures)]
        if seen[0] is None or seen[1] is None:
            continue
        for side, landmarks in zip((plate, output), seen):
            side.points.append(steady(landmarks))
        inside = face.oval_mask(seen[0], pictures[0].shape)
        energy = [cv2.Laplacian(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.CV_32F)[inside].var() for p in pictures]
        sharp.append(energy[1] / max(energy[0], 1e-6))
    was, now = plate.rows(), output.rows()
    out = {name: float((now[name] - was[name]).mean()) for name in was}
    restless = [np.abs(np.diff(np.array(side.points), 2, axis=0)).mean() for side in (plate, output)]
    return out | {"lips r": float(np.corrcoef(was["lips"], now["lips"])[0, 1]), "sharp": float(np.median(sharp)), "jitter": restless[1] / restless[0]}


def row(name: str, found: Mapping[str, float], limits: Mapping[str, tuple[float, float]]) -> str:
    """A row of the table; what lies outside of its limits in bold."""
    cells = []
    for key, value in found.items():
        low, high = limits.get(key, (-np.inf, np.inf))
        text = f"{value:.3f}" if key in ANYWHERE else f"{value:+.3f}"
        cells.append(text if low <= round(value, 3) <= high else f"**{text}**")
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shots", nargs="+", type=Path, metavar="SHOT")
    parser.add_argument("--editor", default="gan")
    parser.add_argument("--emotion", nargs="+", choices=EMOTIONS, default=list(EMOTIONS))
    parser.add_argument("--sweep", choices=EMOTIONS)
    parser.add_argument("--neutralise", type=float, default=0.0)
    parser.add_argument("--amount", type=float, default=1.0)
    parser.add_argument("--mouth", type=float)
    parser.add_argument("--frames", type=int)
    args = parser.parse_args()
    asked = [(args.sweep, x / 4) for x in range(5)] if args.sweep else [(e, args.amount) for e in args.emotion]
    controls = {"neutralise": args.neutralise} | ({} if args.mouth is None else {"mouth": args.mouth})
    names = [*SIGNS, "eyes", "lips", *ANYWHERE]
    print("| edit | " + " | ".join(names) + " |\n|---|" + "---|" * len(names), flush=True)
    for folder in args.shots:
        shot = Shot.load(folder)
        count = shot.plate.frame_count
        editor: ShotEditor | None = None
        for emotion, amount in asked:
            curves = EmotionCurves.constant(count, **{emotion: amount, **controls})
            if editor is None:
                editor = ShotEditor(shot, curves, EditSettings(editor=args.editor), Silent())
            editor.set_curves(curves)
            limits = ANYWHERE | (LIMITS.get(emotion, {}) if amount == 1 and not args.neutralise else {})
            print(row(f"{folder.stem} {emotion} {amount:g}", measured(editor, args.frames), limits), flush=True)


if __name__ == "__main__":
    main()
