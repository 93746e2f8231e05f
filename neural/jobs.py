# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's jobs by name: the worker runs them for Blender, the command line for itself.

A job takes JSON-able parameters and a Reporter and returns a JSON-able result. Here parameters are checked and turned into
the types of `stages`, which does the work and is imported, with everything heavy, only when a job runs.

    track     plate, folder, [face, all_faces, landmarks, first_frame, fps]        -> track_summary
    solve     folder, [model, focal_mm, distortion, mask, identity, rnet, photometric, cast, actor, together] -> solve_summary
    resolve   folder, [frames]                               -> what resolve.resolve returns
    check     folder, output, [codec]                        -> what check.check_movie returns
    learn     folder, [settings]                             -> what learn.learn returns
    bake      folder, [settings, frames]                     -> what stages.bake returns
    preview   folder, curves, index, output, [settings, side] -> what preview.preview returns
    layers    folder, output, [settings]                     -> what layers.write_layers returns
    edit      folder, output, [curves, controls, codec, settings, others] -> what stages.edit returns
    train_texture, train_mouth  takes, output, [model]       -> what level2_train returns
    train_stylegan  shots, output, [resume, settings, start, lpips_network, alexnet] -> what stylegan.command.train_stylegan returns
    train_shape  output, [takes, cast, model, resume, start, jobs, settings] -> what shape_gan.run.train returns
    add_model  source, [name]                                -> models.add.model_info
    setup     folder, [device, recognition, requirements, wheels] -> setup_engine.setup
    demo_plate  output -> {"output"};  selftest  -> selftest.selftest
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..mesh.errors import MienError
from ..mesh.frames import frame_ranges
from .learn import learn
from .progress import Reporter
from .resolve import resolve
from .stylegan.job import train_stylegan

if TYPE_CHECKING:
    from ..mesh.emotion import EmotionCurves
    from ..mesh.shot import Shot

JobFunction = Callable[[Mapping[str, Any], Reporter], "dict[str, Any]"]
"""(params, report) -> result."""
Check = Callable[[Any], Any]

DELIVERIES: Mapping[str, tuple[str, ...]] = {
    ".mp4": ("h264",), ".m4v": ("h264",), ".mov": ("prores", "h264", "ffv1"),
    ".avi": ("ffv1",), ".mkv": ("ffv1", "h264"), ".png": ("png",), ".exr": ("exr",)}
"""Codecs that a file extension can hold, its default first. The same as media.writer's, which is heavy to import; a test holds it."""
PICTURES = (".png", ".exr")
CODECS = ("h264", "prores", "ffv1", "png", "exr")


# -- parameters ---------------------------------------------------------------------------------------------------------

