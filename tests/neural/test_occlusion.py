# SPDX-License-Identifier: GPL-3.0-or-later
"""A hand before the face: with the artist's mask the solve, the texture, the edit and the bake leave it alone."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mien.mesh.emotion import EmotionCurves
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.shot import Shot
from mien.neural.appearance import ShotFaces, unwrapped
from mien.neural.bake import bake
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.level2_train import open_faces
from mien.neural.media import PlateReader, read_exr
from mien.neural.progress import Silent
from mien.neural.rendering import FaceLayer, behind_mask
from mien.neural.rendering.raster import Surface
from mien.neural.stages import edit, solve, track
from mien.neural.stylegan.data import shot_textures
from mien.neural.texture import Unwrapper
from mien.neural.visibility import LandmarkTrust, occlusion_mask
from mien.tests.neural.portraits import FRAMES, HEIGHT, WIDTH, portrait, write_movie

GREEN = (30, 200, 40)


def hand(index: int) -> np.ndarray:
    """(H, W) uint8: a palm with four fingers that covers the left cheek and a corner of the mouth, moving a little."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    x, y = 195 - 2 * index, 175
    cv2.ellipse(mask, (x, y + 45), (34, 40), 0, 0, 360, 255, -1, cv2.LINE_AA)
    for k in range(4):
        cv2.line(mask, (x - 24 + 16 * k, y + 30), (x - 28 + 18 * k, y - 30 + 8 * abs(k - 1)), 255, 11, cv2.LINE_AA)
    return mask


