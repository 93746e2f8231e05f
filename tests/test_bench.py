# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark makes of its numbers: figures out of Blender's benchmarks, and the table against the budgets."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "bench.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("mien_bench", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_are_found_in_what_blender_printed(bench):
    printed = {"import_shot.py": f"{'import':42s} {123.4:8.1f} ms\n{'import again':42s} {99.0:8.1f} ms\n{'scrub, one frame':42s} {7.5:8.1f} ms\n",
               "live_edit.py": " 34950 vertices, live edit analytic: frame_set  21.50 ms, write  3.00 ms (300 frames)\n"
                               " 34950 vertices, live edit off     : frame_set  11.00 ms\n"}
    assert bench.numbers(printed) == {"import into Blender": 123.4, "import again": 99.0, "scrub, one frame": 7.5, "live edit, 35,000 vertices": 21.5}
    assert bench.numbers({"import_shot.py": "failed: no Blender"}) == {}


def test_every_figure_has_its_unit_and_says_whether_it_is_within(bench, capsys):
    stage = {"seconds": 2.0, "ms_per_frame": 5.0, "frames_per_second": 150.0, "peak_mb": 900}
    bench.tell({"plate": "plate_300.mp4", "frames": 300, "machine": "x86_64, 2 CPU cores", "start": {"seconds": 1.0}, "stages": {"solve": stage},
                "references": {}, "ratios": {}, "rebake": {"frames_renewed": 22},
                "figures": {"level 1, whole clip": 40.0, "peak memory of any stage": 3000.0, "import again": 5.0}})
    lines = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["level 1, whole clip"].endswith("within") and lines["peak memory of any stage"].endswith("OVER")
    assert set(bench.PRINTED) <= set(bench.FIGURES)
