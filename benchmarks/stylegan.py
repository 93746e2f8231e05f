# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of one picture by StyleGAN2 with random weights, against NVlabs' own code or, without it, against the formulas step by step.

    python benchmarks/stylegan.py [--size 512] [--runs 5] [--reference FOLDER_OF_stylegan2-ada-pytorch]

Prints milliseconds (median) of both, their ratio, and the largest difference between the two pictures. One core.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.neural.stylegan.config import GeneratorConfig
from mien.neural.stylegan.generator import Generator
from mien.neural.stylegan.layers import Styled


def plain(generator: Generator, w: Tensor) -> Tensor:
    """The synthesis as the paper writes it: modulate, convolve the picture with zeros between, filter, add noise, rectify; each a step of its own."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = taps[:, None] * taps[None, :]

    def filtered(x: Tensor, up: int, before: int, after: int) -> Tensor:
        B, C, H, W = x.shape
        wide = torch.zeros(B, C, H * up, W * up)
        wide[:, :, ::up, ::up] = x
        return F.conv2d(F.pad(wide, (before, after, before, after)), (4 * kernel).expand(C, 1, 4, 4), groups=C)

    def styled(layer: Styled, x: Tensor, w: Tensor) -> Tensor:
        weight = layer.weight[None] * layer.affine(w)[:, None, :, None, None]
        weight = (weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt())[0]
        x = filtered(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, 1, 1) if layer.up else F.conv2d(x, weight, padding=1)
        x = x + layer.noise_const * layer.noise_strength
        return F.leaky_relu(x + layer.bias[None, :, None, None], 0.2) * math.sqrt(2)

    x, picture = generator.synthesis.b4.const[None], None
    for block in generator.synthesis.children():
        if not block.first:
            x = styled(block.conv0, x, w)
        x = styled(block.conv1, x, w)
        style = block.torgb.affine(w) * block.torgb.gain
        rgb = F.conv2d(x, (block.torgb.weight * style[0][None, :, None, None])) + block.torgb.bias[None, :, None, None]
        picture = rgb if picture is None else filtered(picture, 2, 2, 1) + rgb
    assert picture is not None
    return picture


def reference(folder: Path, generator: Generator) -> Callable[[Tensor], Tensor]:
    """NVlabs' synthesis network with the same weights."""
    sys.path.insert(0, str(folder))
    from training import networks  # type: ignore[import-not-found]
    c = generator.config
    network = networks.Generator(c.z_dim, 0, c.w_dim, c.size, 3, synthesis_kwargs={"channel_base": c.channel_base, "channel_max": c.channel_max})
    network.load_state_dict({**network.state_dict(), **generator.state_dict()})
    network.eval()
    return lambda w: network.synthesis(generator.wide(w), noise_mode="const", force_fp32=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--size", type=int, default=512)
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--reference", type=Path, metavar="FOLDER")
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(args.size)).eval()
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith(("noise_strength", ".bias")):
                parameter += 0.1 * torch.randn_like(parameter)
    name = "NVlabs" if args.reference else "plain"
    other = reference(args.reference, generator) if args.reference else lambda w: plain(generator, w)
    ways = {"ours": lambda w: generator.synthesis(generator.wide(w)), name: other}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    pictures = {}
    with torch.no_grad():
        w = generator.mapping(torch.randn(1, 512))
        for run in range(args.runs + 1):  # the first is not counted
            for way, make in ways.items():
                start = time.process_time()
                pictures[way] = make(w)
                if run:
                    spent[way].append(1000 * (time.process_time() - start))
    ours, theirs = (statistics.median(v) for v in spent.values())
    print(f"size {args.size}: ours {ours:.0f} ms, {name} {theirs:.0f} ms, ratio {ours / theirs:.2f}, largest difference "
          f"{float((pictures['ours'] - pictures[name]).abs().max()):.1e} of {float(pictures[name].abs().max()):.1f}")


if __name__ == "__main__":
    main()
