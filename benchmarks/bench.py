# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast, and in how much memory: the stages of a shot on a 720p plate, each in a process of its own as a user runs them.

    python benchmarks/bench.py [--frames 300] [--plate clip.mp4]

The plate is the demo's, to and fro, in the middle of a 1280 x 720 picture; it is kept in out/bench. Nothing is asserted here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from mien.neural.demo.plate import make_plate
from mien.neural.demo.voice import voice
from mien.neural.demo.writer import write_movie
from mien.neural.media import PlateReader, probe_plate

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 1280, 720


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


def measured(command: list[str]) -> tuple[float, float]:
    """Run a command: (seconds, peak memory in MB). Exits when it fails."""
    start = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"failed: {' '.join(command)}")
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--plate", type=Path, help="a movie to measure with instead of the demo's plate")
    options = parser.parse_args()
    folder = ROOT / "out" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    plate = options.plate or bench_plate(folder, options.frames)
    frames = probe_plate(plate).frame_count
    shot, out = folder / "bench.mien", folder / "edited.mp4"
    shutil.rmtree(shot, ignore_errors=True)
    mien = str(Path(sys.executable).with_name("mien"))
    steps = {
        "track": [mien, "track", str(plate), "-o", str(shot)],
        "solve": [mien, "solve", str(shot)],
        "edit to mp4": [mien, "edit", str(shot), "--emotion", "happy=0.8", "-o", str(out)],
    }
    results = {name: measured(command) for name, command in steps.items()}
    shutil.rmtree(shot, ignore_errors=True)
    results["all at once"] = measured([mien, "edit", str(plate), "--emotion", "happy=0.8", "-o", str(out)])
    print(f"\n{plate.name}, {frames} frames, {os.cpu_count()} CPU cores; process start and imports included")
    print(f"{'stage':<14}{'seconds':>9}{'ms/frame':>10}{'frames/s':>10}{'peak MB':>9}")
    for name, (seconds, memory) in results.items():
        print(f"{name:<14}{seconds:>9.2f}{1000 * seconds / frames:>10.1f}{frames / seconds:>10.1f}{memory:>9.0f}")


if __name__ == "__main__":
    main()
