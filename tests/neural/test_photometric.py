# SPDX-License-Identifier: GPL-3.0-or-later
"""Light from spherical harmonics against closed forms, and the photometric refinement on rendered takes whose truth is known."""

import importlib.machinery
import importlib.util
import sys
import types
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from mien.mesh.camera import Camera, place, rotation_matrix
from mien.mesh.model import load_model
from mien.mesh.shot import Plate, Shot, Solve, Track
from mien.neural import cli
from mien.neural.media import Frame, linear_to_srgb
from mien.neural.progress import Silent
from mien.neural.rendering.raster import rasterise, visible
from mien.neural.slide import LATER, Slide
from mien.neural.solving import Footage, rasterised, solve_shots
from mien.neural.solving.lighting import LAMBERT, even_light, fit_light, harmonics
from mien.neural.solving.photometric import SHARED, Photometric, Pictures, Skin, refine
from mien.neural.solving.problem import State
from mien.neural.solving.rasterised import Rasterised
from mien.neural.solving.truth import make_take, sway
from mien.neural.visibility import LandmarkTrust, vertex_normals

FRAMES, SIZE = 30, (480, 360)


def sphere(n=20000):
    """(n, 3) unit normals spread evenly, by the golden angle."""
    i = np.arange(n) + 0.5
    z, turn = 1 - 2 * i / n, np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(turn), r * np.sin(turn), z], 1)


def test_harmonics_are_orthonormal():
    Y = harmonics(sphere())
    assert np.allclose(4 * np.pi * Y.T @ Y / len(Y), np.eye(9), atol=2e-3)


def test_a_matte_sphere_under_one_lamp_against_the_closed_form():
    """Ramamoorthi & Hanrahan: coefficients of max(0, n . l) are those of the lamp, Y(l), times pi, 2 pi / 3, pi / 4."""
    lamp = np.array([0.48, -0.6, 0.64])
    normals = sphere()
    shade = np.maximum(normals @ lamp, 0)
    found = fit_light(harmonics(normals), np.ones((len(normals), 3)), np.repeat(shade[:, None], 3, 1), np.ones(len(normals)))
    assert np.allclose(found[:, 0], LAMBERT * harmonics(lamp), atol=0.01)
    assert np.abs(harmonics(normals) @ found[:, 0] - shade).mean() < 0.035, "orders above 2 hold some per cent"


def test_light_on_a_face_is_recovered():
    model, rng = load_model("default"), np.random.default_rng(4)
    normals = vertex_normals(model.mean.astype(np.float64), model.triangles)
    normals *= -np.sign(np.median(normals[:, 2]))
    front = normals[:, 2] < -0.1
    albedo = rng.uniform(0.2, 0.8, (front.sum(), 3))
    light = even_light() + rng.normal(0, 0.4, (9, 3))
    basis = harmonics(normals[front])
    colour = albedo * (basis @ light) + rng.normal(0, 0.005, albedo.shape)
    found = fit_light(basis, albedo, colour, np.ones(len(albedo)))
    assert np.abs(basis @ (found - light)).mean() < 0.01 and np.corrcoef(found.ravel(), light.ravel())[0, 1] > 0.98


class Rendered:
    """A reader of frames that were made in memory."""

    def __init__(self, pictures, plate):
        self.pictures, self.plate = pictures, plate

    def chosen(self, indices):
        for i in indices:
            yield Frame(int(i), i / 25, self.pictures[int(i)])


@pytest.fixture(scope="module")
def model():
    return load_model("default")


