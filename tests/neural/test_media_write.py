# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliveries: exact where lossless, the plate's rate, length, times, sound and colours, and nothing left behind by a failure."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.mesh.shot import Plate
from mien.neural.media import PlateReader, display8, open_writer, probe_plate, read_exr, write_exr, write_png


def picture(i: int, width: int = 64, height: int = 48, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """A smooth picture that changes with i; alpha falls from left to right."""
    y, x = np.mgrid[:height, :width]
    planes = [60 + x * 120 // width + i, 70 + y * 100 // height, 190 - (x + y) * 100 // (width + height), 255 - x * 200 // width]
    pixels = np.stack(planes[:channels], -1)
    return pixels.astype(np.uint8) if dtype == np.uint8 else (pixels * 257 + i).astype(np.uint16)


def plate_of(pixels: np.ndarray, count: int, fps: tuple[int, int] = (25, 1), **changes) -> Plate:
    """A plate that these frames could come from; it has no file."""
    height, width, channels = pixels.shape
    return replace(Plate("plate.mov", "movie", width, height, fps, 1, count, bits=8 * pixels.dtype.itemsize, alpha=channels == 4,
                         linear=pixels.dtype == np.float32), **changes)


def source_movie(path: Path, frames: int = 25, fps: Fraction = Fraction(25), times: list[int] | None = None, tick: Fraction | None = None,
                 audio: str = "aac", audio_start: int = 0, pix_fmt: str = "yuv420p", colour: int = 1, aspect: Fraction | None = None) -> Path:
    tick = tick or 1 / fps
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        context = stream.codec_context
        context.time_base, context.colorspace, context.color_primaries, context.color_trc = tick, colour, colour, colour
        if aspect:
            context.sample_aspect_ratio = aspect
        sound = container.add_stream(audio, rate=48000, layout="stereo") if audio else None
        last = 0
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(i)).reformat(format=pix_fmt, dst_colorspace=colour if colour != 2 else None)
            last = frame.pts = times[i] if times else i
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        samples = int((last * tick + 1 / fps) * 48000) if sound else 0
        for start in range(audio_start, samples, 1024):
            wave = (0.3 * np.sin(np.arange(start, start + 1024) * 0.05)).astype(np.float32)
            block = av.AudioFrame.from_ndarray(np.stack([wave, -wave]), "fltp", "stereo")
            block.sample_rate, block.pts, block.time_base = 48000, start, Fraction(1, 48000)
            container.mux(sound.encode(block))
        if sound:
            container.mux(sound.encode(None))
    return path


def deliver(output: Path, plate: Plate, frames, codec: str | None = None, audio_from: Path | None = None):
    with open_writer(output, plate, codec, audio_from) as writer:
        for frame in frames:
            pixels, time = (frame, None) if isinstance(frame, np.ndarray) else (frame.pixels, frame.time)
            writer.write(pixels, time)
    return writer


def frames_of(path: Path) -> list[np.ndarray]:
    plate = probe_plate(path)
    return [f.pixels for f in PlateReader(Path(plate.path), plate).frames()]


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def sound_length(path: Path) -> float:
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        return float(track.duration * track.time_base)


LOSSLESS = [("a.mov", "ffv1"), ("a.avi", "ffv1"), ("a.mkv", None), ("a.####.png", None)]


@pytest.mark.parametrize("name, codec", LOSSLESS)
@pytest.mark.parametrize("channels, dtype", [(3, np.uint8), (4, np.uint8), (3, np.uint16), (4, np.uint16)])
def test_lossless_outputs_are_bit_identical(tmp_path, name, codec, channels, dtype):
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, np.iinfo(dtype).max, (48, 64, channels), dtype=dtype, endpoint=True) for _ in range(4)]
    deliver(tmp_path / name, plate_of(frames[0], 4), frames, codec)
    read = frames_of(tmp_path / name)
    assert len(read) == 4
    for ours, theirs in zip(frames, read):
        assert theirs.dtype == dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", [(65, 47), (64, 47), (33, 48), (17, 19)])
@pytest.mark.parametrize("name, codec", [("a.mp4", None), ("a.mov", None), *LOSSLESS, ("a.####.exr", None)])
def test_odd_sizes_lose_no_pixel(tmp_path, size, name, codec):
    frames = [picture(i, *size) for i in range(3)]
    writer = deliver(tmp_path / name, plate_of(frames[0], 3), frames, codec)
    plate = probe_plate(tmp_path / name)
    assert (plate.width, plate.height, plate.frame_count) == (*size, 3)
    read = [display8(p, plate.linear) for p in frames_of(tmp_path / name)]
    assert np.abs(np.array(read).astype(int) - np.array(frames)).mean() < 1.5
    assert any("odd" in warning for warning in writer.warnings) == (name == "a.mp4")


