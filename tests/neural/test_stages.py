# SPDX-License-Identifier: GPL-3.0-or-later
"""The invariants of design: zero edit, nothing outside the matte, bake only what changed, nothing lost; and odd plates."""

import json

import cv2
import numpy as np
import pytest
import skimage.data

from mien.mesh.emotion import EmotionCurves
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.shot import Shot, Solve, Track
from mien.neural import texture
from mien.neural.bake import bake
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.media import PlateReader, probe_plate, read_exr, read_still, srgb_to_linear
from mien.neural.progress import Cancelled, Silent
from mien.neural.stages import edit, solve, solve_summary, track
from mien.tests.neural.portraits import FRAMES, HEIGHT, WIDTH, portrait, write_movie


def decoded(path):
    plate = probe_plate(path)
    return [f.pixels for f in PlateReader(path, plate).frames()]


def happy(value=1.0):
    return EmotionCurves.constant(FRAMES, happy=value)


def test_the_portrait_is_solved_well(shot):
    summary = solve_summary(shot)
    assert summary["solved"] == FRAMES and summary["reprojection"] < 0.02
    assert shot.texture_path.exists() and not shot.settings["glasses_seen"]


def test_the_texture_does_not_depend_on_when_its_frames_were_read(shot, monkeypatch):
    """Read during the solve, afterwards because they are too large to wait, or again because a frame was found and not solved."""
    track, solved, model = Track.load(shot), Solve.load(shot), load_model(shot.model)
    pictures = []
    for found, most in ((track.found, texture.EARLY_MOST), (track.found, 0), (track.found * (np.arange(FRAMES) > 2), texture.EARLY_MOST)):
        monkeypatch.setattr(texture, "EARLY_MOST", most)
        with texture.EarlyFrames(shot, found, model) as early:
            pictures.append(texture.shot_texture(shot, model, track, solved, early, Silent()))
    assert all(np.array_equal(p, pictures[0]) for p in pictures) and np.array_equal(read_still(shot.texture_path)[..., :3], pictures[0])


@pytest.mark.parametrize("output, codec", [("rest.mov", "ffv1"), ("rest.####.png", None)])
def test_at_rest_the_output_is_the_plate_bit_for_bit(shot, tmp_path, output, codec):
    edit(shot.folder, EmotionCurves.constant(FRAMES, master=0.0, happy=1.0, mouth=1.0), tmp_path / output, codec=codec, report=Silent())
    for a, b in zip(decoded(shot.plate_path), decoded(tmp_path / output), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("emotion", ["happy", "angry", "surprised"])
def test_outside_the_matte_nothing_changes(shot, emotion):
    editor = ShotEditor(shot, EmotionCurves.constant(FRAMES, **{emotion: 1.0}), EditSettings(), Silent())
    frame = PlateReader(shot.plate_path, shot.plate).frame(4)
    layer = editor.layer(4, frame.pixels)
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    l, t, r, b = layer.box
    matte[t:b, l:r] = layer.matte
    changed = (layer.over(frame.pixels) != frame.pixels).any(-1)
    assert changed.sum() > 500
    assert not changed[matte == 0].any()
    assert (matte == 0).sum() > 0.2 * matte.size


def test_a_smile_lifts_the_corners(shot):
    """Where the corners' pixels came from lies below where they are, by about what the mesh says."""
    editor = ShotEditor(shot, happy(), EditSettings(), Silent())
    before, after, _ = editor.shapes(3)
    corners = load_model("default").vertices_of_landmarks([57, 287])  # just outside the corners, where the field is smooth
    rise = before[corners, 1] - after[corners, 1]
    assert (rise > 1).all()
    layer = editor.layer(3, PlateReader(shot.plate_path, shot.plate).frame(3).pixels)
    l, t, _, _ = layer.box
    x, y = np.round(after[corners] - 0.5).astype(int).T
    assert np.allclose(layer.displacement[y - t, x - l, 1], rise, atol=0.8)


def test_intensity_is_monotone(shot):
    vertices = load_model("default").vertices_of_landmarks([61, 291])
    lifts = []
    for value in (0.25, 0.5, 0.75, 1.0):
        before, after, _ = ShotEditor(shot, happy(value), EditSettings(), Silent()).shapes(2)
        lifts.append(float((before - after)[vertices, 1].mean()))
    assert np.allclose(np.diff(lifts), lifts[0], rtol=0.15)


def test_bake_touches_only_what_changed(shot):
    values = np.zeros(FRAMES, np.float32)
    values[2:5] = 0.8
    EmotionCurves.from_columns({"happy": values}, FRAMES).save(shot.emotion_path)
    first = bake(shot.folder, report=Silent())
    assert first["baked"] == FRAMES and first["rest"] == FRAMES - 5  # the window reaches one frame further on each side
    stamps = {i: shot.face_path(i).stat().st_mtime_ns for i in range(FRAMES)}
    assert bake(shot.folder, report=Silent())["baked"] == 0
    values[8] = 0.5
    EmotionCurves.from_columns({"happy": values}, FRAMES).save(shot.emotion_path)
    assert bake(shot.folder, report=Silent())["baked"] == 3
    touched = [i for i in range(FRAMES) if shot.face_path(i).stat().st_mtime_ns != stamps[i]]
    assert touched == [7, 8, 9]


def test_baked_layer_is_the_edit(shot, tmp_path):
    happy(0.9).save(shot.emotion_path)
    bake(shot.folder, report=Silent())
    edit(shot.folder, happy(0.9), tmp_path / "out.mov", codec="ffv1", report=Silent())
    plate, want = decoded(shot.plate_path)[5], decoded(tmp_path / "out.mov")[5]
    face, matte = read_exr(shot.face_path(5)), read_exr(shot.matte_path(5))
    matte = matte.reshape(HEIGHT, WIDTH, -1)[..., :1]
    assert np.array_equal(np.unique(face[..., 3]), [0, 1]) and (face[..., 3:][matte > 0] == 1).all()
    linear = srgb_to_linear(plate / 255.0) * (1 - matte) + face[..., :3] * matte
    got = np.round(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055) * 255)
    assert np.abs(got - want).max() <= 1 and np.array_equal(got[(matte == 0)[..., 0]], plate[(matte == 0)[..., 0]])


