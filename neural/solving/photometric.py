# SPDX-License-Identifier: GPL-3.0-or-later
"""Photometric refinement: expression and pose of every frame so that the face's own skin lies still on the mesh.

Each vertex v has an albedo, each frame a light (`lighting.py`); the frame should show albedo * (Y(n) @ light) where the vertex projects:

    r_v = I(pi(R S_v + t)) - albedo_v * (Y(R n_v) @ light),      dr_v = grad I . dpi . (w x R S_v + R dS_v + dt)

This is least squares on the image's own gradients, so no renderer has to be differentiated. The albedo is what the vertices show in the median
over the shot, so it is as sharp and as noisy as the plate is. The terms are added to those of landmarks, priors and time, which stay.
On a graphics card with nvdiffrast the pixels are compared instead (`rasterised.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...mesh.camera import Camera, rotation_matrix
from ...mesh.model import FaceModel
from ...mesh.shot import Solve
from ..media import Frame, PlateReader, display8, srgb_to_linear
from ..progress import Reporter
from ..visibility import FACING, LandmarkTrust, vertex_normals
from .bundle import measure_errors
from .lighting import fit_light, harmonics
from .problem import SolveSettings, State
from .solve import Footage, Prepared, Start

EYES = 96.0
"""Pixels between the outer eye corners in the pictures that are compared; larger faces are made smaller."""
BLUR = 1.2
"""Pixels (standard deviation) by which those pictures are softened, so that their gradients reach that far."""
VERTICES = 2000
"""Compared at most."""
SHARED = 2.5
"""So many vertices share one error, as what a model of light gets wrong is smooth; it counts once."""
ROBUST = 2.5
"""Errors beyond so many standard deviations lose their say: highlights, hair, a shadow that moves."""
ITERATIONS = 5
LEAST = 0.002
"""Standard deviation of an error at least, in parts of full white: a plate without noise is no reason to believe in nothing else."""
LUMA = np.array([0.2126, 0.7152, 0.0722])
SAMPLES = 60
"""Frames whose median is the albedo."""
MARGIN = 0.35
"""Of the face's size: how far the kept pictures reach beyond it."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """The face on n frames, made small."""

    crops: list[np.ndarray]
    """(h, w, 3) uint8 each, display-coded."""
    hidden: list[np.ndarray | None]
    """(h, w) float32: what the artist's mask covers."""
    corner: np.ndarray
    """(n, 2) plate pixels of the crop's upper left."""
    scale: np.ndarray
    """(n,) crop pixels per plate pixel."""


