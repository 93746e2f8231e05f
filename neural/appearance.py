# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shot teaches about its face: the models of level 2 and of the mouth, fitted when an edit first needs them, kept in SHOT/texture/."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ..mesh.editor import smooth
from ..mesh.emotion import EMOTIONS
from ..mesh.errors import MienError
from ..mesh.files import read_json, read_npz, write_json, write_npz
from ..mesh.shot import Shot, Solve, Track
from .filmed import filmed
from .glasses import HOLD_VERSION, GlassesHold
from .latent.eigen import EigenFit, EigenImages
from .latent.working import to_working
from .level2 import COMPONENTS as TEXTURE_COMPONENTS
from .level2 import SIZE as TEXTURE_SIZE
from .level2 import TEXTURE, TextureModel, regress, weight_map
from .media import Frame, PlateReader, read_still
from .mouth import MouthCrop, MouthGeometry, MouthModel, MouthPose
from .mouth.layer import MouthTrack
from .mouth.model import fit_mouth
from .parallel import ordered_map
from .progress import Reporter, reported
from .rendering import PlateRenderer
from .texture import Unwrapper
from .visibility import LandmarkTrust, shot_trust

APPEARANCE_VERSION = 13
"""Raise it when the same shot gives other models."""
SAMPLES = 75
"""Frames that the skin is learnt from at most, so that memory does not grow with the clip."""
MOUTH_SAMPLES = 300
"""The same for the mouth, which changes faster and whose pictures are small."""
TEXTURE_LEAST = 6
"""Solved frames below which level 2 learns nothing: what is left after a stretch is put aside to test on would fit anything."""
SPOOL = 32 << 20
"""Bytes of mouths that wait in memory for the model; what is beyond them waits in a file."""
MOUTH = "mouth"