class StopAt(Silent):
    def __init__(self, frame):
        super().__init__()
        self.frame = frame

    def step(self, stage, done, total):
        if stage == "bake" and done >= self.frame:
            raise Cancelled


def test_a_cancelled_bake_goes_on_where_it_stopped(shot):
    happy().save(shot.emotion_path)
    with pytest.raises(Cancelled):
        bake(shot.folder, report=StopAt(6))
    manifest = json.loads((shot.bake_folder / "manifest.json").read_text())
    assert len(manifest["frames"]) == 6
    assert bake(shot.folder, report=Silent())["baked"] == FRAMES - 6
    assert not [p for p in shot.bake_folder.iterdir() if ".tmp" in p.name]


def test_a_file_written_before_the_stop_is_never_taken_for_current(shot):
    """Baked with A, stopped within a frame of B, back to A: what B wrote must be baked again."""
    happy(0.5).save(shot.emotion_path)
    bake(shot.folder, report=Silent())
    happy(1.0).save(shot.emotion_path)
    with pytest.raises(Cancelled):
        bake(shot.folder, report=StopAt(1))
    happy(0.5).save(shot.emotion_path)
    assert bake(shot.folder, report=Silent())["baked"] == FRAMES


def test_same_input_same_bytes(shot):
    happy().save(shot.emotion_path)
    bake(shot.folder, report=Silent())
    before = shot.face_path(3).read_bytes(), shot.matte_path(3).read_bytes()
    (shot.bake_folder / "manifest.json").unlink()
    bake(shot.folder, report=Silent())
    assert before == (shot.face_path(3).read_bytes(), shot.matte_path(3).read_bytes())


def test_plate_frames_for_the_compositor_are_the_decoded_ones(shot):
    EmotionCurves.constant(FRAMES).save(shot.emotion_path)
    bake(shot.folder, report=Silent())
    sequence = shot.plate_folder / "plate.####.png"
    for a, b in zip(decoded(shot.plate_path), decoded(sequence), strict=True):
        assert np.array_equal(a, b)


def test_lost_frames_stay_the_plate(tmp_path):
    frames = [portrait() for _ in range(6)]
    frames[2] = frames[3] = np.full_like(frames[0], 90)
    plate = write_movie(tmp_path / "gap.mov", frames)
    report = Silent()
    shot = track(plate, tmp_path / "gap.mien", report=report)
    assert any("lost on 2 of 6 frames (3-4)" in w for w in report.warnings)
    solve(shot.folder, report=Silent())
    edit(shot.folder, EmotionCurves.constant(6, happy=1), tmp_path / "out.mov", codec="ffv1", report=Silent())
    same = [np.array_equal(a, b) for a, b in zip(frames, decoded(tmp_path / "out.mov"), strict=True)]
    assert same == [False, False, True, True, False, False]


