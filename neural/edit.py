# SPDX-License-Identifier: GPL-3.0-or-later
"""From a solved shot and its curves to the face layer of any frame."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from ..mesh.editor import EDITORS, edit_shape, shot_editor, smooth
from ..mesh.emotion import EmotionCurves
from ..mesh.errors import MienError
from ..mesh.model import FaceModel, load_model
from ..mesh.shot import Shot, Solve, Track
from .appearance import ShotFaces, SkinSamples, shot_mouth, shot_texture_model, skin_to_learn
from .filmed import filmed
from .full_texture import FullTexture, shot_latents, well_seen
from .furrows import Furrows
from .glasses import GLASSES_CHOICES, HOLD_VERSION, GlassesHold, wears_glasses
from .level2 import TextureLayer, TextureModel
from .media import Frame
from .mouth import MouthGeometry, MouthLayer
from .progress import Reporter
from .rendering import FaceLayer, PlateRenderer, RenderSettings, behind_mask
from .visibility import shot_trust

RENDERER_VERSION = 7
"""Raise it when the same input gives other pixels, so that old bakes are known to be out of date."""

CHOICES = {"texture": ("on", "full", "off"), "mouth": ("fill", "off")}
"""Settings that are one of a few words."""
AMOUNTS = {"shape_strength": 1.0, "texture_strength": 2.0, "texture_borrow": 1.0, "mouth_amount": 1.0}
"""Settings that are a number from 0 to this."""


@dataclass(frozen=True)
class EditSettings:
    """What the artist can choose for a bake besides the curves."""

    editor: str = "analytic"
    """Level 1: "analytic" (FACS recipes) or "gan" (the shape GAN of Sun et al.)."""
    actor: str = ""
    """Actor folder whose networks are used, where it has them; the shot's own actor/ where empty."""
    glasses: str = "auto"
    """Hold the glasses' rims still: "on", "off", or "auto" (looked for when the shot is solved)."""
    shape_strength: float = 1.0
    """Level 1: part of the change of shape that is applied, 0 to 1; 0 is an edit without level 1."""
    texture: str = "on"
    """Level 2, change of the skin's shading with the expression: "on" (the actor folder's model, else one fitted to the shot), "full" (the skin is
    that model's own picture, as in the paper, in place of a difference) or "off"."""
    texture_strength: float = 1.0
    """Level 2: part of the change of texture that is applied, 0 to 2; 0 is an edit without level 2."""
    texture_borrow: float = 0.0
    """Amount, 0 to 1, of the emotion directions in the actor folder, learnt from labelled takes of this actor or another.

    Above 0 the change with the expression comes from the shot itself, as the folder may be a stranger's, unless the texture is "full"."""
    mouth: str = "fill"
    """The inside of the mouth: "fill" (teeth stay on skull and jaw, new openings are filled from the shot) or "off" (it bends with the lips)."""
    mouth_amount: float = 1.0
    """How much of the filled mouth is laid over the bent one, 0 to 1."""
    mouth_frame: int | None = None
    """Frame number whose mouth fills every opening; the frame's own where None."""

    @classmethod
    def from_dict(cls, data: dict | None) -> EditSettings:
        """Raises MienError for an unknown setting or value."""
        known = {f.name for f in fields(cls)}
        for name in data or {}:
            if name not in known:
                raise MienError(f"There is no setting '{name}'; use one of {', '.join(sorted(known))}.")
        settings = cls(**(data or {}))
        if settings.editor not in EDITORS:
            raise MienError(f"There is no shape editor '{settings.editor}'; use {' or '.join(EDITORS)}.")
        if settings.glasses not in GLASSES_CHOICES:
            raise MienError(f"The setting glasses is '{settings.glasses}'; use one of {', '.join(GLASSES_CHOICES)}.")
        for name, choices in CHOICES.items():
            if getattr(settings, name) not in choices:
                raise MienError(f"The setting {name} is '{getattr(settings, name)}'; use one of {', '.join(choices)}.")
        for name, most in AMOUNTS.items():
            value = getattr(settings, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
                raise MienError(f"The setting {name} is {value!r}; use a number from 0 to {most:g}.")
        frame = settings.mouth_frame
        if frame is not None and (isinstance(frame, bool) or not isinstance(frame, int)):
            raise MienError(f"The setting mouth_frame is {frame!r}; use the number of a frame.")
        return settings


class ShotEditor:
    """Everything a frame of the edit depends on, loaded once; `layer` is then a pure function of the frame."""

    def __init__(self, shot: Shot, curves: EmotionCurves, settings: EditSettings, report: Reporter):
        self.shot, self.settings = shot, settings
        self.model: FaceModel = load_model(shot.model)
        self.track, self.solve = Track.load(shot), Solve.load(shot)
        self.trust = shot_trust(shot, self.track, self.solve)
        if shot.model_hash != self.model.hash:
            raise MienError(f"{shot.folder} was solved with another version of the face model '{shot.model}'; solve the shot again.")
        if self.solve.beta.shape[1] != self.model.expression_count or len(self.solve.alpha) != self.model.identity_count:
            raise MienError(f"{shot.solve_path} does not fit the face model '{shot.model}'; solve the shot again.")
        self.shape_editor = shot_editor(settings.editor, self.model, shot.folder, settings.actor)
        self.renderer = PlateRenderer(self.model, self.solve.camera, RenderSettings())
        self.hold = GlassesHold(self.model) if wears_glasses(settings.glasses, shot, report) else None
        faded = min(settings.texture_strength, 1.0) if settings.texture == "on" and self.hold is None else 0.0  # a bridge is dark and narrow too
        self.furrows = Furrows(self.model, faded, shot.plate.linear)
        self.mouth: MouthLayer | None = None
        self.texture: TextureLayer | FullTexture | None = None
        self._actor = Path(settings.actor) if settings.actor else shot.folder / "actor"
        self._fitted, self._report = False, report
        self.set_curves(curves)

    def set_curves(self, curves: EmotionCurves) -> None:
        """Take other curves. All that depends on them is made here, as a preview does it at each move of a slider. Raises MienError."""
        self.edit = edit_shape(self.model, self.solve, curves, self.shape_editor)
        self.emotions = np.zeros_like(curves.emotions)
        for start, end in self.solve.segments:
            self.emotions[start:end] = smooth(curves.effective[start:end])
        if not self._fitted and self.edit.active.any():
            self._learn(ShotFaces(self.shot, self.track, self.solve, self.renderer), self._actor, self._report)
            self._fitted = True

    def _learn(self, faces: ShotFaces, actor: Path, report: Reporter) -> None:
        """Fits level 2 and the mouth where that was not done yet, in one reading of the plate."""
        s = self.settings
        full = s.texture == "full"
        wanted = s.texture != "off" and (full or s.texture_strength or s.texture_borrow)
        borrowed = TextureModel.load(actor) if wanted and s.texture_borrow and not full else None
        own = None if borrowed else actor
        skin = skin_to_learn(faces, own) if wanted else None
        layers: list[Future[TextureLayer | FullTexture | None]] = []
        with ThreadPoolExecutor(1, "mien-skin") as beside:  # the skin is fitted beside the mouth
            def read() -> None:
                layers.append(beside.submit(self._skin, faces, skin, own, borrowed, report))

            self.mouth = self._mouth(faces, skin, actor, report, read if wanted else None)
            if wanted and not layers:
                read()
            self.texture = layers[0].result() if layers else None

    def _skin(self, faces: ShotFaces, skin: SkinSamples | None, own: Path | None, borrowed: TextureModel | None,
              report: Reporter) -> TextureLayer | FullTexture | None:
        s, linear = self.settings, self.shot.plate.linear
        model = shot_texture_model(faces, own, report, skin)
        if model is None:
            return None
        free = None if self.hold is None else self.hold.free
        if s.texture == "full":
            free = well_seen(faces) * (1 if free is None else free)
            return FullTexture(model, shot_latents(faces, model, report), self.model, s.texture_strength, s.texture_borrow, linear, free)
        return TextureLayer(model, borrowed, self.model, s.texture_strength, s.texture_borrow, linear, free)

    def _mouth(self, faces: ShotFaces, skin: SkinSamples | None, actor: Path, report: Reporter,
               read: Callable[[], object] | None) -> MouthLayer | None:
        """Warns where there is nothing to fill a mouth with. read: called when the plate was read and the skin has seen what it needs."""
        s = self.settings
        if s.mouth == "off" or s.mouth_amount == 0:
            return None
        geometry = MouthGeometry(self.renderer.mesh, self.solve)
        locked = None if s.mouth_frame is None else s.mouth_frame - self.shot.plate.first_frame
        if locked is not None and not (0 <= locked < len(self.solve.beta) and self.solve.solved[locked]):
            raise MienError(f"The setting mouth_frame is {s.mouth_frame}, which is no solved frame of {self.shot.folder}; choose another one.")
        known = shot_mouth(faces, geometry, actor, report, skin, read) if geometry.available else None
        if known is None:
            report.warn("This shot never shows the inside of the mouth: openings that the edit makes stay dark, without teeth.")
            return None
        return MouthLayer(geometry, *known, s.mouth_amount, locked, self.shot.plate.linear)

    def shapes(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Model vertices of a frame on the picture as filmed and as edited, (V, 2) pixels, and the edited depths (V,); None at rest."""
        if not self.edit.active[index]:
            return None
        s = self.solve
        before, offset, _ = filmed(self.renderer, s, self.track, self.trust, index)
        part = np.float32(self.settings.shape_strength)
        shape = self.renderer.shape(s.alpha + part * self.edit.alpha[index], s.beta[index] + part * self.edit.beta[index])
        after, depth = self.renderer.project_shape(shape, s.rotation[index].astype(np.float64), s.translation[index].astype(np.float64))
        if self.hold is not None:
            after = self.hold(before, after)
        return before + offset, after + offset, depth.astype(np.float32)

    def layer(self, index: int, plate: np.ndarray) -> FaceLayer | None:
        """The face layer of a frame over its plate (H, W, C); None when the frame stays as it is."""
        shapes = self.shapes(index)
        layer = None if shapes is None else self.renderer.render(plate, *shapes, always=self.texture is not None)
        if layer is None or shapes is None:
            return None
        before, after, _ = shapes
        if self.texture is not None:
            layer = self.texture.over(layer, index, self.edit.beta[index], self.emotions[index])
        layer = self.furrows.over(layer, self.edit.beta[index], after)
        if self.mouth is not None:
            layer = self.mouth.over(layer, plate, index, before, after)
        return behind_mask(layer, plate, self.trust.hidden(index))

    def composited(self, frame: Frame) -> Frame:
        """The frame with its face layer laid over it; the very same pixels where nothing is edited."""
        layer = self.layer(frame.index, frame.pixels)
        return frame if layer is None else replace(frame, pixels=layer.over(frame.pixels))

    def content_hash(self, index: int) -> str:
        """Changes exactly when something the frame's pixels depend on changes; "rest" for a frame that stays the plate."""
        if not self.edit.active[index]:
            return "rest"
        digest = hashlib.sha256()
        s = self.solve
        for array in (self.edit.alpha[index], self.edit.beta[index], self.emotions[index], s.alpha, s.beta[index], s.rotation[index],
                      s.translation[index], self.track.landmarks[index]):
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
        facts = (RENDERER_VERSION, self.model.hash, self.shot.plate.fingerprint, self.solve.camera.focal, self.hold is not None and HOLD_VERSION,
                 self.mouth.hash if self.mouth else "", self.texture.hash if self.texture else "", self.settings.shape_strength,
                 self.furrows.strength, sorted(asdict(self.renderer.settings).items()), *self.trust.key(index))
        digest.update(repr(facts).encode())
        return digest.hexdigest()[:24]

    def jitter(self) -> float:
        """High-frequency motion of the edited mesh over that of the original, in the head frame (1 = as steady as the plate's)."""
        active = self.edit.active
        ratios = []
        vertices = self.model.landmark_vertices
        for start, end in self.solve.segments:
            if end - start > 2 and active[start:end].all():
                before = self.model.displacement(self.solve.beta[start:end])[:, vertices]
                change = self.model.displacement(self.edit.beta[start:end])[:, vertices]
                ratios.append((np.abs(np.diff(before + change, 2, axis=0)).mean(), np.abs(np.diff(before, 2, axis=0)).mean()))
        return float(sum(a for a, _ in ratios) / max(sum(b for _, b in ratios), 1e-12)) if ratios else 1.0
