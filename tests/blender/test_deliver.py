# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery: exact pictures, exact rate and length, the plate's own sound, and nothing left of a failure."""

from __future__ import annotations

import contextlib
import resource
from fractions import Fraction
from pathlib import Path

import av
import bpy
import numpy as np
import pytest

from mien.neural.media import srgb_to_linear
from mien.operators import composite, deliver, render_job
from mien.tests.blender import synthetic
from mien.tests.blender.synthetic import FACE, MATTE, make_shot, read_picture, write_movie

pytestmark = pytest.mark.usefixtures("blender")


def run(made: synthetic.Synthetic, path: Path, kind: str) -> None:
    assert bpy.ops.mien.deliver(folder=str(made.shot.folder), filepath=str(path), format=kind) == {"FINISHED"}


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} if folder.is_dir() else set()


@contextlib.contextmanager
def file_size_limit(size: int):
    """Writing beyond `size` bytes fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", [{}, {"bits": 16}, {"alpha": True}, {"bits": 16, "alpha": True}], ids=["8", "16", "8 alpha", "16 alpha"])
def test_png_of_an_unedited_shot_is_the_plate_bit_for_bit(tmp_path: Path, kind: dict):
    made = make_shot(tmp_path / "s.mien", matte=False, **kind)
    run(made, tmp_path / "out" / "d.####.png", "PNG")
    assert files(tmp_path / "out") == {"d.1001.png", "d.1002.png", "d.1003.png"}
    for i, want in enumerate(made.plate):
        have = read_picture(tmp_path / "out" / f"d.{1001 + i}.png")
        assert have.dtype == want.dtype
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("kind", [{"bits": 16}, {"bits": 32}, {"bits": 32, "alpha": True}], ids=["half", "float", "float alpha"])
def test_exr_of_an_unedited_linear_plate_is_the_plate_bit_for_bit(tmp_path: Path, kind: dict):
    made = make_shot(tmp_path / "s.mien", matte=False, linear=True, **kind)
    run(made, tmp_path / "out" / "d.####.exr", "EXR")
    for i, want in enumerate(made.plate):
        np.testing.assert_array_equal(read_picture(tmp_path / "out" / f"d.{1001 + i}.exr"), want)


@pytest.mark.parametrize("bits", [8, 16])
def test_exr_of_a_display_referred_plate_is_scene_linear(tmp_path: Path, bits: int):
    made = make_shot(tmp_path / "s.mien", bits=bits)
    for kind, name in (("EXR", "d.####.exr"), ("PNG", "d.####.png")):  # and the PNG after it is as exact as ever
        run(made, tmp_path / "out" / name, kind)
    have, plate = read_picture(tmp_path / "out" / "d.1002.exr"), made.plate[1] / (2**bits - 1)
    np.testing.assert_allclose(have[0], srgb_to_linear(plate)[0], atol=5e-4)
    np.testing.assert_allclose(have[MATTE], np.broadcast_to(FACE, have[MATTE].shape), atol=5e-4)
    np.testing.assert_array_equal(read_picture(tmp_path / "out" / "d.1002.png")[0], made.plate[1][0])


@pytest.mark.parametrize("kind, name, codec, sound", [("H264", "d.mp4", "h264", "aac"), ("PRORES", "d.mov", "prores", "pcm_s16le")])
@pytest.mark.parametrize("fps", [(25, 1), (24000, 1001), (1000000, 33333)])
def test_movie_has_the_plates_size_rate_length_and_sound(tmp_path: Path, kind: str, name: str, codec: str, sound: str, fps: tuple[int, int]):
    rate, frames = Fraction(*fps), 12
    write_movie(tmp_path / "plate.mp4", frames=frames, rate=rate, seconds=float(frames / rate) + 0.2)
    made = make_shot(tmp_path / "s.mien", frames=frames, fps=fps, audio=True)
    run(made, tmp_path / name, kind)
    with av.open(str(tmp_path / name)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.width, video.height, video.frames, video.codec_context.name) == (64, 48, frames, codec)
        assert video.average_rate == rate
        assert float(video.duration * video.time_base) == pytest.approx(float(frames / rate), abs=1e-4)
        assert (audio.codec_context.name, audio.rate) == (sound, 44100)
        samples = np.concatenate([f.to_ndarray().reshape(1, -1) for f in container.decode(audio)], axis=1)
        # Blender 4.5 fills its last block of 8192 samples with silence when the sound is not compressed.
        slack = 8192 / 44100 if kind == "PRORES" and bpy.app.version < (5, 0, 0) else 0.03
        assert samples.size / audio.codec_context.channels / 44100 == pytest.approx(float(frames / rate), abs=slack)
        assert np.abs(samples).max() > 0.3 * (np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else 1)


def test_movie_shows_plate_and_face(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=2)
    for i in range(2):
        synthetic.write_png(made.shot.plate_frame_path(i), np.full_like(made.plate[i], (40, 90, 200)))
    run(made, tmp_path / "d.mp4", "H264")
    with av.open(str(tmp_path / "d.mp4")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(picture[2:10, 4:20] - (40, 90, 200)).max() <= 4
    assert np.abs(picture[20:28, 24:40] - (124, 188, 89)).max() <= 4


def test_plate_without_sound_delivers_without_sound(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien")
    run(made, tmp_path / "d.mp4", "H264")
    with av.open(str(tmp_path / "d.mp4")) as container:
        assert not container.streams.audio
        assert container.streams.video[0].frames == 3


def test_one_frame(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=1, first=1)
    run(made, tmp_path / "d.mp4", "H264")
    with av.open(str(tmp_path / "d.mp4")) as container:
        assert len(list(container.decode(video=0))) == 1


def test_odd_size_as_h264_and_refused_as_prores(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", size=(63, 47))
    run(made, tmp_path / "d.mp4", "H264")
    with av.open(str(tmp_path / "d.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (63, 47)
    with pytest.raises(RuntimeError, match="even width"):
        run(made, tmp_path / "d.mov", "PRORES")
    assert files(tmp_path) == {"s.mien", "d.mp4"}


def test_spaces_accents_and_default_name(tmp_path: Path):
    made = make_shot(tmp_path / "plan séquence 1.mien")
    run(made, tmp_path / "à livrer" / "prêt à voir.mp4", "H264")
    assert files(tmp_path / "à livrer") == {"prêt à voir.mp4"}
    assert bpy.ops.mien.deliver(folder=str(made.shot.folder), format="PNG") == {"FINISHED"}
    assert "plan séquence 1.1001.png" in files(tmp_path)


@pytest.mark.parametrize("given, kind, want", [("a.mp4", "H264", "a.mp4"), ("a.mov", "H264", "a.mov"), ("a.mp4", "PRORES", "a.mov"),
                                               ("a", "H264", "a.mp4"), ("a.v2", "H264", "a.v2.mp4"),
                                               ("a.png", "PNG", "a.####.png"), ("a.#####.exr", "EXR", "a.#####.exr")])
def test_name_of_the_output(tmp_path: Path, given: str, kind: str, want: str):
    made = make_shot(tmp_path / "s.mien", frames=1)
    assert deliver.delivery_path(tmp_path / given, kind, made.shot) == tmp_path / want


def test_second_delivery_replaces_the_first(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien")
    (tmp_path / "d.mp4").write_text("old")
    for _ in range(2):
        run(made, tmp_path / "d.mp4", "H264")
    assert files(tmp_path) == {"s.mien", "d.mp4"}
    assert [s.name for s in bpy.data.scenes if s.get(composite.STAGE_TAG)] == ["Mien Composite s", "Mien Delivery s"]
    scene = bpy.data.scenes["Mien Delivery s"]
    assert [s.name for s in scene.sequence_editor.strips] == ["Mien Picture"]
    assert Path(bpy.path.abspath(scene.render.filepath)) == tmp_path / "d.mp4"
    assert (scene.frame_start, scene.frame_end) == (1001, 1003)


def test_build_only_and_the_artists_strips_stay(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien")
    assert bpy.ops.mien.deliver(folder=str(made.shot.folder), render=False) == {"FINISHED"}
    scene = bpy.data.scenes["Mien Delivery s"]
    scene.sequence_editor.strips.new_image("slate", str(made.shot.plate_frame_path(0)), 1 + scene.sequence_editor.strips[0].channel, 1001)
    bpy.ops.mien.deliver(folder=str(made.shot.folder), render=False)
    assert {s.name for s in scene.sequence_editor.strips} == {"slate", "Mien Picture"}
    assert not list(tmp_path.glob("*.mp4"))


def test_missing_baked_frames_are_named_and_nothing_is_rendered(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien")
    made.shot.face_path(1).unlink()
    made.shot.matte_path(1).unlink()
    with pytest.raises(RuntimeError, match=r"no baked face and matte for frames 1002; press Bake"):
        run(made, tmp_path / "d.mp4", "H264")
    assert files(tmp_path) == {"s.mien"}


def test_missing_movie_of_a_plate_with_sound_is_named(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", audio=True)
    with pytest.raises(RuntimeError, match=r"plate\.mp4 is missing, and with it the sound"):
        run(made, tmp_path / "d.mp4", "H264")
    assert files(tmp_path) == {"s.mien"}


@pytest.mark.parametrize("kind", ["H264", "PNG"])
def test_folder_that_cannot_be_written(tmp_path: Path, kind: str):
    made = make_shot(tmp_path / "s.mien")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RuntimeError, match="Cannot write .*; check the folder's permissions"):
        run(made, tmp_path / "file" / "d", kind)
    assert files(tmp_path) == {"s.mien", "file"}


@pytest.mark.parametrize("kind, name", [("H264", "d.mp4"), ("PRORES", "d.mov"), ("PNG", "d.####.png"), ("EXR", "d.####.exr")])
def test_full_disk_leaves_nothing_and_says_so(tmp_path: Path, kind: str, name: str):
    made = make_shot(tmp_path / "s.mien")
    with file_size_limit(1500), pytest.raises(RuntimeError, match="check the folder's permissions and free space"):
        run(made, tmp_path / "out" / name, kind)
    assert not files(tmp_path / "out")


def test_plate_is_never_overwritten(tmp_path: Path):
    write_movie(tmp_path / "plate.mp4", frames=3, rate=Fraction(25), seconds=None)
    made = make_shot(tmp_path / "s.mien")
    before = (tmp_path / "plate.mp4").read_bytes()
    with pytest.raises(RuntimeError, match="is the plate itself"):
        run(made, tmp_path / "plate.mp4", "H264")
    sequence = make_shot(tmp_path / "t.mien", linear=True, bits=16)
    with pytest.raises(RuntimeError, match="is the plate itself"):
        run(sequence, tmp_path / "plate.####.exr", "EXR")
    assert (tmp_path / "plate.mp4").read_bytes() == before


def test_varying_frame_rate_is_told(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien")
    made.shot.plate = composite.Plate(**{**vars(made.shot.plate), "variable_rate": True})
    assert ["mien edit" in text for text in deliver.warnings(made.shot)] == [True]


@pytest.mark.parametrize("ending", ["complete", "cancelled", "refused"])
def test_render_in_a_window_ends_well_however_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str):
    """The window's render job is replaced by a blocking render, by nothing, or by a refusal; the rest is as in a window."""
    made = make_shot(tmp_path / "s.mien")
    path, window, before = tmp_path / "d.mp4", bpy.context.window_manager.windows[0], bpy.context.scene

    def render(job: render_job._Job, _: bpy.types.Window) -> None:
        assert window.scene == job.scene
        if ending == "complete":
            bpy.ops.render.render(animation=True, scene=job.scene.name)
        elif ending == "refused":
            raise RuntimeError("Error: no picture\n")

    monkeypatch.setattr(render_job._Job, "render", render)
    monkeypatch.setattr(render_job, "_report", lambda text, failed: told.append((text, failed)))
    told: list[tuple[str, bool]] = []
    if ending == "refused":
        with pytest.raises(composite.MienError, match=r"could not render .*d\.mp4 \(no picture\)"):
            render_job.start(window, path, deliver.delivery(made.shot, path, "H264"))
    else:
        render_job.start(window, path, deliver.delivery(made.shot, path, "H264"))
        assert render_job.running() and not bpy.ops.mien.deliver.poll()
        render_job._look()
        assert [failed for _, failed in told] == [ending != "complete"]
    render_job.abandon()  # also takes back the timer
    assert not render_job.running() and window.scene == before
    assert files(tmp_path) == {"s.mien"} | ({"d.mp4"} if ending == "complete" else set())
    for handlers in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        assert not [h for h in handlers if getattr(h, "__module__", "").endswith("render_job")]


