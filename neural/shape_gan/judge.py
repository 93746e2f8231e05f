# SPDX-License-Identifier: GPL-3.0-or-later
"""An independent judge of level 1: it has learned from other virtual actors which emotion a face shows and how strongly.

It knows nothing of the discriminator. What it sees are features of the mesh: how far the model's landmarks stand from where the actor's own resting
face has them, in principal components. A kernel ridge regression (Gaussian kernel, Nystroem's landmarks) maps them to the emotion vector; the
largest entry says which emotion, its value how strong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...mesh.anatomy import Anatomy
from ...mesh.editor import ShapeEditor, residual
from ...mesh.emotion import EMOTIONS
from ...mesh.model import FaceModel
from .data import Coefficients

COMPONENTS = 40
CENTRES = 1500
"""Frames that the kernel is spread over, by default."""
WIDTH = 2.0
"""Of the kernel, in parts of the median distance of frames."""
RIDGE = 1e-3
LIPS_EVERY = 8
"""A judge of the lips sees one in so many of their vertices."""
INTENSITIES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Judge:
    """Made by `train_judge`."""

    basis: np.ndarray
    """(B, 3L) millimetres: how a direction moves the landmarks."""
    mean: np.ndarray
    axes: np.ndarray
    centres: np.ndarray
    scale: float
    weights: np.ndarray

    def emotions(self, beta: np.ndarray) -> np.ndarray:
        """(N, B) -> (N, 7): the emotion vector that each frame shows."""
        return np.concatenate((self._kernel(self._features(beta)), np.ones((len(beta), 1))), 1) @ self.weights

    def _features(self, beta: np.ndarray) -> np.ndarray:
        return (beta.astype(np.float64) @ self.basis - self.mean) @ self.axes

    def _kernel(self, x: np.ndarray) -> np.ndarray:
        squared = (x**2).sum(1)[:, None] + (self.centres**2).sum(1) - 2 * x @ self.centres.T
        return np.exp(-np.maximum(squared, 0) / (2 * self.scale**2))


def train_judge(model: FaceModel, data: Coefficients, *, centres: int = CENTRES, seed: int = 0, vertices: np.ndarray | None = None) -> Judge:
    """Learn from labelled frames. vertices: what the judge sees; the model's landmarks when None."""
    vertices = model.landmark_vertices if vertices is None else vertices
    basis = model.expression[:, vertices].reshape(model.expression_count, -1).astype(np.float64) * 1000
    moved = data.beta.astype(np.float64) @ basis
    mean = moved.mean(0)
    values, vectors = np.linalg.eigh(np.cov((moved - mean).T))
    axes = vectors[:, ::-1][:, :COMPONENTS] / np.sqrt(np.maximum(values[::-1][:COMPONENTS], 1e-9))
    x = (moved - mean) @ axes
    some = x[np.random.default_rng(seed).choice(len(x), min(centres, len(x)), replace=False)]
    scale = WIDTH * float(np.median(np.linalg.norm(some[:, None] - some[None, :200], axis=2)))
    judge = Judge(basis, mean, axes, some, scale, np.zeros((len(some) + 1, len(EMOTIONS))))
    kernel = np.concatenate((judge._kernel(x), np.ones((len(x), 1))), 1)
    gram = kernel.T @ kernel + RIDGE * np.eye(kernel.shape[1])
    return replace(judge, weights=np.linalg.solve(gram, kernel.T @ data.emotion))


