# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic writes and checked reads: nothing half-written is ever found under a final name."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from .errors import MienError


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same extension) that replaces it on success and vanishes on failure.

    Raises MienError when the folder cannot be written or is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise MienError(f"Cannot write {path}: {error.strerror or error}; check the folder's permissions and free space.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_json(path: Path | str, data: object) -> None:
    """Write `data` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> dict:
    """Read a JSON object. Raises MienError when it is missing, unreadable or no object."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MienError(f"{path} is missing; run the step that makes it again.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MienError(f"{path} cannot be read as JSON ({error}); delete it and run the step that makes it again.") from error
    if not isinstance(data, dict):
        raise MienError(f"{path} does not hold a JSON object; delete it and run the step that makes it again.")
    return data


def write_npz(path: Path | str, arrays: Mapping[str, np.ndarray], *, compressed: bool = True) -> None:
    """Write arrays as npz, atomically; never pickles (object arrays raise ValueError)."""
    for name, array in arrays.items():
        if np.asarray(array).dtype == object:
            raise ValueError(f"array {name} has dtype object, which npz could only pickle")
    with atomic_path(path) as temporary:
        (np.savez_compressed if compressed else np.savez)(temporary, **arrays)


def read_npz(path: Path | str) -> dict[str, np.ndarray]:
    """Read every array of an npz without pickle. Raises MienError when it is missing or damaged."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except FileNotFoundError as error:
        raise MienError(f"{path} is missing; run the step that makes it again.") from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise MienError(f"{path} is damaged ({error}); delete it and run the step that makes it again.") from error


def check_arrays(path: Path | str, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | None, ...]]) -> None:
    """Check that `arrays` has each key of `shapes` in that shape (None = any size).

    Raises MienError that says which key is missing or which size is wrong.
    """
    for name, shape in shapes.items():
        if name not in arrays:
            raise MienError(f"{path} lacks the array '{name}'; run the step that makes it again.")
        have = arrays[name].shape
        if len(have) != len(shape) or any(w is not None and w != h for w, h in zip(shape, have)):
            want = " x ".join("any" if w is None else str(w) for w in shape) or "a single value"
            got = " x ".join(map(str, have)) or "a single value"
            raise MienError(f"{path}: array '{name}' is {got}, expected {want}; the files of this shot do not fit together.")
