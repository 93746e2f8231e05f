# SPDX-License-Identifier: GPL-3.0-or-later
"""`mien train stylegan`: its arguments, its job and what it prints. The heavy imports happen in the job."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...mesh.errors import MienError
from ..progress import Reporter
from .config import PspConfig, StyleGanConfig, checked

TEXT = "Train level 2 as the paper has it: StyleGAN2 on an actor's textures, then a pSp encoder."
GROUPS = (("generator", StyleGanConfig, ""), ("encoder", PspConfig, "encoder_"))
"""Title, config, and what its fields' names start with on the command line and among the job's settings."""
FOLDER = "stylegan"
"""Folder in the actor folder that holds the training."""


def _help(kind: type) -> dict[str, str]:
    """The docstring under each field of a config."""
    lines = [line.strip() for line in inspect.getsource(kind).splitlines()]
    return {f.name: lines[next(i for i, line in enumerate(lines) if line.startswith(f"{f.name}:")) + 1].strip('"') for f in dataclasses.fields(kind)}


def add_arguments(p: argparse.ArgumentParser) -> None:
    """Arguments of `mien train stylegan`; every field of the configs is an option."""
    p.add_argument("shots", type=Path, nargs="+", metavar="SHOT", help="solved shot folders of one actor, or tables of "
                   "takes (clip, actor, emotion, level) or folders of MEAD or RAVDESS, from whose labels the emotions' directions are learnt")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="ACTOR", help="the actor folder")
    p.add_argument("--resume", action="store_true", help="go on with the training in the actor folder")
    p.add_argument("--start", type=Path, metavar="FILE", help="published weights to start from: a .pkl of stylegan2-ada-pytorch or a .pt of "
                   "rosinality's stylegan2-pytorch; the sizes of the networks are theirs")
    p.add_argument("--lpips-network", type=Path, metavar="FILE", help="the encoder's perceptual loss: LPIPS' heads, alex.pth (with --alexnet)")
    p.add_argument("--alexnet", type=Path, metavar="FILE", help="torchvision's alexnet-owt-7be5be79.pth")
    for title, kind, prefix in GROUPS:
        group = p.add_argument_group(title)
        text = _help(kind)
        for f in dataclasses.fields(kind):
            group.add_argument(f"--{(prefix + f.name).replace('_', '-')}", dest=prefix + f.name, type=int if f.type == "int" else float,
                               metavar="N" if f.type == "int" else "X", help=f"{text[f.name]} ({f.default:g})")


def params_of(args: argparse.Namespace) -> dict[str, Any]:
    """The job's parameters."""
    names = [prefix + f.name for _, kind, prefix in GROUPS for f in dataclasses.fields(kind)]
    settings = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    params: dict[str, Any] = {"shots": [str(s) for s in args.shots], "output": str(args.output), "resume": args.resume, "settings": settings}
    return params | {name: str(getattr(args, name)) for name in ("start", "lpips_network", "alexnet") if getattr(args, name) is not None}


def configs(settings: Mapping[str, Any]) -> tuple[StyleGanConfig, PspConfig]:
    """Both configs from the job's settings. Raises MienError for a wrong one."""
    encoder_names = {"encoder_" + f.name for f in dataclasses.fields(PspConfig)}
    psp = checked(PspConfig, {k[8:]: v for k, v in settings.items() if k in encoder_names})
    return checked(StyleGanConfig, {k: v for k, v in settings.items() if k not in encoder_names}), psp


def train_stylegan(shots: list[Path], output: Path, resume: bool, settings: Mapping[str, Any], report: Reporter, *, start: Path | None = None,
                   lpips_network: Path | None = None, alexnet: Path | None = None) -> dict[str, Any]:
    """The job: textures, generator, encoder, and the texture model of the actor. Raises MienError when a setting or a shot is wrong."""
    config, psp = configs(settings)
    if (lpips_network is None) != (alexnet is None):
        raise MienError("LPIPS needs both of its files; give --lpips-network and --alexnet.")
    import numpy as np
    import torch

    from ...mesh.shot import Shot
    from ..latent.model import model_files
    from ..level2_train import load_takes
    from .actor import write_actor
    from .config import EncoderConfig, GeneratorConfig
    from .data import shot_textures
    from .encoder import Encoder
    from .encoder_run import ENCODER, train_encoder
    from .files import load_network
    from .generator import Generator
    from .latent import StyleGanImages
    from .published import load_published
    from .run import train
    perceptual = None
    if lpips_network is not None and alexnet is not None:
        from ..metrics.lpips import load_lpips
        perceptual = load_lpips(lpips_network, alexnet)
    published = None if start is None else load_published(start)
    loaded = [load_takes(s, output, Shot.load(s).model if (s / "shot.json").exists() else "default", report) for s in shots]
    takes, faces = [t for some, _ in loaded for t in some], [f for _, some in loaded for f in some]
    textures = np.concatenate([shot_textures(f, config.size, report) for f in faces])
    folder = output / FOLDER
    result = train(textures, folder, config, report, resume=resume, start=published)
    if not psp.steps:
        return result
    generator = load_network(Generator, GeneratorConfig, folder / "generator.safetensors")
    mean = generator.wide(generator.mapping.w_avg[None])[0].clone()
    _, facts = train_encoder(textures, generator, mean, folder, psp, report, perceptual=perceptual, resume=resume)
    images = StyleGanImages(generator, load_network(Encoder, EncoderConfig, folder / ENCODER), mean, torch.zeros_like(mean))
    if model_files(output, "texture")[1].exists():
        report.warn(f"{output} had a texture model already; it is replaced by this one.")
    return {**result, **facts, **write_actor(images, takes, faces, output, report), "folder": str(output)}


def told(result: Mapping[str, Any]) -> list[str]:
    """What the command line prints."""
    lines = [f"textures      {result['textures']}, and {result['held_out']} held out",
             f"shown         {result['kimg']:g} thousand pictures",
             f"distance      {result['distance']:.4g} to the held-out textures, at {result['best_kimg']:g} thousand "
             f"({result['floor']:.4g} from the other true ones)"]
    if "held_out_psnr" in result:
        lines += [f"encoder       {result['held_out_psnr']:.2f} dB on held-out textures, after {result['steps']} steps",
                  f"predicted     {100 * result['predicted']:.1f} % of the latents' variance from the expression, on stretches of time left out",
                  f"directions    {', '.join(result['emotions']) or 'none (no labelled and neutral takes)'}"]
    return [*lines, f"written       {result['folder']}"]
