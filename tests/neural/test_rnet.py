# SPDX-License-Identifier: GPL-3.0-or-later
"""R-Net: the keys of its checkpoint, its crop, its camera, and poses carried into the shot's camera."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.io import savemat
from scipy.spatial.transform import Rotation
from torch.nn import functional as F

from mien.mesh.camera import Camera, place, rotation_matrix
from mien.mesh.errors import MienError
from mien.mesh.model import load_model
from mien.mesh.shot import Shot, Solve, Track
from mien.neural import cli
from mien.neural.models.bfm import read_bfm
from mien.neural.rnet.coefficients import CENTRE, on_crop, rotations, unpack
from mien.neural.rnet.crop import LANDMARKS, STANDARD, crop_of, cut
from mien.neural.rnet.network import HEADS, RNet, load_rnet
from mien.neural.rnet.predict import check_model, start_from
from mien.neural.solving import Footage, SolveSettings, Start
from mien.neural.solving.solve import Prepared
from mien.tests.neural.foreign_models import bases, bfm_arrays, closed_face
from mien.tests.neural.portraits import portrait
from mien.tests.neural.test_stages import write_movie


@pytest.fixture(scope="module")
def network() -> RNet:
    torch.manual_seed(4)
    net = RNet().eval()
    with torch.no_grad():
        for head in net.final_layers:
            head.weight.normal_(0, 0.02)
    return net


@pytest.fixture(scope="module")
def basel(tmp_path_factory):
    """A model in the format of BFM_model_front.mat with 80 + 64 directions, as R-Net needs; its vertices' centre is not the origin."""
    model, points, _ = closed_face()
    identity, expression = bases(model, len(points), 80, 64)
    axes = np.array([10.0, -10.0, -10.0])
    path = tmp_path_factory.mktemp("bfm") / "BFM_model_front.mat"
    savemat(path, {**bfm_arrays(), "idBase": (identity * axes).reshape(80, -1).T, "exBase": (expression * axes).reshape(64, -1).T})
    return read_bfm(path), points


