# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed of level 1's training and inference: python benchmarks/shape_gan.py [--iterations 60] [--threads 1]

Measures Mien's iteration against a straightforward one of the same losses in the same run (vertices from the coefficients, the
critic's gradient by a second graph, Adam as it comes), in processor time, so that other programs on the machine count for little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mien.mesh.model import FaceModel, load_model
from mien.mesh.shape_gan import ShapeGan
from mien.neural.shape_gan.cast import cast_data
from mien.neural.shape_gan.config import CastConfig, TrainConfig
from mien.neural.shape_gan.losses import Norms
from mien.neural.shape_gan.trainer import Batch, Sampler, Training
from mien.neural.shape_gan.trunk import save_network


class Plain:
    """The same losses as they are written, on every vertex."""

    def __init__(self, model: FaceModel, training: Training):
        self.g, self.d, self.w, A = training.generator, training.discriminator, training.weights, model.identity_count
        basis = np.concatenate((model.identity, model.expression))
        self.mean, self.basis = torch.from_numpy(model.mean.reshape(-1)), torch.from_numpy(basis.reshape(len(basis), -1))
        self.upper, self.lower, self.A = torch.from_numpy(model.lip_upper).long(), torch.from_numpy(model.lip_lower).long(), A
        options = {"lr": 1e-3, "betas": (0.5, 0.999), "foreach": False}
        self.adam_g, self.adam_d = torch.optim.Adam(self.g.parameters(), **options), torch.optim.Adam(self.d.parameters(), **options)

    def vertices(self, c: torch.Tensor) -> torch.Tensor:
        return (self.mean + c @ self.basis).reshape(len(c), -1, 3)

    def lips(self, c: torch.Tensor) -> torch.Tensor:
        v = self.vertices(c)
        return v[:, self.upper] - v[:, self.lower]

    def identity(self, c: torch.Tensor) -> torch.Tensor:
        return self.vertices(torch.cat((c[:, : self.A], torch.zeros_like(c[:, self.A:])), 1))

    def update_discriminator(self, b: Batch) -> dict[str, torch.Tensor]:
        fake = self.g(b.c, b.target).detach()
        real_score, found = self.d(b.c)
        between = (b.mix * b.c + (1 - b.mix) * fake).requires_grad_()
        gradient = torch.autograd.grad(self.d(between)[0].sum(), between, create_graph=True)[0]
        gp, reg = ((gradient.norm(dim=1) - 1) ** 2).mean(), (b.label - found).norm(dim=1).mean()
        total = self.d(fake)[0].mean() - real_score.mean() + self.w.gp * gp + self.w.reg * reg
        self.adam_d.zero_grad()
        total.backward()
        self.adam_d.step()
        return {"d": total.detach(), "d_gp": gp.detach(), "d_reg": reg.detach()}

    def update_generator(self, b: Batch) -> dict[str, torch.Tensor]:
        n = len(b.c) // 2
        edited = self.g(b.c, b.target)
        back = self.g(edited, b.label)
        score, found = self.d(edited)

        def both(f: Callable, x: torch.Tensor, y: torch.Tensor, scale: float) -> torch.Tensor:
            square = ((f(x) - f(y)) * scale).square().sum(-1).mean(1)
            return square[:n].mean() + square[n:].mean()

        rec, mouth = both(self.vertices, b.c, back, 10), both(self.lips, b.c, edited, 1000)
        r = ((self.identity(b.c) - self.identity(edited)) * 10).square().sum(-1).mean()
        reg = (b.target - found).norm(dim=1).mean()
        total = -score.mean() + self.w.reg * reg + self.w.rec * rec + self.w.mouth * mouth + self.w.r * r
        self.adam_g.zero_grad()
        total.backward()
        self.adam_g.step()
        return {"g": total.detach(), "g_reg": reg.detach(), "g_rec": rec.detach(), "g_mouth": mouth.detach(), "g_r": r.detach()}


def rate(step: Callable[[int], object], iterations: int) -> float:
    """Calls per second of processor time, after a few to warm up."""
    for i in range(5):
        step(i)
    start = time.process_time()
    for i in range(iterations):
        step(5 + i)
    return iterations / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, config = load_model(), TrainConfig(lin=0.0)
    sampler = Sampler(cast_data(model, CastConfig(takes=1), 0, 4, faces=True), config)
    norms = Norms.of(model)

    def training(**change: float) -> Training:
        return Training(norms, model.identity_count + model.expression_count, 7, TrainConfig(**{"lin": 0.0, **change}), model.hash)

    lean, other = training(), training()
    plain = Plain(model, other)
    a = {**lean.update_discriminator(sampler.batch(0, 0)), **lean.update_generator(sampler.batch(0, 1))}
    b = {**plain.update_discriminator(sampler.batch(0, 0)), **plain.update_generator(sampler.batch(0, 1))}
    worst = max(abs(float(a[k]) - float(b[k])) / max(abs(float(b[k])), 1e-3) for k in b)
    print(f"same losses on the same batch            within {worst:.1e} (relative)")
    fast = rate(lambda i: lean.iterate(sampler, i), args.iterations)
    slow = rate(lambda i: (plain.update_discriminator(sampler.batch(i, 0)), plain.update_generator(sampler.batch(i, 1))), args.iterations // 4 + 1)
    critic = rate(lambda i: lean.update_discriminator(sampler.batch(i, 0)), args.iterations)
    plain_critic = rate(lambda i: plain.update_discriminator(sampler.batch(i, 0)), args.iterations)
    print(f"training, Mien, {args.threads} thread(s)              {fast:.1f} iterations/s of processor time; 80,000 in {80000 / fast / 60:.0f} min")
    even = training(lin=5e3)
    print(f"  with the loss for even intensities     {rate(lambda i: even.iterate(sampler, i), args.iterations):.1f} iterations/s")
    print(f"training, straightforward                {slow:.2f} iterations/s: Mien is {fast / slow:.1f} times faster")
    print(f"  discriminator alone                    {critic:.1f} against {plain_critic:.1f} updates/s")
    with tempfile.TemporaryDirectory() as folder:
        save_network(lean.generator, Path(folder) / "generator.safetensors")
        editor = ShapeGan(model, Path(folder) / "generator.safetensors")
    alpha = np.zeros(model.identity_count, np.float32)
    for frames in (1, 300):
        beta, e = np.zeros((frames, model.expression_count), np.float32), np.ones((frames, 7), np.float32)
        ms = 1000 / rate(lambda i, x=beta, y=e: editor.generate(alpha, x, y), 100 if frames == 1 else 10) / frames
        print(f"inference in numpy, {frames:3d} frame(s) a call   {ms:.3f} ms a frame")


if __name__ == "__main__":
    main()
