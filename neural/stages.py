# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of a shot as functions; engine jobs and the command line are thin wrappers over them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..mesh.cast import SETTING as CAST
from ..mesh.emotion import EmotionCurves
from ..mesh.errors import MienError
from ..mesh.model import FaceModel, load_model
from ..mesh.pins import Pins, changed_frames
from ..mesh.shot import Shot, Solve, Track
from .bake import bake
from .edit import EditSettings, ShotEditor
from .glasses import GLASSES_THRESHOLD, glasses_score
from .media import Frame, PlateReader, open_writer, probe_plate, write_png
from .parallel import ordered_map
from .progress import Reporter
from .solving import Footage, solve_again, solve_shots
from .solving.gaze import blink_agreement
from .solving.misfit import mesh_misfit
from .texture import EarlyFrames, shot_texture
from .tracking import chosen_face, other_faces, track_faces
from .visibility import landmarks_seen, shot_trust

SENSOR = 36.0
"""mm: width of the sensor that a focal length in mm refers to, along the picture's longer side."""

__all__ = ["bake", "edit", "solve", "track"]


def track(plate: Path, folder: Path, *, face: int = 0, all_faces: bool = False, landmarks: str = "mediapipe", first_frame: int | None = None,
          fps: Fraction | None = None, report: Reporter) -> Shot:
    """Landmarks of a face on every frame; makes the shot folder. An earlier solve of the shot is removed, as it would not fit.

    all_faces: every other face of the plate gets a shot folder of its own, `Shot.face_folder` of the first. landmarks: the backend, one of
    tracking.BACKENDS. Raises MienError for a plate that cannot be read or shows no face; then nothing is written.
    """
    facts = probe_plate(plate, first_frame, **({"fps": fps} if fps else {}))
    tracks = track_faces(PlateReader(Path(facts.path), facts).frames(), facts, report, backend=landmarks)
    chosen = chosen_face(tracks, face, facts, report)
    others = other_faces(tracks, face)
    if all_faces:
        for number, found in others.items():
            _keep_track(Shot(Shot(Path(folder), facts, face).face_folder(number), facts, number), found)
    elif others:
        report.warn(f"The plate has {len(others) + 1} faces (numbers {', '.join(map(str, sorted((face, *others))))}); number {face} is followed, "
                    "the others stay as they are.")
    return _keep_track(Shot(Path(folder), facts, face), chosen)


def _keep_track(shot: Shot, found: Track) -> Shot:
    """Write a face's track into its shot folder; what was made from an earlier one goes."""
    shot.plate = replace(shot.plate, path=shot.relative_plate(shot.plate.path))
    found.save(shot.track_path)
    for old in (shot.solve_path, shot.texture_path):
        old.unlink(missing_ok=True)
    shot.save()
    return shot


def solve(folder: Path, *, model: str = "default", focal_mm: float | None = None, distortion: tuple[float, float] | None = None,
          mask: str | None = None, identity: Path | None = None, rnet: Path | None = None, photometric: bool = False, cast: Path | None = None,
          actor: str = "", report: Reporter) -> Shot:
    """Identity, camera, expression and pose of one shot; see `solve_together`."""
    return solve_together([folder], model=model, focal_mm=focal_mm, distortion=distortion, mask=mask, identity=identity, rnet=rnet,
                          photometric=photometric, cast=cast, actor=actor, report=report)[0]


def solve_together(folders: Sequence[Path], *, model: str = "default", focal_mm: float | None = None, distortion: tuple[float, float] | None = None,
                   mask: str | None = None, identity: Path | None = None, rnet: Path | None = None, photometric: bool = False,
                   cast: Path | None = None, actor: str = "", report: Reporter) -> list[Shot]:
    """Identity, camera, expression and pose from the tracks of shots of one person, and each shot's UV texture.

    focal_mm: focal length on a 36 mm wide sensor (longer side of the picture), when it is known. distortion: k1, k2 of the lens. mask: pictures
    that are white where something hides the face (`visibility.py`), "none" to forget an earlier one. identity: a solved shot whose face is
    kept. rnet: R-Net's checkpoint, where the solve on a Basel Face Model is to start from what it says. photometric: every frame is refined on the
    plate's own pixels. cast: the folder that knows the production's actors (mesh/cast.py): who is recognised there, or named by `actor`, gets the
    face that earlier shots have; who is not is added. Raises MienError.
    """
    if cast is not None and identity is not None:
        raise MienError("A face to keep and a cast were both given; the cast knows which face to keep, so leave the other one out.")
    if actor and cast is None:
        raise MienError(f"The actor '{actor}' was named, but no cast; give the folder of the cast as well.")
    if focal_mm is not None and not 4 <= focal_mm <= 2000:
        raise MienError(f"The focal length {focal_mm:g} mm is not within 4 to 2000 mm.")
    shots, face_model = [Shot.load(folder) for folder in folders], load_model(model)
    alpha = None if identity is None else _identity_of(identity, face_model)
    footage = []
    for shot in shots:
        if mask is not None:
            shot.settings["mask"] = "" if mask == "none" else shot.relative_plate(mask)
        landmarks = Track.load(shot)
        focal = focal_mm / SENSOR * max(shot.plate.width, shot.plate.height) if focal_mm else None
        given = Footage(landmarks, shot.plate, focal, distortion or (0.0, 0.0), landmarks_seen(shot, landmarks), pins=Pins.load(shot).rows(shot))
        if rnet is not None:
            from .rnet.predict import predict  # brings torch
            reader = PlateReader(shot.plate_path, shot.plate)
            given = replace(given, start=predict(rnet, reader.frames(), shot.plate, landmarks, face_model, given.camera, report))
        footage.append(given)
    role = None
    if cast is not None:
        from .casting import role_of  # nothing of it is needed without a cast
        role = role_of(cast, shots, [given.track for given in footage], actor, report)
        alpha = role.alpha(face_model)
    with contextlib.ExitStack() as reading:
        early = [reading.enter_context(EarlyFrames(shot, given.track.found, face_model, len(shots))) for shot, given in zip(shots, footage)]
        results = solve_shots(face_model, footage, report, alpha=alpha)
        for shot, given, frames, result in zip(shots, footage, early, results):
            by = ""
            if photometric:
                from .solving.photometric import refine
                plate = PlateReader(shot.plate_path, shot.plate)
                result, by = refine(face_model, given, result, plate, shot_trust(shot, given.track, result), report)
            shot.settings["photometric"] = by
            shot.model, shot.model_hash, shot.camera = model, face_model.hash, result.camera
            texture = shot_texture(shot, face_model, given.track, result, frames, report)
            shot.settings["glasses_seen"] = glasses_score(texture, face_model) > GLASSES_THRESHOLD
            shot.settings["focal_given"] = focal_mm is not None
            shot.settings.pop(CAST, None)
            if role is not None:
                shot.settings[CAST] = role.verdict.to_dict()
            write_png(shot.texture_path, texture)
            result.save(shot.solve_path)
            shot.save()
    if role is not None:
        role.learn(model, face_model, results, report)
    return shots


