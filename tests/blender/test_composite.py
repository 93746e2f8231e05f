# SPDX-License-Identifier: GPL-3.0-or-later
"""The composite: exact where nothing was edited, right where something was, frame by frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest

from mien import compat
from mien.mesh.errors import MienError
from mien.mesh.shot import Shot
from mien.neural.media import linear_to_srgb, srgb_to_linear, write_face_layer, write_matte
from mien.operators import composite, composite_nodes
from mien.tests.blender import synthetic
from mien.tests.blender.synthetic import COVER, FACE, MATTE, make_shot, render_composite

pytestmark = pytest.mark.usefixtures("blender")


def built(made: synthetic.Synthetic) -> bpy.types.Scene:
    scene = composite.shot_scene(made.shot, composite.COMPOSITE)
    composite.build_composite(scene, made.shot)
    return scene


def controls(scene: bpy.types.Scene, **values: float) -> None:
    tree, _ = compat.compositor_tree(scene, scene.name)
    for name, value in values.items():
        tree.nodes[composite_nodes.OVER].inputs[name].default_value = value


def outside() -> np.ndarray:
    mask = np.ones((synthetic.HEIGHT, synthetic.WIDTH), bool)
    mask[MATTE] = False
    return mask


@pytest.mark.parametrize("kind", [{}, {"bits": 16}, {"alpha": True}, {"bits": 16, "alpha": True}], ids=["8", "16", "8 alpha", "16 alpha"])
def test_zero_matte_gives_the_plate_bit_for_bit(tmp_path: Path, kind: dict):
    made = make_shot(tmp_path / "s.mien", matte=False, **kind)
    for have, want in zip(render_composite(built(made), tmp_path / "out"), made.plate, strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("kind", [{}, {"bits": 16}], ids=["8", "16"])
def test_outside_the_matte_the_plate_inside_the_face(tmp_path: Path, kind: dict):
    made = make_shot(tmp_path / "s.mien", **kind)
    peak = 2 ** kind.get("bits", 8) - 1
    face = np.rint(linear_to_srgb(np.array(FACE)) * peak)
    tolerance = 1 if peak == 255 else 20  # the face layer is half float: 11 bits
    for have, want in zip(render_composite(built(made), tmp_path / "out"), made.plate, strict=True):
        np.testing.assert_array_equal(have[outside()], want[outside()])
        assert np.abs(have[MATTE].astype(int) - face).max() <= tolerance


def test_alpha_of_the_plate_stays_under_the_face(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", alpha=True)
    for have, want in zip(render_composite(built(made), tmp_path / "out"), made.plate, strict=True):
        np.testing.assert_array_equal(have[..., 3], want[..., 3])
        np.testing.assert_array_equal(have[outside()], want[outside()])


def test_every_frame_of_a_shot_that_starts_at_1001_shows_its_own_files(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=5)
    scene = built(made)
    assert (scene.frame_start, scene.frame_end, scene.frame_current) == (1001, 1005, 1001)
    for i in range(5):  # a face of another colour on every frame
        layer = np.zeros((synthetic.HEIGHT, synthetic.WIDTH, 4), np.float32)
        layer[COVER] = (0.1 * (i + 1), 0, 0, 1)
        synthetic.write_face_layer(made.shot.face_path(i), layer)
    for i, have in enumerate(render_composite(scene, tmp_path / "out")):
        np.testing.assert_array_equal(have[outside()], made.plate[i][outside()])
        assert abs(int(have[20, 30, 0]) - 255 * linear_to_srgb(np.float64(0.1 * (i + 1)))) <= 1


def test_opacity_blends_in_linear_light(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=1)
    scene = built(made)
    controls(scene, Opacity=0.25)
    have = render_composite(scene, tmp_path / "out")[0]
    plate = srgb_to_linear(made.plate[0][MATTE] / 255.0)
    want = np.rint(linear_to_srgb(0.75 * plate + 0.25 * np.array(FACE)) * 255)
    assert np.abs(have[MATTE] - want).max() <= 1
    controls(scene, Opacity=0.0)
    np.testing.assert_array_equal(render_composite(scene, tmp_path / "out")[0], made.plate[0])


@pytest.mark.parametrize("erode", [3, -4])
def test_erode_shrinks_and_grows_the_matte(tmp_path: Path, erode: int):
    made = make_shot(tmp_path / "s.mien", frames=1)
    scene = built(made)
    controls(scene, Erode=erode)
    have = render_composite(scene, tmp_path / "out")[0]
    face = np.rint(linear_to_srgb(np.array(FACE)) * 255)
    is_face = (np.abs(have - face) <= 1).all(-1)
    rows, columns = MATTE
    row, column = 24, 32
    assert is_face[row].nonzero()[0][[0, -1]].tolist() == [columns.start + erode, columns.stop - 1 - erode]
    assert is_face[:, column].nonzero()[0][[0, -1]].tolist() == [rows.start + erode, rows.stop - 1 - erode]


def test_blur_softens_the_edge_and_stays_within_its_radius(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=1)
    for i in range(1):
        synthetic.write_png(made.shot.plate_frame_path(i), np.zeros_like(made.plate[i]))
    scene = built(made)
    controls(scene, Blur=4.0)
    have = srgb_to_linear(render_composite(scene, tmp_path / "out")[0][24, :, 1] / 255.0) / FACE[1]
    _, columns = MATTE
    assert np.all(np.diff(have[columns.start - 5:columns.start + 5]) >= -1e-6)
    assert have[columns.start - 6] == 0 and abs(have[columns.start + 6] - 1) < 0.01
    assert 0.3 < have[columns.start - 1:columns.start + 1].mean() < 0.7


def test_blurred_matte_beyond_the_patch_stays_plate(tmp_path: Path):
    """Where the face layer has no pixel there is nothing to lay over, however far the matte reaches."""
    made = make_shot(tmp_path / "s.mien", frames=1)
    scene = built(made)
    controls(scene, Erode=-30)
    have = render_composite(scene, tmp_path / "out")[0]
    mask = np.ones(have.shape[:2], bool)
    mask[COVER] = False
    np.testing.assert_array_equal(have[mask], made.plate[0][mask])


def test_matte_output_is_the_baked_matte_at_rest(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=1)
    soft = np.random.default_rng(3).uniform(0, 1, (synthetic.HEIGHT, synthetic.WIDTH)).astype(np.float16).astype(np.float32)
    synthetic.write_matte(made.shot.matte_path(0), soft)
    scene = built(made)
    tree, output = compat.compositor_tree(scene, scene.name)
    tree.links.new(tree.nodes[composite_nodes.OVER].outputs["Matte"], output)
    compat.set_still_output(scene, "OPEN_EXR", "RGB", "32")
    scene.render.filepath = str(tmp_path / "m.####.exr")
    bpy.ops.render.render(animation=True, scene=scene.name)
    np.testing.assert_array_equal(synthetic.read_picture(tmp_path / "m.1001.exr")[..., 0], soft)


def test_group_is_named_and_shared_and_its_inputs_are_known(tmp_path: Path):
    first, second = make_shot(tmp_path / "a.mien", frames=1), make_shot(tmp_path / "b.mien", frames=1)
    scenes = [built(first), built(second)]
    names = [t.name for t in bpy.data.node_groups if t.get(composite_nodes.TAG) == composite_nodes.OVER]
    assert names == ["Mien Over Plate"]
    group = composite_nodes.over_group()
    inputs = {s.name for s in group.interface.items_tree if s.in_out == "INPUT"}
    outputs = {s.name for s in group.interface.items_tree if s.in_out == "OUTPUT"}
    assert (inputs, outputs) == ({"Plate", "Face", "Matte", "Erode", "Blur", "Opacity", "Occlusion", "Gain", "Grain", "Grain Size"},
                                 {"Image", "Matte"})
    for scene in scenes:
        tree, _ = compat.compositor_tree(scene, scene.name)
        assert tree.nodes[composite_nodes.OVER].node_tree == group
    assert {s.name for s in scenes} == {"Mien Composite a", "Mien Composite b"}


def test_second_build_replaces_the_first_and_keeps_what_the_artist_set(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien")
    scene = built(made)
    controls(scene, Erode=2, Opacity=0.5)
    tree, output = compat.compositor_tree(scene, scene.name)
    hue = tree.nodes.new("CompositorNodeHueSat")
    source = output.links[0].from_socket
    tree.links.new(source, hue.inputs["Image"])
    tree.links.new(hue.outputs[0], output)
    counts = len(tree.nodes), len(bpy.data.images), len(bpy.data.scenes), len(bpy.data.node_groups)
    assert built(made) == scene
    assert (len(tree.nodes), len(bpy.data.images), len(bpy.data.scenes), len(bpy.data.node_groups)) == counts
    assert output.links[0].from_node == hue
    assert composite.matte_controls(tree) == {"Mien Over Plate": {"Erode": 2, "Blur": 0.0, "Opacity": 0.5, "Gain": (1, 1, 1, 1), "Grain": 0.0,
                                                                    "Grain Size": 1.0}}


def test_two_faces_of_a_plate_are_laid_over_one_after_the_other(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien")
    scene = built(made)
    controls(scene, Opacity=0.5)
    alone = render_composite(scene, tmp_path / "alone")[1]
    # The second face is baked later: white in a corner that the first leaves alone.
    other = Shot(made.shot.folder / "faces" / "1.mien", replace(made.shot.plate, path="../../../plate.mp4"), 1)
    other.save()
    corner = (slice(0, 5), slice(0, 9))
    layer, soft = np.zeros((*alone.shape[:2], 4), np.float32), np.zeros(alone.shape[:2], np.float32)
    layer[corner], soft[corner] = 1, 1
    for i in range(3):
        write_face_layer(other.face_path(i), layer)
        write_matte(other.matte_path(i), soft)
    assert composite.find_shot(bpy.context, str(other.folder)).folder == made.shot.folder
    assert built(made) == scene
    both = render_composite(scene, tmp_path / "both")[1]
    assert (both[corner] == 255).all()
    rest = np.ones(alone.shape[:2], bool)
    rest[corner] = False
    np.testing.assert_array_equal(both[rest], alone[rest])
    counts = len(scene_tree(scene).nodes), len(scene_tree(scene).links)
    assert built(made) == scene
    assert (len(scene_tree(scene).nodes), len(scene_tree(scene).links)) == counts


def scene_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    return compat.compositor_tree(scene, scene.name)[0]


def test_two_shots_of_one_name_do_not_share_pictures(tmp_path: Path):
    first = make_shot(tmp_path / "one" / "s.mien", frames=1, matte=False)
    second = make_shot(tmp_path / "two" / "s.mien", frames=1)
    scenes = [built(first), built(second)]
    assert scenes[0] != scenes[1]
    np.testing.assert_array_equal(render_composite(scenes[0], tmp_path / "out")[0], first.plate[0])


def test_artists_scene_is_left_alone(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien")
    scene = bpy.context.scene
    scene.render.resolution_x, scene.frame_end = 333, 77
    before = scene.view_settings.view_transform
    assert bpy.ops.mien.composite(folder=str(made.shot.folder)) == {"FINISHED"}
    assert (scene.render.resolution_x, scene.frame_end, scene.view_settings.view_transform) == (333, 77, before)
    assert bpy.context.scene == scene


def test_relative_paths_survive_a_move_of_blend_and_shot_folder(tmp_path: Path):
    made = make_shot(tmp_path / "old" / "s.mien", frames=1)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "old" / "shot.blend"))
    built(made)
    bpy.ops.wm.save_mainfile()
    (tmp_path / "old").rename(tmp_path / "new")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "new" / "shot.blend"))
    scene = bpy.data.scenes["Mien Composite s"]
    have = render_composite(scene, tmp_path / "out")[0]
    np.testing.assert_array_equal(have[outside()], made.plate[0][outside()])
    shot = composite.Shot.load(tmp_path / "new" / "s.mien")
    assert composite.shot_scene(shot, composite.COMPOSITE) == scene


def test_missing_frames_are_named_with_what_to_press(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=6)
    for i in (1, 2, 5):
        made.shot.face_path(i).unlink()
    made.shot.matte_path(2).unlink()
    assert composite.missing_frames(made.shot) == {"face": [1002, 1003, 1006], "matte": [1003]}
    text = composite.missing_report(made.shot)
    assert "1002-1003, 1006" in text and "press Bake" in text and "s.mien" in text
    assert bpy.ops.mien.composite(folder=str(made.shot.folder)) == {"FINISHED"}  # the tree may be built before the bake is done


def test_folder_that_is_no_shot_is_one_clear_report(tmp_path: Path):
    with pytest.raises(RuntimeError, match="is no shot folder"):
        bpy.ops.mien.composite(folder=str(tmp_path / "nothing"))
    with pytest.raises(RuntimeError, match="has no shot"):
        bpy.ops.mien.composite()


def test_plate_names_that_blender_would_misread_are_refused(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", linear=True, bits=16)
    made.shot.plate = composite.Plate(**{**vars(made.shot.plate), "path": "../plate.####_v2.exr"})
    with pytest.raises(MienError, match="frame number comes last"):
        built(made)


@pytest.mark.parametrize("rate, exact", [((25, 1), True), ((24000, 1001), True), ((30000, 1001), True), ((1000000, 33333), True), ((2997, 100), True),
                                         ((15, 2), True), ((12345677, 411523), False)])
def test_frame_rate_of_the_scene(rate: tuple[int, int], exact: bool):
    scene = bpy.context.scene
    assert compat.set_frame_rate(scene, *rate) == exact == compat.frame_rate_is_exact(*rate)
    assert scene.render.fps / scene.render.fps_base == pytest.approx(rate[0] / rate[1], rel=2e-7)


def test_a_hand_drawn_as_mask_keeps_the_plate(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=2)
    bpy.context.scene["mien_shot"] = str(made.shot.folder)
    scene = built(made)
    assert bpy.ops.mien.occlusion_mask(folder=str(made.shot.folder)) == {"FINISHED"}
    mask = next(n.mask for n in compat.compositor_tree(scene, scene.name)[0].nodes if n.bl_idname == "CompositorNodeMask")
    spline = mask.layers[0].splines.new()
    spline.points.add(4 - len(spline.points))
    middle = (MATTE[1].start + MATTE[1].stop) / 2 / synthetic.WIDTH
    for point, co in zip(spline.points, ((-1, -1), (middle, -1), (middle, 2), (-1, 2))):
        point.co = point.handle_left = point.handle_right = co
        point.handle_type = "VECTOR"
    spline.use_cyclic = True
    have = render_composite(scene, tmp_path / "out")[0]
    half = round(middle * synthetic.WIDTH)
    hidden, seen = (MATTE[0], slice(MATTE[1].start, half - 1)), (MATTE[0], slice(half + 1, MATTE[1].stop))
    np.testing.assert_array_equal(have[hidden], made.plate[0][hidden])
    assert np.abs(have[seen].astype(int) - np.rint(255 * linear_to_srgb(np.array(FACE)))).max() <= 1
    composite.build_composite(scene, made.shot)
    assert bpy.ops.mien.occlusion_mask(folder=str(made.shot.folder)) == {"FINISHED"}
    assert len(bpy.data.masks) == 1, "a second press draws on"
    again = render_composite(scene, tmp_path / "again")[0]
    np.testing.assert_array_equal(again, have)


def test_gain_and_grain_change_the_face_alone(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=2)
    scene = built(made)
    inputs = compat.compositor_tree(scene, scene.name)[0].nodes[composite_nodes.OVER].inputs
    inputs["Gain"].default_value = (0.5, 1.0, 2.0, 1.0)
    have = render_composite(scene, tmp_path / "gain")[0]
    assert np.abs(have[MATTE].astype(int) - np.rint(255 * linear_to_srgb(np.array(FACE) * (0.5, 1.0, 2.0)))).max() <= 1
    inputs["Gain"].default_value, inputs["Grain"].default_value = (1, 1, 1, 1), 0.1
    first, second = render_composite(scene, tmp_path / "grain")
    np.testing.assert_array_equal(first[outside()], made.plate[0][outside()])
    noise = [srgb_to_linear(p[MATTE] / 255.0) - FACE for p in (first, second)]
    assert abs(noise[0].mean()) < 0.003
    assert noise[0].std() == pytest.approx(0.1 * np.sqrt(FACE[1]) / np.sqrt(12), rel=0.15), "uniform noise, times the root of the light"
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.2, "each frame has its own"


def test_grain_has_a_size(tmp_path: Path):
    """Grains of three pixels: as strong as fine ones, and alike half a grain away as far as a Gaussian says."""
    made = make_shot(tmp_path / "s.mien", frames=6)
    scene = built(made)
    inputs = compat.compositor_tree(scene, scene.name)[0].nodes[composite_nodes.OVER].inputs
    inputs["Grain"].default_value, inputs["Grain Size"].default_value = 0.1, 3.0
    noise = np.stack([srgb_to_linear(p[MATTE] / 255.0) - FACE for p in render_composite(scene, tmp_path / "grain")])
    assert noise.std() == pytest.approx(0.1 * np.sqrt(FACE[1]) / np.sqrt(12), rel=0.2)

    def alike(pixels: int) -> float:
        return float(np.corrcoef(noise[:, :, :-pixels].ravel(), noise[:, :, pixels:].ravel())[0, 1])
    for pixels in (1, 2, 4):
        assert alike(pixels) == pytest.approx(np.exp(-((pixels / (2 * 0.3 * 3)) ** 2)), abs=0.12)


def test_a_plate_from_elsewhere_stays_linked(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=1)
    scene = built(made)
    tree = compat.compositor_tree(scene, scene.name)[0]
    tree.links.new(tree.nodes.new("CompositorNodeRLayers").outputs["Image"], tree.nodes[composite_nodes.OVER].inputs["Plate"])
    composite.build_composite(scene, made.shot)
    assert tree.nodes[composite_nodes.OVER].inputs["Plate"].links[0].from_node.bl_idname == "CompositorNodeRLayers"


def test_a_drawn_mask_is_handed_to_the_engine(tmp_path: Path):
    """The pictures that the engine reads are the mask that was drawn, in the plate's size and by its frame numbers; nothing else is left."""
    made = make_shot(tmp_path / "s.mien", frames=2)
    bpy.context.scene["mien_shot"] = str(made.shot.folder)
    scene = built(made)
    bpy.ops.mien.occlusion_mask(folder=str(made.shot.folder))
    with pytest.raises(RuntimeError, match="no mask yet"):
        bpy.ops.mien.use_occlusion()
    mask = next(n.mask for n in compat.compositor_tree(scene, scene.name)[0].nodes if n.bl_idname == "CompositorNodeMask")
    spline = mask.layers[0].splines.new()
    spline.points.add(4 - len(spline.points))
    for point, co in zip(spline.points, ((-1, -1), (0.5, -1), (0.5, 2), (-1, 2))):
        point.co = point.handle_left = point.handle_right = co
        point.handle_type = "VECTOR"
    spline.use_cyclic = True
    scenes, groups = set(bpy.data.scenes.keys()), set(bpy.data.node_groups.keys())
    (made.shot.folder / "occlusion").mkdir()
    (made.shot.folder / "occlusion" / "old.0001.png").write_bytes(b"from before")
    assert bpy.ops.mien.use_occlusion() == {"FINISHED"}
    assert (set(bpy.data.scenes.keys()), set(bpy.data.node_groups.keys())) == (scenes, groups)
    assert sorted(p.name for p in (made.shot.folder / "occlusion").iterdir()) == ["mask.1001.png", "mask.1002.png"]
    from mien.neural.visibility import occlusion_mask
    for index in range(2):
        seen = occlusion_mask(made.shot).frame(index)
        assert seen.shape == (synthetic.HEIGHT, synthetic.WIDTH)
        half = synthetic.WIDTH // 2
        assert seen[:, : half - 1].min() == 1 and seen[:, half + 1 :].max() == 0