@pytest.fixture(scope="module")
def rendered(model):
    """A take of the virtual cast with freckled skin under a light that wanders, and landmarks that err together, slowly, as a tracker's do."""
    track, _, truth = make_take(model, 2, frames=FRAMES, noise=0.0, lens=50.0)
    camera = Camera.centred(*SIZE, truth.camera.focal * SIZE[0] / truth.camera.width)
    depth = truth.translation[:, 2].mean()
    truth = replace(truth, camera=camera, translation=truth.translation + (0, 0, camera.focal * model.eye_distance / 100 - depth))
    rng = np.random.default_rng(5)
    # Freckles: a few vertices wide, so that they survive in small pictures.
    near = np.linalg.norm(model.mean[:, None] - model.mean[rng.integers(model.vertex_count, size=260)][None], axis=2)
    spots = np.exp(-((near / 0.003) ** 2) / 2) @ rng.uniform(-0.35, 0.2, (260, 1))
    albedo = np.clip(np.array([0.55, 0.4, 0.33]) + spots, 0.05, 0.9)
    neutral = vertex_normals(model.neutral(truth.alpha).astype(np.float64), model.triangles)
    neutral *= -np.sign(np.median(neutral[:, 2]))
    turn, light = rotation_matrix(truth.rotation), even_light() * 0.9
    light[1:4] += rng.normal(0, 0.25, (3, 3))
    pictures = []
    for i in range(FRAMES):
        points = place(model.shape(truth.alpha, truth.beta[i]).astype(np.float64), truth.rotation[i], truth.translation[i])
        now = light * (1 + 0.1 * np.sin(i / 6))
        colour = albedo * (harmonics(neutral @ turn[i].T) @ now)
        out, z = np.full((SIZE[1] * 2, SIZE[0] * 2, 3), 0.08, np.float32), np.full((SIZE[1] * 2, SIZE[0] * 2), np.inf, np.float32)
        rasterise((camera.project(points) * 2).astype(np.float32), points[:, 2].astype(np.float32), model.triangles.astype(np.int32),
                  colour.astype(np.float32), out, z, 0.0)
        small = out.reshape(SIZE[1], 2, SIZE[0], 2, 3).mean((1, 3)) + rng.normal(0, 0.004, (SIZE[1], SIZE[0], 3))
        pictures.append(np.rint(255 * linear_to_srgb(np.clip(small, 0, 1))).astype(np.uint8))
    points = place(model.shape(truth.alpha, truth.beta)[:, model.landmark_vertices].astype(np.float64), truth.rotation, truth.translation)
    landmarks = np.full((FRAMES, 478, 3), np.nan, np.float32)
    landmarks[:, model.landmark_ids, :2] = camera.project(points)
    landmarks[:, 468:, :2] = landmarks[:, [33] * 5 + [263] * 5, :2]
    # The error: smooth over the face, its size and place change slowly; 0.8 % of the eye distance, and 0.2 % of noise.
    for _ in range(6):
        centre = model.mean[model.landmark_vertices[rng.integers(len(model.landmark_ids))]]
        where = np.exp(-((np.linalg.norm(model.mean[model.landmark_vertices] - centre, axis=1) / 0.04) ** 2) / 2)
        landmarks[:, model.landmark_ids, :2] += (0.8 * sway(rng, FRAMES, 2)[:, None] * where[:, None]).astype(np.float32)
    landmarks[..., :2] += rng.normal(0, 0.2, landmarks[..., :2].shape)
    fixed = Track(track.scheme, landmarks, track.confidence, track.cuts, track.faces, track.timestamps)
    return fixed, Plate("made-up", "movie", *SIZE, (25, 1), 1, FRAMES), truth, pictures


def off(model, solve, truth):
    """Median distance on the picture of all vertices from the truth, pixels, and how much that wanders: its change from frame to frame."""
    error = np.stack([solve.camera.project(place(model.shape(solve.alpha, solve.beta[i]).astype(np.float64), solve.rotation[i].astype(np.float64),
                                                 solve.translation[i].astype(np.float64)))
                      - truth.camera.project(place(model.shape(truth.alpha, truth.beta[i]).astype(np.float64), truth.rotation[i],
                                                   truth.translation[i]))
                      for i in range(len(solve.beta))])
    return float(np.median(np.linalg.norm(error - np.median(error, 0), axis=-1))), float(np.median(np.linalg.norm(np.diff(error, axis=0), axis=-1)))


