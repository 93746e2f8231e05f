# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfer functions, the conversions between pixel types, EXR files and the Y'CbCr matrices."""

from __future__ import annotations

import av
import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.neural.media import (
    display8,
    linear_to_srgb,
    read_exr,
    read_still,
    srgb_to_linear,
    to_display,
    to_linear,
    write_exr,
    write_face_layer,
    write_matte,
    write_png,
)
from mien.neural.media.colour import as_half, to_half
from mien.neural.media.yuv import decode_bias, to_yuv


class TestTransfer:
    def test_known_values(self):
        # IEC 61966-2-1: the knee, mid grey and the ends.
        np.testing.assert_allclose(srgb_to_linear(np.array([0, 0.04045, 0.5, 1.0])), [0, 0.0031308, 0.2140411, 1], atol=1e-6)

    def test_inverse(self):
        x = np.linspace(-0.2, 4, 10001)
        np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(x)), x, atol=1e-12)
        np.testing.assert_allclose(srgb_to_linear(linear_to_srgb(x)), x, atol=1e-12)
        assert srgb_to_linear(x.astype(np.float32)).dtype == np.float32

    def test_every_code_survives_half_float(self):
        codes = np.arange(256, dtype=np.uint8)
        half = srgb_to_linear(codes / 255.0).astype(np.float16)
        np.testing.assert_array_equal(np.rint(linear_to_srgb(half.astype(np.float64)) * 255), codes)
        picture = np.repeat(codes[None, :, None], 3, axis=2)
        np.testing.assert_array_equal(display8(to_half(picture).astype(np.float32), True), picture)

    @pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3), (1, 7, 4)])
    def test_half_floats_are_rounded_as_numpy_does(self, shape):
        rng = np.random.default_rng(0)
        x = (rng.normal(0, 1, shape) * np.exp(rng.normal(0, 5, shape))).astype(np.float32)
        np.testing.assert_array_equal(as_half(x), np.clip(x, -65504.0, 65504.0).astype(np.float16))

    def test_sixteen_bits_survive_linear_float(self):
        codes = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
        np.testing.assert_array_equal(to_display(to_linear(codes)), codes)


class TestDisplay:
    def test_types(self):
        codes = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
        assert np.shares_memory(display8(codes, False), codes)
        np.testing.assert_array_equal(display8(codes, False), codes)
        np.testing.assert_array_equal(display8(codes.astype(np.uint16) * 257, False), codes)
        np.testing.assert_array_equal(display8(srgb_to_linear(codes / np.float32(255)).astype(np.float32), True), codes)
        np.testing.assert_array_equal(display8((codes / np.float32(255)).astype(np.float32), False), codes)

    def test_alpha_is_left_out_and_extremes_are_clipped(self):
        pixels = np.array([[[np.nan, np.inf, -1, 1], [70000, 0, 0.5, 0]]], np.float32)
        shown = display8(pixels, True)
        assert shown.shape == (1, 2, 3) and shown.flags.c_contiguous
        np.testing.assert_array_equal(shown, [[[0, 255, 0], [255, 0, 188]]])

    def test_alpha_is_premultiplied_and_back(self):
        straight = np.array([[[200, 100, 50, 128], [10, 20, 30, 255], [1, 2, 3, 0]]], np.uint8)
        linear = to_linear(straight)
        np.testing.assert_allclose(linear[0, 0, :3], srgb_to_linear(np.array([200, 100, 50]) / 255) * (128 / 255), rtol=1e-6)
        back = to_display(linear, np.uint8)
        np.testing.assert_array_equal(back[0, :2], straight[0, :2])
        np.testing.assert_array_equal(back[0, 2], 0)