def resolve(folder: Path, *, frames: Sequence[Sequence[int]] | None = None, report: Reporter) -> tuple[Shot, int]:
    """Some frames of a solved shot again, identity and camera held: those around pins that changed since, and `frames`, [first, last] ranges of
    frame numbers. Returns the shot and how many frames were asked for. Raises MienError, also when there is nothing to do.
    """
    shot = Shot.load(folder)
    old, track, face_model = Solve.load(shot), Track.load(shot), load_model(shot.model)
    if old.model_hash != face_model.hash:
        raise MienError(f"{folder} was solved with another version of the face model '{shot.model}'; solve the whole shot again.")
    pins = Pins.load(shot).rows(shot)
    chosen = changed_frames(track.landmarks, track.segments, old.pins, pins)
    for first, last in frames or ():
        chosen[max(first - shot.plate.first_frame, 0) : max(last - shot.plate.first_frame + 1, 0)] = True
    if not chosen.any():
        raise MienError(f"No pin of {folder} has changed since it was solved; pin a landmark, or name the frames to solve again.")
    given = Footage(track, shot.plate, seen=landmarks_seen(shot, track), pins=pins)
    solve_again(face_model, given, old, chosen, report).save(shot.solve_path)
    return shot, int(chosen.sum())


def _identity_of(folder: Path, model: FaceModel) -> np.ndarray:
    """(A,) of a solved shot. Raises MienError when it was solved with another model."""
    shot = Shot.load(folder)
    found = Solve.load(shot)
    if found.model_hash != model.hash:
        raise MienError(f"{folder} was solved with the face model '{shot.model}', not with this version of '{model.name}'; "
                        "the identity must come from a shot with the same model.")
    return found.alpha


def solve_summary(shot: Shot) -> dict:
    """What `mien solve` prints: frames, solved, reprojection (median of frames, parts of the eye distance), mesh (the same, the landmarks'
    own offsets not taken off), photometric (refined on the plate by what; "" if not), cast (the verdict; None without a cast), focal in px and
    mm, lids (`blink_agreement`), cuts, lost."""
    result, track, model = Solve.load(shot), Track.load(shot), load_model(shot.model)
    solved = result.solved
    return {"frames": len(solved), "solved": int(solved.sum()), "reprojection": float(np.median(result.reprojection[solved])),
            "mesh": mesh_misfit(model, track, result), "photometric": shot.settings.get("photometric") or "",
            "cast": shot.settings.get(CAST),
            "lids": blink_agreement(model, track.landmarks, result),
            "focal": result.camera.focal, "focal_mm": result.camera.focal * SENSOR / max(shot.plate.width, shot.plate.height),
            "cuts": [shot.frame_number(int(c)) for c in result.cuts], "lost": [shot.frame_number(int(i)) for i in np.flatnonzero(~solved)]}


def edit(folder: Path, curves: EmotionCurves, output: Path, *, codec: str | None = None, settings: dict | None = None,
         others: Mapping[Path, EmotionCurves] | None = None, report: Reporter) -> dict:
    """The edited plate as a movie or sequence, with the plate's own audio. Streams; nothing is kept in the shot folder.

    others: shot folders of further faces of the same plate and their curves; each is laid over what the ones before have made.
    Returns {"frames", "changed", "jitter", "output"}. Raises MienError; then no output is left.
    """
    shot = Shot.load(folder)
    chosen = EditSettings.from_dict(settings)
    editor = ShotEditor(shot, curves, chosen, report)
    editors = [editor, *(ShotEditor(Shot.load(at), wanted, chosen, report) for at, wanted in (others or {}).items())]
    reader = PlateReader(shot.plate_path, shot.plate)

    def composited(frame: Frame) -> Frame:
        for face in editors:
            frame = face.composited(frame)
        return frame

    total = shot.plate.frame_count
    report.step("render", 0, total)
    with open_writer(output, shot.plate, codec, audio_from=shot.plate_path if shot.plate.audio else None) as writer:
        for sentence in writer.warnings:
            report.warn(sentence)
        for frame in ordered_map(composited, reader.frames()):
            writer.write(frame.pixels, frame.time)
            report.step("render", frame.index + 1, total)
    changed = np.any([face.edit.active for face in editors], axis=0)
    return {"frames": total, "changed": int(changed.sum()), "jitter": round(editor.jitter(), 4), "output": str(output)}