@pytest.mark.parametrize("distortion", [(0.0, 0.0), (-2.0, 3.0)])
def test_derivatives_of_the_term_against_differences(model, rendered, distortion):
    """The gradient that is added is half the slope of the sum of squares it stands for, along the unknowns, light and weights held."""
    track, plate, truth, pictures = rendered
    truth = replace(truth, camera=replace(truth.camera, k1=distortion[0], k2=distortion[1]))
    skin = Skin(model, truth.alpha)
    state = State(truth.alpha, truth.camera.focal, truth.beta[:1].astype(np.float64),
                  rotation_matrix(truth.rotation[:1]), truth.translation[:1])
    photo = Photometric(skin, Pictures([pictures[0]], [None], np.zeros((1, 2)), np.ones(1)), truth.camera)
    points = skin.place(state, 0)
    _, gradient, inside = photo.sample(points, 0)
    P = state.beta.shape[1] + 6
    step = np.random.default_rng(1).normal(0, 1, P) * np.r_[np.full(P - 6, 0.02), np.full(3, 0.002), np.full(3, 0.0005)]
    LUMA = np.array([0.2126, 0.7152, 0.0722])
    bright = [photo.sample(skin.place(state.moved(None, sign * step[None] / 8), 0), 0)[0] @ LUMA for sign in (-1, 1)]
    moved = [truth.camera.project(skin.place(state.moved(None, sign * step[None] / 8), 0)) for sign in (-1, 1)]
    want = (gradient * (moved[1] - moved[0])).sum(1)
    good = inside > 0.5
    assert np.corrcoef((bright[1] - bright[0])[good], want[good])[0, 1] > 0.98, "gradients are those of the picture"
    skin.sigma = 1.0
    H, g = np.zeros((1, P, P)), np.zeros((1, P))
    skin.albedo = np.maximum(photo.sample(points, 0)[0] + 0.01, 0.01)
    photo.add(H, g, state)
    assert np.allclose(H, np.swapaxes(H, 1, 2), rtol=1e-4) and (np.linalg.eigvalsh(H[0]) > -1e-4 * np.abs(H).max()).all()
    error, gradient, weight, _, _ = photo.errors(state, 0)
    weight = weight / SHARED
    along = (gradient * (moved[1] - moved[0])).sum(1) * 4
    assert g[0] @ step == pytest.approx((weight * (error @ LUMA) * along).sum(), rel=0.02)
    assert step @ H[0] @ step == pytest.approx((weight * along**2).sum(), rel=0.02)


def test_refinement_is_nearer_to_the_truth_than_landmarks(model, rendered):
    track, plate, truth, pictures = rendered
    footage = Footage(track, plate, truth.camera.focal)
    first = solve_shots(model, [footage], Silent(), alpha=truth.alpha)[0]
    second, by = refine(model, footage, first, Rendered(pictures, plate), LandmarkTrust(track, None), Silent())
    assert "on the processor, as " in by
    (a, wander_a), (b, wander_b) = off(model, first, truth), off(model, second, truth)
    assert b < 0.85 * a and wander_b < 1.15 * wander_a
    assert np.array_equal(first.alpha, second.alpha) and first.camera == second.camera


class TorchRasteriser:
    """What nvdiffrast promises, in torch: which triangle a pixel shows by the product's own rasteriser, shares with perspective, differentiable."""

    device = torch.device("cpu")

    def __init__(self, hold=False):
        """hold: a pixel goes on showing the triangle that it showed first; what comes into sight is no part of a derivative."""
        self.hold, self.face = hold, None

    def rasterise(self, clip, triangles, size):
        height, width = size
        ndc = (clip[0, :, :3] / clip[0, :, 3:]).detach().numpy()
        xy = (ndc[:, :2] + 1) / 2 * (width, height)
        if self.face is None or not self.hold:
            self.face = torch.as_tensor(visible(xy, ndc[:, 2], triangles.numpy(), size, 0.0).faces.astype(np.int64))
        face = self.face
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        at = torch.stack([(columns + 0.5) / width * 2 - 1, (rows + 0.5) / height * 2 - 1], -1)
        # Shares a, b, 1 - a - b of the clip-space corners that project to the pixel: sum of share * (xy - w * at) = 0.
        corners = clip[0][triangles[face.clamp(min=0)].long()]
        p = corners[..., :2] - corners[..., 3:] * at[:, :, None]
        area = [p[..., j, 0] * p[..., k, 1] - p[..., k, 0] * p[..., j, 1] for j, k in ((1, 2), (2, 0), (0, 1))]
        a, b = (area[i] / sum(area) for i in (0, 1))
        return torch.stack([a, b, torch.zeros_like(a), (face + 1).float()], -1)[None]

    def interpolate(self, values, seen, triangles):
        face = seen[0, ..., 3].long() - 1
        corners = values[0][triangles[face.clamp(min=0)].long()]
        a, b = seen[0, ..., 0, None], seen[0, ..., 1, None]
        return ((a * corners[..., 0, :] + b * corners[..., 1, :] + (1 - a - b) * corners[..., 2, :]) * (face >= 0)[..., None])[None]


