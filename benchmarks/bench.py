# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast, and in how much memory: the stages of a shot on a 720p plate, each in a process of its own as a user runs them.

    python benchmarks/bench.py [--quick] [--frames 300] [--plate clip.mp4] [--history]

The plate is the demo's, to and fro, in the middle of a 1280 x 720 picture; it is kept in out/bench. Every run is kept in benchmarks/results
(its README says what the numbers are). Nothing is asserted here. All of it takes up to a quarter of an hour on two idle cores (and some minutes
more the first time, to make the plates); --quick leaves out the longer plates and Blender.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from mien.mesh.files import read_json, write_json
from mien.neural.charts import line_chart
from mien.neural.demo.plate import make_plate
from mien.neural.demo.voice import voice
from mien.neural.demo.writer import write_movie
from mien.neural.media import PlateReader, probe_plate
from mien.neural.report import Page, command_line, versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
WIDTH, HEIGHT = 1280, 720
LINEARITY = (300, 1200, 3000)
BUDGETS = {"track": 8.0, "solve": 5.0, "all at once": 1000 / 15}
"""ms a frame at 720p on two CPU cores."""
FIGURES = {"level 1, whole clip": ("ms", 50.0), "StyleGAN2 generator, 512 x 512": ("ms", None), "import into Blender": ("ms", 500.0),
           "import again": ("ms", None), "scrub, one frame": ("ms", 1000 / 24), "live edit, 35,000 vertices": ("ms a frame", 1000 / 24),
           "re-bake after touching 20 frames": ("frames' cost", 22.0), "peak memory of any stage": ("MB", 2048.0),
           "growth of memory, 300 to 3,000 frames": ("%", 10.0)}
"""What is one number: its unit, and the most it is to be."""
PRINTED = {"import into Blender": r"^import +([\d.]+) ms", "import again": r"^import again +([\d.]+) ms",
           "scrub, one frame": r"^scrub, one frame +([\d.]+) ms",
           "live edit, 35,000 vertices": r"^ *3\d{4} vertices, live edit (?!off)\S+ *: frame_set +([\d.]+) ms"}
"""Where Blender's benchmarks print it."""
SHOWN = 10
"""Runs in the table of the last ones."""


def wide(picture: np.ndarray) -> np.ndarray:
    """A square picture in the middle of a 720p one, its own blur at the sides."""
    square = cv2.resize(picture, (HEIGHT, HEIGHT), interpolation=cv2.INTER_AREA)
    out = cv2.GaussianBlur(cv2.resize(picture, (WIDTH, HEIGHT)), (0, 0), 20)
    left = (WIDTH - HEIGHT) // 2
    out[:, left:left + HEIGHT] = square
    return out


def to_and_fro(path: Path, frames: int) -> Iterator[np.ndarray]:
    """`frames` pictures of a movie played forwards and backwards."""
    pictures = [wide(frame.pixels) for frame in PlateReader(path, probe_plate(path)).frames()]
    order = [*range(len(pictures)), *range(len(pictures) - 2, 0, -1)]
    for i in range(frames):
        yield pictures[order[i % len(order)]]


def bench_plate(folder: Path, frames: int) -> Path:
    """Make the plate unless it is there from last time."""
    demo, path = folder / "demo.mp4", folder / f"plate_{frames}.mp4"
    if not demo.exists():
        make_plate(demo)
    if not path.exists():
        write_movie(path, to_and_fro(demo, frames), Fraction(25), voice(frames / 25), 48000)
    return path


LAUNCHER = """
import json, os, sys, time
begun = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print("\\n" + json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - begun, usage.ru_maxrss / 1024]))
"""
"""A new process inherits the high-water mark of the one that starts it. This one is small, so that the mark is the stage's own."""


