# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien evaluate`: a clip against itself and against a damaged copy, the sweep, the report, exit codes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mien.mesh.errors import MienError
from mien.neural import cli
from mien.neural.charts import line_chart, ticks
from mien.neural.clip_meter import ClipMeter
from mien.neural.edit import EditSettings
from mien.neural.evaluate import Weights, as_json, clip_page, evaluate_clip
from mien.neural.metrics import face
from mien.neural.progress import Silent
from mien.neural.report import Page
from mien.neural.studies.sweep import sweep
from mien.tests.neural.portraits import portrait, write_movie

VOID = {"meta", "img", "path", "rect", "br", "col"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed wrongly; keeps what would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.outside += [v for k, v in attributes if k in ("src", "href") and v and not v.startswith("data:")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def check_page(html: str) -> None:
    parser = Balanced()
    parser.feed(html)
    text = re.sub(r'"data:image[^"]*"', "", html)
    assert not parser.open and not parser.outside and "NaN" not in text and ">nan" not in text


def values(result) -> dict[str, float | None]:
    return {m.name: m.value for m in result.measures}


@pytest.fixture(scope="module")
def identity_network(tmp_path_factory) -> Path:
    """A "face network" that looks at the mean colour."""
    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3))
    path = tmp_path_factory.mktemp("net") / "identity.pt2"
    torch.export.save(torch.export.export(Mean(), (torch.zeros(1, 3, 256, 256),)), path)
    return path


@pytest.fixture(scope="module")
def against_itself(portrait_plate, solved_portrait, identity_network):
    return evaluate_clip(portrait_plate, portrait_plate, shot=solved_portrait, output_shot=solved_portrait, references=[portrait_plate],
                         weights=Weights(identity=identity_network), report=Silent())


class TestClip:
    def test_a_plate_against_itself(self, against_itself):
        v = values(against_itself)
        assert v["frames with the face in both"] == v["frames of the plate"] == 10
        for name in ("FAPD", "MAPD", "APD (pixels)", "outside, largest difference", "outside, 99th percentile", "AED", "APD (pose)",
                     *face.LABELS.values()):
            assert v[name] == 0, name
        for name in ("SSIM, face", "gain of the gap", "correlation of the gap", "jitter", "ID", "frame rates equal"):
            assert v[name] == pytest.approx(1), name
        assert v["Frechet distance of geometry"] == pytest.approx(0, abs=1e-6)
        assert v["FID, face network"] == pytest.approx(0, abs=1e-9)
        assert v["CPBD, plate"] == v["CPBD, output"]
        assert v["PSNR"] is None

    def test_what_has_no_weights_says_so(self, against_itself):
        text = {m.name: m.text for m in against_itself.measures}
        for name, what in (("FED", "AffectNet"), ("FID", "Inception"), ("LSE-D", "sound in the plate"), ("LIE (eq. 8)", "sweep")):
            assert text[name].startswith("not measured: needs ") and what in text[name]

    def test_a_blurred_copy_with_a_frame_less(self, portrait_plate, tmp_path):
        frames = [cv2.GaussianBlur(portrait(0.7 * i), (0, 0), 1.5) for i in range(9)]
        v = values(evaluate_clip(portrait_plate, write_movie(tmp_path / "blur.mov", frames), report=Silent()))
        assert v["frames of the output"] == 9 and v["frames with the face in both"] == 9
        assert v["CPBD, output"] < v["CPBD, plate"] - 0.05 and v["SSIM, face"] < 0.98 and 20 < v["PSNR"] < 45
        assert v["outside, largest difference"] > 0 and v["AED"] is None

    def test_pages_and_json_are_whole(self, against_itself):
        check_page(clip_page(against_itself).html("mien evaluate <a> & b", {"mien": "1"}))
        data = json.loads(json.dumps(as_json(against_itself), allow_nan=False))
        assert data["kind"] == "clip" and len(data["series"]["fapd"]) == 10 and data["versions"]["numpy"]

    def test_sizes_must_agree(self, portrait_plate, tmp_path):
        other = write_movie(tmp_path / "small.mov", [np.zeros((64, 64, 3), np.uint8)] * 2)
        with pytest.raises(MienError, match="64 x 64"):
            evaluate_clip(portrait_plate, other, report=Silent())

    def test_no_face(self, tmp_path):
        empty = write_movie(tmp_path / "empty.mov", [np.full((128, 128, 3), 90, np.uint8)] * 2)
        with pytest.raises(MienError, match="No face"):
            evaluate_clip(empty, empty, report=Silent())

    def test_a_shot_of_other_footage(self, portrait_plate, solved_portrait, tmp_path):
        other = write_movie(tmp_path / "other.mov", [portrait()] * 2)
        with pytest.raises(MienError, match="other footage"):
            evaluate_clip(other, other, shot=solved_portrait, report=Silent())


