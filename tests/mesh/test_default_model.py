# SPDX-License-Identifier: GPL-3.0-or-later
"""The face model that ships with Mien: topology, mean, muscles, UV, file format. Lengths in metres unless a name says mm."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.mesh.files import read_npz, write_npz
from mien.mesh.model import DEFAULT_MODEL_PATH, FaceModel, load_model

ARKIT = [
    "browDownLeft", "browDownRight", "browOuterUpLeft", "browOuterUpRight", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft",
    "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen",
    "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
]
OWN = [
    "browInnerUpLeft", "browInnerUpRight", "cheekPuffLeft", "cheekPuffRight", "nasolabialDeepenLeft", "nasolabialDeepenRight",
    "cornerPullSharpLeft", "cornerPullSharpRight", "lipTightenUpper", "lipTightenLower", "nostrilDilateLeft", "nostrilDilateRight",
    "nostrilCompressLeft", "nostrilCompressRight", "browCentreDown",
]
BROW_PAIRS = ((276, 300), (283, 293), (282, 334), (295, 296), (285, 336))
"""Lower and upper edge of the left brow, outer to inner."""
LIPS = (61, 291, 0, 17, 13, 14, 78, 308, 37, 267, 84, 314, 40, 270, 91, 321, 82, 312, 87, 317)


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_model()


@pytest.fixture(scope="module")
def mirror(model: FaceModel) -> np.ndarray:
    """(V,) the vertex on the other side, found from the UV layout, where no two vertices share a place."""
    flipped = np.round((1 - model.uv[:, 0]) * 1e5) + 1j * np.round(model.uv[:, 1] * 1e5)
    place = np.round(model.uv[:, 0] * 1e5) + 1j * np.round(model.uv[:, 1] * 1e5)
    return np.array([int(np.abs(place - p).argmin()) for p in flipped])


def move(model: FaceModel, *names: str) -> np.ndarray:
    """(V, 3) sum of directions at their apex."""
    return model.expression[[model.expression_index[name] for name in names]].sum(0)


def both(model: FaceModel, name: str) -> np.ndarray:
    return move(model, name + "Left", name + "Right")


def facet_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (points[triangles[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


class TestTopology:
    def test_sizes(self, model: FaceModel) -> None:
        assert 4000 <= model.vertex_count <= 7000
        assert model.identity_count == 80
        assert model.expression_count == 64
        assert DEFAULT_MODEL_PATH.stat().st_size <= 4_000_000

    def test_landmarks_are_vertices(self, model: FaceModel) -> None:
        assert model.landmark_scheme == "mediapipe478"
        assert model.landmark_ids.tolist() == list(range(468))
        assert len(set(model.landmark_vertices.tolist())) == 468

    def test_manifold_with_four_borders(self, model: FaceModel) -> None:
        """Every edge has one or two facets, in opposite senses, every vertex one fan; a disc with three holes."""
        half = Counter((int(t[i]), int(t[(i + 1) % 3])) for t in model.triangles for i in range(3))
        assert max(half.values()) == 1
        border = {a: b for a, b in half if (b, a) not in half}
        edges = len({(min(e), max(e)) for e in half})
        assert model.vertex_count - edges + len(model.triangles) == -2
        assert sorted(np.unique(model.triangles)) == list(range(model.vertex_count))
        loops = [set(loop.tolist()) for loop in model.loops.values()]
        assert set(border) == set().union(*loops)
        assert sum(map(len, loops)) == len(border)

    def test_loops_are_closed_and_named(self, model: FaceModel) -> None:
        edges = {frozenset((int(t[i]), int(t[(i + 1) % 3]))) for t in model.triangles for i in range(3)}
        assert set(model.loops) == {"border", "mouth", "eye_left", "eye_right"}
        for loop in model.loops.values():
            assert len(set(loop.tolist())) == len(loop)
            assert all(frozenset((int(a), int(b))) in edges for a, b in zip(loop, np.roll(loop, -1)))
        assert {78, 13, 308, 14} <= set(model.loops["mouth"].tolist())
        assert {33, 159, 133, 145} <= set(model.loops["eye_right"].tolist())
        assert {263, 386, 362, 374} <= set(model.loops["eye_left"].tolist())
        assert {10, 152, 234, 454} <= set(model.loops["border"].tolist())

    def test_facets_look_at_the_camera(self, model: FaceModel) -> None:
        """Counter-clockwise from outside: normals point to -z; where they do not (nostrils, temples) few, and away from the head's middle."""
        normals = facet_normals(model.mean, model.triangles)
        assert (normals[:, 2] < 0).mean() > 0.99
        out = model.mean[model.triangles].mean(1) - (0, 0.03, 0)
        inwards = (normals * out).sum(1) <= 0
        assert inwards.mean() < 0.01
        assert (np.abs(out[inwards, 0]) < 0.03).all(), "only within the nose and on the lips' edges"

    def test_lip_key_points(self, model: FaceModel) -> None:
        assert len(model.lip_upper) == len(model.lip_lower) == 9
        assert not set(model.lip_upper.tolist()) & set(model.lip_lower.tolist())
        assert set(model.lip_upper.tolist()) | set(model.lip_lower.tolist()) <= set(model.loops["mouth"].tolist())
        assert (np.diff(model.mean[model.lip_upper, 0]) > 0).all(), "from the subject's right (-x) to the left"