def measured(command: list[str], *, quiet: bool = False) -> tuple[dict, dict]:
    """Run a command: ({seconds, peak_mb}, what it printed last if that is JSON). Exits when it fails."""
    done = subprocess.run([sys.executable, "-S", "-c", LAUNCHER, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None,
                          text=True, errors="replace", check=False)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    code, seconds, peak = json.loads(lines[-1]) if lines else (done.returncode or 1, 0, 0)
    if code:
        sys.exit(f"failed: {' '.join(command)}\n{(done.stderr or '')[-2000:]}")
    printed = json.loads(lines[-2]) if len(lines) > 1 and lines[-2].startswith("{") else {}
    return {"seconds": round(seconds, 3), "peak_mb": round(peak)}, printed


def child(stage: str, plate: Path, shot: Path) -> tuple[dict, dict]:
    """A stage of bench_stages.py."""
    return measured([sys.executable, str(ROOT / "benchmarks" / "bench_stages.py"), stage, str(plate), str(shot)], quiet=True)


def run(plate: Path, folder: Path) -> dict:
    """All stages and references on one plate."""
    frames = probe_plate(plate).frame_count
    shot, out = folder / "bench.mien", folder / "edited.mp4"
    mien = str(Path(sys.executable).with_name("mien"))
    edit = ["--emotion", "happy=0.8", "-o", str(out)]
    shutil.rmtree(shot, ignore_errors=True)
    child("start", plate, shot)  # compiles what is compiled once and fills the file cache
    start, _ = child("start", plate, shot)
    stages = {"track": measured([mien, "track", str(plate), "-o", str(shot)])[0], "solve": measured([mien, "solve", str(shot)])[0],
              "edit to mp4": measured([mien, "edit", str(shot), *edit])[0]}
    figures = {"level 1, whole clip": child("level1", plate, shot)[1]["ms"],
               "StyleGAN2 generator, 512 x 512": child("stylegan", plate, shot)[1]["ms"]}
    stages["bake"], whole = child("bake", plate, shot)
    stages["re-bake"], part = child("rebake", plate, shot)
    shutil.rmtree(shot, ignore_errors=True)
    stages["all at once"] = measured([mien, "edit", str(plate), *edit])[0]
    references = {name: child(f"{name}_reference", plate, shot)[0] for name in ("track", "edit")}
    for entry in (*stages.values(), *references.values()):
        entry["ms_per_frame"] = round(1000 * max(entry["seconds"] - start["seconds"], 0) / frames, 2)
        entry["frames_per_second"] = round(frames / entry["seconds"], 2)
    rebake = {"frames_renewed": part.get("baked"), "cost_in_frames": round(part["seconds"] / max(whole["seconds"] / frames, 1e-9), 1)}
    figures |= {"re-bake after touching 20 frames": rebake["cost_in_frames"], "peak memory of any stage": max(e["peak_mb"] for e in stages.values())}
    ratios = {"track": ("track", "track"), "edit to mp4": ("edit to mp4", "edit")}
    return {"plate": plate.name, "frames": frames, "start": start, "stages": stages, "references": references,
            "rebake": rebake, "figures": figures,
            "ratios": {k: round(stages[a]["seconds"] / references[b]["seconds"], 2) for k, (a, b) in ratios.items()}}


def linearity(folder: Path, known: dict) -> list[dict]:
    """The whole edit on longer and longer plates; `known` is the run on the first."""
    mien, rows = str(Path(sys.executable).with_name("mien")), []
    for frames in LINEARITY:
        if frames == known["frames"]:
            rows.append({"frames": frames, **known["stages"]["all at once"]})
            continue
        plate = bench_plate(folder, frames)
        entry = measured([mien, "edit", str(plate), "--emotion", "happy=0.8", "-o", str(folder / "edited.mp4")])[0]
        rows.append({"frames": frames, **entry, "frames_per_second": round(frames / entry["seconds"], 2)})
    return rows


def blender() -> dict[str, str]:
    """What the benchmarks of Blender's side print."""
    out = {}
    for script in ("import_shot.py", "live_edit.py"):
        done = subprocess.run([sys.executable, str(ROOT / "benchmarks" / script)], capture_output=True, text=True, timeout=600, check=False)
        out[script] = done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr.strip()[-300:]}"
    return out


def numbers(printed: dict[str, str]) -> dict[str, float]:
    """The figures that Blender's benchmarks printed."""
    text = "\n".join(printed.values())
    found = {name: re.search(pattern, text, re.MULTILINE) for name, pattern in PRINTED.items()}
    return {name: float(match[1]) for name, match in found.items() if match}


