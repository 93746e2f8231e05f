# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickles of arrays read without running anything of theirs: a closed list of names, each bound to an inert stand-in or a numpy constructor."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ...mesh.errors import MienError

try:
    from numpy._core.multiarray import _reconstruct
except ImportError:  # numpy 1
    from numpy.core.multiarray import _reconstruct


class Chumpy:
    """Stands in for `chumpy.ch.Ch`: keeps what the pickle says of it; `x` is its array."""

    x: Any = None


class Sparse:
    """Stands in for SciPy's compressed matrices: data, indices, indptr and _shape."""

    by_column = True

    def dense(self) -> np.ndarray:
        """(rows, columns) float64. Raises ValueError when the parts do not fit together."""
        parts = vars(self)
        shape = tuple(int(n) for n in parts.get("_shape", ()))
        data, indices, indptr = (np.asarray(parts.get(name, ())) for name in ("data", "indices", "indptr"))
        if len(shape) != 2 or len(indptr) != shape[1 if self.by_column else 0] + 1 or len(data) != len(indices):
            raise ValueError("a sparse matrix whose parts do not fit together")
        lines = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        out = np.zeros(shape)
        out[(indices, lines) if self.by_column else (lines, indices)] = data
        return out


class SparseRows(Sparse):
    by_column = False


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """What `_codecs.encode` does in a pickle of bytes, and nothing else."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in an unknown encoding")
    return text.encode("latin1")


def _new(cls: type, base: type = object, state: None = None) -> object:
    """What `copyreg._reconstructor` does for a plain object, for our stand-ins only."""
    if cls not in (Chumpy, Sparse, SparseRows) or base is not object or state is not None:
        raise pickle.UnpicklingError("an object made in a way that is not allowed")
    return cls()


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype, ("builtins", "object"): object, ("__builtin__", "object"): object,
    ("copyreg", "_reconstructor"): _new, ("copy_reg", "_reconstructor"): _new, ("_codecs", "encode"): _latin1, ("chumpy.ch", "Ch"): Chumpy}
ALLOWED |= {(module, "_reconstruct"): _reconstruct for module in ("numpy.core.multiarray", "numpy._core.multiarray")}
ALLOWED |= {(f"scipy.sparse.{prefix}{kind}", f"{kind}_matrix"): cls for kind, cls in (("csc", Sparse), ("csr", SparseRows)) for prefix in ("", "_")}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no model needs") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside itself")


def read_pickled_arrays(path: Path) -> dict[str, Any]:
    """The dictionary of a pickle, text as latin-1; chumpy arrays and sparse matrices become plain arrays. Raises MienError."""
    try:
        data = _Reader(io.BytesIO(Path(path).read_bytes()), encoding="latin1").load()
        if not isinstance(data, dict):
            raise pickle.UnpicklingError("it holds no dictionary")
        return {str(key): _plain(value) for key, value in data.items()}
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError, ImportError, MemoryError,
            OverflowError) as error:
        raise MienError(f"{path} is not read: {str(error) or 'it ends too early'}; give the file as its makers publish it.") from error


def _plain(value: Any) -> Any:
    for _ in range(8):
        if not isinstance(value, Chumpy):
            break
        value = value.x
    return value.dense() if isinstance(value, Sparse) else value
