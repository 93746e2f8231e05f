# SPDX-License-Identifier: GPL-3.0-or-later
"""The mouth of an edited frame, laid over the moved plate inside the lips only.

Where the plate shows the cavity its own pixels are kept: upper teeth where they were, for the skull does not smile, lower teeth moved
with the jaw. What the edit bares beyond that is decoded from the mouth model and goes back through the inverse transform.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from ..latent.working import from_working, to_working
from ..rendering.renderer import FaceLayer, sample
from .crops import CAVITY
from .geometry import EDGE, HEIGHT, MouthGeometry, MouthPose, ramp
from .model import MouthModel
from .rim import within_lips

SOFT, SOFT_LEAST = 0.003, 1.7
"""Softness of the lips' inner edge, as a part of the face's width, and in pixels at least: small faces are as soft as the lens and the codec made
them, and a crisper edge would stand out."""
STILL, MOVED = 0.002, 0.010
"""Largest move of the inner lips, in face widths: below the first the plate's own mouth stays as it is, above the second it is made anew."""
OPEN_FULL = 1500.0
"""Texels of the atlas seen on a frame above which its own mouth tells everything about it."""
CORNERS = (0.4, 1.0)
"""Way from the middle of the mouth to a corner over which the inside begins to go with the lips: front teeth are bone, cheeks are not."""
SEAM = (0.1, 0.95)
"""Part of the way from the upper lip to the lower that is looked at for where the teeth meet."""
NO_SEAM = 0.05
"""How much darker than what is above and below, working space, a height must be to be that place; otherwise all that is seen are upper teeth."""
MEETING = (0.45, 0.7)
"""Brightness of the darkest height against the brightest below which there is a cavity, and from which on teeth meet."""
SEAM_LEAST = 20
"""Pixels of the mouth below which nothing tells."""
SIDES = (0.35, 0.9)
"""The same way, over which the dark between parting teeth ends."""
WIDE_APART = (0.015, 0.035)
"""How far the teeth part, in face widths, from where the plate's own line between them is drawn out to where the dark takes its place."""
PARTED = 0.65
"""How dark it gets: the most of DARK that is laid over."""
TOP_SHARE = 0.1
"""Part of the open mouths whose upper lip is higher than what counts as the highest one seen."""
MARGIN = 6
"""Pixels around the lips that are worked on."""
SHADOW = 0.3
"""How much darker what was never seen gets under the upper lip."""
NARROW, WIDE = 0.9, 0.06
"""How near to the dark of a mouth what was never seen comes in a mere slit, and the opening, in face widths, from which on no light is lost."""
REACH = 0.012
"""How far, in face widths, that shadow falls."""
CONTINUED = 0.006
"""How far, in face widths, what the plate shows is continued before the model takes over."""
STRETCHED = (0.3, 0.7)
"""How much of a row of the plate's pixels there is for a row of the inside, from none to enough: upper and lower teeth that part bare the dark
between them, for what was between them on the plate is but a line, and would be drawn out into streaks."""
DARK = (0.42, 0.30, 0.30)
"""That dark, against the lips (R, G, B), working space; CAVITY at most."""
BETWEEN = (0.2, 0.8)
"""Way from the upper lip to the lower over which the skull's half gives way to the jaw's."""


@dataclass(frozen=True, eq=False)
class MouthTrack:
    """The latents of a shot's mouths."""

    latents: np.ndarray
    """(T, L) float32, as seen on each frame, smoothed within takes."""
    expected: np.ndarray
    """(T, L) float32: what they would be for one who does not look into the mouth."""
    seen: np.ndarray
    """(T,) float32: texels of the inside that the frame shows."""


