# SPDX-License-Identifier: GPL-3.0-or-later
"""The shot folder `NAME.mien/`: what one plate's track, solve, texture, curves and bake are kept in.

    shot.json     Shot: plate, frame rate, first frame, size, colour, chosen face, model, camera
    track.npz     Track     solve.npz   Solve     emotion.npz   EmotionCurves (mesh.emotion), as baked
    pins.json     landmarks that the artist has put right by hand (mesh.pins)
    texture/      base.png (the shot's neutral UV texture)
    occlusion/    name.####.png, where the artist has put them: white where something stands before the face
    bake/v001/    face.####.exr (patch, premultiplied, scene-linear half RGBA), matte.####.exr, manifest.json, emotion.npz (as baked)
    bake/current.json   which of v001, v002 ... is baked and composited
    plate/        %04d.png: a movie plate's frames as the engine decoded them, for Blender's compositor

Frames are counted from 0 (index) in arrays and from `first_frame` (number) in file names and in Blender.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from .camera import Camera
from .errors import MienError
from .files import check_arrays, read_json, read_npz, write_json, write_npz

SCHEMA = 1


@dataclass(frozen=True)
class Plate:
    """What is known of the footage. Sizes are those of the upright picture, after a phone's rotation flag."""

    path: str
    """Movie file, or sequence pattern `name.####.exr`; absolute, or relative to the shot folder, with forward slashes."""
    kind: str
    """"movie" or "sequence"."""
    width: int
    height: int
    fps: tuple[int, int]
    """Rational frame rate, numerator and denominator (nominal when variable_rate)."""
    first_frame: int
    """Number of the first frame: 1 for a movie unless the artist says otherwise, the file's number for a sequence."""
    frame_count: int
    bits: int = 8
    """8, 16 (any integer source above 8) or 32 (float)."""
    alpha: bool = False
    linear: bool = False
    """True: scene-linear pixels (EXR); False: display-referred sRGB-like."""
    rotation: int = 0
    """Degrees clockwise that were applied to stand the picture upright."""
    variable_rate: bool = False
    audio: bool = False
    fingerprint: str = ""
    """Changes when the footage does: hash over size and parts of the file(s)."""

    @property
    def rate(self) -> Fraction:
        return Fraction(*self.fps)


FACES = "faces"
"""Folder in a shot folder with those of the other faces of its plate, N.mien each."""


def main_folder(folder: Path) -> Path:
    """The shot folder that this one was tracked together with; its own where it was tracked alone."""
    above = folder.parent
    return above.parent if above.name == FACES and (above.parent / "shot.json").exists() else folder