def judged(model: FaceModel, editor: ShapeEditor, judge: Judge, data: Coefficients, *, frames: int = 12) -> dict[str, float]:
    """What an editor does to the neutral takes of actors whom neither it nor the judge has seen; plain numbers by name.

    recognised: part of the frames edited to an emotion at 1 in which the judge finds it; intensity: correlation of what the judge sees of the wanted
    emotion with its intensity, over 0 and INTENSITIES of all emotions; cycle_mm: RMS over the vertices of G(G(c, e), 0) - c at 1; identity_mm: of
    the identity's part of G(c, e) - c at 1; lips: the lowest over emotions of the mean over takes of the correlation over time of the inner lips'
    gap before and after the residual at 1; expression: the judge's mean intensity at 1; lie: eq. 8 of the mesh, averaged over emotions and frames.
    """
    takes = neutral_takes(data)
    right, wanted, found, cycle, moved, lips, strength = [], [], [], [], [], [], []
    for e in range(len(EMOTIONS)):
        by_take = []
        for rows in takes:
            alpha, beta = data.alpha[rows[0]], data.beta[rows]
            for intensity in (0.0, *INTENSITIES):
                label = np.zeros((len(rows), len(EMOTIONS)), np.float32)
                label[:, e] = intensity
                _, change = residual(editor, alpha, beta, label, np.zeros(len(rows), np.float32))
                seen = judge.emotions(beta + change)
                wanted.append(label[:, e])
                found.append(seen[:, e])
                if intensity == 1:
                    right.append(seen.argmax(1) == e)
                    strength.append(seen[:, e])
                    by_take.append(np.corrcoef(lip_gap(model, beta), lip_gap(model, beta + change))[0, 1])
                    a, b = editor.generate(alpha, beta, label)
                    back = _generate_each(editor, a, b, label * 0)
                    cycle.append(mean_square(model, back[0] - alpha, back[1] - beta))
                    moved.append(mean_square(model, a - alpha, np.zeros_like(b)))
        lips.append(np.mean(by_take))
    linear = mesh_lie(model, editor, data, frames=frames)
    return {"recognised": float(np.mean(np.concatenate(right))), "intensity": float(np.corrcoef(np.concatenate(wanted), np.concatenate(found))[0, 1]),
            "cycle_mm": float(np.sqrt(np.mean(cycle))), "identity_mm": float(np.sqrt(np.mean(moved))), "lips": float(min(lips)),
            "expression": float(np.mean(np.concatenate(strength))), "lie": float(np.mean(list(linear.values())))}


def acted_cycle(model: FaceModel, editor: ShapeEditor, alpha: np.ndarray, beta: np.ndarray, emotion: int) -> tuple[float, float]:
    """Of a solved take (T, B) that was acted with an emotion at 1, RMS over frames and vertices in mm: what G(c, 0) takes away, and how far
    G(G(c, 0), e) is from c (the second half of eq. 3): how well the generator knows this actor's way of showing it."""
    label = np.zeros((len(beta), len(EMOTIONS)), np.float32)
    rest = editor.generate(alpha, beta, label)
    label[:, emotion] = 1
    back = editor.generate(*rest, label)
    return float(np.sqrt(mean_square(model, rest[0] - alpha, rest[1] - beta))), float(np.sqrt(mean_square(model, back[0] - alpha, back[1] - beta)))


def lip_vertices(model: FaceModel) -> np.ndarray:
    """What a judge of the lips alone sees."""
    return np.flatnonzero(model.regions["lips"] > 0.5)[::LIPS_EVERY]