def test_the_rasterised_term_s_gradient_against_differences(model, rendered):
    """Half the slope of the drawn picture's energy, along the unknowns; the truth has the least, noise."""
    _, _, truth, pictures = rendered
    skin = Skin(model, truth.alpha, whole=True)
    state = State(truth.alpha, truth.camera.focal, truth.beta[:1].astype(np.float64), rotation_matrix(truth.rotation[:1]), truth.translation[:1])
    photo = Rasterised(skin, Pictures([pictures[0]], [None], np.zeros((1, 2)), np.ones(1)), truth.camera, model, TorchRasteriser(hold=True))
    skin.albedo = np.maximum(photo.sample(skin.place(state, 0), 0)[0], 0.01)  # under even light
    _, _, _, points, shade = photo.errors(state, 0)
    colours = np.concatenate([skin.albedo * shade, (skin.seen(points, state.rotation[0])[1] * photo.inner)[:, None]], 1)
    P, rng = state.beta.shape[1] + 6, np.random.default_rng(3)
    sizes = np.r_[np.full(P - 6, 0.03), np.full(3, 0.003), np.full(3, 0.0005)]

    def compared(v):
        return photo.compared(state, 0, torch.as_tensor(v, dtype=torch.float32), colours)

    at_rest = float((compared(np.zeros(P))[0] ** 2 * compared(np.zeros(P))[1]).sum())
    for _ in range(3):
        away, step = rng.normal(0, 1, P) * sizes * 2, rng.normal(0, 1, P) * sizes / 4
        photo.rasteriser.face, photo.rasteriser.hold = None, True
        v = torch.tensor(away, dtype=torch.float32, requires_grad=True)
        error, held = photo.compared(state, 0, v, colours)
        (slope,) = torch.autograd.grad((held * error**2).sum(), v)
        assert float((held * error**2).sum().detach()) > 1.3 * at_rest
        change = [float((held * compared(away + sign * step / 2)[0] ** 2).sum()) for sign in (-1, 1)]
        assert slope.numpy() @ step == pytest.approx(change[1] - change[0], rel=0.02)
    H, g = np.zeros((1, P, P)), np.zeros((1, P))
    photo.add(H, g, state)
    assert np.allclose(g[0], photo.gradient(state, 0)) and H[0].trace() > 0