def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("a path")
    return Path(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a name")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("a whole number")
    return value


def _index(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("0 or a larger whole number")
    return value


def _positive(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ValueError("a number above 0")
    return float(value)


def frame_rate(value: Any) -> Fraction:
    """25, "23.976", "24000/1001" or [24000, 1001] as a fraction. Raises ValueError for anything else."""
    try:
        rate = Fraction(*value) if isinstance(value, (list, tuple)) else Fraction(str(value))
        if rate > 0:
            return rate
    except (TypeError, ValueError, ZeroDivisionError):
        pass
    raise ValueError("frames a second such as 25, 23.976 or 24000/1001")


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _two(value: Any) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value):
        raise ValueError("two numbers")
    return float(value[0]), float(value[1])


def _paths(value: Any) -> list[Path]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list of paths")
    return [_path(v) for v in value]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("an object")
    return dict(value)


def _device(value: Any) -> str:
    if value not in ("cpu", "cuda"):
        raise ValueError("cpu or cuda")
    return value


def _ranges(value: Any) -> list[list[int]]:
    if not isinstance(value, list) or not all(isinstance(r, list) and len(r) == 2 and all(isinstance(n, int) for n in r) for r in value):
        raise ValueError("a list of [first, last] frame numbers")
    return value


def _controls(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not all(isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v <= 1 for v in value.values()):
        raise ValueError("an object of numbers within 0 and 1")
    return {str(k): float(v) for k, v in value.items()}


def checked(job: str, params: Mapping[str, Any], required: Mapping[str, Check], optional: Mapping[str, Check]) -> dict[str, Any]:
    """The parameters in their own types; optional ones that are missing or null are left out.

    Raises MienError that names the parameter that is unknown, missing or wrong.
    """
    known = {**required, **optional}
    for name in params:
        if name not in known:
            raise MienError(f"'{job}' has no parameter '{name}'; it takes {', '.join(known) or 'none'}.")
    out = {}
    for name, check in known.items():
        if params.get(name) is None:
            if name in required:
                raise MienError(f"'{job}' needs the parameter '{name}'.")
            continue
        try:
            out[name] = check(params[name])
        except ValueError as error:
            raise MienError(f"'{name}' of '{job}' must be {error}; it is {params[name]!r:.100}.") from error
    return out


def check_delivery(output: Path, codec: str | None) -> str:
    """The codec for this output, the extension's default when None. Raises MienError when they do not fit."""
    allowed = DELIVERIES.get(output.suffix.lower())
    if allowed is None:
        raise MienError(f"{output} must end in {', '.join(DELIVERIES)}.")
    if codec is not None and codec not in allowed:
        fitting = [s for s, codecs in DELIVERIES.items() if codec in codecs]
        raise MienError(f"{output.suffix} cannot hold the codec '{codec}'; " +
                        (f"use {' or '.join(fitting)} for it." if fitting else f"use one of {', '.join(CODECS)}."))
    return codec or allowed[0]


def check_pattern(output: Path, frames: int) -> None:
    """Pictures of several frames need several names. Raises MienError."""
    if output.suffix.lower() in PICTURES and frames > 1 and not {"#", "%"} & set(output.name):
        raise MienError(f"{output} names one picture for {frames} frames; write {output.stem}.####{output.suffix} instead.")


def check_place(output: Path) -> None:
    """Find out before hours of work that the output cannot be written. Raises MienError."""
    if output.is_dir():
        raise MienError(f"{output} is a folder; give the name of a file in it.")
    folder = output.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise MienError(f"Cannot write {output}: {folder} is no folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MienError(f"Cannot write {output}: the folder {folder} is read-only; choose another one.")


# -- results ------------------------------------------------------------------------------------------------------------

def plain(value: Any) -> Any:
    """`value` in the types of JSON: paths as text, numpy values as Python's, what is not finite as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    if isinstance(value, (Path, Fraction)):
        return str(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars, without importing numpy
        return plain(value.tolist())
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    return value


def _facts(shot: Shot) -> dict[str, Any]:
    return {"folder": str(shot.folder.absolute()), "first_frame": shot.plate.first_frame, "fps": list(shot.plate.fps),
            "size": [shot.plate.width, shot.plate.height], "face": shot.face, "audio": shot.plate.audio}


def track_summary(shot: Shot) -> dict[str, Any]:
    """The facts, frames, tracked (count), faces (most seen), others (number -> shot folder), lost (ranges of frame numbers), cuts."""
    from ..mesh.shot import Track
    track = Track.load(shot)
    first = shot.plate.first_frame
    return {**_facts(shot), "frames": len(track.found), "tracked": int(track.found.sum()), "faces": int(track.faces.max(initial=0)),
            "others": {str(n): str(path.absolute()) for n, path in shot.face_folders().items() if n != shot.face},
            "lost": frame_ranges(first + i for i, found in enumerate(track.found) if not found), "cuts": [first + int(c) for c in track.cuts]}


def solve_summary(shot: Shot) -> dict[str, Any]:
    """The shot's facts and `stages.solve_summary`; lost as ranges, numbers that do not exist as None."""
    from . import stages
    summary = stages.solve_summary(shot)
    return plain({**_facts(shot), "model": shot.model, **summary, "lost": frame_ranges(summary["lost"])})


# -- jobs ---------------------------------------------------------------------------------------------------------------

def track(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    p = checked("track", params, {"plate": _path, "folder": _path}, {"face": _index, "all_faces": _flag, "landmarks": _text,
                                                                        "first_frame": _whole, "fps": frame_rate})
    from . import stages
    return track_summary(stages.track(p.pop("plate"), p.pop("folder"), **p, report=report))


def solve(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """`together`: further shot folders of the same person, solved with one identity; their summaries are in the result's "together"."""
    p = checked("solve", params, {"folder": _path}, {"model": _text, "focal_mm": _positive, "distortion": _two, "mask": _text, "identity": _path,
                                                      "rnet": _path, "photometric": _flag, "cast": _path, "actor": _text, "together": _paths})
    from . import stages
    first, *others = stages.solve_together([p.pop("folder"), *p.pop("together", [])], **p, report=report)
    return solve_summary(first) | ({"together": [solve_summary(shot) for shot in others]} if others else {})


def check(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """The checker overlay."""
    p = checked("check", params, {"folder": _path, "output": _path}, {"codec": _text})
    check_delivery(p["output"], p.get("codec"))
    check_place(p["output"])
    check_pattern(p["output"], _solved_shot(p["folder"]).plate.frame_count)
    if p["output"].suffix.lower() in PICTURES:
        p.pop("codec", None)  # said by the extension
    from .check import check_movie
    return plain(check_movie(p.pop("folder"), p.pop("output"), **p, report=report))


def bake(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    p = checked("bake", params, {"folder": _path}, {"settings": _object, "frames": _ranges})
    _solved_shot(p["folder"])
    from . import stages
    return plain(stages.bake(p.pop("folder"), **p, report=report))


def preview(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    p = checked("preview", params, {"folder": _path, "curves": _path, "index": _index, "output": _path}, {"settings": _object, "side": _index})
    _solved_shot(p["folder"])
    from .preview import preview as work
    return plain(work(p.pop("folder"), p.pop("curves"), p.pop("index"), p.pop("output"), **p, report=report))


def layers(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    p = checked("layers", params, {"folder": _path, "output": _path}, {"settings": _object})
    _solved_shot(p["folder"])
    check_place(p["output"])
    from .layers import write_layers
    return plain(write_layers(p.pop("folder"), p.pop("output"), **p, report=report))


def edit(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """`curves` is a .csv or .npz; `controls` (name -> value) holds on every frame, over the curves. Without both, the shot's own emotion.npz.
    `others`: number of another face of the plate -> its {"curves", "controls"}; those faces are edited as well.
    """
    p = checked("edit", params, {"folder": _path, "output": _path},
                {"curves": _path, "controls": _controls, "codec": _text, "settings": _object, "others": _object})
    check_delivery(p["output"], p.get("codec"))
    check_place(p["output"])
    if p["output"].suffix.lower() in PICTURES:
        p.pop("codec", None)  # said by the extension
    curves = _curves(p["folder"], p.pop("curves", None), p.pop("controls", None))
    check_pattern(p["output"], len(curves))
    p["others"] = _other_faces(p["folder"], p.get("others", {}))
    from . import stages
    return plain(stages.edit(p.pop("folder"), curves, p.pop("output"), **p, report=report))


def _solved_shot(folder: Path) -> Shot:
    """Raises MienError when the step before is missing."""
    from ..mesh.shot import Shot
    shot = Shot.load(folder)
    if not shot.solve_path.exists():
        raise MienError(f"{folder} is tracked but not solved yet; solve the shot first ('mien solve').")
    return shot


def _other_faces(folder: Path, wanted: Mapping[str, Any]) -> dict[Path, EmotionCurves]:
    """Shot folder of each further face -> its curves. Raises MienError for a face that was not tracked."""
    from ..mesh.shot import Shot
    out: dict[Path, EmotionCurves] = {}
    if wanted:
        shot = Shot.load(folder)
        folders = shot.face_folders()
        for number, what in wanted.items():
            at = folders.get(int(number)) if str(number).isdecimal() else None
            if at is None or at == shot.folder:
                raise MienError(f"{folder} has no other face number {number}; its plate was tracked with the faces {', '.join(map(str, folders))} "
                                "('mien track --all-faces' tracks all).")
            own = checked("edit", what, {}, {"curves": _path, "controls": _controls})
            out[at] = _curves(at, own.get("curves"), own.get("controls"))
    return out


def _curves(folder: Path, table: Path | None, controls: Mapping[str, float] | None) -> EmotionCurves:
    from ..mesh.emotion import CONTROLS, EMOTIONS, EmotionCurves
    shot = _solved_shot(folder)
    frames = shot.plate.frame_count
    for name in controls or {}:
        if name not in CONTROLS:
            raise MienError(f"There is no emotion or control '{name}'; use one of {', '.join(CONTROLS)}.")
    if table is None and controls is not None:
        return EmotionCurves.constant(frames, **controls)
    source = table or shot.emotion_path
    if source.suffix.lower() == ".csv":
        curves = EmotionCurves.from_csv(source, shot.plate.first_frame, frames)
    else:
        curves = EmotionCurves.load(source)
    if len(curves) != frames:
        raise MienError(f"{source} has {len(curves)} frames, the shot {folder} has {frames}; write the curves again.")
    for name, value in (controls or {}).items():
        column = curves.emotions[:, EMOTIONS.index(name)] if name in EMOTIONS else getattr(curves, name)
        column[:] = value
    return curves


def _train_level2(kind: str, params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """`takes` is a solved shot folder, a table of takes, or a folder of MEAD or RAVDESS."""
    p = checked(f"train_{kind}", params, {"takes": _path, "output": _path}, {"model": _text})
    from . import level2_train
    return plain(getattr(level2_train, f"train_{kind}")(p.pop("takes"), p.pop("output"), **p, report=report))


def train_shape(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """`takes` is a table or a folder of MEAD or RAVDESS; `cast` adds the virtual cast; settings: see shape_gan.command."""
    p = checked("train_shape", params, {"output": _path}, {"takes": _path, "cast": _flag, "model": _text, "resume": _flag, "settings": _object,
                                                           "start": _text, "jobs": _index})
    from .shape_gan.command import train_shape as train
    return plain(train(p["output"], p.get("takes"), p.get("cast", False), p.get("model", "default"), p.get("resume", False),
                       p.get("settings", {}), report, start=p.get("start"), jobs=p.get("jobs")))


def add_model(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    p = checked("add_model", params, {"source": _path}, {"name": _text})
    from .models import add
    report.step("read model", 0, 1)
    path = add.add_model(p["source"], p.get("name"), report)
    report.step("read model", 1, 1)
    return plain({**add.model_info(str(path)), "name": path.stem})


def setup(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    """Runs in a bare Python, before there is any package."""
    p = checked("setup", params, {"folder": _path}, {"device": _device, "recognition": _flag, "requirements": _path, "wheels": _path})
    from .setup_engine import setup as make
    return make(p.pop("folder"), **p, report=report)


def demo_plate(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    p = checked("demo_plate", params, {"output": _path}, {})
    check_place(p["output"])
    from .demo.plate import make_plate
    make_plate(p["output"], report=report)
    return {"output": str(p["output"])}


def selftest(params: Mapping[str, Any], report: Reporter) -> dict[str, Any]:
    checked("selftest", params, {}, {})
    from .selftest import selftest as test
    return test(report)


JOBS: Mapping[str, JobFunction] = {
    "track": track, "solve": solve, "resolve": resolve, "check": check, "bake": bake, "preview": preview, "layers": layers, "edit": edit,
    "train_texture": partial(_train_level2, "texture"), "train_mouth": partial(_train_level2, "mouth"), "train_shape": train_shape,
    "train_stylegan": train_stylegan, "add_model": add_model, "setup": setup, "demo_plate": demo_plate, "learn": learn, "selftest": selftest}
