# SPDX-License-Identifier: GPL-3.0-or-later
"""Table 1 of Sun et al. 2023 on labelled takes: an edit whole, without level 1 and without level 2, against true emotional frames.

    python benchmarks/texture_ablation.py FOLDER --pair SAD.mien ANGRY.mien angry --within SMILING.mien happy --virtual happy

--pair: the first shot is edited to the emotion of the second, neutralised first; level 2 has the direction from the second's first half, the first
shot counting as the take at rest; the truth is the second half of the second. --within, for an actor of one take: of each half of the shot the third
of the frames that show the emotion's main sign least and most; the first half's teach level 2, the second half's least are edited towards its most.
--virtual: an actor of the cast, whose takes are made (`mien.neural.demo.takes`). FOLDER keeps takes, actors and reports. Distances are those of
`mien evaluate ablation --reference` (docs/metrics.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mien.mesh.emotion import EMOTIONS
from mien.mesh.shot import Plate, Shot, Track
from mien.neural import stages
from mien.neural.demo.takes import make_takes
from mien.neural.edit import EditSettings
from mien.neural.failures import tells_errors
from mien.neural.level2_train import train_texture
from mien.neural.media import PlateReader, open_writer
from mien.neural.metrics import face
from mien.neural.metrics.signs import STAND_INS
from mien.neural.progress import Silent
from mien.neural.studies.ablation import ablation, write
from mien.neural.studies.run import by_name

SIGN = {"angry": {"brow_inner": -1}, "contempt": {"corner_up": 1}, "disgusted": {"nose_up": 1}, "fear": {"mouth_width": 1},
        "happy": {"corner_up": 1, "mouth_width": 1}, "sad": {"brow_inner": 1, "corner_up": -1}, "surprised": {"brow_inner": 1, "brow_outer": 1}}
"""Signs of a face by which frames within one take are told apart, and which way they count."""
FRAMES = 20
"""Frames that are edited at most."""


def cut(shot: Shot, indices: Iterable[int], path: Path) -> Path:
    """Some frames of a shot's plate as a lossless movie."""
    chosen = np.array(sorted(indices), int)
    p = shot.plate
    plate = Plate(str(path), "movie", p.width, p.height, p.fps, 1, len(chosen))
    with open_writer(path, plate, "ffv1") as writer:
        for i, frame in enumerate(PlateReader(shot.plate_path, p).chosen(chosen)):
            writer.write(np.ascontiguousarray(frame.pixels[..., :3]), i / float(p.rate))
    return path


def table_of(folder: Path, rest: Path, acted: Path, emotion: str) -> Path:
    """takes.csv: a take at rest and one with the emotion."""
    path = folder / "takes.csv"
    path.write_text(f"clip,actor,emotion,level\n{rest.absolute()},one,neutral,\n{acted.absolute()},one,{emotion},3\n", encoding="utf-8")
    return path


def pair(folder: Path, edited: Path, truth: Path, emotion: str) -> dict[str, dict[str, float]]:
    """See --pair."""
    shot = Shot.load(truth)
    middle, count = shot.plate.frame_count // 2, shot.plate.frame_count
    first, second = (cut(shot, range(a, b), folder / f"{emotion}_{n}.avi") for n, (a, b) in enumerate(((0, middle), (middle, count)), 1))
    train_texture(table_of(folder, edited, first, emotion), folder / "actor", report=Silent())
    return measured(folder, edited, emotion, second, neutralise=1.0)


def within(folder: Path, source: Path, emotion: str) -> dict[str, dict[str, float]]:
    """See --within."""
    shot = Shot.load(source)
    rows = [face.features(face.eye_frame(p)) for p in Track.load(shot).landmarks]
    strength = sum(way * np.array(rows)[:, list(face.FEATURES).index(name)] for name, way in SIGN[emotion].items())
    takes = []
    for n, half in enumerate(np.array_split(np.arange(len(rows)), 2), 1):
        order = half[np.argsort(strength[half], kind="stable")]
        third = len(half) // 3
        takes += [cut(shot, some, folder / f"{name}_{n}.avi") for name, some in (("least", order[:third]), ("most", order[-third:]))]
    train_texture(table_of(folder, takes[0], takes[1], emotion), folder / "actor", report=Silent())
    return measured(folder, solved(takes[2]), emotion, takes[3])


def virtual(folder: Path, emotion: str) -> dict[str, dict[str, float]]:
    """See --virtual."""
    train_texture(make_takes(folder, emotion), folder / "actor", report=Silent())
    return measured(folder, solved(folder / "neutral_2.avi"), emotion, folder / f"{emotion}_2.avi")


def solved(clip: Path) -> Path:
    """A shot folder beside a clip."""
    shot = clip.with_suffix(".mien")
    if not (shot / "solve.npz").exists():
        stages.track(clip, shot, report=Silent())
        stages.solve(shot, report=Silent())
    return shot


def measured(folder: Path, shot: Path, emotion: str, truth: Path, neutralise: float = 0.0) -> dict[str, dict[str, float]]:
    """Variant -> distance -> value."""
    count = min(FRAMES, Shot.load(shot).plate.frame_count)
    first = Shot.load(shot).plate.first_frame
    result = ablation(shot, {emotion: 1.0, "neutralise": neutralise}, settings=EditSettings(actor=str(folder / "actor"), texture_borrow=1.0),
                      references=[truth], frames=(first, first + count - 1), parts=["level 1", "level 2"], report=Silent())
    write(result, html=folder / "report.html", json=folder / "report.json")
    return {name: {d: by_name(m)[d].value for d in STAND_INS.values()} for name, m in result.measures.items()}


@tells_errors
def main() -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Table 1 of Sun et al. 2023 on labelled takes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pair", nargs=3, action="append", default=[], metavar=("SHOT", "TRUTH", "EMOTION"))
    parser.add_argument("--within", nargs=2, action="append", default=[], metavar=("SHOT", "EMOTION"))
    parser.add_argument("--virtual", action="append", default=[], choices=EMOTIONS, metavar="EMOTION")
    o = parser.parse_args()
    jobs = [(f"{Path(a).stem} to {e}", pair, (Path(a), Path(b), e)) for a, b, e in o.pair]
    jobs += [(f"{Path(a).stem}, {e} within the take", within, (Path(a), e)) for a, e in o.within]
    jobs += [(f"virtual actor to {e}", virtual, (e,)) for e in o.virtual]
    print("| Frechet distance to true frames | whole | without level 1 | without level 2 |\n|---|---|---|---|", flush=True)
    for name, job, arguments in jobs:
        folder = o.folder / name.replace(" ", "_").replace(",", "")
        folder.mkdir(parents=True, exist_ok=True)
        found = job(folder, *arguments)
        for key, distance in STAND_INS.items():
            values = [found[v][distance] for v in ("full", "without level 1", "without level 2")]
            shown = [f"**{v:.0f}**" if v == min(values) else f"{v:.0f}" for v in values]
            print(f"| {name}, {key} | {' | '.join(shown)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