def test_the_332_keys_of_the_checkpoint(network):
    keys = network.state_dict()
    assert len(keys) == 332
    assert keys["backbone.conv1.weight"].shape == (64, 3, 7, 7)
    assert keys["backbone.layer4.2.bn3.running_var"].shape == (2048,)
    assert keys["backbone.layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert "backbone.layer1.1.downsample.0.weight" not in keys
    assert [tuple(keys[f"final_layers.{i}.weight"].shape[:2]) for i in range(7)] == [(n, 2048) for n in HEADS.values()]
    assert sum(HEADS.values()) == 257


def test_forward_against_the_layers_written_out(network):
    """The same network from its state dict alone, by functions: a slip in a stride, a shortcut or the order of the heads shows."""
    s = network.state_dict()
    x = torch.rand(2, 3, 224, 224)

    def norm(x, name):
        return F.batch_norm(x, s[name + ".running_mean"], s[name + ".running_var"], s[name + ".weight"], s[name + ".bias"])

    y = F.max_pool2d(F.relu(norm(F.conv2d(x, s["backbone.conv1.weight"], stride=2, padding=3), "backbone.bn1")), 3, 2, 1)
    for layer, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for block in range(blocks):
            name, stride = f"backbone.layer{layer}.{block}.", 2 if layer > 1 and block == 0 else 1
            z = F.relu(norm(F.conv2d(y, s[name + "conv1.weight"]), name + "bn1"))
            z = F.relu(norm(F.conv2d(z, s[name + "conv2.weight"], stride=stride, padding=1), name + "bn2"))
            z = norm(F.conv2d(z, s[name + "conv3.weight"]), name + "bn3")
            if block == 0:
                y = norm(F.conv2d(y, s[name + "downsample.0.weight"], stride=stride), name + "downsample.1")
            y = F.relu(z + y)
    pooled = y.mean((2, 3))
    want = torch.cat([pooled @ s[f"final_layers.{i}.weight"][:, :, 0, 0].T + s[f"final_layers.{i}.bias"] for i in range(7)], 1)
    with torch.no_grad():
        found = network(x)
    assert found.shape == (2, 257)
    torch.testing.assert_close(found, want, atol=1e-4, rtol=1e-4)


def test_checkpoint_in_the_public_format(network, tmp_path):
    """A dictionary with the network and its optimiser, as the reference's training writes it; the same numbers come out."""
    path = tmp_path / "epoch_20.pth"
    torch.save({"net_recon": network.state_dict(), "opt_00": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "sched_00": {"last_epoch": 20}}, path)
    x = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(load_rnet(path)(x), network(x))
    torch.save(network.state_dict(), path)
    assert len(load_rnet(path).state_dict()) == 332


def test_wrong_checkpoints(network, tmp_path):
    path = tmp_path / "w.pth"
    with pytest.raises(MienError, match="does not exist"):
        load_rnet(path)
    path.write_bytes(b"nothing")
    with pytest.raises(MienError, match="cannot be read"):
        load_rnet(path)
    state = network.state_dict()
    torch.save({"net_recon": {k: v for k, v in state.items() if k != "backbone.bn1.bias"}}, path)
    with pytest.raises(MienError, match="lacks 'backbone.bn1.bias'"):
        load_rnet(path)
    torch.save({"net_recon": {**state, "final_layers.0.bias": torch.zeros(100)}}, path)
    with pytest.raises(MienError, match=r"'final_layers.0.bias' is \(100,\), expected \(80,\)"):
        load_rnet(path)
    torch.save([1, 2], path)
    with pytest.raises(MienError, match="holds no 'net_recon'"):
        load_rnet(path)

    class Harmful:
        def __reduce__(self):
            return (print, ("run",))
    torch.save({"net_recon": Harmful()}, path)
    with pytest.raises(MienError, match="plain tensors"):
        load_rnet(path)


def test_unpacked_in_the_documented_order():
    c = unpack(np.arange(2 * 257, dtype=np.float32).reshape(2, 257))
    assert c.identity[0].tolist() == list(range(80))
    assert c.expression[0, 0] == 80 and c.texture[0, 0] == 144
    assert c.angles[0].tolist() == [224, 225, 226]
    assert c.lighting[0, 0] == 227 and c.lighting.shape == (2, 27)
    assert c.translation[1].tolist() == [257 + 254, 257 + 255, 257 + 256]
    with pytest.raises(ValueError):
        unpack(np.zeros((1, 256)))


def test_rotations_are_rz_ry_rx():
    angles = np.array([[0.3, -0.5, 0.2], [0, 0, 0.4]])
    want = Rotation.from_euler("xyz", angles).as_matrix()  # scipy: x first, about fixed axes
    np.testing.assert_allclose(rotations(angles), want, atol=1e-12)


def test_camera_of_the_crop():
    """A point on the axis meets the middle; one to the left and above does so on the picture; nearer is larger."""
    zero = unpack(np.zeros((1, 257)))
    np.testing.assert_allclose(on_crop(np.zeros((1, 1, 3)), zero)[0, 0], CENTRE)
    p = on_crop(np.array([[[-0.05, -0.03, 0.0]]]), zero)[0, 0]  # metres, OpenCV axes: left and up
    np.testing.assert_allclose(p, (112.5 - 1015 * 0.5 / 10, 111.5 - 1015 * 0.3 / 10))
    values = np.zeros((1, 257))
    values[0, 254:] = 1.0, 2.0, 5.0  # right, up, towards the viewer
    np.testing.assert_allclose(on_crop(np.zeros((1, 1, 3)), unpack(values))[0, 0], (112.5 + 1015 / 5, 111.5 - 1015 * 2 / 5))


@pytest.mark.parametrize(("size", "across", "down"), [(2.0, 640.0, 300.0), (0.7, 200.0, 420.0)])
def test_the_crop_brings_the_five_points_home(size, across, down):
    """Wherever the standard face lies on the plate and however large, its points come to the same places of the crop."""
    landmarks = np.zeros((478, 3))
    for ids, p in zip(LANDMARKS, STANDARD):
        landmarks[list(ids), :2] = np.array([across + 100 * size * p[0], down - 100 * size * p[1]])
    crop = crop_of(landmarks, 1280, 720)
    want = np.array([112 + 102 * STANDARD[:, 0], 112 - 102 * STANDARD[:, 1]]).T
    back = crop.to_plate(want)
    have = np.array([landmarks[ids[0], :2] for ids in LANDMARKS])
    np.testing.assert_allclose(back, have, atol=1.5 / (1.02 / size))  # whole pixels of the crop


def test_the_cut_shows_what_the_crop_says():
    """A white dot on the plate appears where `to_plate` puts it; beyond the plate there is black."""
    landmarks = np.zeros((478, 3))
    for ids, p in zip(LANDMARKS, STANDARD):
        landmarks[list(ids), :2] = np.array([60 + 150 * p[0], 200 - 150 * p[1]])
    crop = crop_of(landmarks, 640, 400)
    rgb = np.full((400, 640, 3), 40, np.uint8)
    rgb[198:203, 88:93] = 255
    picture = cut(rgb, crop)
    assert picture.shape == (224, 224, 3)
    bright = (picture[..., 0].astype(float) - 40).clip(0)
    bright[:, crop.to_plate(np.stack([np.arange(224.0), np.zeros(224)], 1))[:, 0] < 3] = 0
    centre = np.array([(bright.sum(0) * (np.arange(224) + 0.5)).sum(), (bright.sum(1) * (np.arange(224) + 0.5)).sum()]) / bright.sum()
    np.testing.assert_allclose(crop.to_plate(centre), (90.5, 200.5), atol=0.5)
    assert picture[112, 0].tolist() == [0, 0, 0]  # the face is near the left border


def test_poses_in_the_shots_camera(basel):
    """A known performance, seen through a crop's camera each frame, comes back as poses of one plate camera that show it at the same pixels."""
    model, points = basel
    origin = load_model().mean[load_model().vertices_of_landmarks([33, 263])].mean(0) + (0, 0, 0.05)
    np.testing.assert_allclose(model.centre, points.mean(0) - origin, atol=1e-5)
    rng = np.random.default_rng(2)
    values = np.full((6, 257), np.nan)
    camera = Camera.centred(1280, 720, 1500)
    landmarks = np.zeros((478, 3))
    crops = {}
    for i in (0, 1, 3, 5):
        values[i] = 0
        values[i, :80], values[i, 80:144] = rng.normal(0, 0.5, 80) * (np.arange(80) < 10), 0
        values[i, 224:227], values[i, 254:257] = rng.normal(0, 0.15, 3), rng.normal(0, 0.2, 3)
        for ids, p in zip(LANDMARKS, STANDARD):
            landmarks[list(ids), :2] = np.array([400 + 90 * i + 180 * p[0], 330 - 180 * p[1]])
        crops[i] = crop_of(landmarks, 1280, 720)
    values[[1, 3, 5], :80] = values[0, :80]
    start = start_from(values, crops, model, camera)
    assert np.isnan(start.beta[2]).all() and np.isnan(start.rotation[4]).all()
    np.testing.assert_allclose(start.alpha, values[0, :80], atol=1e-6)
    c = unpack(values[[0, 1, 3, 5]])
    V = model.landmark_vertices
    own = model.neutral(start.alpha)[V].astype(np.float64)
    seen = on_crop(np.repeat(own[None], 4, 0) - model.centre, c)
    for n, i in enumerate((0, 1, 3, 5)):
        on_plate = camera.project(place(own, start.rotation[i], start.translation[i]))
        error = np.linalg.norm(on_plate - crops[i].to_plate(seen[n]), axis=1)
        assert np.median(error) < 1.0  # two cameras at different distances: a little perspective remains
        turn = np.diag([1.0, -1, -1]) @ rotations(c.angles[n : n + 1])[0] @ np.diag([1.0, -1, -1])
        apart = rotation_matrix(start.rotation[i]) @ turn.T
        assert np.degrees(np.arccos((np.trace(apart) - 1) / 2)) < 15  # the ray to a face beside the axis is turned by up to 9 degrees
        assert 0.5 < start.translation[i, 2] < 3


def test_only_for_a_basel_face_model(basel):
    check_model(basel[0])
    with pytest.raises(MienError, match="another"):
        check_model(load_model())


def test_a_solve_starts_from_it(basel, network, tmp_path) -> None:
    """`mien solve --model bfm --rnet epoch_20.pth`: what the network says is where the solve begins, and the landmarks still decide where it ends."""
    model, _ = basel
    file = tmp_path / "basel.npz"
    model.save(file)
    weights = tmp_path / "epoch_20.pth"
    torch.save({"net_recon": network.state_dict()}, weights)
    plate, shot = write_movie(tmp_path / "one.mov", [portrait(size=(320, 400))] * 3), tmp_path / "one.mien"
    assert cli.main(["track", str(plate), "-o", str(shot)]) == 0
    assert cli.main(["solve", str(shot), "--model", str(file)]) == 0
    without = Solve.load(Shot.load(shot))
    assert cli.main(["solve", str(shot), "--model", str(file), "--rnet", str(weights)]) == 0
    started = Solve.load(Shot.load(shot))
    assert np.median(started.reprojection) == pytest.approx(np.median(without.reprojection), rel=0.15)
    track, facts = Track.load(Shot.load(shot)), Shot.load(shot).plate
    given = Footage(track, facts, start=Start(np.full(80, 0.3), np.full((3, 64), 0.1), without.rotation + 0.02, without.translation))
    prepared = Prepared(load_model(str(file)), given, SolveSettings())
    assert (prepared.member.state.alpha == 0.3).all() and np.allclose(prepared.member.state.beta, 0.1)
    np.testing.assert_allclose(prepared.rotation, without.rotation + 0.02, atol=1e-6)


def test_another_model_is_refused_before_anything_is_read(tmp_path, capsys) -> None:
    plate, shot = write_movie(tmp_path / "one.mov", [portrait()]), tmp_path / "one.mien"
    assert cli.main(["track", str(plate), "-o", str(shot)]) == 0
    assert cli.main(["solve", str(shot), "--rnet", str(tmp_path / "none.pth")]) == 1
    assert "the face model 'default' is another" in capsys.readouterr().err