@pytest.mark.parametrize("float_type", [np.float16, np.float32])
def test_linear_plates_stay_exact_as_exr(tmp_path, float_type):
    rng = np.random.default_rng(2)
    folder = tmp_path / "plate"
    for i in range(3):
        write_exr(folder / f"p.{i + 1001:04d}.exr", rng.normal(0.4, 1, (20, 30, 4)).astype(float_type), full_float=float_type == np.float32)
    plate = probe_plate(folder / "p.####.exr")
    frames = list(PlateReader(Path(plate.path), plate).frames())
    deliver(tmp_path / "out.####.exr", plate, frames, audio_from=Path(plate.path))
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(read_exr(tmp_path / f"out.{i + 1001}.exr"), frame.pixels)


def test_eight_bit_plates_survive_exr(tmp_path):
    frames = [picture(i) for i in range(2)]
    deliver(tmp_path / "o.####.exr", plate_of(frames[0], 2, first_frame=86), frames)
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(display8(read_exr(tmp_path / f"o.{86 + i:04d}.exr"), True), frame)


def test_prores_keeps_alpha_and_depth(tmp_path):
    for channels, dtype, pix_fmt in ((3, np.uint8, "yuv422p10le"), (3, np.uint16, "yuv444p12le"), (4, np.uint8, "yuva444p12le")):
        frames = [picture(i, channels=channels, dtype=dtype) for i in range(3)]
        deliver(tmp_path / "a.mov", plate_of(frames[0], 3), frames)
        with av.open(str(tmp_path / "a.mov")) as container:
            context = container.streams.video[0].codec_context
            assert (context.name, context.pix_fmt) == ("prores", pix_fmt)
        read = frames_of(tmp_path / "a.mov")[1]
        assert read.shape[2] == channels and read.dtype == np.uint16
        eight = frames[1] / (257 if dtype == np.uint16 else 1)
        assert np.abs(read / 257 - eight).mean() < 0.8
        assert np.abs((read / 257 - eight)[..., 3:]).max(initial=0) < 1


@pytest.mark.parametrize("colour, pix_fmt", [(1, "yuv420p"), (2, "yuv420p"), (6, "yuv420p"), (1, "yuv444p")])
def test_h264_shifts_no_colour(tmp_path, colour, pix_fmt):
    """What is in the file's own planes must not move: any player then shows plate and edit alike."""
    source = source_movie(tmp_path / "plate.mp4", frames=5, colour=colour, pix_fmt=pix_fmt)
    plate = probe_plate(source)
    deliver(tmp_path / "out.mp4", plate, PlateReader(source, plate).frames(), audio_from=source)
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mp4")) as b:
        one, two = a.streams.video[0].codec_context, b.streams.video[0].codec_context
        assert (one.colorspace, one.color_primaries, one.color_trc) == (two.colorspace, two.color_primaries, two.color_trc)
        assert two.pix_fmt == "yuv420p" and two.color_range == 1
        for ours, theirs in zip(b.decode(video=0), a.decode(video=0)):
            for k in range(3):
                p, q = plane(ours, k), plane(theirs, k)
                if p.shape != q.shape:
                    q = q.reshape(24, 2, 32, 2).mean(axis=(1, 3))
                assert abs((p - q).mean()) < 0.25
                assert np.abs(p - q).mean() < 1.0


def plane(frame: av.VideoFrame, k: int) -> np.ndarray:
    data = frame.planes[k]
    return np.frombuffer(data, np.uint8).reshape(data.height, -1)[:, :data.width].astype(float)


def test_rgb_plates_are_tagged_bt709(tmp_path):
    frames = [picture(i) for i in range(3)]
    deliver(tmp_path / "a.mp4", plate_of(frames[0], 3), frames)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


@pytest.mark.parametrize("rate", [(24000, 1001), (1000000, 33333), (25, 1)])
@pytest.mark.parametrize("name, codec", [("a.mp4", None), ("a.mov", None), ("a.mov", "ffv1"), ("a.avi", None)])
def test_rate_and_count(tmp_path, rate, name, codec):
    frames = [picture(i) for i in range(11)]
    deliver(tmp_path / name, plate_of(frames[0], 11, rate), frames, codec)
    plate = probe_plate(tmp_path / name)
    assert (plate.fps, plate.frame_count, plate.variable_rate) == (rate, 11, False)


