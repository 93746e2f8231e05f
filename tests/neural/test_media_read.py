# SPDX-License-Identifier: GPL-3.0-or-later
"""Probing and reading plates: sizes, rates, counts, rotation, alpha, seeking, and footage that is broken."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.neural.media import PlateReader, keep_frames, kept, probe_plate, write_exr, write_png


def picture(i: int, width: int = 64, height: int = 48, channels: int = 3) -> np.ndarray:
    """(height, width, channels) uint8, another one for each i, with no symmetry."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 3 + i * 7, y * 4 + i * 5, x + y + i * 11, x * 255 // width]
    return np.stack(planes[:channels], -1).astype(np.uint8) & 255


def movie(path: Path, *, frames: int = 20, width: int = 64, height: int = 48, codec: str = "libx264", pix_fmt: str = "yuv420p", channels: int = 3,
          fps: Fraction = Fraction(25), times: list[int] | None = None, tick: Fraction | None = None, turn: int = 0, mirror: bool = False,
          audio: bool = False, movflags: str = "", gop: int = 6) -> Path:
    """Write a small movie. `times` are presentation times in units of `tick`."""
    tick = tick or 1 / fps
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, pix_fmt, gop
        stream.codec_context.time_base = tick
        if turn or mirror:
            stream.set_display_rotation(turn, hflip=mirror)
        sound = container.add_stream("aac", rate=48000, layout="mono") if audio else None
        for i in range(frames):
            form = "rgba" if channels == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(picture(i, width, height, channels), form).reformat(format=pix_fmt)
            frame.pts, frame.time_base = (times[i] if times else i), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for i in range(int(frames / fps * 48000 / 1024) if sound else 0):
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = 48000, i * 1024, Fraction(1, 48000)
            container.mux(sound.encode(block))
        if sound:
            container.mux(sound.encode(None))
    return path


