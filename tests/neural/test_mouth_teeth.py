# SPDX-License-Identifier: GPL-3.0-or-later
"""Where lower teeth are, and the dark of a mouth that opens by a slit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.mesh.camera import place
from mien.mesh.emotion import EmotionCurves
from mien.mesh.shot import Shot
from mien.neural.appearance import ShotFaces, shot_mouth
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.media import PlateReader
from mien.neural.mouth import MouthGeometry, MouthLayer
from mien.neural.progress import Silent
from mien.tests.neural.portraits import FRAMES

FRAME = 4
LARGER = 4
"""A slit is to have some pixels."""


@pytest.fixture
def editor(shot: Shot) -> ShotEditor:
    """An edit of the portrait whose mouth was learnt: it smiles with its teeth showing."""
    return ShotEditor(shot, EmotionCurves.constant(FRAMES, surprised=1.0), EditSettings(texture="off"), Silent())


def test_the_jaw_is_told_by_chin_and_lower_lip_alike(editor: ShotEditor) -> None:
    """What the coefficients say of the jaw and what the filmed lip does both count, and together are the whole. Lips that move alone move the crop
    a little too, so that their half is seen as a quarter."""
    solve, mesh, opened = editor.solve, editor.renderer.mesh, editor.solve.beta.copy()
    opened[FRAME, editor.model.expression_index["jawOpen"]] += 0.3

    def vertices(beta: np.ndarray) -> np.ndarray:
        points = place(editor.renderer.shape(solve.alpha, beta[FRAME]).astype(np.float64), solve.rotation[FRAME], solve.translation[FRAME])
        return solve.camera.project(points)

    def jaw(beta: np.ndarray, xy: np.ndarray) -> float:
        pose = MouthGeometry(mesh, replace(solve, beta=beta)).pose(FRAME, xy)
        assert pose is not None
        return float(pose.jaw[1])

    shut, open_ = vertices(solve.beta), vertices(opened)
    at_rest, whole = jaw(solve.beta, shut), jaw(opened, open_)
    chin, lip = jaw(opened, shut) - at_rest, jaw(solve.beta, open_) - at_rest
    assert whole - at_rest > 3, "the jaw does not open"
    assert chin + lip == pytest.approx(whole - at_rest, rel=0.1)
    assert chin > 0.65 * (whole - at_rest) and lip > 0.15 * (whole - at_rest)


def between(editor: ShotEditor, gap: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Closed lips on a plate four times as large that part by `gap` face widths: brightness down the middle of the gap with the mouth filled and
    without, and that of the lips.
    """
    solve, mesh = editor.solve, editor.renderer.mesh
    before, _, depth = editor.shapes(FRAME)
    faces = ShotFaces(editor.shot, editor.track, solve, editor.renderer)
    known = shot_mouth(faces, MouthGeometry(mesh, solve), Path("none"), Silent())
    assert known is not None
    camera = replace(solve.camera, **{name: LARGER * getattr(solve.camera, name) for name in ("width", "height", "focal", "cx", "cy")})
    mouth = MouthLayer(MouthGeometry(mesh, replace(solve, camera=camera)), *known, 1.0, None, False)
    before, plate = LARGER * before, PlateReader(editor.shot.plate_path, editor.shot.plate).frame(FRAME).pixels
    plate = cv2.resize(plate, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
    upper, lower, _ = mesh.mouth
    outline = np.round(before[np.concatenate([upper, lower[::-1]])]).astype(np.int32)
    hole = cv2.fillPoly(np.zeros(plate.shape[:2], np.uint8), [outline], 1)
    wide = cv2.dilate(hole, np.ones((13, 13), np.uint8)) > 0
    lips = np.median(plate[(cv2.dilate(hole, np.ones((25, 25), np.uint8)) > 0) & ~wide], 0)
    plate[wide] = lips.astype(plate.dtype)
    before[lower] = before[upper]
    after, width = before.copy(), float(np.ptp(before[:, 0]))
    after[lower, 1] += gap * width * np.sin(np.linspace(0, np.pi, len(lower)))
    layer = editor.renderer.render(plate, before, after, depth, always=True)
    filled = mouth.over(layer, plate, FRAME, before, after)
    left, top, _, _ = layer.box
    x, (y0, y1) = int(after[upper[len(upper) // 2], 0]) - left, (int(round(after[k[len(k) // 2], 1])) - top for k in (upper, lower))
    return *(p.patch[y0:y1, x - 9:x + 10].mean((1, 2)) for p in (filled, layer)), float(lips.mean())


def test_a_slit_is_dark_and_an_open_mouth_shows_its_teeth(editor: ShotEditor) -> None:
    """Teeth in a mere slit would be a grey line across closed lips; in an open mouth they are in the light."""
    filled, bent, lips = between(editor, 0.01)
    assert filled.min() < 0.8 * bent.min() and filled.max() < 0.9 * lips
    filled, bent, lips = between(editor, 0.1)
    third = len(filled) // 3
    upper, dark, lower = filled[:third].max(), filled[third:-third].min(), filled[-third:].max()
    assert min(upper, lower) > 1.1 * lips and dark < 0.5 * lips
    assert upper > 1.1 * bent[:third].max(), "the teeth are those that the lips' skin was bent into"