def mouth_trade(model: FaceModel, editor: ShapeEditor, judge: Judge, data: Coefficients) -> dict[str, float]:
    """What lambda_mouth trades (Sun et al. 2023, section 4.3.3), on neutral takes; plain numbers by name. The judge sees the lips alone.

    right: part of the frames edited to an emotion at 1 in which the lips show it; disgusted: how strongly they show disgust, whose recipe
    parts the lips most; gap_mm: RMS over the lip pairs of the change of eq. 4's lip vectors at 1; lips: correlation over time of the lip gap before
    and after, while the emotion rises to 1 and falls to 0 within the take, mean of emotions and takes, and lowest: of the emotion where it is least.
    A gap that an emotion opens by a constant has a perfect correlation, so the emotion has to move for what it does to the lips to be seen.
    """
    takes = neutral_takes(data)
    right, shown, gap, lips = [], [], [], np.zeros((len(EMOTIONS), len(takes)))
    upper_lower = (model.expression[:, model.lip_upper] - model.expression[:, model.lip_lower]).astype(np.float64) * 1000
    for t, rows in enumerate(takes):
        alpha, beta, none = data.alpha[rows[0]], data.beta[rows], np.zeros(len(rows), np.float32)
        rise = np.sin(np.linspace(0, np.pi, len(rows), dtype=np.float32))[:, None] ** 2
        for e, name in enumerate(EMOTIONS):
            label = np.zeros((len(rows), len(EMOTIONS)), np.float32)
            label[:, e] = 1
            _, change = residual(editor, alpha, beta, label, none)
            seen = judge.emotions(beta + change)
            right.append(seen.argmax(1) == e)
            if name == "disgusted":
                shown.append(seen[:, e])
            gap.append(np.tensordot(change.astype(np.float64), upper_lower, 1))
            _, change = residual(editor, alpha, beta, label * rise, none)
            lips[e, t] = np.corrcoef(lip_gap(model, beta), lip_gap(model, beta + change))[0, 1]
    return {"right": float(np.mean(np.concatenate(right))), "disgusted": float(np.mean(np.concatenate(shown))),
            "gap_mm": float(np.sqrt((np.concatenate(gap) ** 2).sum(2).mean())), "lips": float(lips.mean()), "lowest": float(lips.mean(1).min())}


def neutral_takes(data: Coefficients) -> list[np.ndarray]:
    """Rows of each take that is neutral throughout."""
    return [rows for t in np.unique(data.take) if data.neutral[rows := np.flatnonzero(data.take == t)].all()]


def _generate_each(editor: ShapeEditor, alpha: np.ndarray, beta: np.ndarray, emotion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `editor.generate`, for frames that each have an alpha of their own."""
    parts = [editor.generate(alpha[i], beta[i : i + 1], emotion[i : i + 1]) for i in range(len(beta))]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def mean_square(model: FaceModel, alpha: np.ndarray, beta: np.ndarray) -> float:
    """Mean over frames and vertices of the squared distance, mm^2, of changes of alpha (T, A) and beta (T, B)."""
    basis = np.concatenate((model.identity, model.expression)).reshape(len(model.identity) + len(model.expression), -1) * 1000
    points = np.concatenate((alpha, beta), 1) @ basis
    return float((points.astype(np.float64) ** 2).sum() / (len(points) * model.vertex_count))


def lip_gap(model: FaceModel, beta: np.ndarray) -> np.ndarray:
    """(T, B) -> (T,) mm: how far the middles of the inner lips stand apart."""
    upper, lower = model.vertices_of_landmarks([13, 14])
    rest = model.mean[upper] - model.mean[lower]
    return np.linalg.norm(rest + beta @ (model.expression[:, upper] - model.expression[:, lower]), axis=1) * 1000


def mesh_lie(model: FaceModel, editor: ShapeEditor, data: Coefficients, steps: int = 100, frames: int = 12) -> dict[str, float]:
    """LIE (equation 8) of the mesh by emotion: the mean way of the vertices from one intensity to the next, its deviation over its mean.

    Of the edit as it is applied, within what anatomy allows, with the mouth dial at 0.
    """
    anatomy, still = Anatomy(model), np.zeros(steps + 1, np.float32)
    basis = np.concatenate((model.identity, model.expression)).reshape(len(model.identity) + len(model.expression), -1) * 1000
    rest = np.flatnonzero(data.neutral)
    rows = rest[np.linspace(0, len(rest) - 1, frames).astype(int)]
    out = {}
    for e, name in enumerate(EMOTIONS):
        label = np.zeros((steps + 1, len(EMOTIONS)), np.float32)
        label[:, e] = np.linspace(0, 1, steps + 1)
        values = []
        for row in rows:
            beta = np.repeat(data.beta[row][None], steps + 1, 0)
            a, b = residual(editor, data.alpha[row], beta, label, still)
            points = np.concatenate((a, anatomy.keep(data.alpha[row], beta, a, b, still, label[:, e])), 1) @ basis
            way = np.linalg.norm(np.diff(points, axis=0).reshape(steps, -1, 3), axis=2).mean(1)
            values.append(way.std() / way.mean())
        out[name] = float(np.mean(values))
    return out