class Skin:
    """The compared vertices of one person, and their colours on frames."""

    def __init__(self, model: FaceModel, alpha: np.ndarray, whole: bool = False):
        border = set(map(int, model.loops["border"])) if "border" in model.loops else set()
        inner = np.array([v for v in range(model.vertex_count) if v not in border])
        some = inner[np.unique(np.linspace(0, len(inner) - 1, VERTICES).round().astype(int))]
        self.vertices = np.arange(model.vertex_count) if whole else some
        neutral = model.neutral(alpha).astype(np.float64)
        self.neutral = neutral[self.vertices]
        self.directions = model.expression[:, self.vertices].astype(np.float64)
        """(B, V, 3)"""
        normals = vertex_normals(neutral, model.triangles)
        self.normals = normals[self.vertices] * -np.sign(np.median(normals[:, 2]))  # out of the face, towards the camera
        self.eye_distance = model.eye_distance
        self.albedo = np.full((len(self.vertices), 3), 0.5)
        self.sigma = 0.05
        """Standard deviation of an error, in parts of full white."""

    def place(self, state: State, i: int) -> np.ndarray:
        """(V, 3) camera axes, metres, of one frame."""
        shape = self.neutral + np.tensordot(state.beta[i], self.directions, 1)
        return shape @ state.rotation[i].T + state.translation[i]

    def seen(self, points: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normals (V, 3) in camera axes and how far each vertex is turned to the camera (V,)."""
        normals = self.normals @ rotation.T
        cosine = -(normals * points).sum(1) / np.linalg.norm(points, axis=1)
        return normals, np.clip((cosine - FACING[0]) / (2 * (FACING[1] - FACING[0])), 0, 1)


class Photometric:
    """The term for a run of frames; see the module."""

    def __init__(self, skin: Skin, pictures: Pictures, camera: Camera):
        self.skin, self.pictures, self.camera = skin, pictures, camera

    def sample(self, points: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of points (V, 3) on frame i: colours (V, 3), gradients of their brightness (V, 2) a plate pixel, and (V,) in 0..1: inside, not hidden."""
        scale = self.pictures.scale[i]
        at = ((self.camera.project(points) - self.pictures.corner[i]) * scale - 0.5).astype(np.float32)
        crop, dx, dy = softened(self.pictures.crops[i])
        colour, gx, gy = (cv2.remap(p, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0].astype(np.float64) for p in (crop, dx, dy))
        inside = ((at > 1) & (at < (crop.shape[1] - 2, crop.shape[0] - 2))).all(1).astype(np.float64)
        covered = self.pictures.hidden[i]
        if covered is not None:
            inside *= 1 - cv2.remap(covered, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0]
        return colour, np.stack([gx, gy], -1) * scale, inside

    def errors(self, state: State, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of one frame: errors (V, 3) under the light that suits it best, gradients (V, 2), weights (V,), points (V, 3), shading (V, 3)."""
        skin, points = self.skin, self.skin.place(state, i)
        normals, facing = skin.seen(points, state.rotation[i])
        colour, gradient, weight = self.sample(points, i)
        basis, weight, trust = harmonics(normals), weight * facing, np.ones(len(points))
        shade = np.ones_like(colour)
        for _ in range(2):  # the second time without highlights
            shade = basis @ fit_light(basis, skin.albedo, colour, weight * trust)
            trust = 1 / (1 + ((colour - skin.albedo * shade) ** 2).mean(1) / (ROBUST * skin.sigma) ** 2) ** 2
        return colour - skin.albedo * shade, gradient, weight * trust, points, shade

    def add(self, H: np.ndarray, g: np.ndarray, state: State) -> None:
        """Add to normal equations (n, P, P) and (n, P) of beta, rotation and translation, in place."""
        B = state.beta.shape[1]
        for i in range(len(state.beta)):
            error, gradient, weight, points, _ = self.errors(state, i)
            weight = weight / (self.skin.sigma**2 * SHARED)
            gradient = self.camera.bent(points[:, :2] / points[:, 2:], gradient)
            # grad I . dpi: how the brightness changes with a move of the point in camera axes, (V, 3).
            slope = np.concatenate([gradient, -(gradient * points[:, :2] / points[:, 2:]).sum(1, keepdims=True)], 1)
            slope *= self.camera.focal / points[:, 2:]
            J = np.zeros((len(points), B + 6), np.float32)
            J[:, :B] = np.einsum("vi,bvi->vb", slope @ state.rotation[i], self.skin.directions, optimize=True)
            J[:, B : B + 3] = np.cross(points - state.translation[i], slope)
            J[:, B + 3 :] = slope
            W = J * weight[:, None].astype(np.float32)
            H[i] += W.T @ J
            g[i] += W.T @ (error @ LUMA).astype(np.float32)


def softened(crop: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A display-coded crop (h, w, 3) -> linear light (h, w, 3), softened, and the gradients of its brightness (h, w), float32."""
    soft = cv2.GaussianBlur(srgb_to_linear(crop.astype(np.float32) / 255).astype(np.float32), (0, 0), BLUR)
    bright = soft @ LUMA.astype(np.float32)
    return soft, cv2.Sobel(bright, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(bright, cv2.CV_32F, 0, 1, scale=1 / 8)


def refine(model: FaceModel, footage: Footage, old: Solve, reader: PlateReader, trust: LandmarkTrust, report: Reporter,
           settings: SolveSettings = SolveSettings()) -> tuple[Solve, str]:
    """`old` with every solved frame's expression and pose refined on the plate, and by what; identity and camera stay.

    It streams: memory does not grow with the shot.
    """
    from .rasterised import Rasterised, find_rasteriser  # brings torch
    card = find_rasteriser()
    camera = old.camera
    start = Start(old.alpha, old.beta, old.rotation, old.translation)
    settings = replace(settings, frame_iterations=ITERATIONS, full_iterations=1)
    shot = Prepared(model, replace(footage, focal=camera.focal, distortion=(camera.k1, camera.k2), start=start), settings)
    if old.offset is not None:
        shot.member.problem.offset = old.offset.astype(np.float64)
    measure_errors(shot.member, settings)
    alpha = old.alpha.astype(np.float64)
    skin = Skin(model, alpha, whole=not isinstance(card, str))
    source = _Source(skin, old, reader, trust)
    solved = np.flatnonzero(old.solved)
    chosen = solved[np.unique(np.linspace(0, len(solved) - 1, SAMPLES).round().astype(int))]
    report.step("skin", 0, 1)
    learn_skin(skin, Photometric(skin, source.pictures(chosen), camera), source.state(chosen))
    report.step("skin", 1, 1)
    new, done = shot.empty_solve(alpha), 0

    def term(start: int, end: int) -> Photometric:
        pictures = source.pictures(np.arange(start, end))
        return Photometric(skin, pictures, camera) if isinstance(card, str) else Rasterised(skin, pictures, camera, model, card)

    for kept in shot.fill(new, alpha, None, term):
        done += kept
        report.step("photometric", done, len(shot.found))
    return new, f"their own gradients, on the processor, as {card}" if isinstance(card, str) else "a differentiable rasteriser, on the graphics card"


def learn_skin(skin: Skin, photo: Photometric, state: State) -> None:
    """The albedo, as the median over the frames of `photo` at `state`, and the size of what is left."""
    shades = np.ones((len(state.beta), len(skin.vertices), 3))
    for _ in range(3):
        colours, weights, errors = [], [], []
        for i in range(len(state.beta)):
            points = skin.place(state, i)
            colour, _, inside = photo.sample(points, i)
            colours.append(colour / np.maximum(shades[i], 0.05))
            weights.append(inside * skin.seen(points, state.rotation[i])[1] > 0.5)
        seen = np.stack(weights)
        known = np.ma.median(np.ma.masked_array(np.stack(colours), np.broadcast_to(~seen[..., None], (*seen.shape, 3))), axis=0)
        skin.albedo = np.where(seen.any(0)[:, None], np.maximum(known.filled(0.5), 1e-3), skin.albedo)
        for i in range(len(state.beta)):
            error, _, _, _, shades[i] = photo.errors(state, i)
            errors.append((error @ LUMA)[seen[i]])
        skin.sigma = max(1.4826 * float(np.median(np.abs(np.concatenate(errors)))), LEAST)


class _Source:
    """Reads the plate around the face."""

    def __init__(self, skin: Skin, solve: Solve, reader: PlateReader, trust: LandmarkTrust):
        self.skin, self.solve, self.reader, self.trust = skin, solve, reader, trust

    def state(self, frames: np.ndarray) -> State:
        s = self.solve
        return State(s.alpha.astype(np.float64), s.camera.focal, s.beta[frames].astype(np.float64), rotation_matrix(s.rotation[frames]),
                     s.translation[frames].astype(np.float64))

    def pictures(self, frames: np.ndarray) -> Pictures:
        """Of rising frames, all solved."""
        state, found = self.state(frames), []
        for i, frame in enumerate(self.reader.chosen(frames)):
            xy = self.solve.camera.project(self.skin.place(state, i))
            eye = self.skin.eye_distance * self.solve.camera.focal / max(float(state.translation[i, 2]), 1e-6)
            found.append(small_picture(frame, self.reader.plate.linear, xy, eye, self.trust.hidden(int(frames[i]))))
        crops, hidden, corner, scale = zip(*found)
        return Pictures(list(crops), list(hidden), np.stack(corner), np.array(scale))


def small_picture(frame: Frame, linear: bool, xy: np.ndarray, eye: float,
                  mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, float]:
    """The face with vertices at xy (V, 2) as a crop, the mask on it, its corner and its scale."""
    margin = MARGIN * np.ptp(xy, axis=0)
    height, width = frame.pixels.shape[:2]
    left, top = np.clip(np.floor(xy.min(0) - margin), 0, (width - 2, height - 2)).astype(int)
    right, bottom = np.clip(np.ceil(xy.max(0) + margin), (left + 2, top + 2), (width, height)).astype(int)
    crop = np.ascontiguousarray(display8(frame.pixels[top:bottom, left:right], linear)[..., :3])
    covered = None if mask is None else np.ascontiguousarray(mask[top:bottom, left:right])
    scale = min(1.0, EYES / max(eye, 1e-6))
    if scale < 1:
        size = (max(2, round(crop.shape[1] * scale)), max(2, round(crop.shape[0] * scale)))
        scale = size[0] / crop.shape[1]
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        covered = None if covered is None else cv2.resize(covered, size, interpolation=cv2.INTER_AREA)
    return crop, covered, np.array([left, top], np.float64), float(scale)