@pytest.mark.parametrize("name, codec", [("a.mp4", None), ("a.mov", None), ("a.mov", "ffv1")])
def test_variable_times_are_kept(tmp_path, name, codec):
    times = np.cumsum([0, 400, 700, 350, 512, 512, 900, 300, 450, 610]).tolist()
    source = source_movie(tmp_path / "vfr.mp4", frames=10, times=times, tick=Fraction(1, 12800))
    plate = probe_plate(source)
    assert plate.variable_rate
    frames = list(PlateReader(source, plate).frames())
    deliver(tmp_path / name, plate, frames, codec, source)
    result = probe_plate(tmp_path / name)
    assert (result.variable_rate, result.fps, result.frame_count) == (True, plate.fps, 10)
    assert [f.time for f in PlateReader(tmp_path / name, result).frames()] == pytest.approx([f.time for f in frames], abs=1e-6)


@pytest.mark.parametrize("name, codec", [("a.mp4", None), ("a.mov", None), ("a.mov", "ffv1")])
def test_aac_is_copied_untouched(tmp_path, name, codec):
    source = source_movie(tmp_path / "plate.mp4")
    plate = probe_plate(source)
    deliver(tmp_path / name, plate, PlateReader(source, plate).frames(), codec, source)
    assert sound_packets(tmp_path / name) == sound_packets(source)
    assert sound_length(tmp_path / name) == sound_length(source)


def test_other_sound_is_encoded(tmp_path):
    source = source_movie(tmp_path / "plate.mov", audio="pcm_s16le")
    plate = probe_plate(source)
    deliver(tmp_path / "a.mp4", plate, PlateReader(source, plate).frames(), None, source)
    deliver(tmp_path / "a.mov", plate, PlateReader(source, plate).frames(), None, source)
    assert sound_length(tmp_path / "a.mp4") == pytest.approx(sound_length(source), abs=0.03)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        samples = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
        assert 0.15 < samples[:, 4000:20000].std() < 0.25
    assert b"".join(sound_packets(tmp_path / "a.mov")) == b"".join(sound_packets(source))


def test_part_of_a_plate_has_part_of_the_sound(tmp_path):
    source = source_movie(tmp_path / "plate.mp4", frames=50)
    plate = probe_plate(source)
    deliver(tmp_path / "a.mp4", plate, PlateReader(source, plate).frames(0, 25), None, source)
    assert sound_length(tmp_path / "a.mp4") == pytest.approx(1.0, abs=0.03)


def test_a_plate_without_sound(tmp_path):
    source = source_movie(tmp_path / "plate.mp4", frames=5, audio="")
    plate = probe_plate(source)
    deliver(tmp_path / "a.mp4", plate, PlateReader(source, plate).frames(), None, source)
    assert not probe_plate(tmp_path / "a.mp4").audio


def test_a_picture_that_starts_after_its_sound_stays_in_step(tmp_path):
    source = source_movie(tmp_path / "plate.mp4", frames=25, times=[i + 10 for i in range(25)])
    plate = probe_plate(source)
    frames = list(PlateReader(source, plate).frames())
    assert frames[0].time == pytest.approx(0.4) and not plate.variable_rate
    deliver(tmp_path / "a.mp4", plate, frames, None, source)
    result = probe_plate(tmp_path / "a.mp4")
    assert result.fps == plate.fps and sound_length(tmp_path / "a.mp4") == pytest.approx(sound_length(source))
    assert PlateReader(tmp_path / "a.mp4", result).frame(24).time == pytest.approx(frames[24].time, abs=2e-3)


def test_pixel_aspect_is_kept(tmp_path):
    source = source_movie(tmp_path / "plate.mp4", frames=3, aspect=Fraction(4, 3))
    plate = probe_plate(source)
    deliver(tmp_path / "a.mp4", plate, PlateReader(source, plate).frames(), None, source)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize("name, codec", [("a.mp4", None), ("a.mov", None), ("a.mov", "ffv1"), ("a.####.exr", None)])
def test_the_same_frames_give_the_same_bytes(tmp_path, name, codec):
    frames = [picture(i, 320, 240) for i in range(6)]
    sums = set()
    for turn in range(3):
        folder = tmp_path / str(turn)
        deliver(folder / name, plate_of(frames[0], 6), frames, codec)
        sums.add(hashlib.sha256(b"".join(p.read_bytes() for p in sorted(folder.iterdir()))).hexdigest())
    assert len(sums) == 1


