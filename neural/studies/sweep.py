# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien evaluate sweep SHOT --emotion NAME`: the intensity from 0 to 1 in even steps (Sun et al. 2023, figure 7 and eq. 8).

A few frames of the shot are rendered at each step. Of neighbouring steps the distances are taken, of each step the signs of expression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...mesh.camera import place
from ...mesh.emotion import EMOTIONS, EmotionCurves
from ...mesh.errors import MienError
from ...mesh.files import write_json
from ...mesh.shot import Shot, Solve
from ..charts import line_chart
from ..contact_sheet import evenly
from ..edit import EditSettings, ShotEditor
from ..filmed import filmed
from ..jobs import plain
from ..media import Frame, PlateReader, display8
from ..metrics import face
from ..metrics.cpbd import cpbd
from ..metrics.lie import lie, mesh_distance, pixel_distance
from ..metrics.lpips import SOURCE as LPIPS_SOURCE
from ..metrics.lpips import lpips_of_files
from ..metrics.measure import HIGHER, ZERO, Measure, missing
from ..metrics.networks import lpips_network
from ..progress import Reporter
from ..report import Page, command_line, versions
from ..texture import Unwrapper
from ..tracking.mediapipe_tracker import MediaPipeTracker

SCHEMA = 1
TEXTURE = 256
SHOWN = 6
"""Steps on the report's strip of pictures."""
EYES = list(face.FEATURES).index("eye_open")
DISTANCES = {"pixels": "RMS difference of the face at 256 x 256, levels of 255", "texture": "RMS difference in UV space, levels of 255",
             "mesh": "mean way of the vertices in the head's frame, mm", "LPIPS": "the paper's distance, by the user's network"}


@dataclass(frozen=True, eq=False)
class SweepResult:
    """One emotion, S frames, n + 1 intensities."""

    shot: Shot
    emotion: str
    intensities: np.ndarray
    """(n + 1,) from 0 to 1."""
    frames: list[int]
    """S indices."""
    distances: dict[str, np.ndarray]
    """Kind of distance -> (n, S), between an intensity and the one before."""
    features: np.ndarray
    """(n + 1, S, 9) in the order of face.FEATURES, eye distances; NaN where the face was not seen."""
    sharpness: np.ndarray
    """(n + 1, S) CPBD; NaN without edges."""
    strip: np.ndarray
    """(H, W, 3) uint8: one frame's face at a few intensities."""
    shown: int
    """Its index: the frame of `frames` with the eyes widest open."""

    def measures(self) -> list[Measure]:
        """LIE of each distance, mean over the frames, then what the edit does at full intensity."""
        out = []
        for kind in DISTANCES:
            name = f"LIE, {kind}" + (" (eq. 8)" if kind == "LPIPS" else "")
            if kind not in self.distances:
                out.append(missing("Linearity", name, LPIPS_SOURCE, ZERO))
                continue
            d = self.distances[kind]
            values = [lie(column) for column in d.T if column.any()]
            note = DISTANCES[kind] + (f"; mean of {len(values)} frames" if values else "; nothing changes with the intensity")
            out.append(Measure("Linearity", name, float(np.mean(values)) if values else None, better=ZERO, note=note))
        for name, value in (("CPBD at intensity 0", self.sharpness[0]), ("CPBD at intensity 1", self.sharpness[-1])):
            known = value[np.isfinite(value)]
            out.append(Measure("Sharpness", name, float(known.mean()) if len(known) else None, better=HIGHER, note="face at 256 x 256"))
        change = self.feature_change()[-1]
        for i, name in enumerate(face.FEATURES):
            value = float(change[i]) if np.isfinite(change[i]) else None
            note = f"{face.ACTIONS[name]}; against intensity 0"
            out.append(Measure("Expression at intensity 1", face.LABELS[name], value, "eye distances", note=note))
        return out

    def feature_change(self) -> np.ndarray:
        """(n + 1, 9): mean over the frames seen throughout, against intensity 0."""
        seen = np.isfinite(self.features).all((0, 2))
        if not seen.any():
            return np.full((len(self.intensities), len(face.FEATURES)), np.nan)
        return (self.features[:, seen] - self.features[:1, seen]).mean(1)


class _Sample:
    """One frame of the plate and what the last intensity made of it."""

    def __init__(self, frame: Frame, landmarks: np.ndarray) -> None:
        self.frame, self.box = frame, face.square(landmarks)
        self._centre = landmarks[:468, :2].mean(0)
        self.crop = self.texture = self.visible = self.mesh = np.zeros(0)

    def away(self, landmarks: np.ndarray) -> float:
        """How far a face found on the picture is from the shot's, pixels."""
        return float(np.linalg.norm(landmarks[:468, :2].mean(0) - self._centre))