def test_a_cut_is_reported(tmp_path):
    frames = [portrait() for _ in range(4)] + [255 - skimage.data.astronaut()[200:500, 150:472] for _ in range(3)] + [portrait(2)] * 3
    report = Silent()
    shot = track(write_movie(tmp_path / "cut.mov", frames), tmp_path / "cut.mien", report=report)
    assert list(Track.load(shot).cuts) == [4, 7]
    assert any("cut" in w for w in report.warnings)


def two_faces():
    a = portrait(size=(240, 300))
    b = np.full((300, 240, 3), 60, np.uint8)
    b[30:255, 30:210] = cv2.resize(a, (180, 225), interpolation=cv2.INTER_AREA)[:, ::-1]
    return np.concatenate([a, b], 1)


def test_a_second_face_does_not_take_over(tmp_path):
    alone = two_faces()
    alone[:, 240:] = 30
    frames = [alone] * 3 + [two_faces()] * 24
    report = Silent()
    shot = track(write_movie(tmp_path / "two.mov", frames), tmp_path / "two.mien", report=report)
    centres = Track.load(shot).landmarks[:, :468, 0].mean(1)
    assert (centres < 240).all() and any("2 faces" in w for w in report.warnings)


def test_the_other_face_can_be_chosen(tmp_path):
    plate = write_movie(tmp_path / "two.mov", [two_faces()] * 3)
    shot = track(plate, tmp_path / "two.mien", face=1, report=Silent())
    assert (Track.load(shot).landmarks[:, :468, 0].mean(1) > 240).all()
    with pytest.raises(MienError, match="no face number 5"):
        track(plate, tmp_path / "none.mien", face=5, report=Silent())


def test_one_frame(tmp_path):
    shot = track(write_movie(tmp_path / "one.mov", [portrait()]), tmp_path / "one.mien", report=Silent())
    solve(shot.folder, report=Silent())
    edit(shot.folder, EmotionCurves.constant(1, sad=1), tmp_path / "out.mov", codec="ffv1", report=Silent())
    assert len(decoded(tmp_path / "out.mov")) == 1


def test_no_face_leaves_nothing(tmp_path):
    plate = write_movie(tmp_path / "wall.mov", [np.full((120, 160, 3), 128, np.uint8)] * 3)
    with pytest.raises(MienError, match="No face"):
        track(plate, tmp_path / "wall.mien", report=Silent())
    assert not (tmp_path / "wall.mien").exists()


def test_tracking_again_drops_a_solve_that_would_not_fit(shot):
    assert shot.solve_path.exists()
    track(shot.plate_path, shot.folder, report=Silent())
    assert not shot.solve_path.exists() and not shot.texture_path.exists()


def test_files_of_different_shots_are_refused(shot):
    other = Solve.load(shot)
    other.beta = other.beta[:-1]
    other.save(shot.solve_path)
    with pytest.raises(MienError, match=r"solve\.npz"):
        edit(shot.folder, happy(), shot.folder.parent / "out.mov", report=Silent())
    assert not (shot.folder.parent / "out.mov").exists()


def test_a_moved_plate_is_told(shot):
    shot.plate_path.unlink()
    with pytest.raises(MienError, match="portrait"):
        edit(shot.folder, happy(), shot.folder.parent / "out.mov", report=Silent())


def test_shot_and_plate_move_together(shot, tmp_path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    shot.plate_path.rename(target / shot.plate_path.name)
    shot.folder.rename(target / "renamed.mien")
    moved = Shot.load(target / "renamed.mien")
    edit(moved.folder, happy(), tmp_path / "out.mov", codec="ffv1", report=Silent())
    assert (tmp_path / "out.mov").exists()


@pytest.mark.parametrize("settings", [{"glasses": "maybe"}, {"editor": "magic"}, {"colour": "red"}])
def test_bad_settings_are_named(shot, settings):
    with pytest.raises(MienError, match="maybe|magic|colour"):
        edit(shot.folder, happy(), shot.folder.parent / "out.mov", settings=settings, report=Silent())


def test_glasses_hold_the_eyes_still(shot):
    free, held = (ShotEditor(shot, EmotionCurves.constant(FRAMES, surprised=1), EditSettings(glasses=g), Silent()) for g in ("off", "on"))
    frame = PlateReader(shot.plate_path, shot.plate).frame(2)
    eye = Track.load(shot).landmarks[2, [159, 145], :2].mean(0).astype(int)
    window = slice(eye[1] - 3, eye[1] + 4), slice(eye[0] - 3, eye[0] + 4)
    assert np.array_equal(held.layer(2, frame.pixels).over(frame.pixels)[window], frame.pixels[window])
    assert not np.array_equal(free.layer(2, frame.pixels).over(frame.pixels)[window], frame.pixels[window])