@pytest.mark.parametrize("name", ["a.mp4", "a.####.png", "a.####.exr"])
def test_a_failure_leaves_what_was_there(tmp_path, name):
    frames = [picture(i) for i in range(4)]
    before = tmp_path / name.replace("####", "0001")
    before.write_bytes(b"an older delivery")

    def broken():
        yield from frames[:2]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        deliver(tmp_path / name, plate_of(frames[0], 4), broken())
    assert [p.name for p in tmp_path.iterdir()] == [before.name]
    assert before.read_bytes() == b"an older delivery"
    deliver(tmp_path / name, plate_of(frames[0], 4), frames)
    assert before.read_bytes() != b"an older delivery"
    assert all(not p.name.startswith(".") for p in tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.####.png"])
def test_a_folder_that_cannot_be_written(tmp_path, name):
    (tmp_path / "out").write_text("a file where a folder is wanted")
    frame = picture(0)
    with pytest.raises(MienError, match="Cannot write .*check the folder's permissions"):
        deliver(tmp_path / "out" / name, plate_of(frame, 1), [frame])


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from mien.mesh.errors import MienError
from mien.mesh.shot import Plate
from mien.neural.media import open_writer
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))  # every write beyond this fails, as on a full disk
rng, plate = np.random.default_rng(0), Plate("p.mov", "movie", 320, 240, (25, 1), 1, 60)
try:
    with open_writer(sys.argv[1], plate, sys.argv[2] or None) as writer:
        for _ in range(60):
            writer.write(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8))
except MienError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("name, codec", [("a.mp4", ""), ("a.mov", "ffv1"), ("a.####.png", ""), ("a.####.exr", "")])
def test_a_full_disk(tmp_path, name, codec):
    run = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "out" / name), codec], capture_output=True, text=True, timeout=120)
    assert run.stdout.startswith(f"Cannot write {tmp_path / 'out' / name}: ") and run.stdout.count("\n") == 1, run.stdout + run.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name, codec, says", [
    ("a.mp4", "prores", "takes h264"), ("a.mp4", "ffv1", "takes h264"), ("a.####.png", "h264", "takes no codec"),
    ("a.wmv", None, "cannot be written"), ("a.png", None, r"write a\.####\.png instead"), ("", None, "is a folder"),
])
def test_outputs_that_make_no_sense(tmp_path, name, codec, says):
    with pytest.raises(MienError, match=says):
        open_writer(tmp_path / name, plate_of(picture(0), 5), codec)


def test_the_plate_is_never_overwritten(tmp_path):
    source = source_movie(tmp_path / "plate.mp4", frames=2, audio="")
    with pytest.raises(MienError, match="is the plate itself"):
        open_writer(source, probe_plate(source))
    write_png(tmp_path / "a.0001.png", picture(0))
    with pytest.raises(MienError, match="is the plate itself"):
        open_writer(tmp_path / "a.####.png", probe_plate(tmp_path / "a.0001.png"))


def test_frames_of_another_kind_are_a_defect(tmp_path):
    with open_writer(tmp_path / "a.mp4", plate_of(picture(0), 1)) as writer:
        with pytest.raises(ValueError, match="frame 0"):
            writer.write(picture(0, 32, 48))
        with pytest.raises(ValueError, match="frame 0"):
            writer.write(picture(0, dtype=np.uint16))
        writer.write(picture(0))


def test_one_picture_in_one_picture_out(tmp_path):
    write_png(tmp_path / "in.png", picture(0))
    plate = probe_plate(tmp_path / "in.png")
    deliver(tmp_path / "out.png", plate, PlateReader(Path(plate.path), plate).frames())
    np.testing.assert_array_equal(frames_of(tmp_path / "out.png")[0], picture(0))


@pytest.mark.clips
def test_the_clip_of_30_0003_frames_a_second(tmp_path, clip):
    source = clip("M030_level_3_sad_001")
    plate = probe_plate(source)
    frame = PlateReader(source, plate).frame(0).pixels
    deliver(tmp_path / "a.mp4", plate, (frame for _ in range(plate.frame_count)), None, source)
    result = probe_plate(tmp_path / "a.mp4")
    assert (result.frame_count, result.fps) == (plate.frame_count, plate.fps)
    assert sound_length(tmp_path / "a.mp4") == sound_length(source)
    assert sound_packets(tmp_path / "a.mp4") == sound_packets(source)
