# SPDX-License-Identifier: GPL-3.0-or-later
"""The studies on a small real plate: what must come out where the answer is known, their reports, and their commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mien.mesh.errors import MienError
from mien.mesh.shot import Shot
from mien.neural import cli
from mien.neural.charts import bar_chart
from mien.neural.evaluate import Weights
from mien.neural.metrics.measure import Measure
from mien.neural.progress import Silent
from mien.neural.shape_gan.takes import Take
from mien.neural.studies import ablation, collection, cross, reenact, table
from mien.neural.studies.run import Variant, by_name, chosen_frames, comparison, run_variants, strip
from mien.tests.neural.test_metrics_evaluate import check_page

HAPPY = {"happy": 1.0}


def numbers(measures) -> dict[str, float | None]:
    return {name: m.value for name, m in by_name(measures).items()}


def check_files(write, result, folder: Path, kind: str) -> dict:
    """Both files of a study; the JSON's content."""
    write(result, html=folder / "r.html", json=folder / "r.json")
    check_page((folder / "r.html").read_text(encoding="utf-8"))
    data = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    assert data["kind"] == kind and data["command"] and data["versions"]["numpy"]
    return data


class TestRun:
    def test_a_variant_that_changes_nothing_measures_nothing(self, solved_portrait):
        shot = Shot.load(solved_portrait)
        dark = lambda f: f.__class__(**{**f.__dict__, "pixels": f.pixels // 2})  # noqa: E731
        run = run_variants(shot, [Variant("same", "", lambda f: f), Variant("dark", "", dark)], range(2, 7), Weights(), Silent(), "test")
        same, half = run.variants
        assert same.meter.seen == 5 and same.same_as_first and not half.same_as_first and half.from_first > 20
        v = numbers(same.meter.measures())
        assert v["FAPD"] == v["outside, largest difference"] == 0 and v["correlation of the gap"] == pytest.approx(1)
        assert numbers(half.meter.measures())["FAPD"] == pytest.approx(half.from_first, rel=0.3)  # in the face, and in its square
        assert [len(r) for r in (run.crops, same.crops, half.crops)] == [5, 5, 5] and run.frames_text == "frames 3 to 7"

    def test_frames_are_those_of_the_shot(self, solved_portrait):
        shot = Shot.load(solved_portrait)
        assert chosen_frames(shot, None) == list(range(10)) and chosen_frames(shot, (2, 4)) == [1, 2, 3]
        with pytest.raises(MienError, match="1 to 10"):
            chosen_frames(shot, (1, 11))

    def test_a_table_has_no_row_that_nobody_measured(self):
        a, b = {"x": Measure("", "x", 1.0, "mm", "lower")}, {"x": Measure("", "x", None), "y": Measure("", "y", None)}
        assert comparison(("x", "y"), {"a": a, "b": b}) == (["Metric", "a", "b", "Better"], [["x (mm)", 1.0, None, "lower"]])

    def test_a_sheet_has_a_row_for_each_name(self):
        faces = [np.full((256, 256, 3), 100, np.uint8)] * 3
        assert strip({"a": faces, "a very long name of a variant": faces}, ["1", "2", "3"], cell=100).shape == (24 + 2 * 104, 26 + 3 * 104, 3)


@pytest.fixture(scope="module")
def without_parts(solved_portrait):
    return ablation.ablation(solved_portrait, HAPPY, frames=(3, 6), report=Silent())


@pytest.mark.long
class TestAblation:
    def test_each_part_does_what_it_is_for(self, without_parts):
        v = {name: numbers(m) for name, m in without_parts.measures.items()}
        full = v["full"]
        assert full["mouth corners up"] > 0.02
        assert abs(v["without level 1"]["mouth corners up"]) < 0.5 * full["mouth corners up"]
        assert v["without level 1"]["FAPD"] < full["FAPD"]
        assert v["without soft mask"]["mouth corners up"] == pytest.approx(full["mouth corners up"], abs=0.01)

    def test_parts_that_do_nothing_are_said_and_not_shown(self, without_parts):
        assert all(v.from_first > 0 for v in without_parts.run.variants[1:])
        assert {v.name for v in without_parts.run.variants} | set(without_parts.absent) == {"full", *(p.name for p in ablation.PARTS)}

    def test_chosen_parts_alone(self, solved_portrait):
        result = ablation.ablation(solved_portrait, HAPPY, frames=(3, 5), parts=["level 1", "teeth"], report=Silent())
        assert set(result.measures) | set(result.absent) == {"full", "without level 1", "without teeth"}
        with pytest.raises(MienError, match="no part 'hair'; use one of level 1, level 2"):
            ablation.ablation(solved_portrait, HAPPY, parts=["hair"], report=Silent())

    def test_report(self, without_parts, tmp_path):
        data = check_files(ablation.write, without_parts, tmp_path, "ablation")
        assert set(data["variants"]) == set(without_parts.measures) and data["controls"] == HAPPY


@pytest.fixture(scope="module")
def reenacted(solved_portrait):
    return reenact.reenact(solved_portrait, apart=0.2, report=Silent())


class TestReenactment:
    def test_a_frame_of_its_own_pixels_is_itself(self, solved_portrait):
        """Moved by nothing, laid over itself: bit for bit the plate."""
        from mien.mesh.emotion import EmotionCurves
        from mien.neural.edit import EditSettings, ShotEditor
        from mien.neural.media import PlateReader
        shot = Shot.load(solved_portrait)
        editor = ShotEditor(shot, EmotionCurves.constant(shot.plate.frame_count), EditSettings(), Silent())
        frame = PlateReader(shot.plate_path, shot.plate).frame(4)
        maker = reenact.Reenactor(editor, 1, 1)
        maker.keep(4)
        np.testing.assert_array_equal(maker.of_still(frame).pixels, frame.pixels)

    def test_the_warp_beats_pixels_that_stay(self, reenacted):
        v = {name: numbers(m) for name, m in reenacted.measures.items()}
        assert v["frames before"]["PSNR, face"] > v["not moved"]["PSNR, face"] + 1
        assert v["frames before"]["FAPD"] < v["not moved"]["FAPD"] and v["frames before"]["SSIM, face"] > v["not moved"]["SSIM, face"]

    def test_report(self, reenacted, tmp_path):
        data = check_files(reenact.write, reenacted, tmp_path, "reenactment")
        assert len(data["variants"]) == 3 and data["apart"] == 5

    def test_too_short(self, solved_portrait):
        with pytest.raises(MienError, match="too few frames"):
            reenact.reenact(solved_portrait, frames=(1, 4), report=Silent())


@pytest.mark.long
class TestCross:
    def test_a_take_is_its_own_truth(self, solved_portrait, tmp_path):
        """The truth is the take itself: as filmed it is there already, and every edit leads away from it."""
        truth = cross.measure_truth(solved_portrait, None, Weights(), Silent())
        result = cross.cross(solved_portrait, truth, "happy", neutralise=0, report=Silent())
        v = {name: numbers(m) for name, m in result.measures.items()}
        for name in ("Frechet distance of geometry", "Frechet distance of the skin", "AED of the means"):
            assert v["as filmed"][name] == pytest.approx(0, abs=1e-3) and v["edited"][name] > 0.005, name
        assert "neutralised" not in v
        data = check_files(cross.write_cross, result, tmp_path, "cross")
        assert data["emotion"] == "happy" and data["distances"]["edited"]
        with pytest.raises(MienError, match="bored"):
            cross.cross(solved_portrait, truth, "bored", report=Silent())

    def test_labelled_takes(self, portrait_plate, solved_portrait, tmp_path):
        (tmp_path / "takes.csv").write_text("clip,actor,emotion,level\n" + "".join(
            f"{portrait_plate},A,{e},{n}\n" for e, n in (("neutral", ""), ("happy", 2))), encoding="utf-8")
        result = collection.collection(tmp_path / "takes.csv", tmp_path / "shots", most=5, report=Silent())
        assert len(result.crosses) == 1 and result.crosses[0].intensity == pytest.approx(2 / 3) and result.crosses[0].neutralise == 0
        assert len(list((tmp_path / "shots").iterdir())) == 2
        data = check_files(collection.write, result, tmp_path, "takes")
        assert data["means"]["edited"]["Frechet distance of geometry"] > data["means"]["as filmed"]["Frechet distance of geometry"]


class TestPairs:
    @staticmethod
    def take(emotion, actor="A", name="1"):
        return Take(Path(f"{name}.mp4"), actor, emotion, 3)

    def test_neutral_takes_are_edited_where_there_are_some(self):
        takes = [self.take("sad"), self.take("neutral"), self.take("angry"), self.take("angry", "B"), self.take("sad", "B")]
        pairs = [(p.source.actor, p.source.emotion, p.truth.emotion) for p in collection.pairs_of(takes)]
        assert pairs == [("A", "neutral", "sad"), ("A", "neutral", "angry"), ("B", "sad", "angry"), ("B", "angry", "sad")]

    def test_nothing_to_compare(self):
        with pytest.raises(MienError, match="two takes"):
            collection.pairs_of([self.take("sad"), self.take("sad", name="2"), self.take("angry", "B")])


class TestTable:
    def test_of_shots(self, solved_portrait, tmp_path):
        rows = table.shots_table([solved_portrait], {"surprised": 1.0}, frames=(3, 5), report=Silent())
        v = numbers(rows[0].measures)
        assert v["outside, largest difference"] == 0 and rows[0].frames == 3 and rows[0].what == "surprised 1"
        text = table.markdown(rows)
        lines = text.splitlines()
        assert lines[0].count("|") == lines[2].count("|") and "surprised 1" in lines[2] and "words on the lips" in lines[0]
        assert "CPU cores" in text and "FED" not in text
        table.write(rows, html=tmp_path / "t.html", json=tmp_path / "t.json", md=tmp_path / "t.md")
        check_page((tmp_path / "t.html").read_text(encoding="utf-8"))
        assert (tmp_path / "t.md").read_text(encoding="utf-8") == text

    def test_of_clips(self, portrait_plate, tmp_path, capsys):
        (tmp_path / "clips.csv").write_text(f"plate,output,label\n{portrait_plate},{portrait_plate},a | b\n", encoding="utf-8")
        assert cli.main(["evaluate", "table", str(tmp_path / "clips.csv"), "--markdown", str(tmp_path / "t.md")]) == 0
        assert "a \\| b" in (tmp_path / "t.md").read_text(encoding="utf-8") and "a \\| b" in capsys.readouterr().out

    @pytest.mark.parametrize("text, what",
                             [("plate,output\n", "lists no clips"), ("plate,output\na.mp4,\n", "line 2: 'output' is missing"), ("x\n1\n", "plate")])
    def test_what_is_no_table(self, tmp_path, text, what):
        (tmp_path / "clips.csv").write_text(text, encoding="utf-8")
        with pytest.raises(MienError, match=what):
            table.read_clips(tmp_path / "clips.csv")


class TestCommand:
    @pytest.mark.parametrize("arguments",
                             ["ablation", "ablation s.mien", "ablation s.mien --emotion bored=1", "reenact", "reenact s.mien --frames 9-2",
                                           "reenact s.mien --frames 5", "cross a.mien b.mien", "takes", "table", "table a.csv -o x.pdf",
                                           "ablation s.mien --emotion happy=1 --variant folder"])
    def test_wrong_usage(self, arguments, capsys):
        assert cli.main(["evaluate", *arguments.split()]) == 2

    @pytest.mark.parametrize("arguments", ["ablation none.mien --emotion happy=1", "reenact none.mien", "cross none.mien none.mien --emotion sad",
                                           "cross none.mien none.mien --emotion sad=3", "takes none.csv", "table none.csv",
                                           "sweep none.mien --emotion sad --alexnet a.pth", "reenact none.mien -o a.html --json a.html"])
    def test_failure_is_one_sentence(self, arguments, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert cli.main(["evaluate", *arguments.split()]) == 1
        assert capsys.readouterr().err.strip().count("\n") == 0

    def test_reenact_prints_and_writes(self, solved_portrait, tmp_path, capsys):
        assert cli.main(["evaluate", "reenact", str(solved_portrait), "--frames", "2-9", "--apart", "0.1", "--json", str(tmp_path / "r.json")]) == 0
        assert "PSNR, face (dB)" in capsys.readouterr().out and (tmp_path / "r.json").exists()


class TestBars:
    def test_bars_are_as_high_as_their_values(self):
        svg = bar_chart("t", {"a": [1.0, -1.0], "b": [None, 2.0]}, ["x", "y"], "v")
        heights = [float(part.partition('"')[0]) for part in svg.split('height="')[1:] if not part.startswith("4")]
        assert len(heights) == 3 and heights[0] == pytest.approx(heights[1], abs=0.2) and heights[2] == pytest.approx(2 * heights[0], abs=0.2)

    def test_long_names_lie(self):
        names = [f"a rather long name of sign {i}" for i in range(9)]
        svg = bar_chart("t", {"a": list(range(9))}, names, "v")
        assert all(n in svg for n in names) and "…" not in svg

    def test_nothing_to_draw(self):
        assert bar_chart("t", {"a": [None, float("nan")]}, ["x", "y"], "v") == ""
