# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 2 and the mouth inside an edit: zero is zero, linear, only where it belongs, and part of a bake's hash."""

import tempfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mien.mesh.emotion import EmotionCurves
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.shot import Solve, Track
from mien.neural.appearance import ShotFaces, SkinSamples, base_texture, unwrapped
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.glasses import GlassesHold
from mien.neural.hair import skin_alone
from mien.neural.latent.eigen import EigenFit
from mien.neural.level2 import SIZE, TextureLayer, TextureModel, expression_groups, group_maps, weight_map
from mien.neural.media import PlateReader
from mien.neural.mouth import MouthCrop
from mien.neural.mouth.geometry import AROUND, HEIGHT, WIDTH
from mien.neural.mouth.layer import _parting, _seam
from mien.neural.mouth.model import fit_mouth
from mien.neural.progress import Silent
from mien.neural.rendering import FaceLayer, PlateRenderer
from mien.neural.rendering.raster import visible
from mien.neural.texture import Unwrapper, fill_mirrored, mirror_map
from mien.tests.neural.portraits import FRAMES


@pytest.fixture(scope="module")
def face():
    return load_model("default")


@pytest.fixture(scope="module")
def texture_model(face):
    """Two patterns, moved by a smile and by the inner brow."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    base = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    fit = EigenFit(weight_map(Unwrapper(face, SIZE)) > 0.02, 2, base)
    waves = np.stack([np.sin(40 * x), np.sin(37 * y)])[..., None] * 0.05
    random = np.random.default_rng(0)
    fit.add((base + np.tensordot(random.normal(0, 1, (12, 2)), waves, 1)).astype(np.float32))
    directions = np.zeros((face.expression_count, 2), np.float32)
    directions[face.expression_index["mouthSmileLeft"], 0] = 20
    directions[face.expression_index["browInnerUpLeft"], 1] = 20
    images = fit.model()
    return TextureModel(images, directions, np.ones((7, 2), np.float32), np.ones((SIZE, SIZE), np.float32), 0.5)


def beta_of(face, **values):
    beta = np.zeros(face.expression_count, np.float32)
    for name, value in values.items():
        beta[face.expression_index[name]] = value
    return beta


def test_delta_is_zero_at_zero_and_linear(face, texture_model):
    layer = TextureLayer(texture_model, None, face, 1.0, 0.0, False)
    none = np.zeros(7, np.float32)
    assert layer.delta(np.zeros(face.expression_count, np.float32), none) is None
    one, half = (layer.delta(beta_of(face, mouthSmileLeft=v), none) for v in (1.0, 0.5))
    assert np.abs(one).max() > 0.01 and np.allclose(one, 2 * half, atol=1e-6)
    strong = TextureLayer(texture_model, None, face, 2.0, 0.0, False).delta(beta_of(face, mouthSmileLeft=0.5), none)
    assert np.allclose(one, strong, atol=1e-6)


def test_a_smile_draws_nothing_on_the_forehead(face, texture_model):
    layer = TextureLayer(texture_model, None, face, 1.0, 0.0, False)
    none = np.zeros(7, np.float32)
    smile, brow = (np.abs(layer.delta(beta_of(face, **{name: 1.0}), none)).max(2) for name in ("mouthSmileLeft", "browInnerUpLeft"))
    top, bottom = slice(0, SIZE // 5), slice(3 * SIZE // 4, SIZE)
    assert not smile[top].any() and smile[bottom].any()
    assert brow[top].any() and not brow[bottom].any()


def test_directions_of_another_size_are_borrowed_too(face, texture_model):
    """An actor's StyleGAN of 64 pixels beside the shot's own 512: a broad change comes over at the same strength."""
    def brighter(size):
        fit = EigenFit(weight_map(Unwrapper(face, size)) > 0.02, 1, np.full((size, size, 3), 0.5, np.float32))
        fit.add(np.full((3, size, size, 3), 0.5, np.float32) + np.array([-0.1, 0.0, 0.1], np.float32)[:, None, None, None])
        images = fit.model()
        emotions = np.repeat(images.encode(np.full((1, size, size, 3), 0.55, np.float32)), 7, 0)
        return TextureModel(images, np.zeros((face.expression_count, 1), np.float32), emotions, np.ones((size, size), np.float32), 0.5)

    e = np.eye(7, dtype=np.float32)[4]
    small, large = (TextureLayer(texture_model, brighter(n), face, 0.0, 1.0, False).delta(np.zeros(face.expression_count), e) for n in (64, SIZE))
    assert small.shape == large.shape and small.max() == pytest.approx(0.05, abs=2e-3) == large.max()
    inner = cv2.erode((large[..., 0] > 0.049).astype(np.uint8), np.ones((33, 33))) > 0
    assert inner.sum() > 2000 and np.abs(small - large)[inner].max() < 5e-3


def test_a_fringe_that_was_there_before_is_left_alone(face):
    """Dark from the outline down the forehead in all takes, its lower end in another place: neither that end nor its hair changes; the mouth does."""
    mask = weight_map(Unwrapper(face, SIZE)) > 0.02
    y = np.mgrid[:SIZE, :SIZE][0]
    pictures = np.full((4, SIZE, SIZE, 3), 0.6, np.float32)
    for picture, end in zip(pictures, (60, 60, 72, 72)):
        picture[:end] = 0.25
    pictures[2:, 380:400] -= 0.08
    fit = EigenFit(mask, 1, pictures.mean(0))
    fit.add(pictures.copy())
    images = fit.model()
    emotions = np.zeros((7, 1), np.float32)
    emotions[0] = images.encode(pictures[2:3])[0] - images.encode(pictures[:1])[0]
    kept = skin_alone(TextureModel(images, np.zeros((face.expression_count, 1), np.float32), emotions, np.ones((SIZE, SIZE), np.float32), 0.5), mask)
    assert kept[mask & (y < 72)].max() < 0.1 and kept[mask & (y > 120)].min() > 0.99


def test_nothing_is_drawn_where_glasses_hold_the_skin(face, texture_model):
    """Between eye and rim nothing changes; on the forehead and at the mouth all does."""
    free, beta = GlassesHold(face).free, beta_of(face, mouthSmileLeft=1.0, browInnerUpLeft=1.0)
    bare, worn = (TextureLayer(texture_model, None, face, 1.0, 0.0, False, f).delta(beta, np.zeros(7)) for f in (None, free))
    unwrap = Unwrapper(face, SIZE)
    held, clear = (unwrap.carry(v[:, None].astype(np.float32))[0][..., 0] > 0.999 for v in (1 - free, free))
    inner = cv2.erode(held.astype(np.uint8), np.ones((25, 25))) > 0
    outer = cv2.erode(clear.astype(np.uint8), np.ones((91, 91))) > 0
    assert inner.any() and not worn[inner].any() and np.allclose(worn[outer], bare[outer], atol=1e-3) and np.abs(bare[outer]).max() > 0.01


def test_a_shot_with_glasses_learns_nothing_of_their_rims(shot):
    track, solve = Track.load(shot), Solve.load(shot)
    model = load_model(shot.model)
    worn = replace(shot, settings={**shot.settings, "glasses_seen": True})
    bare, framed = (SkinSamples(ShotFaces(s, track, solve, PlateRenderer(model, solve.camera)), np.arange(8)).fit(Silent())[0]
                    for s in (replace(shot, settings={**shot.settings, "glasses_seen": False}), worn))
    gone = np.setdiff1d(bare.where, framed.where)
    held = Unwrapper(model, SIZE).carry(1 - GlassesHold(model).free[:, None].astype(np.float32))[0][..., 0].ravel()
    assert len(gone) > 5000 and len(np.setdiff1d(framed.where, bare.where)) == 0 and np.median(held[gone]) > 0.9


def test_borrowed_directions_follow_the_emotion(face, texture_model):
    layer = TextureLayer(texture_model, texture_model, face, 0.0, 0.5, False)
    e = np.zeros(7, np.float32)
    assert layer.delta(beta_of(face, mouthSmileLeft=1.0), e) is None
    e[4] = 0.5
    one = layer.delta(beta_of(face), e)
    assert np.allclose(layer.delta(beta_of(face), 2 * e), 2 * one, atol=1e-6)
    assert TextureLayer(texture_model, texture_model, face, 0.0, 1.0, False).hash != layer.hash


def test_an_emotions_direction_brings_lines_and_no_hair(face):
    """A dark patch that comes in over the outline of the face is left out, the same patch in its middle is a fold and stays."""
    mask = weight_map(Unwrapper(face, SIZE)) > 0.02
    top, (y, x) = np.flatnonzero(mask[:, SIZE // 2])[0], np.mgrid[:SIZE, :SIZE]
    patches = [(np.hypot(y - cy, x - cx) < 20) & mask for cy, cx in ((top + 8, SIZE // 2), (top + 90, SIZE // 2))]
    fit = EigenFit(mask, 1, np.full((SIZE, SIZE, 3), 0.5, np.float32))
    picture = np.where((patches[0] | patches[1])[..., None], np.float32(-0.3), np.float32(0)).repeat(3, 2)
    fit.add(np.stack([0.5 + picture * k for k in (0, 1)]).astype(np.float32))
    images = fit.model()
    step = images.encode((0.5 + picture)[None]) - images.encode(np.full((1, SIZE, SIZE, 3), 0.5, np.float32))
    emotions = np.zeros((7, 1), np.float32)
    emotions[0] = step[0]
    kept = skin_alone(TextureModel(images, np.zeros((face.expression_count, 1), np.float32), emotions, np.ones((SIZE, SIZE), np.float32), 0.5), mask)
    assert kept[patches[0]].max() < 0.3 and kept[patches[1]].min() > 0.95


@pytest.mark.parametrize("dtype, linear", [(np.uint8, False), (np.uint16, False), (np.float32, True)])
def test_differences_are_added_in_the_plates_own_space(face, texture_model, dtype, linear):
    layer = TextureLayer(texture_model, None, face, 1.0, 0.0, linear)
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    value = 0.2 if linear else 0.5
    patch = np.full((320, 320, 3), value * top, dtype)
    surface = visible(face.mean[:, :2] * 1500 + 160, face.mean[:, 2] + 0.5, face.triangles, (320, 320), 0.0)
    before = FaceLayer((0, 0, 320, 320), patch, np.ones((320, 320), np.float32), np.zeros((320, 320, 2), np.float32), surface)
    after = layer.over(before, 0, beta_of(face, mouthSmileLeft=1.0), np.zeros(7, np.float32))
    assert after.patch.dtype == dtype and np.array_equal(before.patch, np.full((320, 320, 3), value * top, dtype))
    changed = (after.patch != patch).any(2)
    assert 1000 < changed.sum() < 0.6 * changed.size
    assert np.array_equal(after.patch[:60], patch[:60])  # a forehead, and nothing
    delta = np.abs(layer.delta(beta_of(face, mouthSmileLeft=1.0), np.zeros(7, np.float32))).max()
    got = np.abs(after.patch.astype(np.float64) - patch.astype(np.float64)).max() / top
    assert 0.4 * delta < got < 1.5 * delta  # sRGB's slope against linear light at 0.2 is 1 / 0.9, and it goes on falling


def test_groups_share_out_all_directions_and_their_places(face):
    groups = expression_groups(face)
    assert np.array_equal(groups.sum(0), np.ones(face.expression_count))
    named = [face.expression_names[int(np.flatnonzero(g)[0])] for g in groups]
    assert named[0].startswith("brow")
    maps = group_maps(Unwrapper(face, 128), groups)
    assert maps.min() >= 0 and maps.max() <= 1.001 and (maps.max((1, 2)) > 0.9).all()


def test_the_mirror_finds_the_other_cheek(face):
    unwrap = Unwrapper(face, 256)
    mirror, inside = mirror_map(face, 256), unwrap.carry(np.ones((face.vertex_count, 1), np.float32))[1]
    x = unwrap.carry(face.mean[:, :1])[0][..., 0]
    across = cv2.remap(x, mirror[..., 0], mirror[..., 1], cv2.INTER_LINEAR)
    core = cv2.erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert np.abs(across + x)[core].mean() < 0.001  # metres
    texture = np.repeat(inside[..., None] * np.float32(100), 3, 2)
    known = inside & (x < 0.02)
    filled, now = fill_mirrored(texture * known[..., None], known, mirror)
    assert now[core].mean() > 0.95 and np.abs(filled[core & now] - 100).mean() < 2


def test_unwrapping_and_holes(shot):
    editor = ShotEditor(shot, EmotionCurves.constant(FRAMES), EditSettings(), Silent())
    faces = ShotFaces(shot, editor.track, editor.solve, editor.renderer)
    base = np.full((256, 256, 3), 0.25, np.float32)
    texture, seen = unwrapped(faces, PlateReader(shot.plate_path, shot.plate).frame(3), Unwrapper(editor.model, 256), base)
    assert seen.max() == 1 and np.array_equal(texture[seen == 0], base[seen == 0])
    neutral = base_texture(faces, 256)
    sure = seen > 0.99
    assert np.sqrt(((texture - neutral)[sure] ** 2).mean()) < 0.04  # the frame looks as the shot does


# -- the mouth ------------------------------------------------------------------------------------------------------------

def rendered(shot, index=4, emotion="surprised", **settings):
    """Plate, layer and editor of one frame."""
    editor = ShotEditor(shot, EmotionCurves.constant(FRAMES, **{emotion: 1.0}, mouth=0.0), EditSettings(**settings), Silent())
    plate = PlateReader(shot.plate_path, shot.plate).frame(index).pixels
    return plate, editor.layer(index, plate), editor


def test_at_rest_nothing_is_fitted(shot):
    editor = ShotEditor(shot, EmotionCurves.constant(FRAMES), EditSettings(), Silent())
    assert editor.mouth is None and editor.texture is None and not (shot.folder / "texture" / "mouth.json").exists()


def test_the_mouth_changes_only_what_lies_between_the_lips(shot):
    plate, filled, editor = rendered(shot, texture="off")
    _, bent, _ = rendered(shot, texture="off", mouth="off")
    _, after, _ = editor.shapes(4)
    l, t, r, b = filled.box
    _, opening = editor.mouth._geometry.between(editor.renderer.mesh.points(after) - np.array([l, t]), (b - t, r - l))
    changed = (filled.patch != bent.patch).any(2)
    assert changed.sum() > 20 and not changed[~opening].any()


def test_upper_teeth_stay_on_the_skull(shot):
    """The portrait smiles: with the jaw dropping, its upper front teeth are where they were, while the bent ones move."""
    plate, filled, editor = rendered(shot, texture="off")
    lips = Track.load(shot).landmarks[4]
    x, y = lips[13, :2].astype(int)
    window = slice(y + 2, y + 4), slice(x - 6, x + 7)  # the mouth is five pixels high
    l, t, _, _ = filled.box
    inside = tuple(slice(s.start - o, s.stop - o) for s, o in zip(window, (t, l)))
    assert np.abs(filled.patch[inside].astype(int) - plate[window]).mean() < 6


def test_teeth_part_where_they_meet():
    way = np.repeat(np.linspace(0.01, 0.99, 99), 20)
    for seam in (0.4, 0.6, 0.75):
        line, gap = (_seam(np.where(np.abs(way - seam) < 0.04, dark, 0.8), way) for dark in (0.6, 0.1))
        assert line == (pytest.approx(seam, abs=0.04), pytest.approx(0, abs=0.05))
        assert gap == (pytest.approx(seam, abs=0.04), pytest.approx(1, abs=0.05))
    for nothing in (np.full(len(way), 0.8), 0.8 - 0.2 * way):  # upper teeth alone, also where the lower lip's shadow falls on them
        assert _seam(nothing, way) == (pytest.approx(1.0), pytest.approx(0, abs=0.05))
    assert _seam(way[:9], way[:9]) == (1.0, 0.0)  # a slit
    seam, cavity = _seam(np.where(way < 0.5, 0.8, 0.1), way)  # upper teeth over the dark: it parts somewhere in the dark
    assert 0.5 < seam < 1 and cavity == pytest.approx(1, abs=0.05)
    # Lips at 100 and 120, teeth meet at 112; now the upper lip is at 98, the lower at 138, the jaw went down by 16.
    low, high = _parting(0.6, 100, 120, 98, 138, 0.0, 16.0)
    assert (low, high) == (pytest.approx(14 / 40, abs=0.01), pytest.approx(30 / 40, abs=0.01))


def test_parted_teeth_bare_the_dark(shot):
    """Between the lips an opened mouth is darker than the same mouth bent with its lips, and not a flat colour."""
    plate, layer, editor = rendered(shot, texture="off")
    bent = rendered(shot, texture="off", mouth="off")[1]
    changed = (layer.patch != bent.patch).any(2)
    filled, was = (x.patch[changed].astype(float).mean(1) for x in (layer, bent))
    assert np.percentile(filled, 10) < 0.95 * np.percentile(was, 10) and filled.std() > 10


def test_the_mouths_amount_and_lock(shot):
    _, none, _ = rendered(shot, texture="off", mouth_amount=0.0)
    _, bent, _ = rendered(shot, texture="off", mouth="off")
    assert np.array_equal(none.patch, bent.patch)
    with pytest.raises(MienError, match="mouth_frame"):
        rendered(shot, mouth_frame=400)
    _, locked, editor = rendered(shot, texture="off", mouth_frame=3)
    assert editor.mouth.latents(7, None, None, None) is not None and locked.patch.shape == bent.patch.shape


def test_a_closed_mouth_teaches_nothing_and_the_artist_is_told(shot, monkeypatch):
    monkeypatch.setattr("mien.neural.mouth.model.SEEN_LEAST", 1e9)
    report = Silent()
    editor = ShotEditor(shot, EmotionCurves.constant(FRAMES, surprised=1), EditSettings(texture="off"), report)
    assert editor.mouth is None and any("inside of the mouth" in w for w in report.warnings)
    again = Silent()
    ShotEditor(shot, EmotionCurves.constant(FRAMES, surprised=1), EditSettings(texture="off"), again)
    assert again.warnings == report.warnings  # remembered, and told again


def crop_of(index, *, opened=9999.0, around=0.0, shape=0.0, level=0.5):
    """A mouth whose every texel is `level`."""
    size = 2 * HEIGHT, WIDTH
    return MouthCrop(index, np.full((*size, 3), level, np.float16), np.ones(size, np.float32), opened, np.full(8, shape, np.float32),
                     np.full(3 * AROUND[0] * AROUND[1], around, np.float16), np.full(3, 0.6))


def test_no_open_frame_no_model():
    assert fit_mouth([crop_of(i, opened=9.0) for i in range(6)]) is None


def test_the_surroundings_tell_what_the_shape_of_the_lips_does_not():
    """Lips of one shape, in light and in shade: the mouths behind them are light and dark, also of a frame that the fit has not seen."""
    model = fit_mouth([crop_of(10 * i, around=0.4 + 0.2 * (i % 2), level=0.3 + 0.4 * (i % 2)) for i in range(12)])
    for way, level in ((0, 0.3), (1, 0.7)):
        new = crop_of(777, around=0.4 + 0.2 * way)
        told = model.images.decode(model.expected(new.shape[None], new.around[None].astype(np.float32), np.array([777])))[0]
        assert np.abs(told - level).max() < 0.05


def test_the_encoder_never_sees_the_inside(shot):
    """Whatever is painted between the lips, what the encoder is shown stays the same; what is painted on them does not."""
    _, _, editor = rendered(shot, texture="off")
    g, before = editor.mouth._geometry, editor.shapes(4)[0]
    pose = g.pose(4, before)
    picture = np.random.default_rng(0).random((editor.solve.camera.height, editor.solve.camera.width, 3)).astype(np.float32)
    painted, over = picture.copy(), picture.copy()
    inside = g.between(g.mesh_points(before), picture.shape[:2])[1]
    painted[inside] = 1
    over[cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0] = 1
    assert inside.any() and np.array_equal(g.around(painted, pose, before), g.around(picture, pose, before))
    assert np.abs(g.around(over, pose, before) - g.around(picture, pose, before)).max() > 0.1


def test_waiting_mouths_come_back_from_their_file():
    crop = crop_of(3, around=0.25, shape=0.5)
    with tempfile.TemporaryFile() as file:
        crop.put(file)
        crop.moved_by(4).put(file)
        file.seek(0)
        first, second = MouthCrop.all_in(file)
    assert (first.index, second.index, first.opened) == (3, 7, crop.opened)
    assert all(np.array_equal(getattr(first, name), getattr(crop, name)) for name in ("atlas", "seen", "shape", "around", "lips"))


# -- the bake -------------------------------------------------------------------------------------------------------------

def test_the_hash_knows_the_settings_and_the_models(shot):
    hashes = [rendered(shot, **s)[2].content_hash(4) for s in ({}, {"texture": "off"}, {"texture": "full"}, {"mouth": "off"},
                                                             {"texture_strength": 0.5}, {"mouth_amount": 0.5}, {"mouth_frame": 2},
                                                             {"shape_strength": 0.5})]
    assert len(set(hashes)) == len(hashes)
    assert rendered(shot)[2].content_hash(4) == hashes[0]  # fitted once, loaded since: the same bytes


def test_an_edit_without_level_1_moves_nothing(shot, monkeypatch, face, texture_model):
    monkeypatch.setattr("mien.neural.edit.shot_texture_model", lambda *a: texture_model)
    plate, layer, editor = rendered(shot, emotion="happy", shape_strength=0.0)
    assert not layer.displacement.any()
    changed = (layer.over(plate) != plate).any(2)
    assert 100 < changed.sum() < changed.size / 2


@pytest.mark.parametrize("settings", [{"texture": "loud"}, {"mouth": "wide"}, {"texture_strength": 3}, {"mouth_amount": -1}, {"mouth_frame": "x"}])
def test_bad_settings_are_named(settings):
    with pytest.raises(MienError, match=next(iter(settings))):
        EditSettings.from_dict(settings)


def test_a_folder_without_directions_is_named(shot, tmp_path):
    with pytest.raises(MienError, match=r"texture\.json"):
        rendered(shot, texture_borrow=0.5, actor=str(tmp_path))
