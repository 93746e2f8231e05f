# SPDX-License-Identifier: GPL-3.0-or-later
"""Level 1: from the emotion curves to a change of the coefficients, whichever editor makes it.

An editor is G of Sun et al. 2023, section 3.3: it turns coefficients c = (alpha, beta) and an emotion vector e into new
coefficients. Mien applies the residual G(c, e) - G(c, 0), so that e = 0 is exactly no edit and a performance that was acted
with emotion is kept; `neutralise` n goes from c to c_n = c + n (G(c, 0) - c) first, and the residual is that of c_n, since G has learnt to give
emotions to neutral faces. The residual, not the performance, is smoothed (section 3.5.1). What the face keeps meanwhile is in anatomy.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from .analytic import AnalyticEditor
from .anatomy import Anatomy
from .emotion import EMOTIONS, EmotionCurves
from .errors import MienError
from .model import FaceModel
from .shape_gan import ACTOR_WEIGHTS, WEIGHTS, ShapeGan
from .shot import Solve

HANN = (0.25, 0.5, 0.25)
"""A Hann window over three frames, without its zeros (section 3.5.1)."""
FOLD_RIDGE = 1e-4
"""Weight of the prior in `as_expression`, against the mean squared distance in millimetres."""


class ShapeEditor(Protocol):
    """Level 1's interface: the FACS recipes ("analytic") and the shape GAN ("gan") both implement it."""

    name: str

    def generate(self, alpha: np.ndarray, beta: np.ndarray, emotion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """G(c, e): alpha (A,) or (T, A), beta (T, B), emotion (T, 7) -> new alpha (T, A) and beta (T, B), for one run of frames in time."""
        ...


@dataclass(frozen=True, eq=False)
class ShapeEdit:
    """What level 1 adds to the coefficients of T frames; zero where nothing is asked or nothing was solved."""

    alpha: np.ndarray
    """(T, A) float32"""
    beta: np.ndarray
    """(T, B) float32"""

    @cached_property
    def active(self) -> np.ndarray:
        """(T,) bool: frames on which anything moves."""
        return np.any(self.alpha != 0, axis=1) | np.any(self.beta != 0, axis=1)


EDITORS = ("analytic", "gan")
"""Names that `make_editor` knows."""


def make_editor(name: str, model: FaceModel, actor: Path | None = None) -> ShapeEditor:
    """The editor of that name; "gan" takes the weights of the actor folder where it has some, else the shipped ones. Raises MienError."""
    if name == "analytic":
        return AnalyticEditor(model)
    if name == "gan":
        for path in ([actor / ACTOR_WEIGHTS] if actor else []) + [WEIGHTS]:
            if path.exists():
                return ShapeGan(model, path)
        raise MienError(f"There are no weights for the shape editor 'gan'{f' in {actor}' if actor else ''}; "
                        "make them with 'mien train shape --cast -o ACTOR', or use the editor 'analytic'.")
    raise MienError(f"There is no shape editor '{name}'; use {' or '.join(EDITORS)}.")


def shot_editor(name: str, model: FaceModel, folder: Path, actor: Path | str = "") -> ShapeEditor:
    """The editor of that name for a shot folder: "gan" takes the weights of `actor`, else the shot's own actor/, else the shipped ones.

    Raises MienError when the chosen actor folder has no weights, or as `make_editor` does.
    """
    if name == "gan" and actor and not (Path(actor) / ACTOR_WEIGHTS).exists():
        raise MienError(f"{actor} holds no {ACTOR_WEIGHTS}; train it with 'mien train shape', or choose another actor folder.")
    return make_editor(name, model, Path(actor) if actor else folder / "actor")


def edit_shape(model: FaceModel, solve: Solve, curves: EmotionCurves, editor: ShapeEditor) -> ShapeEdit:
    """The change of the coefficients on every frame. Raises MienError when the curves are not as long as the shot."""
    T = len(solve.beta)
    if len(curves) != T:
        raise MienError(f"The emotion curves have {len(curves)} frames, the shot has {T}; sample them again.")
    da, db = np.zeros((T, model.identity_count), np.float32), np.zeros((T, model.expression_count), np.float32)
    anatomy = Anatomy(model)
    for start, end in solve.segments:
        part = slice(start, end)
        a, b = level1(anatomy, editor, solve.alpha, solve.beta[part], curves, part)
        da[part], db[part] = smooth(a), smooth(b)
    return ShapeEdit(da, db)


def level1(anatomy: Anatomy, editor: ShapeEditor, alpha: np.ndarray, beta: np.ndarray, curves: EmotionCurves, rows: slice = slice(None),
           unacted: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The edit of one run of frames before it is smoothed: `residual` with what the face keeps; changes of alpha (T, A) and beta (T, B).

    alpha (A,), beta (T, B); rows of the curves that these frames are. unacted: what `neutral_change` gives, where it is known already.
    """
    neutralise = curves.neutralise[rows]
    if unacted is None and neutralise.any():
        unacted = neutral_change(anatomy, editor, alpha, beta)
    emotions = curves.effective[rows]
    da, db = residual(editor, alpha, beta, emotions, neutralise, unacted)
    return da, anatomy.keep(alpha, beta, da, db, curves.mouth[rows], np.maximum(np.linalg.norm(emotions, axis=1), neutralise))


def neutral_change(anatomy: Anatomy, editor: ShapeEditor, alpha: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What neutralise 1 does to one run of frames: G(c, 0) - c, and a lasting frown that the solve took for the face; (T, A) and (T, B)."""
    a, b = editor.generate(alpha, beta, np.zeros((len(beta), len(EMOTIONS)), np.float32))
    return a - alpha, b - beta + anatomy.relaxed(alpha)


def residual(editor: ShapeEditor, alpha: np.ndarray, beta: np.ndarray, emotions: np.ndarray, neutralise: np.ndarray,
             unacted: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """n (G(c, 0) - c), which makes c_n of c, plus the sum over the emotions of G(c_n, e_i) - G(c_n, 0); changes of alpha (T, A) and beta (T, B).

    One emotion alone, with n = 0, gives exactly the paper's residual. Several together are weighted by |e| / sum(e), so that two at a half do
    not shout louder than one at full. unacted: what stands for G(c, 0) - c, (T, A) and (T, B).
    """
    alpha = np.asarray(alpha, np.float32)
    da, db = np.zeros((len(beta), len(alpha)), np.float32), np.zeros_like(beta)
    if neutralise.any():
        if unacted is None:
            a, b = editor.generate(alpha, beta, np.zeros_like(emotions))
            unacted = a - alpha, b - beta
        da, db = (neutralise[:, None] * change for change in unacted)
        alpha, beta = alpha + da, beta + db
    if not emotions.any():
        return da, db
    a0, b0 = editor.generate(alpha, beta, np.zeros_like(emotions))
    total = emotions.sum(1)
    weight = np.where(total > 0, np.linalg.norm(emotions, axis=1) / np.maximum(total, 1e-12), 1.0)[:, None].astype(np.float32)
    for e in range(len(EMOTIONS)):
        if emotions[:, e].any():
            one = np.zeros_like(emotions)
            one[:, e] = emotions[:, e]
            a, b = editor.generate(alpha, beta, one)
            asked = emotions[:, e : e + 1] > 0
            da = da + np.where(asked, weight * (a - a0), 0)
            db = db + np.where(asked, weight * (b - b0), 0)
    return da, db


def as_expression(model: FaceModel, alpha: np.ndarray) -> np.ndarray:
    """Changes of alpha (T, A) -> (T, B): the expression that moves the vertices most nearly as they do (ridge least squares), for shape keys."""
    if not alpha.any():
        return np.zeros((len(alpha), model.expression_count), np.float32)
    e, i = (basis.reshape(len(basis), -1).astype(np.float64) * 1000 for basis in (model.expression, model.identity))
    ridge = np.diag(FOLD_RIDGE * model.vertex_count / np.maximum(model.expression_sigma.astype(np.float64), 1e-3) ** 2)
    return (alpha @ np.linalg.solve(e @ e.T + ridge, e @ i.T).T).astype(np.float32)


def smooth(values: np.ndarray) -> np.ndarray:
    """Hann window over time of one run (T, C); at its ends the last frame counts double, so a constant stays itself."""
    if len(values) < 2:
        return values
    padded = np.concatenate([values[:1], values, values[-1:]])
    return HANN[0] * padded[:-2] + HANN[1] * padded[1:-1] + HANN[2] * padded[2:]
