# SPDX-License-Identifier: GPL-3.0-or-later
"""NVlabs' pickled networks (stylegan2-ada-pytorch) read without running anything of theirs.

Such a pickle holds, for each network, the source code of its class and the values of its instance. Here a closed list of names is bound to
inert stand-ins: the source is never compiled, an instance becomes a `Module` that holds its values, and tensors are rebuilt from bytes.
"""

from __future__ import annotations

import _codecs
import io
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...mesh.errors import MienError

HINT = "give the file as its makers publish it"


class Module:
    """Stands in for a network or layer: the name of its class and what its instance held."""

    def __init__(self, name: str, values: dict[str, Any]):
        self.name, self.values = name, values

    def tensors(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers by their dotted names, as in a state dict."""
        for kind in ("_parameters", "_buffers"):
            for key, value in dict(self.values.get(kind, {})).items():
                if isinstance(value, Tensor):
                    yield prefix + key, value
        for key, part in dict(self.values.get("_modules", {})).items():
            if isinstance(part, Module):
                yield from part.tensors(f"{prefix}{key}.")

    def parts(self) -> Iterator[Module]:
        """Itself and every layer inside."""
        yield self
        for part in dict(self.values.get("_modules", {})).values():
            if isinstance(part, Module):
                yield from part.parts()


class Attributes(dict):
    """Stands in for `dnnlib.EasyDict`."""


def _module(meta: Any) -> Module:
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise pickle.UnpicklingError("a network without values")
    return Module(str(meta.get("class_name")), meta["state"])


def _storage(data: bytes) -> Any:
    if not isinstance(data, bytes):
        raise pickle.UnpicklingError("a tensor without bytes")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """The tensor of a storage; torch checks that it lies within."""
    untyped = getattr(storage, "_untyped_storage", None)
    if not isinstance(untyped, torch.UntypedStorage):
        raise pickle.UnpicklingError("a tensor of something else")
    return torch.empty(0, dtype=storage.dtype).set_(untyped, int(offset), tuple(size), tuple(stride)).clone()


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _scalar(dtype: Any, data: Any = b"") -> Any:
    if not isinstance(dtype, np.dtype) or dtype.kind not in "fiub" or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a number of an odd kind")
    return np.frombuffer(data, dtype)[0]


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """What `_codecs.encode` does in a pickle of bytes, and nothing else."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in an unknown encoding")
    return _codecs.latin_1_encode(text)[0]


ALLOWED: dict[tuple[str, str], Any] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _module, ("dnnlib.util", "EasyDict"): Attributes,
    ("torch.storage", "_load_from_bytes"): _storage, ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter, ("collections", "OrderedDict"): OrderedDict, ("builtins", "set"): set,
    ("__builtin__", "set"): set, ("numpy", "dtype"): np.dtype, ("_codecs", "encode"): _encoded,
    ("numpy.core.multiarray", "scalar"): _scalar, ("numpy._core.multiarray", "scalar"): _scalar}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no StyleGAN2 needs") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside itself")


def read_nvlabs(path: Path) -> dict[str, Module]:
    """The networks of a pickle by name: G, D, G_ema. Raises MienError that names the file."""
    try:
        with Path(path).open("rb") as file:
            data = _Reader(file).load()
        if not isinstance(data, dict):
            raise pickle.UnpicklingError("it holds no dictionary")
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError, ImportError, MemoryError, OverflowError,
            RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["it ends too early"])[0]
        raise MienError(f"{path} is not read: {reason}; {HINT}.") from error
    return {str(k): v for k, v in data.items() if isinstance(v, Module)}
