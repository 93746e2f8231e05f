# SPDX-License-Identifier: GPL-3.0-or-later
"""The skin as the model's own picture: dec(w + d) where the skin is shown, the plate elsewhere, nothing at zero, and the latents of a shot."""

import numpy as np
import pytest

from mien.mesh.emotion import EmotionCurves
from mien.mesh.model import load_model
from mien.neural.appearance import ShotFaces
from mien.neural.edit import EditSettings, ShotEditor
from mien.neural.full_texture import FADE, FullTexture, shot_latents
from mien.neural.latent.eigen import EigenFit
from mien.neural.level2 import TextureModel, weight_map
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
    """One component that makes the whole skin brighter: a smile by 0.1, full happiness by 0.2."""
    fit = EigenFit(weight_map(Unwrapper(face, S)) > 0.02, 1, np.full((S, S, 3), 0.5, np.float32))
    fit.add(np.full((4, S, S, 3), 0.5, np.float32) + np.array([-0.1, 0.1, -0.2, 0.2], np.float32)[:, None, None, None])
    images = fit.model()
    unit = images.encode(np.full((1, S, S, 3), 0.6, np.float32))[0]
    directions, emotions = np.zeros((face.expression_count, 1), np.float32), np.zeros((7, 1), np.float32)
    directions[face.expression_index["mouthSmileLeft"]], emotions[4] = unit, 2 * unit
    return TextureModel(images, directions, emotions, np.ones((S, S), np.float32), 1.0)


def controls(face, smile=0.0, happy=0.0):
    beta, emotions = np.zeros(face.expression_count, np.float32), np.zeros(7, np.float32)
    beta[face.expression_index["mouthSmileLeft"]], emotions[4] = smile, happy
    return beta, emotions


@pytest.mark.parametrize("dtype, linear", [(np.uint8, False), (np.uint16, False), (np.float32, True)])
def test_the_skin_is_the_decoded_picture(face, model, dtype, linear):
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    patch = np.full((320, 320, 3), 0.1 * top, dtype)
    layer = FaceLayer((0, 0, 320, 320), patch, np.ones((320, 320), np.float32), np.zeros((320, 320, 2), np.float32),
                      visible(face.mean[:, :2] * 1500 + 160, face.mean[:, 2] + 0.5, face.triangles, (320, 320), 0.0))
    full = FullTexture(model, np.zeros((2, 1), np.float32), face, 1.0, 0.5, linear)
    got = full.over(layer, 1, *controls(face, smile=1.0, happy=0.5))
    assert got.patch.dtype == dtype and (layer.patch == patch).all()
    shown = got.patch[..., 1].astype(np.float64).max() / top
    wanted = 0.5 + 0.1 + 0.5 * 0.5 * 0.2  # dec(w + d): base, a smile, half of half of the emotion's direction
    assert abs(shown - (((wanted + 0.055) / 1.055) ** 2.4 if linear else wanted)) < 0.01
    assert (got.patch[:20] == patch[:20]).all()  # beyond the face
    assert (full.over(layer, 1, *controls(face)).patch == patch).all()
    little = full.over(layer, 1, *controls(face, smile=FADE / 2)).patch[..., 1].astype(np.float64).max() / top
    assert 0.1 < little < 0.5 * shown + 0.06  # it comes in without a jump


def test_the_frames_own_latent_counts(face, model):
    w = np.array([[0.0], [float(model.expression.sum())]], np.float32)
    full = FullTexture(model, w, face, 0.0, 0.0, False)
    none = controls(face)
    assert np.allclose((full.picture(1, *none) - full.picture(0, *none))[weight_map(Unwrapper(face, S)) > 0.1], 0.1, atol=2e-3)
    assert full.hash != FullTexture(model, 0 * w, face, 0.0, 0.0, False).hash


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