def sweep(folder: Path, emotion: str, *, steps: int = 20, samples: int = 5, mouth: float | None = None, lpips: Path | None = None,
          alexnet: Path | None = None, settings: EditSettings = EditSettings(), report: Reporter) -> SweepResult:
    """Render `samples` frames at steps + 1 intensities of one emotion.

    lpips: a program of LPIPS or, with `alexnet`, its authors' heads. Raises MienError for an unknown emotion or a shot that is not solved."""
    if emotion not in EMOTIONS:
        raise MienError(f"There is no emotion '{emotion}'; use one of {', '.join(EMOTIONS)}.")
    shot = Shot.load(folder)
    if not shot.solve_path.exists():
        raise MienError(f"{folder} is tracked but not solved yet; solve the shot first ('mien solve').")
    distance = None
    if lpips is not None:
        distance = lpips_of_files(lpips, alexnet) if alexnet is not None else lpips_network(lpips)
    solved = np.flatnonzero(Solve.load(shot).solved)
    if not len(solved):
        raise MienError(f"{folder} has no solved frame; track and solve the plate again.")
    chosen = [int(solved[i]) for i in evenly(len(solved), samples)]
    intensities = np.linspace(0, 1, steps + 1)
    reader = PlateReader(shot.plate_path, shot.plate)
    pictures = [reader.frame(i) for i in chosen]
    S = len(chosen)
    distances = {kind: np.zeros((steps, S)) for kind in DISTANCES if kind != "LPIPS" or distance}
    features, sharpness = np.full((steps + 1, S, len(face.FEATURES)), np.nan), np.full((steps + 1, S), np.nan)
    held: list[_Sample] = []
    strip: list[np.ndarray] = []
    editor: ShotEditor | None = None
    best = 0
    shown = set(evenly(steps + 1, SHOWN))
    controls = {} if mouth is None else {"mouth": mouth}
    report.step(f"sweep {emotion}", 0, (steps + 1) * S)
    with MediaPipeTracker() as tracker:
        for k, intensity in enumerate(intensities):
            curves = EmotionCurves.constant(shot.plate.frame_count, **{emotion: float(intensity)}, **controls)
            if editor is None:
                editor = ShotEditor(shot, curves, settings, report)
            else:
                editor.set_curves(curves)
            if not held:
                held = [_Sample(f, editor.track.landmarks[f.index]) for f in pictures]
                best = int(np.argmax([face.features(face.eye_frame(editor.track.landmarks[f.index]))[EYES] for f in pictures]))
            unwrap = Unwrapper(editor.model, TEXTURE)
            for s, sample in enumerate(held):
                rgb = display8(editor.composited(sample.frame).pixels, shot.plate.linear)
                crop = face.cut(rgb, sample.box)
                mesh = _mesh(editor, sample.frame.index)
                texture, visible = _texture(editor, unwrap, rgb, sample.frame.index)
                if k:
                    distances["pixels"][k - 1, s] = pixel_distance(sample.crop, crop)
                    distances["texture"][k - 1, s] = pixel_distance(sample.texture, texture, np.minimum(sample.visible, visible))
                    distances["mesh"][k - 1, s] = 1000 * mesh_distance(sample.mesh, mesh)
                    if distance:
                        distances["LPIPS"][k - 1, s] = distance(sample.crop, crop)
                sample.crop, sample.mesh, sample.texture, sample.visible = crop, mesh, texture, visible
                sharp = cpbd(crop)
                sharpness[k, s] = np.nan if sharp is None else sharp
                found = tracker.detect(rgb)
                if found:
                    features[k, s] = face.features(face.eye_frame(min(found, key=sample.away)))
                if s == best and k in shown:
                    strip.append(_labelled(crop, f"{emotion} {intensity:.2f}"))
                report.step(f"sweep {emotion}", k * S + s + 1, (steps + 1) * S)
    return SweepResult(shot, emotion, intensities, chosen, distances, features, sharpness, np.concatenate(strip, 1), chosen[best])


def _mesh(editor: ShotEditor, index: int) -> np.ndarray:
    """(V, 3) metres, the edited face in the head's frame."""
    return editor.model.shape(editor.solve.alpha + editor.edit.alpha[index], editor.solve.beta[index] + editor.edit.beta[index])


