# SPDX-License-Identifier: GPL-3.0-or-later
"""Published weights: NVlabs' .pkl, rosinality's .pt and pSp's .pt, as our networks.

Nothing of these files is executed. What our networks cannot be (labels, other filters, other encoders) is refused by name.
"""

from __future__ import annotations

import argparse
import math
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...mesh.errors import MienError
from .config import DiscriminatorConfig, EncoderConfig, GeneratorConfig
from .discriminator import Discriminator
from .encoder import Encoder
from .generator import Generator
from .nvlabs_pickle import Module, read_nvlabs
from .resample import TAPS

State = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """What a file held."""

    generator: Generator | None = None
    discriminator: Discriminator | None = None
    encoder: Encoder | None = None
    mean: Tensor | None = None
    """(layers, w_dim): the latent that the encoder's are relative to."""


def load_published(path: Path) -> Published:
    """The networks of a .pkl or .pt file. Raises MienError that names the file and what is wrong with it."""
    path = Path(path)
    try:
        if path.suffix == ".pkl":
            return _nvlabs(read_nvlabs(path))
        with torch.serialization.safe_globals([argparse.Namespace]):
            data = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(data, dict):
            raise ValueError("it holds no dictionary")
        return _psp(data) if "state_dict" in data else _rosinality(data)
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or ["it ends too early"])[0]
        raise MienError(f"{path} holds no StyleGAN2 or pSp that Mien knows ({reason:.160}); give a .pkl of stylegan2-ada-pytorch, or a .pt of "
                        "rosinality's stylegan2-pytorch or of pixel2style2pixel.") from error


def _filled(network: nn.Module, state: State) -> Any:
    """Raises RuntimeError when a tensor is missing, left over or of another size."""
    network.load_state_dict({k: v.float() for k, v in state.items()})
    return network.eval()


# -- NVlabs: the same names as ours --------------------------------------------------------------------------------------

def _nvlabs(networks: dict[str, Module]) -> Published:
    if "G_ema" not in networks:
        raise ValueError("it holds no G_ema")
    generator = networks["G_ema"]
    _check_layers(generator)
    state = _without_filters(generator)
    sizes, config = _generator_sizes(state), {"clamp": _clamp(generator)}
    discriminator = None
    if "D" in networks:
        _check_layers(networks["D"])
        d = _without_filters(networks["D"])
        discriminator = _filled(Discriminator(_discriminator_config(d, _clamp(networks["D"]), _group(networks["D"]))), d)
    return Published(_filled(Generator(GeneratorConfig(**sizes, **config)), state), discriminator)


def _check_layers(module: Module) -> None:
    for part in module.parts():
        if part.values.get("c_dim", 0):
            raise ValueError("it was trained with labels")
        if part.values.get("activation", "lrelu") not in ("lrelu", "linear"):
            raise ValueError(f"its activation is {part.values['activation']}")


def _clamp(module: Module) -> float | None:
    found = {part.values["conv_clamp"] for part in module.parts() if part.values.get("conv_clamp") is not None}
    if len(found) > 1:
        raise ValueError("its layers are clamped differently")
    return float(found.pop()) if found else None


def _group(module: Module) -> int:
    return next((int(part.values["group_size"]) for part in module.parts() if part.values.get("group_size")), 4)


def _without_filters(module: Module) -> State:
    taps = torch.tensor(TAPS) / sum(TAPS)
    state = dict(module.tensors())
    for name in [n for n in state if n.endswith("resample_filter")]:
        if not torch.allclose(state.pop(name).float(), taps[:, None] * taps[None, :]):
            raise ValueError("it resamples by another filter than [1, 3, 3, 1]")
    return state


def _channels(widths: dict[int, int]) -> dict[str, int]:
    """channel_base and channel_max from the feature maps at each size."""
    largest = max(widths)
    return {"channel_base": widths[largest] * largest, "channel_max": max(widths.values())}


def _generator_sizes(state: State) -> dict[str, Any]:
    """The config of a generator from the shapes of its tensors."""
    widths = {int(m[1]): len(v) for k, v in state.items() if (m := re.fullmatch(r"synthesis\.b(\d+)\.conv1\.weight", k))}
    last = f"synthesis.b{max(widths)}.torgb.weight"
    if len(state[last]) != 3:
        raise ValueError("its pictures are not RGB")
    layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", k)) for k in state)
    architecture = "skip" if "synthesis.b4.torgb.weight" in state else "resnet" if "synthesis.b8.skip.weight" in state else "orig"
    return {"size": max(widths), "z_dim": state["mapping.fc0.weight"].shape[1], "w_dim": len(state["mapping.fc0.weight"]), "mapping_layers": layers,
            "architecture": architecture, **_channels(widths)}


def _discriminator_config(state: State, clamp: float | None, group: int) -> DiscriminatorConfig:
    widths = {int(m[1]): len(v) for k, v in state.items() if (m := re.fullmatch(r"b(\d+)\.conv0\.weight", k))}
    widths[4] = len(state["b4.conv.weight"])
    architecture = "resnet" if "b8.skip.weight" in state else "skip" if "b4.fromrgb.weight" in state else "orig"
    return DiscriminatorConfig(max(widths), architecture=architecture, clamp=clamp, group=group, **_channels(widths))


# -- rosinality: other names, the same tensors ----------------------------------------------------------------------------