def test_the_shots_camera_stands_in_the_delivery_while_it_is_rendered(tmp_path: Path):
    """So that views go on showing the plate: it changes no pixel, and is gone afterwards, whatever happened."""
    made = make_shot(tmp_path / "s.mien", matte=False)
    camera = bpy.data.objects.new("Shot Camera", bpy.data.cameras.new("Shot Camera"))
    with deliver.delivery(made.shot, tmp_path / "d.####.png", "PNG") as (scene, output):
        own = scene.camera
        with render_job._seen_through(scene, camera):
            assert scene.camera == camera and camera.name in scene.objects
            bpy.ops.render.render(animation=True, scene=scene.name)
            output.commit()
        assert scene.camera == own and not scene.objects
        with pytest.raises(RuntimeError, match="stopped"), render_job._seen_through(scene, camera):
            raise RuntimeError("stopped")
        assert scene.camera == own and not scene.objects
    for i, want in enumerate(made.plate):
        np.testing.assert_array_equal(read_picture(tmp_path / f"d.{1001 + i}.png"), want)


def test_handles_stay_in_the_strips_and_out_of_the_delivery(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", frames=7, audio=True)
    write_movie(tmp_path / "plate.mp4", frames=7, rate=Fraction(25), seconds=0.28)
    assert bpy.ops.mien.deliver(folder=str(made.shot.folder), filepath=str(tmp_path / "out" / "d.####.png"), format="PNG", handles=2) == {"FINISHED"}
    assert files(tmp_path / "out") == {"d.1003.png", "d.1004.png", "d.1005.png"}
    np.testing.assert_array_equal(read_picture(tmp_path / "out" / "d.1003.png")[0], made.plate[2][0])
    strips = composite.shot_scene(made.shot, composite.DELIVERY).sequence_editor.strips
    picture = strips[deliver.PICTURE]
    assert (picture.frame_final_start, picture.frame_final_end, picture.frame_offset_start, picture.frame_offset_end) == (1003, 1006, 2, 2)
    assert strips[deliver.SOUND].frame_final_start == 1003
    with pytest.raises(RuntimeError, match="leave nothing"):
        bpy.ops.mien.deliver(folder=str(made.shot.folder), filepath=str(tmp_path / "x.mp4"), handles=4)


def test_review_burns_the_frame_number_in_and_nothing_else_does(tmp_path: Path):
    made = make_shot(tmp_path / "s.mien", matte=False, size=(256, 192), frames=2)
    for i in range(2):
        synthetic.write_png(made.shot.plate_frame_path(i), np.full((192, 256, 3), 120, np.uint8))
    run(made, tmp_path / "review.mp4", "REVIEW")
    with av.open(str(tmp_path / "review.mp4")) as movie:
        first, second = (f.to_ndarray(format="rgb24").astype(int) for f in movie.decode(video=0))
    assert np.abs(first[64:128] - 120).max() <= 3, "the middle of the picture is free"
    assert np.abs(first - 120).max() > 60
    assert np.abs(first - second).max() > 60, "the number changes from frame to frame"
    run(made, tmp_path / "plain.mp4", "H264")
    with av.open(str(tmp_path / "plain.mp4")) as movie:
        assert all(np.abs(f.to_ndarray(format="rgb24").astype(int) - 120).max() <= 3 for f in movie.decode(video=0))


def test_prores_4444_of_any_plate(tmp_path: Path):
    run(make_shot(tmp_path / "s.mien"), tmp_path / "d.mov", "PRORES4444")
    with av.open(str(tmp_path / "d.mov")) as movie:
        assert movie.streams.video[0].codec_context.codec_tag == "ap4h"


def test_layers_lie_in_a_folder_beside_the_shot(tmp_path: Path):
    from mien.operators.deliver_layers import layers_path
    shot = make_shot(tmp_path / "s.mien").shot
    assert layers_path(shot, "") == tmp_path / "s_layers" / "s.####.exr"
    assert layers_path(shot, str(tmp_path / "a.exr")) == tmp_path / "a.####.exr"
