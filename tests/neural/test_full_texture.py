# SPDX-License-Identifier: GPL-3.0-or-later
"""The skin as the model's own picture: its lines in the plate's tone and grain, its change, the plate where it is in doubt, nothing at zero, and the
latents of a shot."""

import cv2
import numpy as np
import pytest

from mien.mesh.emotion import EmotionCurves
from mien.mesh.model import load_model
from mien.neural.appearance import ShotFaces
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.full_texture import FADE, FullTexture, shot_latents, well_seen
from mien.neural.latent.eigen import EigenFit
from mien.neural.level2 import TextureModel, carry_to_picture, corners_of, weight_map
from mien.neural.media import PlateReader
from mien.neural.progress import Silent
from mien.neural.rendering import FaceLayer
from mien.neural.rendering.raster import visible
from mien.neural.texture import Unwrapper
from mien.tests.neural.portraits import FRAMES

S = 128


@pytest.fixture(scope="module")
def face():
    return load_model("default")


@pytest.fixture(scope="module")
def model(face):
    """One component that makes the whole skin brighter: a smile by 0.1, full happiness by 0.08."""
    fit = EigenFit(weight_map(Unwrapper(face, S)) > 0.02, 1, np.full((S, S, 3), 0.5, np.float32))
    fit.add(np.full((4, S, S, 3), 0.5, np.float32) + np.array([-0.1, 0.1, -0.2, 0.2], np.float32)[:, None, None, None])
    images = fit.model()
    unit = images.encode(np.full((1, S, S, 3), 0.6, np.float32))[0]
    directions, emotions = np.zeros((face.expression_count, 1), np.float32), np.zeros((7, 1), np.float32)
    directions[face.expression_index["mouthSmileLeft"]], emotions[4] = unit, 0.8 * unit
    return TextureModel(images, directions, emotions, np.ones((S, S), np.float32), 1.0)


def controls(face, smile=0.0, happy=0.0):
    beta, emotions = np.zeros(face.expression_count, np.float32), np.zeros(7, np.float32)
    beta[face.expression_index["mouthSmileLeft"]], emotions[4] = smile, happy
    return beta, emotions


def layer_of(face, patch):
    """The mean face over a picture (320, 320, 3)."""
    return FaceLayer((0, 0, 320, 320), patch, np.ones((320, 320), np.float32), np.zeros((320, 320, 2), np.float32),
                     visible(face.mean[:, :2] * 1500 + 160, face.mean[:, 2] + 0.5, face.triangles, (320, 320), 0.0))


@pytest.mark.parametrize("dtype, linear", [(np.uint8, False), (np.uint16, False), (np.float32, True)])
def test_the_change_is_the_models_and_the_tone_the_plates(face, model, dtype, linear):
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    patch = np.full((320, 320, 3), 0.1 * top, dtype)
    layer = layer_of(face, patch)
    full = FullTexture(model, np.zeros((2, 1), np.float32), face, 1.0, 0.5, linear)
    got = full.over(layer, 1, *controls(face, smile=1.0, happy=0.5))
    assert got.patch.dtype == dtype and (layer.patch == patch).all()
    shown = got.patch[..., 1].astype(np.float64).max() / top
    plate = 1.055 * 0.1 ** (1 / 2.4) - 0.055 if linear else 0.1
    wanted = plate + 0.1 + 0.5 * 0.5 * 0.08  # a smile, half of half of the emotion's direction; the model's own grey of 0.5 is not the plate's
    assert abs(shown - (((wanted + 0.055) / 1.055) ** 2.4 if linear else wanted)) < 0.01
    assert (got.patch[:20] == patch[:20]).all()  # beyond the face
    assert (full.over(layer, 1, *controls(face)).patch == patch).all()


@pytest.fixture(scope="module")
def lined(face):
    """A model whose w draws lines across the face, 0.05 deep at 1."""
    lines = 0.05 * np.sin(np.arange(S) * 2 * np.pi / 12)[:, None, None] * np.ones((S, S, 3))
    fit = EigenFit(weight_map(Unwrapper(face, S)) > 0.02, 1, np.full((S, S, 3), 0.5, np.float32))
    fit.add((0.5 + np.array([-1, 1, -2, 2])[:, None, None, None] * lines).astype(np.float32))
    images = fit.model()
    unit = images.encode((0.5 + lines[None]).astype(np.float32))[0]
    none = np.zeros((face.expression_count, 1), np.float32)
    return TextureModel(images, none, np.zeros((7, 1), np.float32), np.ones((S, S), np.float32), 1.0), unit


def inside_of(face):
    """(320, 320) bool: well within the face of `layer_of`, where the model is shown in full."""
    layer = layer_of(face, np.zeros((320, 320, 3), np.uint8))
    unwrap = Unwrapper(face, S)
    return carry_to_picture(layer, corners_of(unwrap), weight_map(unwrap)[..., None])[..., 0] > 0.95


