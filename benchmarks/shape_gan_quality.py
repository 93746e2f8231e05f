# SPDX-License-Identifier: GPL-3.0-or-later
"""What level 1's networks do, before a judge that learned from other virtual actors (neural/shape_gan/judge.py).

    python benchmarks/shape_gan_quality.py [ACTOR ...]      of the shipped weights and of actor folders: one column each, LIE by emotion
    python benchmarks/shape_gan_quality.py --mouth FOLDER   trains on from the shipped weights with lambda_mouth 0, 1, 4, into FOLDER; prints
                                                            a table and draws docs/images/shape_gan_mouth.svg (the trend of Fig. 6 and Table 3)

With `--take angry=SHOT`, a solved take of an actor: what G(c, 0) takes from it, and how near G(G(c, 0), e) comes to it again, for every column.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mien.mesh.editor import ShapeEditor
from mien.mesh.emotion import EMOTIONS
from mien.mesh.model import FaceModel, load_model
from mien.mesh.shape_gan import ACTOR_WEIGHTS, WEIGHTS, ShapeGan
from mien.mesh.shot import Shot, Solve
from mien.neural.charts import bar_chart
from mien.neural.progress import Silent
from mien.neural.shape_gan.cast import cast_data
from mien.neural.shape_gan.command import train_shape
from mien.neural.shape_gan.config import CastConfig
from mien.neural.shape_gan.judge import acted_cycle, judged, lip_vertices, mesh_lie, mouth_trade, train_judge

FIRST = 10_000
"""Actors from here on are trained on by nobody but the judge."""
WORDS = {"recognised": "emotion recognised at 1", "intensity": "intensity's correlation", "cycle_mm": "cycle, mm",
         "identity_mm": "identity moves, mm", "lips": "lip gap's correlation, lowest", "expression": "intensity seen at 1", "lie": "LIE of the mesh"}
MOUTHS = (0.0, 1.0, 4.0)
TRADE = {"right": "emotion recognised by the lips alone", "disgusted": "disgust that the lips show", "gap_mm": "change of the lip vectors, RMS, mm",
         "lips": "lip gap's correlation, mean", "lowest": "lip gap's correlation, lowest emotion"}
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "shape_gan_mouth.svg"
STYLE = "<style>text{font:12px sans-serif;fill:#555}.title{font-weight:bold;fill:#222}.grid{stroke:#ddd}.axis{stroke:#888;fill:none}</style>"


def table(model: FaceModel, editors: dict[str, ShapeEditor], judge_actors: int, actors: int) -> dict[str, dict[str, float]]:
    """Print one column for each editor, and return it."""
    judge = train_judge(model, cast_data(model, CastConfig(takes=3, frames=24), FIRST, judge_actors))
    data = cast_data(model, CastConfig(takes=1), FIRST + 1000, actors)
    found = {name: judged(model, editor, judge, data) for name, editor in editors.items()}
    print_table(found, WORDS)
    for name, editor in editors.items():
        print(f"LIE of {name}: " + ", ".join(f"{e} {v:.3f}" for e, v in mesh_lie(model, editor, data).items()))
    return found


def print_table(found: dict[str, dict[str, float]], words: dict[str, str]) -> None:
    """Markdown: a column for each editor, a row for each measure."""
    print("| |" + "|".join(found) + "|\n|---|" + "---|" * len(found))
    for key, text in words.items():
        print(f"| {text} |" + "|".join(f" {f[key]:.3f} " for f in found.values()) + "|")


def take(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if name not in EMOTIONS or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is no EMOTION=SHOT")
    return name, Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("actors", nargs="*", type=Path)
    parser.add_argument("--take", type=take, action="append", default=[], metavar="EMOTION=SHOT")
    parser.add_argument("--mouth", type=Path, metavar="FOLDER")
    parser.add_argument("--iterations", type=int, default=2000, help="of each training of --mouth")
    parser.add_argument("--judge", type=int, default=80, help="actors that the judge learns from")
    parser.add_argument("--count", type=int, default=6, help="actors that are measured")
    args = parser.parse_args()
    model = load_model()
    if args.mouth is None:
        paths = {"shipped": WEIGHTS} | {a.name: a / ACTOR_WEIGHTS for a in args.actors}
        editors: dict[str, ShapeEditor] = {name: ShapeGan(model, path) for name, path in paths.items() if path.exists()}
        for emotion, folder in args.take:
            solve = Solve.load(Shot.load(folder))
            for name, editor in editors.items():
                away, left = acted_cycle(model, editor, solve.alpha, solve.beta[solve.solved], EMOTIONS.index(emotion))
                print(f"{folder.name}, {emotion}, {name}: {away:.2f} mm taken away, {left:.2f} mm off when given back")
        table(model, editors, args.judge, args.count)
        return
    start = args.mouth / "start"
    start.mkdir(parents=True, exist_ok=True)
    for path, name in ((WEIGHTS, ACTOR_WEIGHTS), (WEIGHTS.with_suffix(".json"), "generator.json")):
        (start / name).write_bytes(path.read_bytes())
    editors = {}
    for value in MOUTHS:
        folder = args.mouth / f"mouth_{value:g}"
        if not (folder / ACTOR_WEIGHTS).exists():
            settings = {"mouth": value, "iterations": args.iterations, "lr": 5e-4, "r": 3e3, "cast_held_back": 0}
            train_shape(folder, None, True, "default", False, settings, Silent(), start=str(start))
        editors[f"lambda_mouth {value:g}"] = ShapeGan(model, folder / ACTOR_WEIGHTS)
    judge = train_judge(model, cast_data(model, CastConfig(takes=3, frames=24), FIRST, args.judge), vertices=lip_vertices(model))
    data = cast_data(model, CastConfig(takes=1), FIRST + 1000, args.count)
    found = {name: mouth_trade(model, editor, judge, data) for name, editor in editors.items()}
    print_table(found, TRADE)
    bars = {TRADE[key]: [f[key] for f in found.values()] for key in ("disgusted", "lowest")}
    chart = bar_chart("Weight on the mouth: expression against lips", bars, list(found), "")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(chart.replace(">", f">{STYLE}<rect width='100%' height='100%' fill='white'/>", 1) + "\n", encoding="utf-8")
    print(f"drawn {PICTURE}")


if __name__ == "__main__":
    main()