def commit() -> str:
    """Short name of the commit, with "-changed" when files differ from it; "unknown" without git."""
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout.strip()
    try:
        return git("rev-parse", "--short=10", "HEAD") + ("-changed" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def tell(result: dict) -> None:
    """Print one run."""
    print(f"\n{result['plate']}, {result['frames']} frames, {result['machine']}; start of a process: {result['start']['seconds']:.2f} s")
    print(f"{'stage':<18}{'seconds':>9}{'ms/frame':>10}{'frames/s':>10}{'peak MB':>9}{'budget':>9}")
    named = {**result["stages"], **{f"plain {k}": v for k, v in result["references"].items()}}
    for name, e in named.items():
        budget = f"{BUDGETS[name]:.1f}" if name in BUDGETS else ""
        print(f"{name:<18}{e['seconds']:>9.2f}{e['ms_per_frame']:>10.1f}{e['frames_per_second']:>10.1f}{e['peak_mb']:>9}{budget:>9}")
    print("seconds and frames/s with the start of the process, ms/frame without; plain: the libraries alone")
    print("against plain: " + ", ".join(f"{k} {v:.2f} x" for k, v in result["ratios"].items()))
    print(f"re-bake after touching 20 frames: {result['rebake']['frames_renewed']} frames renewed")
    print(f"\n{'figure':<40}{'measured':>10}  {'unit':<14}{'at most':>8}")
    for name, value in result["figures"].items():
        unit, most = FIGURES[name]
        limit = f"{most:>8.0f}  {'within' if value <= most else 'OVER'}" if most else ""
        print(f"{name:<40}{value:>10.1f}  {unit:<14}{limit}")
    for row in result.get("linearity", ()):
        print(f"{row['frames']:>5} frames: {row['frames_per_second']:.1f} frames/s, peak {row['peak_mb']} MB")
    for script, text in result.get("blender", {}).items():
        print(f"\n{script}\n{text}")


def history() -> None:
    """Print the last runs, and plot them in results/history.html."""
    runs = [read_json(p) for p in sorted(RESULTS.glob("*.json"))][-SHOWN:]
    if not runs:
        return
    names = list(dict.fromkeys(name for r in runs for name in r["stages"]))
    header = ["made", "commit", "frames", *names, "peak MB"]
    rows = [[r["made"][:16], r["commit"], r["frames"], *(r["stages"].get(n, {}).get("ms_per_frame", "") for n in names),
             max(e["peak_mb"] for e in r["stages"].values())] for r in runs]
    widths = [max(len(str(row[i])) for row in (header, *rows)) + 2 for i in range(len(header))]
    print("\nlast runs, ms a frame")
    for row in (header, *rows):
        print("".join(f"{cell!s:>{w}}" for cell, w in zip(row, widths)))
    page = Page("Benchmarks of Mien", "Milliseconds a frame, without the start of the process, oldest run first. Runs of one machine only compare.")
    page.table(header, rows)
    x = np.arange(1, len(runs) + 1)
    for title, unit, key in (("Time", "ms a frame", "ms_per_frame"), ("Peak memory", "MB", "peak_mb")):
        lines = {n: (x, [r["stages"].get(n, {}).get(key, float("nan")) for r in runs]) for n in names}
        page.chart(line_chart(title, lines, "run", unit, from_zero=True))
    page.write(RESULTS / "history.html", command_line())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--plate", type=Path, help="a movie to measure with instead of the demo's plate")
    parser.add_argument("--quick", action="store_true", help="without the plates of 1,200 and 3,000 frames, and without Blender")
    parser.add_argument("--history", action="store_true", help="measure nothing, show the last runs")
    options = parser.parse_args()
    if not options.history:
        folder = ROOT / "out" / "bench"
        folder.mkdir(parents=True, exist_ok=True)
        made = datetime.now(timezone.utc)
        result = {"made": made.isoformat(timespec="seconds"), "commit": commit(), "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores",
                  "versions": versions(), **run(options.plate or bench_plate(folder, options.frames), folder)}
        if not options.quick:
            result["blender"] = blender()
            result["figures"] |= numbers(result["blender"])
        if not options.quick and not options.plate:
            rows = result["linearity"] = linearity(folder, result)
            result["figures"]["growth of memory, 300 to 3,000 frames"] = round(100 * (rows[-1]["peak_mb"] / rows[0]["peak_mb"] - 1), 1)
        write_json(RESULTS / f"{made:%Y%m%d-%H%M%S}_{result['commit']}_{result['frames']}.json", result)
        tell(result)
    history()


if __name__ == "__main__":
    main()