def test_the_meter_compares_one_face_only():
    """Landmarks of two people on the two clips are not compared; the pictures still are."""
    meter = ClipMeter(25, {}, None)
    picture = np.zeros((100, 100, 3), np.uint8)
    there = np.random.default_rng(0).uniform(0, 20, (478, 3)).astype(np.float32)
    meter.add(picture, picture, there, there + 70)
    assert meter.seen == 0 and meter.frames == 1 and np.isnan(meter.series()["fapd"][0]) and meter.series()["apd"][0] == 0


@pytest.fixture(scope="module")
def happy(solved_portrait):
    return sweep(solved_portrait, "happy", steps=4, samples=2, report=Silent())


class TestSweep:
    def test_the_mesh_moves_linearly_and_the_smile_grows(self, happy):
        v = {m.name: m for m in happy.measures()}
        assert v["LIE, mesh"].value == pytest.approx(0, abs=1e-4)  # the recipes are linear
        assert 0 <= v["LIE, pixels"].value < 0.5 and v["LIE, texture"].value > 0
        assert v["LIE, LPIPS (eq. 8)"].text.startswith("not measured: needs LPIPS")
        assert v[face.LABELS["corner_up"]].value > 0.02
        assert happy.intensities.tolist() == [0, 0.25, 0.5, 0.75, 1] and happy.distances["mesh"].shape == (4, 2)

    def test_with_the_shape_gan(self, solved_portrait, happy):
        v = {m.name: m for m in sweep(solved_portrait, "happy", steps=4, samples=1, settings=EditSettings(editor="gan"), report=Silent()).measures()}
        assert 1e-3 < v["LIE, mesh"].value < 0.25 and v["LIE, pixels"].value < 0.25
        assert v[face.LABELS["corner_up"]].value > 0.02

    def test_the_report(self, happy, tmp_path):
        from mien.neural.studies.sweep import write_results
        write_results([happy], html=tmp_path / "s.html", json=tmp_path / "s.json")
        check_page((tmp_path / "s.html").read_text(encoding="utf-8"))
        assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["emotion"] == "happy"

    def test_several_emotions_in_one_report(self, happy, tmp_path):
        from mien.neural.studies.sweep import write_results
        write_results([happy, happy], html=tmp_path / "s.html", json=tmp_path / "s.json")
        html = (tmp_path / "s.html").read_text(encoding="utf-8")
        check_page(html)
        assert html.count("<img") == 1 and html.count("<svg") == 5 and "needs LPIPS" in html
        assert len(json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["sweeps"]) == 2

    def test_unknown_emotion(self, solved_portrait):
        with pytest.raises(MienError, match="bored"):
            sweep(solved_portrait, "bored", report=Silent())


class TestCommand:
    def test_it_prints_and_writes(self, portrait_plate, tmp_path, capsys):
        page, data = tmp_path / "r.html", tmp_path / "r.json"
        assert cli.main(["evaluate", str(portrait_plate), str(portrait_plate), "-o", str(page), "--json", str(data)]) == 0
        assert "CPBD, output" in capsys.readouterr().out and page.exists() and data.exists()

    @pytest.mark.parametrize("arguments", ["evaluate", "evaluate a.mp4", "evaluate a.mp4 b.mp4 -o r.pdf", "evaluate sweep", "evaluate sweep s.mien",
                                           "evaluate sweep s.mien --emotion happy --steps 1", "evaluate sweep s.mien --emotion happy --samples x"])
    def test_wrong_usage(self, arguments, capsys):
        assert cli.main(arguments.split()) == 2

    @pytest.mark.parametrize("arguments", ["evaluate none.mp4 none.mp4", "evaluate sweep none.mien --emotion happy",
                                           "evaluate none.mp4 none.mp4 -o x.html --json x.html"])
    def test_failure_is_one_sentence(self, arguments, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert cli.main(arguments.split()) == 1
        assert capsys.readouterr().err.strip().count("\n") == 0


class TestCharts:
    def test_ticks_are_round(self):
        np.testing.assert_allclose(ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1])
        np.testing.assert_allclose(ticks(-0.03, 0.02), [-0.03, -0.02, -0.01, 0, 0.01, 0.02])
        assert ticks(3, 3) == [3]

    def test_gaps_interrupt_a_line_and_text_is_escaped(self):
        svg = line_chart("a < b", {"x & y": ([0, 1, 2, 3], [1, np.nan, 2, 3]), "z": ([0, 3], [0, 1])}, "t", "v")
        assert svg.count("M") >= 3 and "a &lt; b" in svg and "x &amp; y" in svg and "nan" not in svg

    def test_nothing_to_draw(self):
        assert line_chart("none", {"x": ([0, 1], [np.nan, np.nan])}, "t", "v") == ""
        assert "svg" in line_chart("one", {"x": ([0], [2.0])}, "t", "v")

    def test_a_page_is_written_whole(self, tmp_path):
        page = Page("<title>", "lead")
        page.table(["a", "b"], [[1, "<2>"]])
        page.text("t")
        page.write(tmp_path / "p.html", "mien")
        html = (tmp_path / "p.html").read_text(encoding="utf-8")
        check_page(html)
        assert "&lt;2&gt;" in html
        with pytest.raises(MienError):
            page.write(tmp_path / "p.html" / "q.html", "mien")
