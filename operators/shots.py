# SPDX-License-Identifier: GPL-3.0-or-later
"""Which shot and face the artist works on, and how far each step of it is. Read by operators (poll) and panels (draw), so it must be quick."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .. import compat
from ..mesh.emotion import CONTROLS
from ..mesh.errors import MienError
from ..mesh.files import read_json
from ..mesh.frames import frame_ranges, ranges_text
from ..mesh.shot import Shot, Solve, Track, main_folder
from . import masks
from .appearance import appearance_settings

LOOK_AGAIN = 0.5
"""Seconds for which a look at the disk is trusted: panels are drawn at every frame of a playback."""


# -- which shot, which face -----------------------------------------------------------------------------------------------

def is_face(object: bpy.types.Object | None) -> bool:
    return object is not None and object.type == "MESH" and bool(object.mien.shot_folder)


def active_face(context: bpy.types.Context) -> bpy.types.Object | None:
    """The selected face, else the scene's own; in a composite's or delivery's scene that of its shot."""
    active = getattr(context, "active_object", None)
    if is_face(active):
        return active
    folder = context.scene.get("mien_shot", "")
    if not folder:
        return scene_face(context.scene)
    return next((face for scene in bpy.data.scenes for face in faces(scene) if absolute(face.mien.shot_folder) == absolute(folder)), None)


