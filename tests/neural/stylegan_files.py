# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights by a rule that anybody can follow, and files in the formats of published StyleGAN2 and pSp weights, for the tests."""

from __future__ import annotations

import argparse
import pickle
import sys
import types
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def seeded(name: str, shape: Sequence[int]) -> Tensor:
    """The weights of a parameter: normal numbers from numpy's PCG64 seeded by the CRC-32 of its name, in a range that suits it."""
    x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    if name.endswith("running_var"):
        x = 0.5 + np.abs(x)
    elif name.endswith(("bias", "noise_strength", "w_avg", "running_mean")):
        x = 0.1 * x + name.endswith("affine.bias")
    elif name.startswith("mapping.fc"):
        x = 100 * x
    elif name.startswith(("input_layer", "body", "latlayer")) or ".convs." in name:
        x = 1 + 0.1 * x if len(shape) == 1 else x / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(x, np.float32).reshape(tuple(shape)))


def seeded_state(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    return {name: seeded(name, shape) for name, shape in shapes.items()}


def probe(shape: Sequence[int]) -> Tensor:
    """An input."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal(tuple(shape)).astype(np.float32))


def fill(network: nn.Module) -> nn.Module:
    """The network with weights by the rule."""
    state = network.state_dict()
    network.load_state_dict({**state, **seeded_state({k: v.shape for k, v in state.items() if not k.endswith("num_batches_tracked")})})
    return network.eval()


class _Instance:
    """Pickles as NVlabs' persistent classes do: a call of their function with the source of the class and the values of the instance."""

    def __init__(self, name: str, values: dict, source: str):
        self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": name, "state": values}

    def __reduce__(self) -> tuple:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def _instance(name: str, state: Mapping[str, Tensor], facts: Mapping[str, object], source: str) -> _Instance:
    """A network of nested instances from a state dict."""
    values: dict = {"training": False, "_parameters": OrderedDict(), "_buffers": OrderedDict(), "_non_persistent_buffers_set": set(),
                    "_modules": OrderedDict(), "weight_gain": np.float64(0.5), **facts}
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        head, _, rest = key.partition(".")
        if rest:
            parts.setdefault(head, {})[rest] = tensor
        elif head in ("w_avg", "noise_const", "resample_filter"):
            values["_buffers"][head] = tensor
        else:
            values["_parameters"][head] = nn.Parameter(tensor, requires_grad=False)
    for head, inner in parts.items():
        values["_modules"][head] = _instance("Layer", inner, facts, source)
    return _Instance(name, values, source)


def write_nvlabs(path: Path, networks: Mapping[str, Mapping[str, Tensor]], source: str = "raise SystemExit('executed')", **facts: object) -> None:
    """A .pkl as stylegan2-ada-pytorch writes it, with `source` where the code of its classes stands."""
    package, persistence, dnnlib, util = (types.ModuleType(n) for n in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"))

    def _reconstruct_persistent_obj(meta: object) -> None:
        raise AssertionError("only its name is pickled")

    class EasyDict(dict):
        pass

    _reconstruct_persistent_obj.__module__, EasyDict.__module__, EasyDict.__qualname__ = "torch_utils.persistence", "dnnlib.util", "EasyDict"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    persistence._reconstruct_persistent_obj, util.EasyDict = _reconstruct_persistent_obj, EasyDict  # type: ignore[attr-defined]
    modules = {m.__name__: m for m in (package, persistence, dnnlib, util)}
    sys.modules.update(modules)
    try:
        data = {name: _instance(name, state, facts, source) for name, state in networks.items()}
        path.write_bytes(pickle.dumps({**data, "training_set_kwargs": EasyDict(path="a.zip"), "augment_pipe": None}))
    finally:
        for name in modules:
            del sys.modules[name]


def rosinality_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A generator's tensors, by our names, as rosinality names them."""
    out: dict[str, Tensor] = {}
    sizes = sorted({int(k.split(".")[1][1:]) for k in state if k.startswith("synthesis.")})

    def layer(new: str, old: str, shape: tuple[int, ...], noise: int | None) -> None:
        out[f"{old}.conv.weight"] = state[f"{new}.weight"][None]
        out[f"{old}.conv.modulation.weight"], out[f"{old}.conv.modulation.bias"] = state[f"{new}.affine.weight"], state[f"{new}.affine.bias"]
        out[f"{old}.activate.bias" if noise is not None else f"{old}.bias"] = state[f"{new}.bias"].reshape(shape)
        if noise is not None:
            out[f"{old}.noise.weight"] = state[f"{new}.noise_strength"].reshape(1)
            out[f"noises.noise_{noise}"] = state[f"{new}.noise_const"][None, None]

    for key, tensor in state.items():
        if key.startswith("mapping.fc"):
            number, kind = key[len("mapping.fc"):].split(".")
            out[f"style.{int(number) + 1}.{kind}"] = tensor
    out["input.input"] = state["synthesis.b4.const"][None]
    layer("synthesis.b4.conv1", "conv1", (-1,), 0)
    layer("synthesis.b4.torgb", "to_rgb1", (1, 3, 1, 1), None)
    for i, size in enumerate(sizes[1:]):
        for j in range(2):
            layer(f"synthesis.b{size}.conv{j}", f"convs.{2 * i + j}", (-1,), 2 * i + j + 1)
        layer(f"synthesis.b{size}.torgb", f"to_rgbs.{i}", (1, 3, 1, 1), None)
    return out


def write_rosinality(path: Path, generator: Mapping[str, Tensor], latent_avg: Tensor) -> None:
    torch.save({"g_ema": rosinality_names(generator), "latent_avg": latent_avg, "args": argparse.Namespace(size=32)}, path)


def write_psp(path: Path, encoder: Mapping[str, Tensor], generator: Mapping[str, Tensor], latent_avg: Tensor, **options: object) -> None:
    state = {f"encoder.{k}": v for k, v in encoder.items()} | {f"decoder.{k}": v for k, v in rosinality_names(generator).items()}
    torch.save({"state_dict": state, "latent_avg": latent_avg, "opts": {"encoder_type": "GradualStyleEncoder", "start_from_latent_avg": True,
                                                                        **options}}, path)