class TestExr:
    def test_face_layer(self, tmp_path):
        rng = np.random.default_rng(0)
        patch = rng.random((8, 10, 4)).astype(np.float32)
        path = tmp_path / "bake" / "face.0001.exr"
        write_face_layer(path, patch, origin=(5, 3), size=(40, 30))
        layer = read_exr(path)
        assert layer.shape == (30, 40, 4) and layer.dtype == np.float32
        np.testing.assert_array_equal(layer[3:11, 5:15], patch.astype(np.float16))
        layer[3:11, 5:15] = 0
        assert not layer.any()
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_matte(self, tmp_path):
        matte = np.linspace(0, 1, 300).reshape(15, 20)
        write_matte(tmp_path / "m.exr", matte)
        np.testing.assert_array_equal(read_exr(tmp_path / "m.exr"), matte.astype(np.float16))

    def test_large_values_stay_finite(self, tmp_path):
        write_exr(tmp_path / "a.exr", np.full((2, 2, 3), 1e9, np.float32))
        assert np.isfinite(read_exr(tmp_path / "a.exr")).all()
        write_exr(tmp_path / "b.exr", np.full((2, 2, 3), 1e9, np.float32), full_float=True)
        np.testing.assert_array_equal(read_exr(tmp_path / "b.exr"), np.float32(1e9))

    def test_layers_and_data_windows_of_other_programs(self, tmp_path):
        import OpenEXR

        rng = np.random.default_rng(0)
        planes = {f"ViewLayer.Combined.{c}": rng.random((4, 5)).astype(np.float16) for c in "RGBA"}
        header = {"dataWindow": (np.array([3, 1], np.int32), np.array([7, 4], np.int32)),
                  "displayWindow": (np.array([2, 0], np.int32), np.array([9, 8], np.int32))}
        channels = {name: OpenEXR.Channel(plane) for name, plane in planes.items()}
        channels["ViewLayer.Depth.Z"] = OpenEXR.Channel(rng.random((4, 5)).astype(np.float32))
        OpenEXR.File(header, channels).write(str(tmp_path / "a.exr"))
        pixels = read_exr(tmp_path / "a.exr")
        assert pixels.shape == (9, 8, 4)
        np.testing.assert_array_equal(pixels[1:5, 1:6], np.stack(list(planes.values()), -1))
        assert pixels.sum() == pytest.approx(sum(p.sum(dtype=np.float64) for p in planes.values()), rel=1e-3)

    def test_bad_files(self, tmp_path):
        with pytest.raises(MienError, match=r"a\.exr is missing"):
            read_exr(tmp_path / "a.exr")
        (tmp_path / "a.exr").write_text("no picture")
        with pytest.raises(MienError, match=r"a\.exr cannot be read as EXR"):
            read_exr(tmp_path / "a.exr")

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "bake").write_text("a file where a folder is wanted")
        with pytest.raises(MienError, match="Cannot write"):
            write_matte(tmp_path / "bake" / "m.exr", np.zeros((4, 4)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
def test_png_is_exact(tmp_path, dtype, channels):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, np.iinfo(dtype).max, (17, 23, channels), dtype=dtype, endpoint=True)
    write_png(tmp_path / "a é.png", pixels)
    read = read_still(tmp_path / "a é.png")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, pixels)


class TestMatrices:
    @pytest.mark.parametrize("colorspace", [1, 2, 9])
    @pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p10le", "yuv444p10le"])
    def test_the_decoder_gives_the_colours_back(self, pix_fmt, colorspace):
        """Flat colours through our matrix and FFmpeg's inverse, with the decoder's own bias taken out."""
        rng = np.random.default_rng(0)
        colours = rng.integers(30, 225, (40, 3))
        pixels = np.repeat(np.repeat(colours.reshape(5, 8, 3), 16, 0), 16, 1).astype(np.uint8)
        bias = decode_bias(pix_fmt, colorspace, False)
        frame = to_yuv(pixels, pix_fmt, colorspace, bias)
        frame.colorspace, frame.color_range = colorspace, 1
        deep = pix_fmt.endswith("le")
        seen = frame.to_ndarray(format="rgb48le" if deep else "rgb24") / (257 if deep else 1)
        difference = (seen - pixels)[4::16, 4::16]
        assert np.abs(difference.mean(axis=(0, 1))).max() < 0.35
        assert np.abs(difference).max() < (1.2 if deep else 2.5)

    def test_black_and_white_stay(self):
        pixels = np.zeros((16, 32, 3), np.uint8)
        pixels[:, 16:] = 255
        frame = to_yuv(pixels, "yuv420p", 1, (1.0, 1.4, 1.0))
        luma = np.frombuffer(frame.planes[0], np.uint8).reshape(16, -1)
        assert set(luma[:, :16].ravel()) == {16} and set(luma[:, 16:32].ravel()) == {235}

    def test_a_decoded_picture_goes_back_to_its_own_planes(self):
        """4:2:0 -> RGB as the reader does it -> 4:2:0: chroma the same, luma without an offset."""
        rng = np.random.default_rng(5)
        source = av.VideoFrame(128, 96, "yuv420p")
        smooth = np.add.outer(np.linspace(70, 150, 96), np.linspace(-10, 40, 128)) + rng.normal(0, 2, (96, 128))
        for plane, values in zip(source.planes, (smooth, 128 + smooth[::2, ::2] / 10, 140 - smooth[::2, ::2] / 12)):
            np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, :plane.width] = values
        source.colorspace, source.color_range = 1, 1
        rgb = source.to_ndarray(format="rgb24")
        back = to_yuv(rgb, "yuv420p", 1, decode_bias("yuv420p", 1, False))
        for k, (ours, theirs) in enumerate(zip(back.planes, source.planes)):
            a, b = (np.frombuffer(p, np.uint8).reshape(p.height, -1)[:, :p.width].astype(int) for p in (ours, theirs))
            assert abs((a - b).mean()) < (0.25 if k == 0 else 0.05)
            assert np.abs(a - b).max() <= 1
