# SPDX-License-Identifier: GPL-3.0-or-later
"""The landmark backend face-alignment: the real package on a network in its file format, and what is said when something is missing."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from mien.mesh.errors import MienError
from mien.mesh.shot import Plate
from mien.neural.media import Frame
from mien.neural.models.register import CONTOUR, IBUG_TO_MEDIAPIPE
from mien.neural.progress import Silent
from mien.neural.tracking import fan, track_faces
from mien.neural.tracking.mediapipe_tracker import MediaPipeTracker
from mien.tests.neural.portraits import portrait

INNER = np.array(IBUG_TO_MEDIAPIPE[CONTOUR:])


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return portrait(size=(240, 300))


@pytest.fixture(scope="module")
def face(picture) -> np.ndarray:
    with MediaPipeTracker(1) as tracker:
        return tracker.detect(picture)[0]


def own_points(face: np.ndarray) -> np.ndarray:
    return face[list(IBUG_TO_MEDIAPIPE), :2].copy()


def test_points_that_agree_change_nothing(face) -> None:
    np.testing.assert_allclose(fan.moved_onto(face, own_points(face)), face, atol=1e-3)


def test_a_shift_of_all_points_shifts_everything_and_keeps_depth(face) -> None:
    moved = fan.moved_onto(face, own_points(face) + (3.0, -2.0))
    np.testing.assert_allclose(moved[:, :2], face[:, :2] + (3.0, -2.0), atol=0.02)
    np.testing.assert_array_equal(moved[:, 2], face[:, 2])


def test_a_raised_brow_moves_the_brow_and_not_the_chin(face) -> None:
    points = own_points(face)
    points[17:27, 1] -= 6
    moved = fan.moved_onto(face, points)[:, 1] - face[:, 1]
    assert moved[list(IBUG_TO_MEDIAPIPE[17:27])].mean() < -4.5
    assert abs(moved[[14, 17, 61, 291]]).max() < 0.8


def test_missing_and_damaged_weights(tmp_path, monkeypatch) -> None:
    path = tmp_path / fan.WEIGHTS
    with pytest.raises(MienError, match="weights of face-alignment are missing; download https"):
        fan.check_weights(path)
    path.write_bytes(b"half a download")
    with pytest.raises(MienError, match="is damaged: its checksum begins with " + hashlib.sha256(b"half a download").hexdigest()[:10]):
        fan.check_weights(path)
    good = tmp_path / f"x-{hashlib.sha256(b'all').hexdigest()[:10]}.zip"
    good.write_bytes(b"all")
    fan.check_weights(good)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(fan.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MienError, match="not installed in the engine; install it with"):
        fan.FaceAlignmentPoints()


def test_an_unknown_backend(picture) -> None:
    with pytest.raises(MienError, match="no landmark backend 'dlib'; use mediapipe or face-alignment"):
        track_faces([], Plate("x", "movie", 4, 4, (25, 1), 1, 1), Silent(), backend="dlib")


class Heatmaps(torch.nn.Module):
    """What 2DFAN4 gives, (1, 68, 64, 64), with known peaks whatever the picture is."""

    def __init__(self, maps: torch.Tensor):
        super().__init__()
        self.maps = torch.nn.Parameter(maps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.maps + 0 * x.sum()


def test_the_track_follows_the_network(face, picture, tmp_path, monkeypatch) -> None:
    """The real package, a TorchScript file in its place and format: landmarks go where the heat maps say, within one of their cells."""
    pytest.importorskip("face_alignment", reason="face-alignment is not installed (requirements/optional.txt)")
    wanted = own_points(face) + np.linspace(-4, 4, 68)[:, None]
    corners = face[list(fan.BROW_TO_CHIN), :2]
    (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
    scale = (x1 - x0 + y1 - y0) / 195
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - 0.12 * (y1 - y0)])
    cells = (wanted - centre) / (200 * scale) * 64 + 31.5  # the crop is 200 scaled pixels wide, 64 cells of heat
    y, x = np.mgrid[:64, :64]
    maps = np.exp(-((x - cells[:, 0, None, None]) ** 2 + (y - cells[:, 1, None, None]) ** 2) / 2)
    (tmp_path / "checkpoints").mkdir()
    torch.jit.script(Heatmaps(torch.from_numpy(maps[None]).float())).save(str(tmp_path / "checkpoints" / fan.WEIGHTS))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("face_alignment.utils.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(fan, "check_weights", lambda path: None)  # these are not the public weights; the check has its own test
    plate = Plate("x", "movie", 240, 300, (25, 1), 1, 1)
    track = track_faces([Frame(0, 0.0, picture)], plate, Silent(), backend="face-alignment")[0]
    error = np.linalg.norm(track.landmarks[0, INNER, :2] - wanted[CONTOUR:], axis=1)
    assert np.median(error) < 200 * scale / 64 and error.max() < 2.5 * 200 * scale / 64
    before = np.linalg.norm(face[INNER, :2] - wanted[CONTOUR:], axis=1)
    assert np.median(error) < 0.6 * np.median(before)
    assert np.isfinite(track.landmarks).all()