@dataclass(frozen=True, eq=False)
class ShotFaces:
    """The face of each frame on the picture: what every fit starts from."""

    shot: Shot
    track: Track
    solve: Solve
    renderer: PlateRenderer

    @cached_property
    def trust(self) -> LandmarkTrust:
        """How far the frames' landmarks are believed, and what the artist's mask hides."""
        return shot_trust(self.shot, self.track, self.solve)

    @cached_property
    def free(self) -> np.ndarray | None:
        """(V,) in 0..1: skin that no glasses cover; None for a face without them."""
        return GlassesHold(self.renderer.model).free if self.shot.settings.get("glasses_seen") else None

    def vertices(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Vertices as filmed (V, 2) pixels, locked onto the landmarks, and in camera axes (V, 3) metres."""
        xy, offset, points = filmed(self.renderer, self.solve, self.track, self.trust, index)
        return xy + offset, points

    def key(self, *more: object) -> str:
        """Changes when anything that a model is fitted to changes."""
        digest = hashlib.sha256(repr((APPEARANCE_VERSION, self.renderer.model.hash, self.shot.plate.fingerprint, *more)).encode())
        for array in (self.solve.alpha, self.solve.beta, self.solve.rotation, self.solve.translation, self.track.landmarks):
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
        for index in map(int, np.flatnonzero(self.solve.solved)):
            digest.update("".join(self.trust.key(index)).encode())
        return digest.hexdigest()[:24]

    def samples(self, most: int = SAMPLES) -> np.ndarray:
        """Evenly chosen solved frames, at most so many."""
        solved = np.flatnonzero(self.solve.solved)
        return solved[np.unique(np.round(np.linspace(0, len(solved) - 1, min(most, len(solved)))).astype(int))]

    def frames(self, indices: np.ndarray) -> Iterator[Frame]:
        """Those frames of the plate, in order."""
        yield from PlateReader(self.shot.plate_path, self.shot.plate).chosen(indices)


def unwrapped_texels(faces: ShotFaces, frame: Frame, unwrap: Unwrapper, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A frame's texture (M, 3) float32 in the working space and its visibility (M,) 0..1 at the texels of `unwrap.inside`.

    What it hides, and what the artist's mask covers, is filled from `base` (M, 3).
    """
    xy, points = faces.vertices(frame.index)
    height, width = frame.pixels.shape[:2]
    left, top = (max(int(v) - 4, 0) for v in xy.min(0))
    right, bottom = min(int(xy[:, 0].max()) + 5, width), min(int(xy[:, 1].max()) + 5, height)
    if right - left < 2 or bottom - top < 2:
        return base, np.zeros(len(base), np.float32)
    part = to_working(np.ascontiguousarray(frame.pixels[top:bottom, left:right, :3]), faces.shot.plate.linear)
    hidden = faces.trust.hidden(frame.index)
    texture, seen = unwrap.texels(part, xy - np.array([left, top]), points, None if hidden is None else hidden[top:bottom, left:right])
    texture -= base
    texture *= seen[:, None]
    texture += base
    return texture, seen


def unwrapped(faces: ShotFaces, frame: Frame, unwrap: Unwrapper, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same as pictures, (S, S, 3) and (S, S); `base` (S, S, 3) goes on beyond the face."""
    texture, seen = base.copy(), np.zeros(base.shape[:2], np.float32)
    flat = texture.reshape(-1, 3)
    flat[unwrap.inside], seen.ravel()[unwrap.inside] = unwrapped_texels(faces, frame, unwrap, flat[unwrap.inside])
    return texture, seen


def base_texture(faces: ShotFaces, size: int) -> np.ndarray:
    """The shot's neutral texture (size, size, 3) float32 in the working space, made when the shot was solved."""
    return cv2.resize(read_still(faces.shot.texture_path)[..., :3], (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


class SkinSamples:
    """What chosen frames show of the skin. Frames come from whoever reads the plate; `fit` reads those that nobody has handed in."""

    def __init__(self, faces: ShotFaces, chosen: np.ndarray):
        self._faces, self.chosen = faces, chosen
        whole, self._base = Unwrapper(faces.renderer.model, TEXTURE_SIZE), base_texture(faces, TEXTURE_SIZE)
        self._mask = weight_map(whole, faces.free) > 0.02
        self._unwrap = whole.only(self._mask)
        self._own = self._base.reshape(-1, 3)[self._unwrap.inside]
        self._rows = np.empty((len(chosen), self._own.size), np.float32)
        self._shown, self._lock = np.zeros(len(self._own), np.int32), threading.Lock()
        self._missing = {int(index): row for index, row in zip(chosen, self._rows)}

    def take(self, frame: Frame) -> None:
        """Look at a frame; from any thread, in any order, chosen or not."""
        row = self._missing.get(frame.index)
        if row is None:
            return
        texture, seen = unwrapped_texels(self._faces, frame, self._unwrap, self._own)
        row[:] = texture.ravel()
        whole = np.rint(seen * 1000).astype(np.int32)  # whole numbers: their sum is the same in any order
        with self._lock:
            self._shown += whole
            del self._missing[frame.index]

    def fit(self, report: Reporter) -> tuple[EigenImages, np.ndarray, np.ndarray]:
        """The eigen model of the frames' textures, their latents (N, L) and how often each texel is seen (S, S). Call it once."""
        left = np.array(sorted(self._missing), int)
        if len(left):
            for _ in reported(ordered_map(self.take, self._faces.frames(left)), report, "textures", len(left)):
                pass
        fit = EigenFit(self._mask, TEXTURE_COMPONENTS, self._base)
        fit.add_rows(self._rows)
        model, seen = fit.model(), np.zeros(self._mask.size, np.float32)
        seen[self._unwrap.inside] = self._shown / np.float32(1000 * len(self.chosen))
        return model, self._rows @ model.components.T, seen.reshape(self._mask.shape)


def fit_texture(faces: ShotFaces, chosen: np.ndarray, report: Reporter) -> tuple[EigenImages, np.ndarray, np.ndarray]:
    """See `SkinSamples.fit`."""
    return SkinSamples(faces, chosen).fit(report)


def skin_to_learn(faces: ShotFaces, actor: Path | None) -> SkinSamples | None:
    """What `shot_texture_model` would have to look at; None where a model is there, or can never be."""
    chosen = faces.samples()
    if actor is not None and (actor / f"{TEXTURE}.json").exists() or len(chosen) < TEXTURE_LEAST:
        return None
    with contextlib.suppress(MienError):  # a damaged note: fitted again, which `shot_texture_model` tells
        if _is_known(faces):
            return None
    return SkinSamples(faces, chosen)


def _is_known(faces: ShotFaces) -> bool:
    """Is the skin's model in the shot folder that of this solve?"""
    about = faces.shot.texture_path.with_name("texture_shot.json")
    return about.exists() and read_json(about).get("key") == faces.key(TEXTURE, faces.free is not None and HOLD_VERSION)


def shot_texture_model(faces: ShotFaces, actor: Path | None, report: Reporter, skin: SkinSamples | None = None) -> TextureModel | None:
    """Level 2 of a shot: its eigen model with directions learnt from its own frames; with the actor folder's model and its d_y where it has one.
    None for a shot of too few frames to learn from, which is said.

    Made once and kept in SHOT/texture/; a change of the solve or of the actor's model makes it again. skin: from `skin_to_learn`, where frames were
    read already.
    """
    folder = faces.shot.texture_path.parent
    if actor is not None and (actor / f"{TEXTURE}.json").exists():
        return TextureModel.load(actor)
    key, about = faces.key(TEXTURE, faces.free is not None and HOLD_VERSION), folder / "texture_shot.json"
    try:
        if _is_known(faces):
            return TextureModel.load(folder)
    except MienError as error:
        report.warn(f"The texture model of this shot is fitted again: {error}")
    chosen = faces.samples()
    if len(chosen) < TEXTURE_LEAST:
        report.warn(f"The shot has only {len(chosen)} solved frame(s), from which no change of the skin can be learnt; the edit moves it alone.")
        return None
    images, latents, shown = (skin or SkinSamples(faces, chosen)).fit(report)
    s = faces.solve
    nuisance = np.concatenate([s.rotation[chosen], chosen[:, None] / max(len(s.beta), 1)], 1)
    sigma = np.maximum(faces.renderer.model.expression_sigma, 1e-3)
    found = regress(latents, s.beta[chosen], nuisance, sigma)
    none = np.zeros((len(EMOTIONS), latents.shape[1]), np.float32)
    model = TextureModel(images, found.directions, none, found.trust(images, shown), found.predicted)
    model.save(folder)
    write_json(about, {"key": key, "explained": images.explained, "predicted": found.predicted, "frames": len(chosen)})
    return model


def _crop(faces: ShotFaces, geometry: MouthGeometry, frame: Frame) -> MouthCrop | None:
    xy, _ = faces.vertices(frame.index)
    pose: MouthPose | None = geometry.pose(frame.index, xy)
    if pose is None:
        return None
    picture = frame.pixels[..., :3]
    left, top, right, bottom = geometry.window(xy)
    working = to_working(np.ascontiguousarray(picture[top:bottom, left:right]), faces.shot.plate.linear)
    atlas, seen, opened = geometry.crop(working, pose, (left, top))
    hidden = faces.trust.hidden(frame.index)
    if hidden is not None:
        seen = seen * (1 - geometry.crop(np.repeat(hidden[top:bottom, left:right, None], 3, 2), pose, (left, top))[0][..., 0])
        opened = min(opened, float(seen.sum()))
    around = geometry.around(working, pose, xy, (left, top)).astype(np.float16)
    return MouthCrop(frame.index, atlas.astype(np.float16), seen, opened, pose.shape, around, np.median(working[::4, ::4].reshape(-1, 3), 0))


def mouth_crops(faces: ShotFaces, geometry: MouthGeometry, chosen: np.ndarray, report: Reporter) -> list[MouthCrop]:
    """What those frames show of the mouth."""
    crops = []
    report.step("mouth", 0, len(chosen))
    for done, crop in enumerate(ordered_map(lambda f: _crop(faces, geometry, f), faces.frames(chosen)), 1):
        if crop is not None:
            crops.append(crop)
        report.step("mouth", done, len(chosen))
    return crops


def shot_mouth(faces: ShotFaces, geometry: MouthGeometry, actor: Path | None, report: Reporter,
               skin: SkinSamples | None = None, read: Callable[[], object] | None = None) -> tuple[MouthModel, MouthTrack] | None:
    """The mouth model of a shot (or of the actor folder, where it has one) and the latents of every frame; None where no teeth are ever shown.

    Made once and kept in SHOT/texture/; a change of the solve makes it again. Where frames are read, `skin` sees them too, and `read` is called
    when it has seen them all.
    """
    folder = faces.shot.texture_path.parent
    given = MouthModel.load(actor, MOUTH) if actor is not None and (actor / f"{MOUTH}.json").exists() else None
    key, about = faces.key(MOUTH, given.hash if given else ""), folder / "mouth_shot.json"
    try:
        known = read_json(about) if about.exists() else {}
        if known.get("key") == key:
            if not known["open"]:
                return None
            a = read_npz(folder / "mouth_frames.npz")
            return given or MouthModel.load(folder, MOUTH), MouthTrack(a["latents"], a["expected"], a["seen"])
    except MienError as error:
        report.warn(f"The mouth model of this shot is fitted again: {error}")
    T, chosen = len(faces.solve.beta), set(map(int, faces.samples(MOUTH_SAMPLES)))
    seen = np.zeros(T, np.float32)
    crops, solved = [], np.flatnonzero(faces.solve.solved)
    report.step("mouth", 0, len(solved))

    def look(frame: Frame) -> MouthCrop | None:
        if skin is not None:
            skin.take(frame)
        return _crop(faces, geometry, frame)

    with tempfile.SpooledTemporaryFile(SPOOL, dir=folder) as others:  # the plate is decoded once, and memory does not grow with it
        for done, crop in enumerate(ordered_map(look, faces.frames(solved)), 1):
            if crop is not None and crop.index in chosen:
                crops.append(crop)
            elif crop is not None:
                crop.put(others)
            report.step("mouth", done, len(solved))
        if read is not None:
            read()
        model = given or fit_mouth(crops)
        if model is None:
            write_json(about, {"key": key, "open": False})
            return None
        latents, expected = (np.zeros((T, *model.images.latent_shape), np.float32) for _ in range(2))
        others.seek(0)

        def encoded(crop: MouthCrop) -> tuple[MouthCrop, np.ndarray, np.ndarray]:
            told = model.expected(crop.shape[None], crop.around[None], np.array([crop.index])).reshape(1, *model.images.latent_shape)
            return crop, told[0], model.images.encode(crop.atlas[None], crop.seen[None], told)[0]

        for crop, told, latent in ordered_map(encoded, itertools.chain(crops, MouthCrop.all_in(others))):
            expected[crop.index], latents[crop.index], seen[crop.index] = told, latent, crop.opened
    for start, end in faces.solve.segments:
        latents[start:end] = smooth(latents[start:end].reshape(end - start, -1)).reshape(latents[start:end].shape)
    if given is None:
        model.save(folder, MOUTH)
    write_npz(folder / "mouth_frames.npz", {"latents": latents, "expected": expected, "seen": seen})
    write_json(about, {"key": key, "open": True})
    return model, MouthTrack(latents, expected, seen)