def reference(path: Path, form: str = "rgb24") -> list[np.ndarray]:
    """All frames as stored, by plain decoding."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=form) for frame in container.decode(video=0)]


def test_a_movie_is_read_as_ffmpeg_decodes_it(tmp_path):
    path = movie(_folder(tmp_path) / "clip.mp4", audio=True)
    plate = probe_plate(path)
    assert (plate.kind, plate.width, plate.height, plate.fps, plate.frame_count) == ("movie", 64, 48, (25, 1), 20)
    assert (plate.bits, plate.alpha, plate.linear, plate.rotation, plate.variable_rate, plate.audio) == (8, False, False, 0, False, True)
    assert plate.first_frame == 1 and plate.path == path.as_posix() and plate.fingerprint
    frames = list(PlateReader(path, plate).frames())
    assert [f.index for f in frames] == list(range(20))
    for frame, expected in zip(frames, reference(path)):
        np.testing.assert_array_equal(frame.pixels, expected)
        assert frame.pixels.flags.c_contiguous
        assert frame.time == pytest.approx(frame.index / 25)


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder with spaces, é and ü"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name, codec", [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.mpg", "mpeg2video"), ("a.ts", "libx264"),
                                         ("a.webm", "libvpx-vp9")])
def test_any_frame_can_be_sought(tmp_path, name, codec):
    path = movie(tmp_path / name, codec=codec)
    reader = PlateReader(path, probe_plate(path))
    expected = list(reader.frames())
    assert len(expected) == 20
    for start in (0, 1, 5, 6, 7, 13, 19):
        frame = reader.frame(start)
        assert frame.index == start and frame.time == expected[start].time
        np.testing.assert_array_equal(frame.pixels, expected[start].pixels)
    assert [f.index for f in reader.frames(4, 9)] == [4, 5, 6, 7, 8]
    assert [f.index for f in reader.frames(18, 99)] == [18, 19]
    assert list(reader.frames(20)) == []
    with pytest.raises(IndexError):
        reader.frame(20)


@pytest.mark.parametrize("indices", [[0, 3, 4, 19], [7], [0, 1, 50, 119], []])
def test_chosen_frames_are_the_same_frames(tmp_path, indices):
    path = movie(tmp_path / "plate.mp4", frames=120)
    reader = PlateReader(path, probe_plate(path))
    got = list(reader.chosen(indices))
    assert [f.index for f in got] == indices
    for frame in got:
        want = reader.frame(frame.index)
        assert frame.time == want.time and np.array_equal(frame.pixels, want.pixels)


@pytest.mark.parametrize("room", [0, 9, 100])
def test_frames_wait_in_memory_for_the_next_stage(tmp_path, monkeypatch, room):
    """The same frames with the same times, and what was kept needs the file no more."""
    path = movie(tmp_path / "clip.mp4", fps=Fraction(24000, 1001))
    plate = probe_plate(path)
    expected = list(PlateReader(path, plate).frames())
    with av.open(str(path)) as container:
        size = sum(plane.buffer_size for plane in next(container.decode(video=0)).planes)
    monkeypatch.setattr(kept, "MOST", room * size)
    with keep_frames():
        reader, other = PlateReader(path, plate), PlateReader(path, plate)
        for frames in (reader.frames(), reader.frames(), other.frames(4, 17), other.chosen([0, 8, 9, 10, 19])):
            for frame in frames:
                assert frame.time == expected[frame.index].time and np.array_equal(frame.pixels, expected[frame.index].pixels)
        assert [f.index for f in other.chosen([0, 8, 9, 10, 19])] == [0, 8, 9, 10, 19]
        path.unlink()
        there = sum(1 for _ in reader.frames(0, min(room, 20)))
        assert there == min(room, 20)
        if there < 20:
            with pytest.raises(MienError, match="does not exist"):
                list(reader.frames())


def test_frames_of_one_movie_alone_are_kept_and_not_for_ever(tmp_path):
    one, two = movie(tmp_path / "one.mp4"), movie(tmp_path / "two.mp4", frames=12)
    plates = probe_plate(one), probe_plate(two)
    with keep_frames():
        first, second = PlateReader(one, plates[0]), PlateReader(two, plates[1])
        assert len(list(first.frames())) == 20 and len(list(second.frames())) == 12
        two.unlink()
        with pytest.raises(MienError, match="does not exist"):
            list(second.frames())
    later = PlateReader(one, plates[0])
    list(later.frames())
    one.unlink()
    with pytest.raises(MienError, match="does not exist"):
        list(later.frames())


def test_a_seek_decodes_little(tmp_path, monkeypatch):
    """Reading one late frame must not decode the whole movie."""
    path = movie(tmp_path / "a.mp4", frames=60, gop=6)
    reader = PlateReader(path, probe_plate(path))
    seen = []
    decoded = PlateReader._decoded

    def counted(self, *arguments):
        for item in decoded(self, *arguments):
            seen.append(item[0])
            yield item

    monkeypatch.setattr(PlateReader, "_decoded", counted)
    assert reader.frame(50).index == 50
    assert seen[-1] == 50 and len(seen) <= 6


@pytest.mark.parametrize("turn, mirror", [(90, False), (180, False), (-90, False), (0, True), (90, True)])
def test_the_display_matrix_is_applied(tmp_path, turn, mirror):
    path = movie(tmp_path / "phone.mp4", turn=turn, mirror=mirror)
    plate = probe_plate(path)
    assert (plate.width, plate.height) == ((48, 64) if turn in (90, -90) else (64, 48))
    stored = reference(path)[0]
    flipped = stored[:, ::-1] if mirror else stored
    with av.open(str(path)) as container:  # the matrix itself says where the stored corner goes
        side = next(data for data in next(container.decode(video=0)).side_data if data.type.name == "DISPLAYMATRIX")
        a, b, _, c, d, _, *_ = np.frombuffer(side, np.int32).astype(np.int64) // 65536
    pixels = PlateReader(path, plate).frame(0).pixels
    y, x = np.mgrid[:48, :64]
    seen_x, seen_y = a * x + c * y, b * x + d * y
    expected = np.zeros_like(pixels)
    expected[seen_y - seen_y.min(), seen_x - seen_x.min()] = stored
    np.testing.assert_array_equal(pixels, expected)
    if not mirror:
        np.testing.assert_array_equal(pixels, np.rot90(flipped, (360 - plate.rotation) // 90 % 4))


def test_a_variable_rate_keeps_its_times(tmp_path):
    times = np.cumsum([0, 400, 700, 350, 512, 512, 900, 300, 450, 610]).tolist()
    path = movie(tmp_path / "vfr.mp4", frames=10, times=times, tick=Fraction(1, 12800))
    plate = probe_plate(path)
    assert plate.variable_rate and plate.frame_count == 10
    assert [f.time for f in PlateReader(path, plate).frames()] == pytest.approx([t / 12800 for t in times], abs=1e-6)
    assert PlateReader(path, plate).frame(7).time == pytest.approx(times[7] / 12800, abs=1e-6)


@pytest.mark.parametrize("rate", [(24000, 1001), (30000, 1001), (1000000, 33333), (25, 1), (60, 1)])
def test_rates_stay_fractions(tmp_path, rate):
    plate = probe_plate(movie(tmp_path / "a.mov", frames=12, fps=Fraction(*rate)))
    assert (plate.fps, plate.variable_rate, plate.frame_count) == (rate, False, 12)


def test_one_frame_and_odd_sizes(tmp_path):
    path = movie(tmp_path / "one.mp4", frames=1, width=65, height=47, pix_fmt="yuv444p")
    plate = probe_plate(path)
    assert (plate.width, plate.height, plate.frame_count, plate.fps) == (65, 47, 1, (25, 1))
    np.testing.assert_array_equal(PlateReader(path, plate).frame(0).pixels, reference(path)[0])


def test_deep_movies_come_with_sixteen_bits(tmp_path):
    path = movie(tmp_path / "ten.mp4", pix_fmt="yuv420p10le")
    plate = probe_plate(path)
    pixels = PlateReader(path, plate).frame(3).pixels
    assert plate.bits == 16 and pixels.dtype == np.uint16 and pixels.shape == (48, 64, 3)
    np.testing.assert_array_equal(pixels, reference(path, "rgb48le")[3])


def test_alpha_is_kept(tmp_path):
    path = movie(tmp_path / "alpha.mov", codec="png", pix_fmt="rgba", channels=4)
    plate = probe_plate(path)
    assert plate.alpha and plate.bits == 8
    np.testing.assert_array_equal(PlateReader(path, plate).frame(5).pixels, picture(5, channels=4))
    deep = movie(tmp_path / "deep.mov", codec="prores_ks", pix_fmt="yuva444p10le", channels=4)
    plate = probe_plate(deep)
    pixels = PlateReader(deep, plate).frame(0).pixels
    assert (plate.alpha, plate.bits, pixels.dtype, pixels.shape) == (True, 16, np.uint16, (48, 64, 4))
    assert np.abs(pixels[..., 3] / 257.0 - picture(0, channels=4)[..., 3]).max() < 2


def test_frames_hidden_by_an_edit_list_do_not_count(tmp_path):
    source = movie(tmp_path / "full.mp4", gop=7)
    path = tmp_path / "edited.mp4"
    with av.open(str(source)) as full, av.open(str(path), "w") as cut:
        stream = cut.add_stream_from_template(full.streams.video[0], opaque=True)
        step = int(1 / Fraction(25) / full.streams.video[0].time_base)
        for packet in full.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - 5 * step, packet.dts - 5 * step, stream
                cut.mux(packet)
    plate = probe_plate(path)
    assert plate.frame_count == 15
    expected = reference(source)[5:]
    for i in (0, 3, 9):
        np.testing.assert_array_equal(PlateReader(path, plate).frame(i).pixels, expected[i])


def test_sequences(tmp_path):
    for i in range(5):
        write_png(tmp_path / f"shot_v001.{1001 + i}.png", picture(i, 33, 21))
    plate = probe_plate(tmp_path / "shot_v001.####.png")
    assert (plate.kind, plate.width, plate.height, plate.fps) == ("sequence", 33, 21, (24, 1))
    assert (plate.first_frame, plate.frame_count, plate.bits, plate.linear, plate.audio) == (1001, 5, 8, False, False)
    assert plate.path == (tmp_path / "shot_v001.####.png").as_posix()
    for way in ("shot_v001.%04d.png", "shot_v001.1003.png"):
        assert probe_plate(tmp_path / way) == plate
    frames = list(PlateReader(Path(plate.path), plate).frames(2))
    assert [f.index for f in frames] == [2, 3, 4] and frames[0].time == pytest.approx(2 / 24)
    np.testing.assert_array_equal(frames[0].pixels, picture(2, 33, 21))
    assert probe_plate(tmp_path / "shot_v001.####.png", fps=(24000, 1001)).fps == (24000, 1001)
    later = probe_plate(tmp_path / "shot_v001.####.png", first_frame=1003)
    assert (later.first_frame, later.frame_count) == (1003, 3)
    np.testing.assert_array_equal(PlateReader(Path(later.path), later).frame(0).pixels, picture(2, 33, 21))
    (tmp_path / "shot_v001.1002.png").unlink()
    with pytest.raises(MienError, match="lacks frame 1002"):
        probe_plate(tmp_path / "shot_v001.####.png")


def test_numbers_may_outgrow_their_digits(tmp_path):
    for number in (98, 99, 100, 101):
        write_png(tmp_path / f"a{number:02d}.png", picture(number, 16, 8))
    write_png(tmp_path / "a0099.png", picture(0, 16, 8))  # of another sequence
    plate = probe_plate(tmp_path / "a##.png")
    assert (plate.first_frame, plate.frame_count) == (98, 4)
    np.testing.assert_array_equal(PlateReader(Path(plate.path), plate).frame(3).pixels, picture(101, 16, 8))


def test_exr_sequences_are_linear(tmp_path):
    rng = np.random.default_rng(1)
    frames = [rng.normal(0.5, 1, (20, 30, 4)).astype(np.float16) for _ in range(3)]
    for i, pixels in enumerate(frames):
        write_exr(tmp_path / f"p.{i + 7:04d}.exr", pixels)
    plate = probe_plate(tmp_path / "p.####.exr")
    assert (plate.linear, plate.bits, plate.alpha, plate.first_frame) == (True, 32, True, 7)
    pixels = PlateReader(Path(plate.path), plate).frame(1).pixels
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, frames[1].astype(np.float32))


def test_sixteen_bit_stills_and_single_pictures(tmp_path):
    deep = picture(0, 30, 20, 4).astype(np.uint16) * 257
    write_png(tmp_path / "deep.png", deep)
    plate = probe_plate(tmp_path / "deep.png")
    assert (plate.bits, plate.alpha, plate.frame_count, plate.first_frame) == (16, True, 1, 1)
    np.testing.assert_array_equal(PlateReader(Path(plate.path), plate).frame(0).pixels, deep)


def truncated_movie(folder: Path) -> Path:
    data = movie(folder / "whole.mp4", frames=60, movflags="faststart").read_bytes()
    path = folder / "cut.mp4"
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def no_index(folder: Path) -> Path:
    data = movie(folder / "whole.mp4", frames=60).read_bytes()
    path = folder / "noindex.mp4"
    path.write_bytes(data[: len(data) // 2])
    return path


def sound_only(folder: Path) -> Path:
    path = folder / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        block.sample_rate = 48000
        container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path


def text(folder: Path, content: str = "this is no movie\n" * 40) -> Path:
    path = folder / "text.mp4"
    path.write_text(content)
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("make, says", [
    (truncated_movie, r"cut\.mp4 breaks off after frame \d+ of 60"),
    (no_index, r"noindex\.mp4 is cut short or damaged"),
    (sound_only, r"sound\.m4a has only sound"),
    (text, r"text\.mp4 is not a movie"),
    (lambda folder: text(folder, "ffconcat version 1.0\nfile whole.mp4\n"), r"text\.mp4 is not a movie"),
    (empty, r"empty\.mp4 is empty"),
    (lambda folder: folder, r"is a folder"),
    (lambda folder: folder / "missing.mp4", r"missing\.mp4 does not exist"),
    (lambda folder: folder / "missing.####.exr", r"names no file"),
])
def test_bad_footage_gives_one_sentence(tmp_path, make, says):
    path = make(tmp_path)
    with pytest.raises(MienError, match=says) as error:
        probe_plate(path)
    message = str(error.value)
    assert "\n" not in message and message.endswith(".") and str(tmp_path) in message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(tmp_path):
    path = movie(tmp_path / "a.mp4", frames=2)
    path.chmod(0)
    with pytest.raises(MienError, match="cannot be read"):
        probe_plate(path)


def test_damage_in_the_middle_names_the_frame(tmp_path):
    whole = movie(tmp_path / "whole.mp4", frames=60, movflags="faststart")
    plate = probe_plate(whole)
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle:middle + len(data) // 8] = bytes(len(data) // 8)
    path = tmp_path / "hit.mp4"
    path.write_bytes(data)
    with pytest.raises(MienError, match=r"hit\.mp4 breaks off after frame \d+ of 60"):
        list(PlateReader(path, replace(plate, fingerprint="")).frames())


def test_other_footage_is_refused(tmp_path):
    path = movie(tmp_path / "a.mp4")
    plate = probe_plate(path)
    movie(path, frames=19)
    with pytest.raises(MienError, match="has changed since it was tracked"):
        PlateReader(path, plate)


def test_a_sequence_of_two_sizes_is_refused(tmp_path):
    for number, width in ((1, 30), (2, 31), (3, 30)):
        write_png(tmp_path / f"a.{number:04d}.png", picture(0, width, 20))
    plate = probe_plate(tmp_path / "a.####.png")
    with pytest.raises(MienError, match="frame 2 is 31 x 20"):
        list(PlateReader(Path(plate.path), plate).frames())


@pytest.mark.clips
def test_the_test_clips_are_what_their_list_says(clips):
    with (clips / "manifest.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert rows
    for row in rows:
        plate = probe_plate(clips / row["file"])
        rate = Fraction(row["fps"])
        assert (plate.width, plate.height, plate.frame_count) == (int(row["width"]), int(row["height"]), int(row["frames"])), row["file"]
        assert plate.rate == rate and plate.audio == (row["audio"] != "none") and not plate.variable_rate, row["file"]