def scene_face(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The face imported into this scene; None when it was deleted (a pointer alone keeps a deleted object in the file)."""
    face = scene.mien.face
    return face if is_face(face) and scene.objects.get(face.name) == face else None


def faces(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The faces in this scene, one for each imported shot, by name."""
    return sorted((o for o in scene.objects if o.type == "MESH" and is_face(o)), key=lambda o: o.name)


def shot_folder(context: bpy.types.Context) -> Path | None:
    """The shot folder in use: the selected face's, else the scene's (composite and delivery scenes have it as a custom property)."""
    active = getattr(context, "active_object", None)
    stored = active.mien.shot_folder if is_face(active) else context.scene.mien.shot_folder or context.scene.get("mien_shot", "")
    return absolute(stored) if stored else None


def absolute(stored: str) -> Path:
    """A path as Blender stores it (`//` is the folder of the .blend) -> absolute, without `..`."""
    return Path(os.path.abspath(bpy.path.abspath(stored)))


def stored_path(path: Path) -> str:
    """`path` as Blender should store it: relative to a saved .blend on the same drive, so that both can move together."""
    if bpy.data.filepath:
        try:
            return bpy.path.relpath(str(path))
        except ValueError:  # another drive
            pass
    return str(path)


def shot_name(folder: Path) -> str:
    """What the artist calls the shot: its folder without `.mien`; "talk face 1" for another face of talk's plate."""
    name = folder.stem if folder.suffix == ".mien" else folder.name
    main = main_folder(folder)
    return name if main == folder else f"{shot_name(main)} face {name}"


# -- what is known of it --------------------------------------------------------------------------------------------------

@dataclass
class ShotInfo:
    """What lies in a shot folder, as far as panels show it. Frame numbers are Blender's."""

    folder: Path
    shot: Shot | None = None
    problem: str = ""
    """One sentence when a file is there but unfit."""
    tracked: int = 0
    faces: int = 0
    solved: int = 0
    reprojection: float = 0.0
    """Median over the frames, parts of the distance of the outer eye corners."""
    focal_mm: float = 0.0
    cuts: list[int] = field(default_factory=list)
    lost: str = ""
    solve_hash: str = ""
    baked_frames: frozenset[int] = frozenset()
    """Numbers of the frames that the current version holds, of whatever settings and curves."""
    baked_settings: dict[str, Any] = field(default_factory=dict)
    """What they were baked with."""
    baked_masks: dict[int, str] = field(default_factory=dict)
    """Frame number -> hash of the mask's picture that it was baked with."""
    masks: dict[int, str] = field(default_factory=dict)
    """The same of the pictures that are there now."""
    versions: list[int] = field(default_factory=list)

    @property
    def baked(self) -> int:
        return len(self.baked_frames)

    @property
    def is_tracked(self) -> bool:
        return self.tracked > 0

    @property
    def is_solved(self) -> bool:
        return self.solved > 0


FILES = ("shot.json", "track.npz", "solve.npz", "bake/current.json")
"""What `ShotInfo` is read from, besides the manifest of the current version."""
_seen: dict[Path, tuple[float, tuple, ShotInfo]] = {}


def shot_info(folder: Path) -> ShotInfo:
    """What is in `folder`; looked up again when a file changed. Never raises: `problem` tells."""
    now = time.monotonic()
    looked, stamp, info = _seen.get(folder, (-1e9, (), ShotInfo(folder)))
    if now - looked < LOOK_AGAIN:
        return info
    current = tuple(_stamp(folder / name) for name in FILES)
    if info.shot:
        current += _stamp(info.shot.bake_folder / "manifest.json"), tuple(sorted(masks.mask_pictures(info.shot).items()))
    if current != stamp or looked < 0:
        info = _read(folder, info, [a == b for a, b in zip(current, stamp)])
    _seen[folder] = (now, current, info)
    return info


def forget() -> None:
    """Look at the disk again at the next call: a job has just written. What did not change is not read again."""
    for folder, (_, stamp, info) in _seen.items():
        _seen[folder] = (0.0, stamp, info)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(folder: Path, before: ShotInfo, same: Sequence[bool]) -> ShotInfo:
    """`same` tells which of FILES are those that `before` was read from: they are not read again."""
    info = ShotInfo(folder)
    if not (folder / "shot.json").exists():
        return info
    same_shot, same_track, same_solve = [*same[:3], False, False, False][:3]
    try:
        shot = info.shot = Shot.load(folder)
        if same_shot and same_track and not before.problem:
            info.tracked, info.faces = before.tracked, before.faces
        elif shot.track_path.exists():
            track = Track.load(shot)
            info.tracked, info.faces = int(track.found.sum()), int(track.faces.max(initial=0))
        if same_shot and same_solve and not before.problem:
            for name in ("solved", "reprojection", "focal_mm", "cuts", "lost", "solve_hash"):
                setattr(info, name, getattr(before, name))
        elif shot.solve_path.exists():
            _read_solve(info, shot)
        info.versions = shot.bake_versions()
        manifest = shot.bake_folder / "manifest.json"
        if manifest.exists():
            data = read_json(manifest)
            info.baked_frames, info.baked_settings = frozenset(map(int, data.get("frames", ()))), data.get("settings", {})
            info.baked_masks = {int(number): key for number, key in data.get("masks", {}).items() if key}
        info.masks = masks.mask_keys(masks.mask_pictures(shot))
    except MienError as error:
        info.problem = str(error)
    return info


def _read_solve(info: ShotInfo, shot: Shot) -> None:
    solve = Solve.load(shot)
    solved = solve.solved
    info.solved = int(solved.sum())
    info.reprojection = float(np.median(solve.reprojection[solved])) if info.solved else 0.0
    info.focal_mm = solve.camera.focal * 36.0 / max(shot.plate.width, shot.plate.height)
    info.cuts = [shot.frame_number(int(c)) for c in solve.cuts]
    info.lost = ranges_text(frame_ranges([shot.frame_number(int(i)) for i in np.flatnonzero(~solved)]))
    info.solve_hash = solve_hash(solve)


def solve_hash(solve: Solve) -> str:
    """Changes when the solve does."""
    digest = hashlib.sha256(solve.model_hash.encode())
    for array in (solve.alpha, solve.beta, solve.rotation, solve.translation):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def controls_hash(face: bpy.types.Object) -> str:
    """Changes when anything does that a bake of this face depends on: keys, values, editor, glasses. Cheap enough to draw with."""
    digest = hashlib.sha256(repr((face.mien.glasses, face.mien.editor, face.mien.actor, appearance_settings(face))).encode())
    digest.update(face.mien.solve_hash.encode())
    curves = control_curves(face)
    for name in CONTROLS:
        curve = curves.get(name)
        if curve is None:
            digest.update(f"{name} {getattr(face.mien, name):.6f}".encode())
            continue
        digest.update(_curve_facts(curve))
    digest.update(repr(_layers(face)).encode())
    return digest.hexdigest()[:16]


def _curve_facts(curve: bpy.types.FCurve) -> bytes:
    facts = f"{curve.extrapolation} {[(m.type, m.mute) for m in curve.modifiers]}".encode()
    for attribute, width in (("co", 2), ("handle_left", 2), ("handle_right", 2), ("interpolation", 1)):
        buffer = np.zeros(len(curve.keyframe_points) * width, np.int32 if width == 1 else np.float32)
        curve.keyframe_points.foreach_get(attribute, buffer)
        facts += buffer.tobytes()
    return facts


def control_drivers(face: bpy.types.Object) -> list[bpy.types.FCurve]:
    """The drivers on the face's controls that are not muted."""
    paths = {f"mien.{name}" for name in CONTROLS}
    return [d for d in face.animation_data.drivers if d.data_path in paths and not d.mute] if face.animation_data else []


def control_strips(face: bpy.types.Object) -> list[bpy.types.NlaStrip]:
    """The NLA strips of the face that Blender evaluates."""
    animation = face.animation_data
    if animation is None or not animation.use_nla:
        return []
    tracks = [t for t in animation.nla_tracks if t.is_solo] or [t for t in animation.nla_tracks if not t.mute]
    return [strip for track in tracks for strip in track.strips if not strip.mute]


def layered(face: bpy.types.Object) -> bool:
    """More than F-curves moves the controls: NLA strips or drivers."""
    return bool(control_strips(face) or control_drivers(face))


def _layers(face: bpy.types.Object) -> list:
    """What NLA strips and drivers are made of, as far as the face itself tells; what a driver reads elsewhere is not looked at."""
    facts = ("frame_start", "frame_end", "action_frame_start", "action_frame_end", "scale", "repeat", "blend_type", "influence", "extrapolation",
             "blend_in", "blend_out", "use_reverse")
    strips: list = [[getattr(s, fact) for fact in facts] for s in control_strips(face)]
    for strip in control_strips(face):
        strips += [_curve_facts(c) for c in compat.slot_curves(strip.action, strip.action_slot) if c.data_path.startswith("mien.")]
    return strips + [(d.data_path, d.driver.type, d.driver.expression, [(v.type, [t.data_path for t in v.targets]) for v in d.driver.variables])
                     for d in control_drivers(face)]


def control_curves(face: bpy.types.Object) -> dict[str, bpy.types.FCurve]:
    """Control -> its F-curve, of those that Blender would evaluate: with keys, not muted."""
    bag = compat.channelbag(face)
    found = {}
    for curve in bag.fcurves if bag else ():
        name = curve.data_path.removeprefix("mien.")
        muted = curve.mute or (curve.group is not None and curve.group.mute)
        if name in CONTROLS and curve.data_path.startswith("mien.") and not muted and not curve.is_empty:
            found[name] = curve
    return found


# -- is a step out of date ------------------------------------------------------------------------------------------------------

def plate_changed(scene: bpy.types.Scene, info: ShotInfo) -> bool:
    """Another plate was chosen than the one that was tracked."""
    return bool(scene.mien.plate) and info.shot is not None and absolute(scene.mien.plate) != Path(os.path.abspath(info.shot.plate_path))


def face_stale(face: bpy.types.Object, info: ShotInfo | None) -> bool:
    """The shot was solved again since the import."""
    return info is not None and bool(info.solve_hash) and face.mien.solve_hash != info.solve_hash


def shown(face: bpy.types.Object) -> str:
    """What the mesh in the viewport is: "live", "filmed", "edited" by its curves, or "stale" when the controls changed since those were written."""
    if face.mien.live:
        return "live"
    if not face.mien.shown_hash:
        return "filmed"
    return "edited" if face.mien.shown_hash == controls_hash(face) else "stale"


def at_rest(face: bpy.types.Object) -> bool:
    """No emotion is keyed or set."""
    keyed = control_curves(face).keys() - {"master", "mouth"}
    return not keyed and not any(getattr(face.mien, name) for name in CONTROLS if name not in ("master", "mouth"))


def stage_scene(context: bpy.types.Context, stage: str) -> bpy.types.Scene | None:
    """The scene ("composite" or "delivery") that was made for the shot in use; all faces of a plate share theirs."""
    folder = shot_folder(context)
    main = main_folder(folder) if folder else None
    return next((s for s in bpy.data.scenes if main and s.get("mien_stage") == stage and absolute(s.get("mien_shot", "")) == main), None)
