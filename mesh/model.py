# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear face model: S = mean + B_id alpha + B_exp beta (Sun et al. 2023, section 3.2), and its file format.

Frame: head frame in OpenCV axes (x towards the image's right, y down, z forward, away from the camera), metres. A face at
rest looks at the camera, so its nose points to -z and the subject's left is at +x. Origin: between the outer eye corners
in x and y, 50 mm behind them in z, so that a rotation turns the head about its middle.

Units: alpha in standard deviations, so the prior of a face is N(0, 1). beta in apexes: 1 is a full muscle action.

File: one npz, no pickles, schema 1 (`FaceModel.save` writes it, `FaceModel.load` documents and checks it). Basis arrays may be
stored as int16 with a scale each, `<name>` and `<name>_scale`; everything else is stored as it is held.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from .errors import MienError
from .files import check_arrays, read_npz, write_npz

SCHEMA = 1
DEFAULT_MODEL_PATH = Path(__file__).parent / "data" / "default.npz"


@dataclass(eq=False)
class Part:
    """What moves with the face and is none of its skin: teeth, gums, eyeballs. Its directions are the face's, in their order."""

    mean: np.ndarray
    """(V, 3) float32, metres, head frame."""
    identity: np.ndarray
    """(A, V, 3) float32"""
    expression: np.ndarray
    """(B, V, 3) float32"""
    triangles: np.ndarray
    """(F, 3) int32"""
    uv: np.ndarray
    """(U, 2) float32"""
    uv_triangles: np.ndarray
    """(F, 3) int32 into uv."""

    def neutral(self, alpha: np.ndarray) -> np.ndarray:
        """(A,) -> (V, 3): the person's, with no expression."""
        return self.mean + np.tensordot(np.asarray(alpha, np.float32), self.identity, 1)


@dataclass(eq=False)
class FaceModel:
    """A linear face model. V vertices, F triangles, A identity and B expression directions."""

    name: str
    mean: np.ndarray
    """(V, 3) float32, metres: the neutral mean face."""
    identity: np.ndarray
    """(A, V, 3) float32, metres per standard deviation."""
    expression: np.ndarray
    """(B, V, 3) float32, metres at the apex."""
    expression_names: tuple[str, ...]
    """B names, ARKit-52 where one exists (browDownLeft, jawOpen ...), else a FACS name in the same camelCase."""
    expression_sigma: np.ndarray
    """(B,) float32: how far a performance moves along each direction; the solve's prior."""
    triangles: np.ndarray
    """(F, 3) int32, counter-clockwise seen from outside (from the camera)."""
    uv: np.ndarray
    """(U, 2) float32 in 0..1, v up (Blender's convention)."""
    uv_triangles: np.ndarray
    """(F, 3) int32 into uv; equals triangles where no vertex is split by a seam."""
    landmark_scheme: str
    """The numbering of landmark_ids: "mediapipe478"."""
    landmark_ids: np.ndarray
    """(L,) int32: tracker landmarks that the model has."""
    landmark_vertices: np.ndarray
    """(L,) int32: the vertex of each."""
    lip_upper: np.ndarray
    """(P,) int32: vertices along the upper inner lip, the subject's right corner to the left; eq. 4's S_u."""
    lip_lower: np.ndarray
    """(P,) int32: their partners on the lower inner lip; eq. 4's S_d."""
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    """name -> (V,) float32 weight in 0..1. `default` has brow_left, brow_right, lids_left, lids_right, lips, nose, cheeks, forehead, jaw."""
    loops: dict[str, np.ndarray] = field(default_factory=dict)
    """name -> (n,) int32 closed loops of vertices: border (outer edge), mouth (inner lips), eye_left, eye_right (lid margins).
    A model without a hole there leaves the name out."""
    centre: np.ndarray = field(default_factory=lambda: np.zeros(3, np.float32))
    """(3,) float32, metres: the mean of all vertices of the file that a foreign model came from. R-Net's poses turn the face about it."""

    parts: dict[str, Part] = field(default_factory=dict)
    """name -> what moves with the face: "teeth", "gums", "eye_left", "eye_right", where the model has them."""

    @property
    def vertex_count(self) -> int:
        return len(self.mean)

    @property
    def identity_count(self) -> int:
        return len(self.identity)

    @property
    def expression_count(self) -> int:
        return len(self.expression)

    @cached_property
    def expression_index(self) -> dict[str, int]:
        """Name -> position in beta."""
        return {name: i for i, name in enumerate(self.expression_names)}

    @cached_property
    def eye_distance(self) -> float:
        """Distance of the outer eye corners of the mean, metres (landmarks 33 and 263)."""
        a, b = self.vertices_of_landmarks([33, 263])
        return float(np.linalg.norm(self.mean[a] - self.mean[b]))

    def vertices_of_landmarks(self, ids: list[int] | np.ndarray) -> np.ndarray:
        """Vertices (n,) of tracker landmark ids (n,). Raises KeyError for one the model lacks."""
        table = {int(i): int(v) for i, v in zip(self.landmark_ids, self.landmark_vertices)}
        return np.array([table[int(i)] for i in ids], np.int64)

    def neutral(self, alpha: np.ndarray) -> np.ndarray:
        """(A,) -> (V, 3): the person's face with no expression."""
        return self.mean + np.tensordot(np.asarray(alpha, np.float32), self.identity, 1)

    def displacement(self, beta: np.ndarray) -> np.ndarray:
        """(..., B) -> (..., V, 3): what the expression adds, linear in beta."""
        beta = np.asarray(beta, np.float32)
        flat = beta.reshape(-1, self.expression_count) @ self.expression.reshape(self.expression_count, -1)
        return flat.reshape(*beta.shape[:-1], self.vertex_count, 3)

    def shape(self, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """(A,), (..., B) -> (..., V, 3) in the head frame, metres."""
        return self.neutral(alpha) + self.displacement(beta)

    @cached_property
    def hash(self) -> str:
        """Sixteen hex digits over everything that changes a result."""
        digest = hashlib.sha256()
        for array in (self.mean, self.identity, self.expression, self.triangles, self.uv, self.landmark_ids, self.landmark_vertices):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update("\0".join(self.expression_names).encode())
        return digest.hexdigest()[:16]

    def save(self, path: Path | str) -> None:
        """Write the model as one npz, bases as int16 with a scale per direction (error at most 1/65534 of its largest move)."""
        arrays: dict[str, np.ndarray] = {
            "schema": np.array(SCHEMA, np.int32), "name": np.array(self.name), "mean": self.mean.astype(np.float32),
            "expression_names": np.array(self.expression_names), "expression_sigma": self.expression_sigma.astype(np.float32),
            "triangles": self.triangles.astype(np.int32), "uv": self.uv.astype(np.float32),
            "uv_triangles": self.uv_triangles.astype(np.int32), "landmark_scheme": np.array(self.landmark_scheme),
            "landmark_ids": self.landmark_ids.astype(np.int32), "landmark_vertices": self.landmark_vertices.astype(np.int32),
            "lip_upper": self.lip_upper.astype(np.int32), "lip_lower": self.lip_lower.astype(np.int32),
            "centre": self.centre.astype(np.float32),
        }
        _pack_bases(arrays, "", self)
        arrays["part_names"] = np.array(sorted(self.parts), str)
        for name, part in self.parts.items():
            _pack_bases(arrays, f"{name}.", part)
            for key, kind in PART_ARRAYS.items():
                arrays[f"{name}.{key}"] = getattr(part, key).astype(kind)
        arrays |= {f"region_{k}": v.astype(np.float32) for k, v in self.regions.items()}
        arrays |= {f"loop_{k}": v.astype(np.int32) for k, v in self.loops.items()}
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: Path | str = DEFAULT_MODEL_PATH) -> FaceModel:
        """Read a model file. Raises MienError that names the key or size that is wrong."""
        a = read_npz(path)
        for key in ("mean", "identity", "expression", "triangles", "uv", "landmark_ids"):
            if key not in a:
                raise MienError(f"{path} is no face model: it lacks the array '{key}'.")
        if int(a.get("schema", -1)) != SCHEMA:
            raise MienError(f"{path} has face model schema {a.get('schema')}, this version of Mien reads {SCHEMA}; build the model again.")
        V, F, U = len(a["mean"]), len(a["triangles"]), len(a["uv"])
        A, B, L = len(a["identity"]), len(a["expression"]), len(a["landmark_ids"])
        check_arrays(path, a, {
            "mean": (V, 3), "identity": (A, V, 3), "expression": (B, V, 3), "expression_names": (B,), "expression_sigma": (B,),
            "identity_scale": (A,), "expression_scale": (B,), "triangles": (F, 3), "uv": (U, 2), "uv_triangles": (F, 3), "name": (),
            "landmark_scheme": (), "landmark_ids": (L,), "landmark_vertices": (L,), "lip_upper": (None,), "lip_lower": (None,)})
        if "centre" in a:
            check_arrays(path, a, {"centre": (3,)})
        for key, limit in (("triangles", V), ("uv_triangles", U), ("landmark_vertices", V), ("lip_upper", V), ("lip_lower", V)):
            if a[key].size and (a[key].min() < 0 or a[key].max() >= limit):
                raise MienError(f"{path}: array '{key}' points outside its {limit} items.")
        basis = _unpack_bases(a, "")
        return cls(
            name=str(a["name"]), mean=a["mean"], identity=basis["identity"], expression=basis["expression"],
            expression_names=tuple(str(n) for n in a["expression_names"]), expression_sigma=a["expression_sigma"],
            triangles=a["triangles"], uv=a["uv"], uv_triangles=a["uv_triangles"], landmark_scheme=str(a["landmark_scheme"]),
            landmark_ids=a["landmark_ids"], landmark_vertices=a["landmark_vertices"], lip_upper=a["lip_upper"], lip_lower=a["lip_lower"],
            regions={k[7:]: v for k, v in a.items() if k.startswith("region_")},
            loops={k[5:]: v for k, v in a.items() if k.startswith("loop_")}, centre=a.get("centre", np.zeros(3, np.float32)),
            parts={str(name): _load_part(path, a, f"{name}.", A, B) for name in a.get("part_names", ())})


PART_ARRAYS = {"mean": np.float32, "triangles": np.int32, "uv": np.float32, "uv_triangles": np.int32}
"""Arrays of a part besides its bases, and how they are stored."""


def _pack_bases(arrays: dict[str, np.ndarray], prefix: str, owner: FaceModel | Part) -> None:
    """Add the bases of a model or part as int16 with a scale per direction."""
    for name in ("identity", "expression"):
        basis = getattr(owner, name)
        scale = np.maximum(np.abs(basis).max(axis=(1, 2)), 1e-12) / 32767
        arrays[prefix + name] = np.round(basis / scale[:, None, None]).astype(np.int16)
        arrays[f"{prefix}{name}_scale"] = scale.astype(np.float32)


def _unpack_bases(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k: arrays[prefix + k].astype(np.float32) * arrays[f"{prefix}{k}_scale"][:, None, None] for k in ("identity", "expression")}


def _load_part(path: Path | str, a: Mapping[str, np.ndarray], prefix: str, A: int, B: int) -> Part:
    V, F, U = (len(a.get(prefix + key, ())) for key in ("mean", "triangles", "uv"))
    check_arrays(path, a, {prefix + key: shape for key, shape in {
        "mean": (V, 3), "identity": (A, V, 3), "expression": (B, V, 3), "identity_scale": (A,), "expression_scale": (B,), "triangles": (F, 3),
        "uv": (U, 2), "uv_triangles": (F, 3)}.items()})
    for key, limit in (("triangles", V), ("uv_triangles", U)):
        if F and (a[prefix + key].min() < 0 or a[prefix + key].max() >= limit):
            raise MienError(f"{path}: array '{prefix}{key}' points outside its {limit} items.")
    return Part(**{key: a[prefix + key] for key in PART_ARRAYS}, **_unpack_bases(a, prefix))


def models_folder() -> Path:
    """Where the user's own models are kept: $MIEN_MODELS, or the platform's folder for an application's data."""
    given = os.environ.get("MIEN_MODELS")
    if given:
        return Path(given)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "mien" / "models"


def model_names() -> list[str]:
    """"default" and the models in the user's folder."""
    return ["default", *sorted(path.stem for path in models_folder().glob("*.npz") if not path.name.startswith("."))]


def model_path(name: str) -> Path:
    """The file of a model, by name or by the path of its npz. Raises MienError when there is none."""
    if name == "default":
        return DEFAULT_MODEL_PATH
    if Path(name).suffix == ".npz":
        return Path(name)
    names = model_names()
    if name not in names:
        raise MienError(f"There is no face model '{name}'; there {'is' if len(names) == 1 else 'are'} {', '.join(names)}, "
                        "'mien model add' adds one, and the path of a model's .npz file does as well.")
    return models_folder() / f"{name}.npz"


def load_model(name: str = "default") -> FaceModel:
    """A face model by name, or by the path of its npz. Raises MienError when there is none."""
    return FaceModel.load(model_path(name))