def test_hidden_pixels_and_a_mask_have_no_say(model, rendered):
    _, _, truth, pictures = rendered
    skin = Skin(model, truth.alpha, whole=True)
    state = State(truth.alpha, truth.camera.focal, truth.beta[:1].astype(np.float64), rotation_matrix(truth.rotation[:1]), truth.translation[:1])
    half = np.zeros(pictures[0].shape[:2], np.float32)
    half[:, : half.shape[1] // 2] = 1
    spoilt = pictures[0].copy()
    spoilt[half > 0] = 255 - spoilt[half > 0]
    slopes = []
    for picture in (pictures[0], spoilt):
        photo = Rasterised(skin, Pictures([picture], [half], np.zeros((1, 2)), np.ones(1)), truth.camera, model, TorchRasteriser())
        slopes.append(photo.gradient(state, 0))
    assert np.abs(slopes[0] - slopes[1]).max() < 0.02 * np.abs(slopes[0]).max()


@pytest.mark.long
def test_refinement_by_a_rasteriser_is_nearer_to_the_truth_than_landmarks(model, rendered, monkeypatch):
    track, plate, truth, pictures = rendered
    footage = Footage(track, plate, truth.camera.focal)
    first = solve_shots(model, [footage], Silent(), alpha=truth.alpha)[0]
    monkeypatch.setattr(rasterised, "find_rasteriser", TorchRasteriser)
    second, by = refine(model, footage, first, Rendered(pictures, plate), LandmarkTrust(track, None), Silent())
    (a, wander_a), (b, wander_b) = off(model, first, truth), off(model, second, truth)
    assert "graphics card" in by and b < 0.85 * a and wander_b < 1.15 * wander_a


def test_which_rasteriser_is_taken(monkeypatch):
    """nvdiffrast's calls as its documentation has them, played by a stand-in, as no card is needed to make them."""
    assert rasterised.find_rasteriser() == "there is no CUDA graphics card" or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if importlib.util.find_spec("nvdiffrast") is None:
        assert rasterised.find_rasteriser() == "nvdiffrast is not installed"
    told, ours = [], TorchRasteriser()
    fake = types.ModuleType("nvdiffrast.torch")
    fake.RasterizeCudaContext = lambda device=None: told.append(str(device)) or "context"
    fake.rasterize = lambda glctx, pos, tri, resolution, ranges=None, grad_db=True: (ours.rasterise(pos, tri, tuple(resolution)), told.append(glctx))
    fake.interpolate = lambda attr, rast, tri, rast_db=None, diff_attrs=None: (ours.interpolate(attr, rast, tri), None)
    package = types.ModuleType("nvdiffrast")
    package.__spec__ = importlib.machinery.ModuleSpec("nvdiffrast", None)
    monkeypatch.setitem(sys.modules, "nvdiffrast", package)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", fake)
    found = rasterised.find_rasteriser()
    assert isinstance(found, rasterised.Nvdiffrast) and told == ["cuda"]
    clip = torch.tensor([[[-0.5, -0.5, 0, 1], [0.5, -0.5, 0, 1], [0, 1, 0, 2.0]]])
    triangles = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    seen = found.rasterise(clip, triangles, (64, 64))
    drawn = found.interpolate(clip[..., :2] / clip[..., 3:], seen, triangles)[0]
    assert seen.shape == (1, 64, 64, 4) and told[-1] == "context" and float(seen[0, 32, 32, 3]) == 1
    depth = found.interpolate(clip[..., 3:], seen, triangles)[0, 32, 32, 0]
    assert 1.2 < float(depth) < 1.4, "half way up the picture is a third of the way up the plane that tilts away"
    assert float(drawn[0, 0].abs().sum()) == 0

    def broken(device=None):
        raise RuntimeError("Ninja is required to load C++ extensions\nand more")

    fake.RasterizeCudaContext = broken
    assert rasterised.find_rasteriser() == "nvdiffrast does not run here: Ninja is required to load C++ extensions"


def test_sliding_is_measured(model, rendered):
    """A face that moves steadily over the picture, under changing light: a mesh that goes along does not slide, one that lags slides by the lag."""
    _, _, truth, pictures = rendered
    pace, n = 0.4, 20
    frames = [cv2.warpAffine(pictures[0], np.float32([[1, 0, pace * i], [0, 1, 0]]), SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
              for i in range(n)]
    frames = [np.clip(np.rint(f * (1 + 0.1 * np.sin(i / 4))), 0, 255).astype(np.uint8) for i, f in enumerate(frames)]

    def slide(part):
        translation = np.repeat(truth.translation[:1], n, 0)
        translation[:, 0] += part * pace * np.arange(n) * translation[0, 2] / truth.camera.focal
        solve = Solve(truth.alpha.astype(np.float32), np.repeat(truth.beta[:1], n, 0).astype(np.float32),
                      np.repeat(truth.rotation[:1], n, 0).astype(np.float32), translation.astype(np.float32), np.zeros(n, np.float32),
                      np.zeros(0, np.int32), truth.camera, model.hash)
        measure = Slide(model, solve)
        for i, frame in enumerate(frames):
            measure.take(frame, i)
        return measure.summary()

    eye = model.eye_distance * truth.camera.focal / truth.translation[0, 2]
    still, lags = slide(1.0), slide(0.5)
    assert still["slide"] < 0.0006 and still["slide_later"] < 0.008  # a flat picture of the face moves as one, the mesh with its depths
    assert lags["slide"] == pytest.approx(0.5 * pace / eye, rel=0.2) and lags["slide_later"] == pytest.approx(LATER * 0.5 * pace / eye, rel=0.25)


def test_the_command_refines_and_says_so(shot: Shot, capsys):
    before = Solve.load(shot)
    assert cli.main(["solve", str(shot.folder), "--photometric"]) == 0
    assert "by their own gradients" in capsys.readouterr().out
    after, kept = Solve.load(shot), Shot.load(shot.folder)
    assert kept.settings["photometric"] and np.array_equal(after.alpha, before.alpha) and after.solved.all()
    assert np.median(after.reprojection) < 0.02 and not np.array_equal(after.beta, before.beta)
    moved = np.linalg.norm(after.translation - before.translation, axis=1) / np.linalg.norm(before.translation, axis=1)
    assert moved.max() < 0.05
    assert cli.main(["solve", str(shot.folder)]) == 0
    assert not Shot.load(shot.folder).settings["photometric"]