class TestMean:
    def test_frame_and_scale(self, model: FaceModel) -> None:
        assert model.eye_distance == pytest.approx(0.090, abs=1e-4)
        middle = (model.mean[33] + model.mean[263]) / 2
        assert middle == pytest.approx([0, 0, -0.050], abs=1e-5)
        tip = model.mean[model.mean[:, 2].argmin()]
        assert abs(tip[0]) < 0.003, "the nose is nearest to the camera"
        assert 0.02 < tip[1] < 0.04
        assert model.mean[152, 1] > model.mean[13, 1] > model.mean[4, 1] > 0 > model.mean[10, 1], "y points down"
        assert model.mean[263, 0] > 0, "the subject's left is at +x"

    def test_symmetric(self, model: FaceModel, mirror: np.ndarray) -> None:
        assert (mirror[mirror] == np.arange(model.vertex_count)).all()
        assert np.abs(model.mean - model.mean[mirror] * (-1, 1, 1)).max() < 1e-6

    def test_lips_closed_and_eyes_open(self, model: FaceModel) -> None:
        loop = model.loops["mouth"]
        half = len(loop) // 2
        gap_mm = (model.mean[loop[:half:-1], 1] - model.mean[loop[1:half], 1]) * 1000
        assert gap_mm.min() >= 0
        assert gap_mm.max() <= 0.5
        for upper, lower in ((159, 145), (386, 374)):
            assert 6 < np.linalg.norm(model.mean[upper] - model.mean[lower]) * 1000 < 12

    def test_smooth(self, model: FaceModel) -> None:
        """Neighbouring facets bend by less than 20 degrees for all but the nostrils, lip edges and corners."""
        normals = facet_normals(model.mean, model.triangles)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        facets: dict[frozenset, list[int]] = {}
        for f, t in enumerate(model.triangles.tolist()):
            for i in range(3):
                facets.setdefault(frozenset((t[i], t[(i + 1) % 3])), []).append(f)
        pairs = np.array([p for p in facets.values() if len(p) == 2])
        bend = np.degrees(np.arccos(np.clip((normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(1), -1, 1)))
        assert np.percentile(bend, 97) < 20
        assert np.median(bend) < 5


class TestExpressions:
    def test_names(self, model: FaceModel) -> None:
        assert sorted(model.expression_names) == sorted(ARKIT + OWN)
        assert len(ARKIT + OWN) == 64

    def test_sigma(self, model: FaceModel) -> None:
        assert ((model.expression_sigma >= 0.05) & (model.expression_sigma <= 0.5)).all()

    @pytest.mark.parametrize("name", [n[:-4] for n in ARKIT + OWN if n.endswith("Left")])
    def test_left_and_right_are_mirror_images(self, model: FaceModel, mirror: np.ndarray, name: str) -> None:
        left, right = move(model, name + "Left"), move(model, name + "Right")
        assert np.abs(right - left[mirror] * (-1, 1, 1)).max() < 0.002 * np.abs(left).max()

    @pytest.mark.parametrize("name", ["browCentreDown", "jawOpen", "jawForward", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRollLower",
                                      "mouthShrugLower", "lipTightenUpper"])
    def test_single_actions_are_symmetric(self, model: FaceModel, mirror: np.ndarray, name: str) -> None:
        d = move(model, name)
        assert np.abs(d - d[mirror] * (-1, 1, 1)).max() < 0.002 * np.abs(d).max()

    @pytest.mark.parametrize("name", ["mouthSmileLeft", "browDownLeft", "eyeBlinkLeft", "cheekPuffLeft", "noseSneerLeft", "mouthFrownLeft"])
    def test_left_is_the_subjects_left(self, model: FaceModel, name: str) -> None:
        size = np.linalg.norm(move(model, name), axis=1)
        assert model.mean[size.argmax(), 0] > 0
        assert size[model.mean[:, 0] < -0.02].max() < 1e-4

    @pytest.mark.parametrize("eye", ["left", "right"])
    def test_blink_closes_the_lids(self, model: FaceModel, eye: str) -> None:
        """The margins meet to 0.1 mm all along; the upper lid does about 90 % of the way."""
        d = move(model, "eyeBlink" + eye.capitalize())
        loop = model.loops["eye_" + eye]
        half = len(loop) // 2
        shut = model.mean + d
        assert np.abs(shut[loop[1:half]] - shut[loop[:half:-1]]).max() < 1e-4
        upper, lower = (386, 374) if eye == "left" else (159, 145)
        share = np.linalg.norm(d[upper]) / (np.linalg.norm(d[upper]) + np.linalg.norm(d[lower]))
        assert 0.8 < share < 0.97

    def test_eyes_widen_and_follow_the_gaze(self, model: FaceModel) -> None:
        lift = {name: -move(model, name)[386, 1] * 1000 for name in ("eyeWideLeft", "eyeLookUpLeft", "eyeLookDownLeft")}
        assert 1.5 < lift["eyeWideLeft"] < 3
        assert 1 < lift["eyeLookUpLeft"] < 3
        assert -4 < lift["eyeLookDownLeft"] < -1.5

    def test_jaw_opens_the_mouth(self, model: FaceModel) -> None:
        d = move(model, "jawOpen")
        assert 0.024 < np.linalg.norm(d[14] - d[13]) < 0.031
        assert d[152, 1] > 0.015
        assert np.abs(d[[4, 6, 10, 33, 263, 234, 454]]).max() < 5e-4

    def test_mouth_close_undoes_the_jaw(self, model: FaceModel) -> None:
        loop = model.loops["mouth"]
        half = len(loop) // 2
        shape = model.mean + move(model, "jawOpen", "mouthClose")
        assert np.linalg.norm(shape[loop[1:half]] - shape[loop[:half:-1]], axis=1).max() < 5e-4
        assert np.abs(move(model, "jawOpen", "mouthClose")[152] - move(model, "jawOpen")[152]).max() < 5e-4

    def test_smile(self, model: FaceModel) -> None:
        """Corners up, out and back, about 10 mm; the centre of the lip line rises 12 % of them."""
        d = both(model, "mouthSmile") * 1000
        assert -10 < d[291, 1] < -6
        assert 5 < d[291, 0] < 10
        assert d[291, 2] > 2
        assert 0.05 < d[13, 1] / d[308, 1] < 0.25

    @pytest.mark.parametrize("name", ["mouthSmile", "mouthFrown", "cornerPullSharp", "mouthDimple", "mouthPress"])
    def test_lips_stay_shut(self, model: FaceModel, name: str) -> None:
        loop = model.loops["mouth"]
        half = len(loop) // 2
        shape = model.mean + both(model, name)
        assert np.linalg.norm(shape[loop[1:half]] - shape[loop[:half:-1]], axis=1).max() < 1e-3

    @pytest.mark.parametrize("name", ["mouthSmile", "mouthFrown", "mouthStretch", "cornerPullSharp"])
    def test_lips_do_not_fatten(self, model: FaceModel, name: str) -> None:
        """The red of both lips at the middle keeps its height to 20 %."""
        shape = model.mean + both(model, name)
        for inner, outer in ((13, 0), (14, 17), (82, 37), (87, 84)):
            before, after = (np.linalg.norm(p[inner] - p[outer]) for p in (model.mean, shape))
            assert 0.75 < after / before < 1.2

    @pytest.mark.parametrize("name", ["browInnerUp", "browOuterUp", "browDown"])
    def test_brows_do_not_thicken(self, model: FaceModel, name: str) -> None:
        """Lower and upper edge of the brow go together: to 15 % of the action's size."""
        d = both(model, name)[:, 1]
        size = np.abs(d).max()
        assert size > 0.005
        assert max(abs(d[low] - d[up]) for low, up in BROW_PAIRS) < 0.15 * size

    @pytest.mark.parametrize("name", ["browInnerUpLeft", "browOuterUpLeft", "browDownLeft", "browCentreDown"])
    def test_brow_actions_are_local(self, model: FaceModel, name: str) -> None:
        d = np.abs(move(model, name))
        assert d[list(LIPS)].max() == 0
        assert d[model.loops["eye_left"]].max() < 3e-4
        assert d[model.loops["eye_right"]].max() < 3e-4

    @pytest.mark.parametrize("name", ["mouthPucker", "mouthSmileLeft", "mouthFunnel", "mouthUpperUpLeft", "jawOpen", "mouthShrugLower"])
    def test_mouth_actions_leave_eyes_and_brows(self, model: FaceModel, name: str) -> None:
        d = np.abs(move(model, name))
        still = [*model.loops["eye_left"], *model.loops["eye_right"], *(i for pair in BROW_PAIRS for i in pair)]
        assert d[still].max() < 1e-4

    def test_every_direction_moves_plausibly_far(self, model: FaceModel) -> None:
        size_mm = np.linalg.norm(model.expression, axis=2).max(1) * 1000
        assert size_mm.min() > 0.7
        assert size_mm.max() < 36

    def test_fields_are_smooth(self, model: FaceModel) -> None:
        """No jump: across an edge the displacement changes by less than 90 % of the edge, lips and lids apart."""
        t = model.triangles
        edges = np.vstack([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
        length = np.linalg.norm(model.mean[edges[:, 0]] - model.mean[edges[:, 1]], axis=1)
        soft = np.maximum.reduce([model.regions["lips"], model.regions["lids_left"], model.regions["lids_right"]])
        firm = soft[edges].max(1) < 0.02
        for name, d in zip(model.expression_names, model.expression):
            strain = np.linalg.norm(d[edges[:, 0]] - d[edges[:, 1]], axis=1) / length
            limit = 2.5 if name in ("jawOpen", "mouthClose") else 1.1
            assert np.percentile(strain[firm], 99.9) < limit, name

    def test_well_conditioned(self, model: FaceModel) -> None:
        """A least-squares fit to the landmarks can tell the directions apart."""
        flat = model.expression[:, model.landmark_vertices].reshape(64, -1)
        flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        cosine = np.abs(flat @ flat.T) - np.eye(64)
        assert cosine.max() < 0.975
        assert np.linalg.cond(flat) < 300


class TestIdentity:
    def test_spread(self, model: FaceModel) -> None:
        rms_mm = np.sqrt((model.identity.astype(np.float64) ** 2).sum((0, 2)).mean()) * 1000
        assert 2.5 < rms_mm < 5
        energy = (model.identity.astype(np.float64) ** 2).sum((1, 2))
        assert (np.diff(energy) < 1e-3 * energy[0]).all(), "sorted by variance"

    def test_no_rigid_motion(self, model: FaceModel) -> None:
        centred = (model.mean - model.mean.mean(0)).astype(np.float64)
        size = np.linalg.norm(model.identity, axis=2).mean(1)
        assert (np.abs(model.identity.mean(1)).max(1) < 0.01 * size).all()
        torque = np.cross(centred, model.identity).mean(1)
        assert (np.linalg.norm(torque, axis=1) < 0.01 * size * 0.1).all()

    def test_mostly_symmetric(self, model: FaceModel, mirror: np.ndarray) -> None:
        odd = (model.identity - model.identity[:, mirror] * (-1, 1, 1)) / 2
        share = (odd**2).sum() / (model.identity**2).sum()
        assert 0.001 < share < 0.15

    def test_lips_stay_shut(self, model: FaceModel) -> None:
        rng = np.random.default_rng(1)
        for _ in range(5):
            shape = model.neutral(rng.standard_normal(80))
            assert np.abs(shape[model.lip_upper] - shape[model.lip_lower]).max() < 6e-4


class TestUV:
    def test_no_fold(self, model: FaceModel) -> None:
        assert np.array_equal(model.uv_triangles, model.triangles)
        a, b, c = (model.uv[model.uv_triangles[:, i]].astype(np.float64) for i in range(3))
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        assert area.min() > 0
        assert (model.uv >= 0).all()
        assert (model.uv <= 1).all()

    def test_upright_symmetric_and_open(self, model: FaceModel, mirror: np.ndarray) -> None:
        assert np.abs(model.uv[mirror] - model.uv * (-1, 1) - (1, 0)).max() < 1e-5
        assert model.uv[10, 1] > model.uv[4, 1] > model.uv[152, 1], "v up"
        assert model.uv[263, 0] > model.uv[33, 0]
        gap = model.uv[model.lip_upper, 1] - model.uv[model.lip_lower, 1]
        assert gap.min() > 0.008, "a texture filter must not mix the lips"

    def test_eyes_and_mouth_have_area(self, model: FaceModel) -> None:
        a, b, c = (model.uv[model.triangles[:, i]] for i in range(3))
        uv_area = np.abs((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))
        area = np.linalg.norm(facet_normals(model.mean, model.triangles), axis=1)
        density = uv_area / area
        cheeks = np.median(density[model.regions["cheeks"][model.triangles].min(1) > 0.5])
        for name in ("lips", "lids_left", "lids_right"):
            inside = model.regions[name][model.triangles].min(1) > 0.5
            assert uv_area[inside].sum() / area[inside].sum() > 1.2 * cheeks


class TestRegions:
    def test_names_and_range(self, model: FaceModel) -> None:
        assert set(model.regions) == {"brow_left", "brow_right", "lids_left", "lids_right", "lips", "nose", "cheeks", "forehead", "jaw"}
        for weight in model.regions.values():
            assert weight.shape == (model.vertex_count,)
            assert weight.min() == 0
            assert 0.9 < weight.max() <= 1

    def test_places(self, model: FaceModel) -> None:
        inside = {"brow_left": 282, "brow_right": 52, "lids_left": 386, "lids_right": 159, "lips": 0, "nose": 4, "cheeks": 411, "forehead": 10,
                  "jaw": 152}
        for name, vertex in inside.items():
            assert model.regions[name][vertex] > 0.7, name
        assert model.regions["brow_left"][52] == 0
        assert model.regions["lips"][4] == 0


class TestFile:
    def test_round_trip(self, model: FaceModel, tmp_path) -> None:
        model.save(tmp_path / "copy.npz")
        again = FaceModel.load(tmp_path / "copy.npz")
        assert again.hash == model.hash
        assert again.expression_names == model.expression_names
        assert set(again.regions) == set(model.regions)
        assert set(again.loops) == set(model.loops)

    @pytest.mark.parametrize("key", ["mean", "identity", "uv", "expression_names", "landmark_vertices"])
    def test_missing_array_is_named(self, tmp_path, key: str) -> None:
        arrays = read_npz(DEFAULT_MODEL_PATH)
        del arrays[key]
        write_npz(tmp_path / "broken.npz", arrays, compressed=False)
        with pytest.raises(MienError, match=f"broken.npz.*'{key}'"):
            FaceModel.load(tmp_path / "broken.npz")

    def test_wrong_size_is_named(self, tmp_path) -> None:
        arrays = read_npz(DEFAULT_MODEL_PATH)
        arrays["expression"] = arrays["expression"][:, :-1]
        write_npz(tmp_path / "broken.npz", arrays, compressed=False)
        with pytest.raises(MienError, match="'expression' is 64 x 6989 x 3, expected 64 x 6990 x 3"):
            FaceModel.load(tmp_path / "broken.npz")

    def test_triangle_out_of_range_is_named(self, tmp_path) -> None:
        arrays = read_npz(DEFAULT_MODEL_PATH)
        arrays["triangles"][0, 0] = 10**6
        write_npz(tmp_path / "broken.npz", arrays, compressed=False)
        with pytest.raises(MienError, match="'triangles' points outside"):
            FaceModel.load(tmp_path / "broken.npz")


class TestBuild:
    def test_shipped_file_is_what_the_script_builds(self, model: FaceModel, tmp_path) -> None:
        """From the stored table alone. Another machine's linear algebra may differ in the last digits, so a tenth of a percent is allowed."""
        pytest.importorskip("mediapipe")
        from mien.neural.default_model import build
        built = build()
        built.save(tmp_path / "built.npz")
        again = FaceModel.load(tmp_path / "built.npz")
        assert again.expression_names == model.expression_names
        for name in ("triangles", "landmark_vertices", "lip_upper", "lip_lower"):
            assert np.array_equal(getattr(again, name), getattr(model, name))
        assert np.abs(again.mean - model.mean).max() < 1e-7
        for name in ("identity", "expression"):
            ours, theirs = getattr(again, name), getattr(model, name)
            assert (np.abs(ours - theirs).max((1, 2)) <= 2e-3 * np.abs(theirs).max((1, 2))).all()
        assert np.abs(again.uv - model.uv).max() < 2e-3

    def test_damaged_table_is_told(self, tmp_path) -> None:
        from mien.neural.default_model.tables import read_mean
        (tmp_path / "mean.csv").write_text("id,x_mm,y_mm,z_mm\n0,1,2,3\n")
        with pytest.raises(MienError, match="mean.csv"):
            read_mean(tmp_path / "mean.csv")