def with_hand(index: int) -> np.ndarray:
    cover = hand(index)[..., None] / np.float32(255)
    return np.rint(portrait(0.7 * index) * (1 - cover) + np.float32(GREEN) * cover).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A shot with the hand in it, solved with its mask. The tests here change nothing but its bake."""
    here = tmp_path_factory.mktemp("hand")
    plate = write_movie(here / "hand.mov", [with_hand(i) for i in range(FRAMES)])
    (here / "mattes").mkdir()
    for i in range(FRAMES):
        cv2.imwrite(str(here / "mattes" / f"m.{i + 1:04d}.png"), hand(i))
    track(plate, here / "hand.mien", report=Silent())
    solve(here / "hand.mien", mask=str(here / "mattes" / "m.####.png"), report=Silent())
    return here / "hand.mien"


def green(picture: np.ndarray) -> np.ndarray:
    """Where a picture (..., 3) shows the hand."""
    rgb = picture.astype(np.float32)
    return rgb[..., 1] > 40 + 1.5 * np.maximum(rgb[..., 0], rgb[..., 2])


def test_the_mask_is_kept_with_the_shot(folder):
    shot = Shot.load(folder)
    assert shot.settings["mask"] == "../mattes/m.####.png"
    mask = occlusion_mask(shot)
    assert np.array_equal(mask.frame(3), hand(3) / np.float32(255)) and mask.frame_key(3) != mask.frame_key(4)


def test_the_texture_has_no_hand(folder):
    shot = Shot.load(folder)
    base = cv2.cvtColor(cv2.imread(str(shot.texture_path)), cv2.COLOR_BGR2RGB)
    assert not green(base).any()
    editor = ShotEditor(shot, EmotionCurves.constant(FRAMES), EditSettings(), Silent())
    faces, unwrap = ShotFaces(shot, editor.track, editor.solve, editor.renderer), Unwrapper(editor.model, 256)
    frame, grey = PlateReader(shot.plate_path, shot.plate).frame(5), np.full((256, 256, 3), 0.25, np.float32)
    texture, seen = unwrapped(faces, frame, unwrap, grey)
    xy, points = faces.vertices(5)
    carried, _ = unwrap.carry(xy.astype(np.float32))
    under = cv2.remap(cv2.erode(hand(5), np.ones((3, 3))), carried[..., 0] - 0.5, carried[..., 1] - 0.5, cv2.INTER_NEAREST) == 255
    _, all_seen = unwrap(frame.pixels, xy, points)
    assert (under & (all_seen > 0.5)).sum() > 300 and seen[under].max() < 0.01
    free = cv2.remap(cv2.dilate(hand(5), np.ones((3, 3))), carried[..., 0] - 0.5, carried[..., 1] - 0.5, cv2.INTER_NEAREST) == 0
    assert np.allclose(seen[free], all_seen[free])


def test_a_stylegan_learns_no_hand(folder):
    shot = Shot.load(folder)
    faces = open_faces(folder, load_model(shot.model))
    masked = green(shot_textures(faces, 128, Silent())).mean()
    faces.__dict__["trust"] = LandmarkTrust(faces.track, None)  # as if nobody had drawn a mask
    assert green(shot_textures(faces, 128, Silent())).mean() > 0.01 and masked < 0.001


def test_the_hand_stays_bit_for_bit_and_the_face_moves(folder, tmp_path):
    curves, shot = EmotionCurves.constant(FRAMES, happy=1.0), Shot.load(folder)
    edit(folder, curves, tmp_path / "out.mov", codec="ffv1", report=Silent())
    edited = [f.pixels for f in PlateReader(tmp_path / "out.mov", replace(shot.plate, fingerprint="")).frames()]
    blind = Shot.load(folder)
    blind.settings["mask"] = ""
    unmasked = ShotEditor(blind, curves, EditSettings(texture="off", mouth="off"), Silent())
    for frame in PlateReader(shot.plate_path, shot.plate).frames():
        cover, out = hand(frame.index), edited[frame.index]
        assert np.array_equal(out[cover >= 128], frame.pixels[cover >= 128])
        changed = (out != frame.pixels).any(2)
        assert changed[:, :150].sum() > 1000, "the other corner of the mouth smiles"
        near = cv2.dilate(cover, np.ones((5, 5))) > 0
        assert not (green(out) & ~near).any(), "no piece of the hand is drawn elsewhere"
        without = unmasked.composited(frame).pixels
        assert (without != frame.pixels).any(2)[cover == 255].sum() > 200, "the mask is what keeps it"


def test_a_bake_follows_the_mask(folder):
    shot = Shot.load(folder)
    EmotionCurves.constant(FRAMES, happy=1.0).save(shot.emotion_path)
    assert bake(folder, report=Silent())["baked"] == FRAMES
    assert bake(folder, report=Silent())["baked"] == 0
    matte = read_exr(shot.matte_path(4)).reshape(HEIGHT, WIDTH, -1)[..., 0]
    assert matte[hand(4) >= 128].max() == 0 and matte[:, :150].max() == 1
    other = hand(4)
    other[:100] = 255
    cv2.imwrite(str(folder.parent / "mattes" / "m.0005.png"), other)
    editor = ShotEditor(shot, EmotionCurves.load(shot.emotion_path), EditSettings(texture="off", mouth="off"), Silent())
    before = [editor.content_hash(i) for i in range(FRAMES)]
    cv2.imwrite(str(folder.parent / "mattes" / "m.0005.png"), hand(4))
    assert [i for i in range(FRAMES) if editor.content_hash(i) != before[i]] == [4]
    (folder.parent / "mattes" / "m.0003.png").rename(folder.parent / "mattes" / "gone.png")
    with pytest.raises(MienError, match="m.0003.png"):
        editor.content_hash(2)
    (folder.parent / "mattes" / "gone.png").rename(folder.parent / "mattes" / "m.0003.png")


def test_a_movie_is_a_mask_too(shot, tmp_path):
    write_movie(tmp_path / "matte.mov", [np.repeat(hand(i)[..., None], 3, 2) for i in range(FRAMES)])
    shot.settings["mask"] = shot.relative_plate(tmp_path / "matte.mov")
    mask = occlusion_mask(shot)
    for i in (7, 2, 9, 2):
        assert np.array_equal(mask.frame(i), hand(i) / np.float32(255))
    assert mask.frame(FRAMES) is None and mask.frame_key(FRAMES) == ""


@pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535), (np.float32, 4.0)])
def test_edges_of_a_covered_layer(dtype, top):
    """Under the mask the plate stays; where the matte is between 0 and 1 patch and plate are equal; far away nothing changes."""
    rng = np.random.default_rng(3)
    plate, patch = ((rng.random((80, 100, 3)) * top).astype(dtype) for _ in range(2))
    field = np.zeros((60, 70, 2), np.float32)
    layer = FaceLayer((20, 10, 90, 70), patch[10:70, 20:90], np.ones((60, 70), np.float32), field,
                      Surface(np.zeros((60, 70), np.int32), np.zeros((60, 70, 2), np.float32)))
    mask = np.zeros((80, 100), np.float32)
    mask[30:50, 40:60] = 1
    out = behind_mask(layer, plate, mask)
    here = slice(10, 70), slice(20, 90)
    under, own = mask[here] > 0, plate[here]
    assert np.array_equal(out.patch[under], own[under]) and out.matte[under].max() == 0
    soft = (out.matte > 0) & (out.matte < 1)
    assert soft.any() and np.array_equal(out.patch[soft], own[soft])
    far = cv2.distanceTransform((~under).astype(np.uint8), cv2.DIST_L2, 5) > 8
    assert np.array_equal(out.patch[far], layer.patch[far]) and out.matte[far].min() == 1 and out.patch.dtype == dtype
    assert behind_mask(layer, plate, None) is layer and behind_mask(layer, plate, np.zeros_like(mask)) is layer
    moved = behind_mask(replace(layer, displacement=field + np.float32((-12, 0))), plate, mask)
    assert np.array_equal(moved.patch[25:35, 45:50], own[25:35, 45:50]), "what would come from under the mask is not shown"