@dataclass
class Shot:
    """One plate and what was made of it. `folder` is where it lives; every path is resolved against it."""

    folder: Path
    plate: Plate
    face: int = 0
    """Number of the chosen face among those tracked."""
    model: str = "default"
    model_hash: str = ""
    camera: Camera | None = None
    """Known once solved."""
    settings: dict = field(default_factory=dict)
    """Options of the steps that made this shot (a given focal length, an occlusion mask, glasses ...)."""
    bake_version: int = 1
    """Which version is baked and composited; kept in bake/current.json, so that no other step touches it."""

    def face_folder(self, number: int) -> Path:
        """The shot folder of another face of the same plate, tracked together with this one."""
        return self.folder if number == self.face else self.folder / FACES / f"{number}.mien"

    def face_folders(self) -> dict[int, Path]:
        """Number -> shot folder of every face that was tracked with this one, its own first."""
        found = {int(p.stem): p for p in (self.folder / FACES).glob("*.mien") if p.stem.isdecimal() and int(p.stem) != self.face}
        return {self.face: self.folder} | dict(sorted(found.items()))

    @property
    def track_path(self) -> Path:
        return self.folder / "track.npz"

    @property
    def solve_path(self) -> Path:
        return self.folder / "solve.npz"

    @property
    def emotion_path(self) -> Path:
        return self.folder / "emotion.npz"

    @property
    def texture_path(self) -> Path:
        return self.folder / "texture" / "base.png"

    @property
    def bake_folder(self) -> Path:
        """Of the current version."""
        return self.bake_folder_of(self.bake_version)

    def bake_folder_of(self, version: int) -> Path:
        return self.folder / "bake" / f"v{version:03d}"

    def bake_versions(self) -> list[int]:
        """The versions on disk and the current one, in order."""
        found = (re.fullmatch(r"v(\d{3,})", path.name) for path in (self.folder / "bake").glob("v*"))
        return sorted({self.bake_version, *(int(match[1]) for match in found if match)})

    def use_bake_version(self, version: int) -> None:
        """Make a version the current one; one that has no folder starts empty."""
        self.bake_version = version
        write_json(self.folder / "bake" / "current.json", {"schema": 1, "version": version})

    @property
    def plate_folder(self) -> Path:
        return self.folder / "plate"

    def frame_number(self, index: int) -> int:
        return self.plate.first_frame + index

    def face_path(self, index: int) -> Path:
        return self.bake_folder / f"face.{self.frame_number(index):04d}.exr"

    def matte_path(self, index: int) -> Path:
        return self.bake_folder / f"matte.{self.frame_number(index):04d}.exr"

    def plate_frame_path(self, index: int) -> Path:
        return self.plate_folder / f"plate.{self.frame_number(index):04d}.png"

    @property
    def plate_path(self) -> Path:
        """The footage as an absolute path (a sequence keeps its ####)."""
        path = Path(self.plate.path)
        return path if path.is_absolute() else Path(os.path.normpath(self.folder / path))

    def save(self) -> None:
        """Write shot.json."""
        data = {"schema": SCHEMA, "plate": asdict(self.plate), "face": self.face, "model": self.model, "model_hash": self.model_hash,
                "camera": self.camera.to_dict() if self.camera else None, "settings": self.settings}
        write_json(self.folder / "shot.json", data)

    @classmethod
    def load(cls, folder: Path | str) -> Shot:
        """Read NAME.mien/shot.json. Raises MienError when it is no shot folder, or of another schema."""
        folder = Path(folder)
        path = folder / "shot.json"
        if not folder.is_dir():
            raise MienError(f"{folder} is no shot folder; make one with 'mien track PLATE -o {folder}'.")
        data = read_json(path)
        if data.get("schema") != SCHEMA:
            raise MienError(f"{path} has schema {data.get('schema')}, this version of Mien reads {SCHEMA}; track the plate again.")
        try:
            plate = Plate(**{**data["plate"], "fps": tuple(data["plate"]["fps"])})
            camera = Camera.from_dict(data["camera"]) if data.get("camera") else None
            return cls(folder, plate, int(data["face"]), data["model"], data["model_hash"], camera, data.get("settings", {}), _bake_version(folder))
        except (KeyError, TypeError, ValueError) as error:
            raise MienError(f"{path} is incomplete ({error}); track the plate again.") from error

    def relative_plate(self, plate_path: Path | str) -> str:
        """How `plate_path` is written in shot.json: relative to the folder where both are on one drive."""
        try:
            return Path(os.path.relpath(Path(plate_path).resolve(), self.folder.resolve())).as_posix()
        except ValueError:
            return Path(plate_path).resolve().as_posix()


def _bake_version(folder: Path) -> int:
    path = folder / "bake" / "current.json"
    version = read_json(path).get("version") if path.exists() else 1
    if not isinstance(version, int) or version < 1:
        raise MienError(f"{path} names no version; delete it, and v001 is current again.")
    return version


def takes(present: np.ndarray, cuts: np.ndarray) -> list[tuple[int, int]]:
    """[start, end) runs of present frames (T,) bool that neither a gap nor a cut interrupts; nothing is smoothed across their ends."""
    starts = {0, *map(int, cuts)}
    runs: list[tuple[int, int]] = []
    for i in map(int, np.flatnonzero(present)):
        if runs and runs[-1][1] == i and i not in starts:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    return runs


@dataclass(eq=False)
class Track:
    """Landmarks of one face, T frames, N landmarks."""

    scheme: str
    """"mediapipe478"."""
    landmarks: np.ndarray
    """(T, N, 3) float32: x, y in pixels (centre of the first pixel at 0.5, 0.5), z in the same scale, forward; NaN where lost."""
    confidence: np.ndarray
    """(T,) float32 in 0..1."""
    cuts: np.ndarray
    """(C,) int32: indices of frames that start a new take; 0 is not listed."""
    faces: np.ndarray
    """(T,) int32: how many faces were seen."""
    timestamps: np.ndarray
    """(T,) float64: presentation times in seconds."""
    fingerprint: str = ""
    """The plate's."""

    @property
    def found(self) -> np.ndarray:
        """(T,) bool."""
        return np.isfinite(self.landmarks[:, 0, 0])

    @property
    def segments(self) -> list[tuple[int, int]]:
        """Runs of found frames within takes; see `takes`."""
        return takes(self.found, self.cuts)

    def save(self, path: Path) -> None:
        write_npz(path, {"scheme": np.array(self.scheme), "landmarks": self.landmarks.astype(np.float32), "cuts": self.cuts.astype(np.int32),
                         "confidence": self.confidence.astype(np.float32), "faces": self.faces.astype(np.int32),
                         "timestamps": self.timestamps.astype(np.float64), "fingerprint": np.array(self.fingerprint)}, compressed=False)

    @classmethod
    def load(cls, shot: Shot) -> Track:
        """Raises MienError when the file is damaged or belongs to another plate."""
        a, T = read_npz(shot.track_path), shot.plate.frame_count
        check_arrays(shot.track_path, a, {"landmarks": (T, None, 3), "confidence": (T,), "cuts": (None,), "faces": (T,), "timestamps": (T,),
                                          "scheme": (), "fingerprint": ()})
        if str(a["fingerprint"]) != shot.plate.fingerprint:
            raise MienError(f"{shot.track_path} was tracked on other footage than {shot.plate.path}; track the plate again.")
        return cls(str(a["scheme"]), a["landmarks"], a["confidence"], a["cuts"], a["faces"], a["timestamps"], str(a["fingerprint"]))