def rosinality_generator(state: State, latent_avg: Tensor | None = None) -> State:
    """A generator's tensors by our names."""
    def layer(old: str, new: str) -> State:
        out = {f"{new}.weight": state[f"{old}.conv.weight"][0], f"{new}.affine.weight": state[f"{old}.conv.modulation.weight"],
               f"{new}.affine.bias": state[f"{old}.conv.modulation.bias"]}
        if f"{old}.bias" in state:
            return out | {f"{new}.bias": state[f"{old}.bias"].reshape(-1)}
        return out | {f"{new}.bias": state[f"{old}.activate.bias"], f"{new}.noise_strength": state[f"{old}.noise.weight"].reshape(())}

    def noise(i: int, new: str, size: int) -> State:
        """Old files keep no noise: then it is new, from a fixed seed."""
        known = state.get(f"noises.noise_{i}")
        made = torch.randn(size, size, generator=torch.Generator().manual_seed(i)) if known is None else known.reshape(size, size)
        return {f"{new}.noise_const": made}

    mapping = sorted(int(m[1]) for k in state if (m := re.fullmatch(r"style\.(\d+)\.weight", k)))
    out = {f"mapping.fc{i}.{p}": state[f"style.{n}.{p}"] for i, n in enumerate(mapping) for p in ("weight", "bias")}
    out["mapping.w_avg"] = torch.zeros(len(state[f"style.{mapping[-1]}.weight"])) if latent_avg is None else latent_avg.reshape(-1)
    out |= {"synthesis.b4.const": state["input.input"][0], **layer("conv1", "synthesis.b4.conv1"), **noise(0, "synthesis.b4.conv1", 4),
            **layer("to_rgb1", "synthesis.b4.torgb")}
    for i in range(sum(bool(re.fullmatch(r"to_rgbs\.\d+\.bias", k)) for k in state)):
        size = 2 ** (i + 3)
        for j in range(2):
            name = f"synthesis.b{size}.conv{j}"
            out |= {**layer(f"convs.{2 * i + j}", name), **noise(2 * i + j + 1, name, size)}
        out |= layer(f"to_rgbs.{i}", f"synthesis.b{size}.torgb")
    return out


def rosinality_discriminator(state: State) -> State:
    """A discriminator's tensors by our names."""
    blocks = sum(bool(re.fullmatch(r"convs\.\d+\.conv1\.0\.weight", k)) for k in state)
    size = 2 ** (blocks + 2)
    out = {f"b{size}.fromrgb.weight": state["convs.0.0.weight"], f"b{size}.fromrgb.bias": state["convs.0.1.bias"]}
    for i in range(1, blocks + 1):
        new, old = f"b{size >> (i - 1)}", f"convs.{i}"
        out |= {f"{new}.conv0.weight": state[f"{old}.conv1.0.weight"], f"{new}.conv0.bias": state[f"{old}.conv1.1.bias"],
                f"{new}.conv1.weight": state[f"{old}.conv2.1.weight"], f"{new}.conv1.bias": state[f"{old}.conv2.2.bias"],
                f"{new}.skip.weight": state[f"{old}.skip.1.weight"]}
    out |= {"b4.conv.weight": state["final_conv.0.weight"], "b4.conv.bias": state["final_conv.1.bias"]}
    return out | {f"b4.{new}.{p}": state[f"final_linear.{i}.{p}"] for i, new in enumerate(("fc", "out")) for p in ("weight", "bias")}


def _rosinality(data: dict[str, Any]) -> Published:
    if "g_ema" not in data:
        raise ValueError("it holds no g_ema")
    state = rosinality_generator(data["g_ema"], data.get("latent_avg"))
    discriminator = None
    if "d" in data:
        d = rosinality_discriminator(data["d"])
        discriminator = _filled(Discriminator(_discriminator_config(d, None, 4)), d)
    return Published(_filled(Generator(GeneratorConfig(**_generator_sizes(state))), state), discriminator)


# -- pSp ------------------------------------------------------------------------------------------------------------------

def _psp(data: dict[str, Any]) -> Published:
    options = data.get("opts", {})
    options = options if isinstance(options, dict) else vars(options)
    kind = options.get("encoder_type", "GradualStyleEncoder")
    if kind != "GradualStyleEncoder":
        raise ValueError(f"its encoder is a {kind}")
    parts = {name: {k[len(name) + 1:]: v for k, v in data["state_dict"].items() if k.startswith(name + ".")} for name in ("encoder", "decoder")}
    state = rosinality_generator(parts["decoder"])
    generator = _filled(Generator(GeneratorConfig(**_generator_sizes(state))), state)
    mean = data.get("latent_avg")
    mean = torch.zeros(generator.config.w_dim) if mean is None or not options.get("start_from_latent_avg", True) else mean
    return Published(generator, None, _filled(Encoder(_encoder_config(parts["encoder"])), parts["encoder"]),
                     mean.float().expand(generator.config.layers, -1).clone())


def _encoder_config(state: State) -> EncoderConfig:
    """The config of an encoder from the shapes of its tensors."""
    stem = state["input_layer.0.weight"]
    if stem.shape[1] != 3:
        raise ValueError("its encoder takes no RGB pictures")
    styles = 1 + max(int(m[1]) for k in state if (m := re.match(r"styles\.(\d+)\.", k)))
    units = [0, 0, 0, 0]
    for k, v in state.items():
        if re.fullmatch(r"body\.\d+\.res_layer\.3\.weight", k):
            units[int(math.log2(len(v) // len(stem)))] += 1
    steps = sum(bool(re.fullmatch(r"styles\.0\.convs\.\d+\.weight", k)) for k in state)
    return EncoderConfig(16 * 2 ** steps, styles, len(state["styles.0.linear.weight"]), len(stem), (units[0], units[1], units[2], units[3]))