class MouthLayer:
    """Fills the mouths of one shot; everything is loaded, so `over` is a pure function of the frame."""

    def __init__(self, geometry: MouthGeometry, model: MouthModel, track: MouthTrack, amount: float, locked: int | None, linear: bool):
        """locked: index of the frame whose mouth is used everywhere; linear: the plate's pixels are scene-linear."""
        self._top = float(np.percentile(geometry.upper_lip(model.shapes), 100 * TOP_SHARE))
        self._geometry, self._model, self._track, self._amount, self._locked, self._linear = geometry, model, track, amount, locked, linear

    @cached_property
    def hash(self) -> str:
        """Hex digits over everything that changes a picture."""
        digest = hashlib.sha256(repr((self._model.hash, self._amount, self._locked)).encode())
        digest.update(self._track.latents.tobytes() + self._track.expected.tobytes() + self._track.seen.tobytes())
        return digest.hexdigest()[:16]

    def latents(self, index: int, edited: MouthPose, layer: FaceLayer, after: np.ndarray) -> np.ndarray:
        """(1, L): as seen, and where little is seen as the edited lips have it: their shape, and what the layer shows around them; after (V, 2)."""
        if self._locked is not None:
            return self._track.latents[self._locked][None]
        own, unseen = self._track.latents[index], 1 - min(1.0, float(self._track.seen[index]) / OPEN_FULL)
        if unseen == 0:
            return own[None]
        (l, t, r, b), (x0, y0, x1, y1) = layer.box, self._geometry.window(after)
        x0, y0, x1, y1 = max(x0, l), max(y0, t), min(x1, r), min(y1, b)
        part = to_working(np.ascontiguousarray(layer.patch[y0 - t : y1 - t, x0 - l : x1 - l, :3]), self._linear)
        around = self._geometry.around(part, edited, after, (x0, y0))
        now = self._model.expected(edited.shape[None], around[None], np.array([index])).reshape(own.shape)
        return (own + unseen * (now - self._track.expected[index]))[None]

    def over(self, layer: FaceLayer, plate: np.ndarray, index: int, before: np.ndarray, after: np.ndarray) -> FaceLayer:
        """The layer with its mouth filled.

        plate (H, W, C); before, after (V, 2) pixels, vertices as filmed and as edited.
        """
        g = self._geometry
        filmed = g.pose(index, before)
        if filmed is None:
            return layer
        edited = g.edited(filmed, before, after)
        lips = np.concatenate([g.upper, g.lower])
        face_width = float(np.ptp(after[:, 0]))
        activity = self._amount * float(ramp(np.linalg.norm(after[lips] - before[lips], axis=1).max() / face_width, STILL, MOVED))
        l, t, r, b = layer.box
        both = np.concatenate([before[lips], after[lips]])
        x0, y0 = (max(int(v), edge) for v, edge in zip(np.floor(both.min(0)) - MARGIN, (l, t)))
        x1, y1 = (min(int(v), edge) for v, edge in zip(np.ceil(both.max(0)) + MARGIN, (r, b)))
        if activity <= 0 or x1 - x0 < 4 or y1 - y0 < 4:
            return layer
        size, origin = (y1 - y0, x1 - x0), np.array([x0, y0])
        way, opening = g.between(g.mesh_points(after) - origin, size)
        soft = max(SOFT * face_width, SOFT_LEAST)
        inside = _inward(opening, soft)
        if not inside.any():
            return layer
        old_way, old_opening = g.between(g.mesh_points(before) - origin, size)
        shown = _inward(old_opening & (old_way > EDGE) & (old_way < 1 - EDGE), soft)
        filmed_part = to_working(np.ascontiguousarray(plate[y0:y1, x0:x1, :3]), self._linear)
        across = g.across(after - origin, size).astype(np.float32)
        grey = filmed_part @ np.full(3, 1 / 3, np.float32)
        seam, cavity = _seam(grey[(shown > 0.5) & (across < CORNERS[0])], old_way[(shown > 0.5) & (across < CORNERS[0])])
        # Upper teeth stand still and lower ones go with the jaw. Teeth that meet on the plate stay together at first, as if lips alone had
        # parted: between them there is nothing that could be drawn out.
        jaw, raised = g.jaw_move(before, after), self._raised(filmed, edited, before, after)
        apart = float(jaw[1] - raised[1]) / face_width
        wide = np.float32(ramp(np.float64(apart), *WIDE_APART))
        parted = max(wide, np.float32(cavity if apart > 0 else 1))
        jaw = raised + parted * (jaw - raised)
        below = ramp(way, *_parting(seam, *g.heights(before), *g.heights(after), float(raised[1]), float(jaw[1])))[..., None]
        part = slice(y0 - t, y1 - t), slice(x0 - l, x1 - l)
        still = -(below * jaw.astype(np.float32) + (1 - below) * raised.astype(np.float32))
        follow = ramp(across, *CORNERS)[..., None]
        field = (still + follow * (layer.displacement[part] - still)).astype(np.float32)
        own = to_working(sample(plate, (x0, y0, x1, y1), field)[..., :3], self._linear)
        shown *= within_lips(filmed_part, old_opening, face_width, soft)
        grid = np.stack(np.meshgrid(np.arange(x1 - x0, dtype=np.float32), np.arange(y1 - y0, dtype=np.float32)), -1) + field
        shown = cv2.remap(shown, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR)[..., None]
        torn = 1 - ramp(1 + np.gradient(field[..., 1], axis=0), *STRETCHED)[..., None].astype(np.float32)
        torn *= wide
        shown = shown * (1 - torn)
        usual = ramp(way, *BETWEEN)[..., None]
        made, known = self._decoded(self.latents(index, edited, layer, after), edited, usual + parted * (below - usual), size, origin)
        depth = cv2.distanceTransform(opening.astype(np.uint8), cv2.DIST_L2, 3)[..., None]
        made *= 1 - SHADOW * (1 - way[..., None]) * np.exp(-depth / (REACH * face_width))
        # Of what no frame of the shot ever showed, the plate's own mouth, bent with the lips, is the better guess.
        patch = layer.patch.copy()
        region = patch[part]
        moved = to_working(region[..., :3], self._linear)
        made = moved + known * (made - moved)
        dark = np.minimum(_around(moved, opening) * DARK, CAVITY).astype(np.float32)
        made += NARROW * (1 - float(ramp(2 * depth.max() / face_width, 0, WIDE))) * (dark - made)
        inside = inside * within_lips(moved, opening, face_width, soft)
        filled = _continued(own, shown, made, CONTINUED * face_width)
        interior = filled + shown * (own - filled)
        if torn.any():
            # Soft, as light falls in from the front, and less towards the corners, where cheeks close the gap.
            gap = PARTED * cv2.GaussianBlur(torn[..., 0], (0, 0), max(0.5, 0.35 * REACH * face_width)) * (1 - ramp(across, *SIDES))
            interior += gap[..., None] * (dark - interior)
        mixed = from_working(moved + activity * inside[..., None] * (interior - moved), patch.dtype, self._linear)
        np.copyto(region[..., :3], mixed, where=(inside > 0)[..., None])
        return replace(layer, patch=patch)

    def told(self, plate: np.ndarray, index: int, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """The mouth of an unedited frame as the model tells it without looking into it, for measuring: the model's picture and the plate's
        (h, w, 3), working space, and how far a pixel lies inside the lips (h, w) in 0..1; None where there is no mouth.
        """
        g = self._geometry
        pose = g.pose(index, xy)
        lips = xy[np.concatenate([g.upper, g.lower])]
        x0, y0 = np.maximum(np.floor(lips.min(0)).astype(int) - MARGIN, 0)
        x1, y1 = np.minimum(np.ceil(lips.max(0)).astype(int) + MARGIN, plate.shape[1::-1])
        if pose is None or x1 - x0 < 4 or y1 - y0 < 4:
            return None
        size, origin = (y1 - y0, x1 - x0), np.array([x0, y0])
        way, opening = g.between(g.mesh_points(xy) - origin, size)
        inside = _inward(opening & (way > EDGE) & (way < 1 - EDGE), max(SOFT * float(np.ptp(xy[:, 0])), SOFT_LEAST))
        l, t, r, b = g.window(xy)
        around = g.around(to_working(np.ascontiguousarray(plate[t:b, l:r, :3]), self._linear), pose, xy, (l, t))
        latents = self._model.expected(pose.shape[None], around[None], np.array([index]))
        made, _ = self._decoded(latents, pose, ramp(way, *BETWEEN)[..., None], size, origin)
        return made, to_working(np.ascontiguousarray(plate[y0:y1, x0:x1, :3]), self._linear), inside

    def _raised(self, filmed: MouthPose, edited: MouthPose, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """(2,) pixels: upper teeth stand still until the lip rises above all that the shot ever showed; there is nothing to lay bare then."""
        g = self._geometry
        was, now = g.upper_lip(filmed.shape), g.upper_lip(edited.shape)
        excess = min(max(self._top - now, 0.0), max(was - now, 0.0))
        return excess / max(was - now, 1e-6) * (after[g.upper_middle] - before[g.upper_middle]).mean(0)

    def _decoded(self, latents: np.ndarray, pose: MouthPose, below: np.ndarray, size: tuple[int, int],
                 origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The model's mouth on the picture (h, w, 3), through the inverse transform, and how well it is known (h, w, 1): skull above, jaw below."""
        atlas = cv2.merge((self._model.images.decode(latents)[0], self._model.known))
        upper, lower = (self._geometry.on_picture(half, pose, offset, size, origin)
                        for half, offset in ((atlas[:HEIGHT], np.zeros(2)), (atlas[HEIGHT:], pose.jaw)))
        both = np.clip(upper + below * (lower - upper), 0, None)
        return both[..., :3], np.minimum(both[..., 3:], 1)


def _inward(mask: np.ndarray, softness: float) -> np.ndarray:
    """(h, w) bool -> float32 that is 0 outside and rises to 1 within about `softness` pixels of the edge, less where the mask is thin."""
    solid = mask.astype(np.uint8)
    thick = float(cv2.distanceTransform(solid, cv2.DIST_L2, 3).max(initial=0))
    sigma = max(0.6, min(softness, 0.5 * thick))
    return np.clip(2 * cv2.GaussianBlur(solid.astype(np.float32), (0, 0), sigma) - 1, 0, 1) * solid


def _seam(grey: np.ndarray, way: np.ndarray) -> tuple[float, float]:
    """Where upper and lower teeth meet on the plate, as a part of the way from the upper lip to the lower: the deepest valley of brightness.
    With it how far there is a cavity between them, 0 to 1.

    grey (n,) and way (n,) of its pixels. A weighted mean, so that it does not jump from frame to frame. Without a valley it is the darkest
    height of a cavity, and the lower lip where only teeth are seen.
    """
    if len(way) < SEAM_LEAST:
        return 1.0, 0.0
    heights = np.linspace(*SEAM, 18)
    near = np.exp(-0.5 * ((way[:, None] - heights) / 0.04) ** 2) + 1e-6
    level = (grey @ near) / near.sum(0)
    cavity = 1 - float(ramp(level.min() / max(level.max(), 1e-3), *MEETING))
    depth = np.minimum(np.maximum.accumulate(level), np.maximum.accumulate(level[::-1])[::-1]) - level
    deep = np.append(depth, NO_SEAM)
    weight = np.maximum(deep - 0.7 * deep.max(), 0)
    return float((weight * np.append(heights, 1 + cavity * (heights[level.argmin()] - 1))).sum() / weight.sum()), cavity


def _parting(seam: float, upper: float, lower: float, upper_now: float, lower_now: float, raised: float, jaw: float) -> tuple[float, float]:
    """The way from the upper lip to the lower over which an edit parts the teeth: heights of the lips as filmed and now, moves of skull and jaw."""
    at, gap = upper + seam * (lower - upper), max(lower_now - upper_now, 1.0)
    low, high = (at + raised - upper_now) / gap, (at + jaw - upper_now) / gap
    middle, half = np.clip((low + high) / 2, 0.25, 0.9), np.clip((high - low) / 2, 0.08, 0.25)
    return float(middle - half), float(middle + half)


def _around(picture: np.ndarray, opening: np.ndarray) -> np.ndarray:
    """(3,): median colour of a picture (h, w, 3) just outside the opening (h, w): the lips."""
    solid = opening.astype(np.uint8)
    ring = (cv2.dilate(solid, np.ones((9, 9), np.uint8)) > 0) & (cv2.dilate(solid, np.ones((3, 3), np.uint8)) == 0)
    return np.median(picture[ring][::3], 0) if ring.any() else np.ones(3)


def _continued(own: np.ndarray, shown: np.ndarray, made: np.ndarray, reach: float) -> np.ndarray:
    """(h, w, 3): the model's picture `made`, but near what the plate shows (h, w, 1) the plate's colours, so that no rim is drawn between them."""
    sigma = max(reach, 0.8)
    near = cv2.GaussianBlur(shown[..., 0], (0, 0), sigma)[..., None]
    spread = cv2.GaussianBlur(own * shown, (0, 0), sigma) / np.maximum(near, 1e-4)
    return made + np.clip(2.5 * near, 0, 1) * (spread - made)