@dataclass(eq=False)
class Solve:
    """The 3DMM's coefficients, T frames. Camera axes: OpenCV, metres."""

    alpha: np.ndarray
    """(A,) float32 identity, one for the shot."""
    beta: np.ndarray
    """(T, B) float32 expression; NaN where not solved."""
    rotation: np.ndarray
    """(T, 3) float32 rotation vectors, radians; NaN where not solved."""
    translation: np.ndarray
    """(T, 3) float32, metres; NaN where not solved."""
    reprojection: np.ndarray
    """(T,) float32: median landmark error, in distances of the outer eye corners on that frame."""
    cuts: np.ndarray
    """(C,) int32: see Track."""
    camera: Camera
    model_hash: str
    offset: np.ndarray | None = None
    """(L, 3) float32, metres in the head frame: where the tracker means another point of this person than the model's landmark vertices. What is
    reported as reprojection is less these."""
    pins: np.ndarray | None = None
    """(P, 5) float64, as mesh.pins.Pins.rows: the artist's pins that it was solved with; None where there were none."""

    @property
    def solved(self) -> np.ndarray:
        """(T,) bool."""
        return np.isfinite(self.translation[:, 0])

    @property
    def segments(self) -> list[tuple[int, int]]:
        """As Track.segments, of solved frames."""
        return takes(self.solved, self.cuts)

    def save(self, path: Path) -> None:
        camera = np.array([self.camera.width, self.camera.height, self.camera.focal, self.camera.cx, self.camera.cy])
        extra = {"distortion": np.array([self.camera.k1, self.camera.k2])} if self.camera.k1 or self.camera.k2 else {}
        extra |= {} if self.offset is None else {"offset": self.offset.astype(np.float32)}
        extra |= {} if self.pins is None or not len(self.pins) else {"pins": self.pins.astype(np.float64)}
        write_npz(path, extra | {"alpha": self.alpha.astype(np.float32), "beta": self.beta.astype(np.float32),
                         "rotation": self.rotation.astype(np.float32),
                         "translation": self.translation.astype(np.float32), "reprojection": self.reprojection.astype(np.float32),
                         "cuts": self.cuts.astype(np.int32), "camera": camera, "model_hash": np.array(self.model_hash)}, compressed=False)

    @classmethod
    def load(cls, shot: Shot) -> Solve:
        """Raises MienError when the file is damaged, or made with another model or plate size."""
        a, T = read_npz(shot.solve_path), shot.plate.frame_count
        check_arrays(shot.solve_path, a, {"alpha": (None,), "beta": (T, None), "rotation": (T, 3), "translation": (T, 3),
                                          "reprojection": (T,), "cuts": (None,), "camera": (5,), "model_hash": ()})
        check_arrays(shot.solve_path, a, {k: v for k, v in {"distortion": (2,), "offset": (None, 3), "pins": (None, 5)}.items() if k in a})
        w, h, focal, cx, cy = map(float, a["camera"])
        if (int(w), int(h)) != (shot.plate.width, shot.plate.height):
            raise MienError(f"{shot.solve_path} is for a {int(w)} x {int(h)} plate, the shot's is "
                            f"{shot.plate.width} x {shot.plate.height}; solve the shot again.")
        if shot.model_hash and str(a["model_hash"]) != shot.model_hash:
            raise MienError(f"{shot.solve_path} was made with another face model than shot.json names; solve the shot again.")
        return cls(a["alpha"], a["beta"], a["rotation"], a["translation"], a["reprojection"], a["cuts"],
                   Camera(int(w), int(h), focal, cx, cy, *map(float, a.get("distortion", (0, 0)))), str(a["model_hash"]), a.get("offset"),
                   a.get("pins"))