def test_the_models_lines_come_and_the_plates_grain_and_tone_stay(face, lined):
    model, unit = lined
    inside, random = inside_of(face), np.random.default_rng(0)
    light = np.linspace(0.3, 0.6, 320)[None, :, None]
    plate = (light + random.normal(0, 0.01, (320, 320, 1)) + np.zeros(3)).astype(np.float32)
    got = FullTexture(model, unit[None], face, 1.0, 0.0, False).over(layer_of(face, plate), 0, *controls(face, smile=1.0)).patch
    drawn = (got - plate)[..., 0]
    assert 0.4 * 0.05 / 2**0.5 < drawn[inside].std() < 1.1 * 0.05 / 2**0.5  # lines, about as deep as the model's
    assert abs(cv2.GaussianBlur(drawn, (0, 0), 20)[inside]).max() < 0.015  # no other tone

    def grain(picture):
        return (picture - cv2.GaussianBlur(picture, (0, 0), 0.7))[inside].std()

    assert grain(got[..., 0]) > 0.85 * grain(plate[..., 0])


def test_where_the_model_is_far_from_the_plate_the_plate_stays(face, lined):
    """A dark strand of hair that the model has not learnt is not painted over: of its depth of 0.4, hardly a tenth goes."""
    model, unit = lined
    plate = np.full((320, 320, 3), 0.5, np.float32)
    plate[:, 150:156] = 0.1
    got = FullTexture(model, 0 * unit[None], face, 1.0, 0.0, False).over(layer_of(face, plate), 0, *controls(face, smile=1.0)).patch
    assert inside_of(face)[:, 150:156].sum() > 200 and np.abs(got - plate).max() < 0.05


def test_it_comes_in_without_a_jump(face, lined):
    model, unit = lined
    plate = np.full((320, 320, 3), 0.5, np.float32)
    full = FullTexture(model, unit[None], face, 1.0, 0.0, False)
    some, all_of_it = (np.abs(full.over(layer_of(face, plate), 0, *controls(face, smile=v)).patch - plate).max() for v in (0.2 * FADE, 2 * FADE))
    assert 0 < some < 0.2 * all_of_it and all_of_it > 0.02


def test_the_frames_own_latent_counts(face, model):
    w = np.array([[0.0], [float(model.expression.sum())]], np.float32)
    full = FullTexture(model, w, face, 0.0, 0.0, False)
    (first, none), (second, _) = (full.textures(i, *controls(face)) for i in (0, 1))
    clear = weight_map(Unwrapper(face, S)) > 0.99
    assert np.allclose((second - first)[clear], 0.1, atol=2e-3) and not none.any()
    assert full.hash != FullTexture(model, 0 * w, face, 0.0, 0.0, False).hash


def test_the_front_of_a_face_is_well_seen_and_its_sides_are_not(shot):
    editor = ShotEditor(shot, EmotionCurves.constant(FRAMES), EditSettings(), Silent())
    model = editor.model
    seen = well_seen(ShotFaces(shot, editor.track, editor.solve, editor.renderer))
    assert seen.shape == (model.vertex_count,) and (seen[model.vertices_of_landmarks([9, 195, 50, 280])] > 0.9).all()
    assert seen[model.vertices_of_landmarks([234, 454])].max() < 0.5


def test_a_shots_latents_are_those_of_its_frames_and_are_kept(shot, model):
    editor = ShotEditor(shot, EmotionCurves.constant(FRAMES), EditSettings(), Silent())
    faces = ShotFaces(shot, editor.track, editor.solve, editor.renderer)
    latents = shot_latents(faces, model, Silent())
    assert latents.shape == (FRAMES, 1) and latents.std() < 0.2 * abs(latents.mean())  # one face in one light
    written = shot.texture_path.with_name("texture_latents.npz").stat().st_mtime_ns
    assert np.array_equal(shot_latents(faces, model, Silent()), latents)
    assert shot.texture_path.with_name("texture_latents.npz").stat().st_mtime_ns == written


def test_a_whole_edit_paints_the_skin_and_leaves_the_rest(shot):
    curves = EmotionCurves.constant(FRAMES, happy=1.0)
    plate = PlateReader(shot.plate_path, shot.plate).frame(4).pixels
    editors = [ShotEditor(shot, curves, EditSettings(texture=mode, mouth="off"), Silent()) for mode in ("full", "off")]
    full, moved = (editor.layer(4, plate).over(plate) for editor in editors)
    changed = (full != moved).any(2)
    assert 0.02 < changed.mean() < 0.5
    away = np.abs(full.astype(float) - moved.astype(float))[changed].mean()
    assert away < 12  # levels: the model's picture of this skin looks like this skin
    rest = ShotEditor(shot, EmotionCurves.constant(FRAMES), EditSettings(texture="full"), Silent())
    assert rest.layer(4, plate) is None