def _texture(editor: ShotEditor, unwrap: Unwrapper, rgb: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The composited frame in UV space (256, 256, 3), and where it is seen."""
    shapes = editor.shapes(index)
    if shapes is None:
        xy, offset, points = filmed(editor.renderer, editor.solve, editor.track, editor.trust, index)
        return unwrap(rgb, xy + offset, points)
    pose = editor.solve.rotation[index].astype(np.float64), editor.solve.translation[index].astype(np.float64)
    return unwrap(rgb, shapes[1], place(_mesh(editor, index).astype(np.float64), *pose))


def _labelled(crop: np.ndarray, text: str) -> np.ndarray:
    out = cv2.copyMakeBorder(crop, 22, 0, 2, 2, cv2.BORDER_CONSTANT, value=(24, 24, 24))
    cv2.putText(out, text, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA)
    return out


# -- what the user gets -------------------------------------------------------------------------------------------------

def as_json(result: SweepResult) -> dict[str, Any]:
    """Everything, in JSON's types."""
    return plain({"schema": SCHEMA, "kind": "sweep", "command": command_line(), "versions": versions(), "shot": result.shot.folder,
                  "emotion": result.emotion, "intensities": result.intensities, "frames": [result.shot.frame_number(i) for i in result.frames],
                  "metrics": [{**asdict(m), "text": m.text} for m in result.measures()], "distances": result.distances,
                  "features": dict(zip(face.FEATURES, result.feature_change().T)), "sharpness": result.sharpness.mean(1)})


def sweep_page(results: Sequence[SweepResult]) -> Page:
    """The report of one sweep, or of several emotions of one shot (figure 7)."""
    first = results[0]
    numbers = ", ".join(str(first.shot.frame_number(i)) for i in first.frames)
    names = first.emotion[:1].upper() + first.emotion[1:] if len(results) == 1 else f"{len(results)} emotions"
    page = Page(f"{names} from 0 to 1, {first.shot.folder.name}",
                f"{len(first.intensities) - 1} even steps of intensity on {len(first.frames)} frames ({numbers}) of {first.shot.plate_path}.")
    shown = f"frame {first.shot.frame_number(first.shown)}"
    if len(results) == 1:
        named = {m.name: m for m in first.measures()}
        page.cards([("LIE of the paper (LPIPS); 0 is linear", named["LIE, LPIPS (eq. 8)"]), ("LIE, pixels; 0 is linear", named["LIE, pixels"]),
                    ("LIE, texture", named["LIE, texture"]), ("LIE, mesh", named["LIE, mesh"]),
                    ("sharpness (CPBD) at 0", named["CPBD at intensity 0"]),
                    ("sharpness (CPBD) at 1", named["CPBD at intensity 1"])])
        page.picture(first.strip, f"Rising intensities of {first.emotion} on {shown}")
        page.heading("Curves")
        page.chart(*_charts(first))
        page.heading("Numbers")
        page.measures(first.measures())
        return page
    page.picture(np.concatenate([r.strip for r in results]), f"Every emotion at rising intensities on {shown}")
    page.heading("Numbers")
    measured = [r.measures() for r in results]
    page.table(["Metric", *(r.emotion for r in results)],
               [[m.name, *(ms[i].value for ms in measured)] for i, m in enumerate(measured[0]) if any(ms[i].value is not None for ms in measured)])
    page.not_measured(measured[0])
    page.heading("Curves")
    page.chart(*(_steps(f"Step to step change over its mean, {kind}", {r.emotion: r.distances[kind] for r in results}, first.intensities)
                 for kind in first.distances if kind != "mesh"),
               line_chart("Sharpness (CPBD)", {r.emotion: (r.intensities, r.sharpness.mean(1)) for r in results}, "intensity", "CPBD",
                          from_zero=True))
    page.text("A level line of steps is linear: LIE 0.")
    page.heading("Signs of expression")
    page.chart(*(_signs(r.emotion.capitalize(), r) for r in results))
    return page


def _steps(title: str, distances: Mapping[str, np.ndarray], intensities: np.ndarray) -> str:
    """Mean over the frames of each step's distance, over the mean of all steps."""
    middle, means = (intensities[1:] + intensities[:-1]) / 2, {name: d.mean(1) for name, d in distances.items()}
    return line_chart(title, {name: (middle, m / m.mean()) for name, m in means.items() if m.any()}, "intensity", "of the mean", from_zero=True)


def _signs(title: str, result: SweepResult) -> str:
    change = result.feature_change()
    return line_chart(title, {face.LABELS[n]: (result.intensities, change[:, i]) for i, n in enumerate(face.FEATURES)}, "intensity", "eye distances")


def _charts(result: SweepResult) -> list[str]:
    return [_steps("Step to step change over its mean: level is linear, LIE 0", result.distances, result.intensities),
            _signs("Signs of expression", result),
            line_chart("Sharpness (CPBD)", {"CPBD": (result.intensities, result.sharpness.mean(1))}, "intensity", "CPBD", from_zero=True)]


def write_results(results: Sequence[SweepResult], *, html: Path | None, json: Path | None) -> None:
    """Write the report and the numbers, those of the two that are asked for. Raises MienError when a folder cannot be written."""
    if json is not None:
        parts = [as_json(r) for r in results]
        write_json(json, parts[0] if len(parts) == 1 else {"schema": SCHEMA, "kind": "sweeps", "sweeps": parts})
    if html is not None:
        sweep_page(results).write(html, command_line())
