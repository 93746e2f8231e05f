# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes pairs of frames, plate and output, and adds up every metric that needs no look back. Keeps some fifty numbers a frame, no pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .metrics import face
from .metrics.cpbd import cpbd
from .metrics.frechet import Moments
from .metrics.identity import cosine_of_means
from .metrics.lse import LipFeatures, lip_crop
from .metrics.measure import HIGHER, LOWER, ONE, ZERO, Measure, missing
from .metrics.motion import Jitter, correlation, gain, jitter_ratio
from .metrics.networks import FeatureNetwork
from .metrics.pixels import average_pixel_distance, mouth_square, outside_difference, psnr, ssim
from .metrics.signs import NOTES, STAND_INS, set_distance, signs
from .metrics.syncnet import SyncNet

OUTSIDE = 1.6
"""Without mattes, "outside" is beyond the tracked outline grown by this: the edit's own band ends within it."""
SIDES = ("plate", "output")
PIXELS = ("psnr", "apd", "outside_max", "outside_p99", "ssim", "psnr_face", "fapd", "mapd", "cpbd_plate", "cpbd_output")
INF = float("inf")
LIPS, GAIN, JITTER, SHARP = (0.94, 1.0), (0.7, 1.3), (0.0, 1.4), 0.9
"""What a delivered shot keeps to: correlation and gain of the lips' gap; jitter, of which the tracker's own noise makes up to 1.36; part of
the plate's sharpness."""


class ClipMeter:
    """Feed it with `add`, frame after frame; then ask for `measures` and `series`."""

    def __init__(self, rate: float, networks: Mapping[str, FeatureNetwork], syncnet: SyncNet | None) -> None:
        self.networks, self.syncnet = dict(networks), syncnet
        self.seen = 0
        """Frames with the face in both clips."""
        self.lips: dict[str, LipFeatures] = {side: LipFeatures(syncnet) for side in SIDES} if syncnet else {}
        self._rate = rate
        self._rows: dict[str, list[float]] = {name: [] for name in PIXELS}
        self._rows |= {f"{name}_{side}": [] for side in SIDES for name in face.FEATURES}
        self._jitter = {side: Jitter() for side in SIDES}
        self._moments = {side: {name: Moments() for name in (*STAND_INS, *self.networks)} for side in SIDES}

    @property
    def frames(self) -> int:
        return len(self._rows["psnr"])

    def add(self, plate: np.ndarray, output: np.ndarray, plate_face: np.ndarray | None, output_face: np.ndarray | None,
            inside: np.ndarray | None = None) -> None:
        """A pair of pictures (H, W, 3) uint8 of one size, their landmarks (478, 3) in pixels or None, and the matte's inside (H, W) bool if known."""
        row = dict.fromkeys(self._rows, float("nan"))
        row["psnr"], row["apd"] = psnr(plate, output), average_pixel_distance(plate, output)
        pictures = dict(zip(SIDES, (plate, output)))
        faces = dict(zip(SIDES, (plate_face, output_face))) if _same_place(plate_face, output_face) else dict.fromkeys(SIDES)
        self._sync(pictures, faces)
        if inside is None and faces["plate"] is not None:
            inside = face.oval_mask(faces["plate"], plate.shape, OUTSIDE)
        if inside is not None:
            row["outside_max"], row["outside_p99"] = outside_difference(plate, output, inside)
        points = {side: None if f is None else face.eye_frame(f) for side, f in faces.items()}
        for side in SIDES:
            self._jitter[side].add(points[side])
        if faces["plate"] is not None and faces["output"] is not None:
            self.seen += 1
            self._face(row, pictures, {"plate": faces["plate"], "output": faces["output"]}, points)
        for name, value in row.items():
            self._rows[name].append(value)

    def _face(self, row: dict[str, float], pictures: dict[str, np.ndarray], faces: dict[str, np.ndarray],
              points: dict[str, np.ndarray | None]) -> None:
        box = face.square(faces["plate"])  # the plate's, for both: the head has not moved
        crops = {side: face.cut(picture, box) for side, picture in pictures.items()}
        where = face.into(box, faces["plate"])
        pair = crops["plate"], crops["output"]
        row["ssim"] = ssim(*pair)
        inside = face.oval_mask(where, pair[0].shape)
        row["fapd"] = average_pixel_distance(*pair, inside)
        row["psnr_face"] = psnr(pair[0][inside], pair[1][inside])
        row["mapd"] = average_pixel_distance(*pair, mouth_square(where[list(face.MOUTH)].mean(0), pair[0].shape))
        for side in SIDES:
            sharpness = cpbd(crops[side])
            row[f"cpbd_{side}"] = float("nan") if sharpness is None else sharpness
            values = face.features(points[side])
            row |= {f"{name}_{side}": float(v) for name, v in zip(face.FEATURES, values)}
            for name, value in signs(crops[side], face.into(box, faces[side]), faces[side]).items():  # the skin moves with the edit
                self._moments[side][name].add(value)
            for name, network in self.networks.items():
                self._moments[side][name].add(network(crops[side]))

    def _sync(self, pictures: dict[str, np.ndarray], faces: dict[str, np.ndarray | None]) -> None:
        for side, lips in self.lips.items():
            landmarks = faces[side]
            lips.add(None if landmarks is None else lip_crop(pictures[side], landmarks), (self.frames + 1) / self._rate)

    def series(self) -> dict[str, np.ndarray]:
        """Name -> (T,) float64; NaN where it was not measured."""
        return {name: np.array(values, np.float64) for name, values in self._rows.items()}

    def moments(self, side: str) -> dict[str, Moments]:
        """Feature (of STAND_INS, or a network's name) -> its moments over the frames with a face, of "plate" or "output"."""
        return self._moments[side]

    def measures(self, reference: Mapping[str, Moments] | None = None, *, by_matte: bool = False) -> list[Measure]:
        """What was measured. With `reference` the distances of sets are to its features instead of the plate's."""
        rows = {name: v[np.isfinite(v)] for name, v in self.series().items()}
        picture, lips, steady = "Picture", "Lips", "Steadiness"
        where = "the baked mattes" if by_matte else f"the tracked outline grown {OUTSIDE:g} times"
        out = [
            _psnr("PSNR", self.series()["psnr"], "whole frame"),
            _psnr("PSNR, face", self.series()["psnr_face"], "within the face's outline at 256 x 256"),
            _mean(picture, "SSIM, face", rows["ssim"], better=HIGHER, note="luma of the face at 256 x 256"),
            _mean(picture, "FAPD", rows["fapd"], "levels", LOWER, "NED: mean RGB distance in the face at 256 x 256; an edit is meant to change it"),
            _mean(picture, "MAPD", rows["mapd"], "levels", LOWER, "the same in 72 x 72 pixels around the mouth"),
            _mean(picture, "APD (pixels)", rows["apd"], "levels", LOWER, "the same over the whole frame"),
            Measure(picture, "outside, largest difference", _or_none(rows["outside_max"].max(initial=0), rows["outside_max"]), "levels", ZERO,
                    f"beyond {where}; exactly 0 needs a lossless output"),
            Measure(picture, "outside, 99th percentile", _or_none(rows["outside_p99"].max(initial=0), rows["outside_p99"]), "levels", ZERO,
                    "of the worst frame"),
            _mean(picture, "CPBD, plate", rows["cpbd_plate"], note="sharpness of the face at 256 x 256"),
            _mean(picture, "CPBD, output", rows["cpbd_output"], better=HIGHER, note="as sharp as the plate is enough",
                  limits=(SHARP * float(rows["cpbd_plate"].mean()), INF) if len(rows["cpbd_plate"]) else None),
        ]
        a, b = rows["lips_open_plate"], rows["lips_open_output"]
        out += [Measure(lips, "correlation of the gap", correlation(a, b), better=ONE, note="Pearson, over time: the words stay on the lips",
                        limits=LIPS),
                Measure(lips, "gain of the gap", gain(a, b), better=ONE, note="slope of the output over the plate", limits=GAIN),
                Measure(steady, "jitter", jitter_ratio(*self._jitter.values()), better=ONE,
                        note="second differences of the landmarks in the eyes' frame, output over plate", limits=JITTER)]
        for name in face.FEATURES:
            change = rows[f"{name}_output"] - rows[f"{name}_plate"]
            out.append(Measure("Expression", face.LABELS[name], _or_none(change.mean() if len(change) else 0, change), "eye distances",
                               note=f"{face.ACTIONS[name]}; output minus plate, mean"))
        return out + self._sets(reference)

    def _sets(self, reference: Mapping[str, Moments] | None) -> list[Measure]:
        other = reference if reference is not None else self._moments["plate"]
        name_of = "the references" if reference is not None else "the plate"
        out = []
        for key, group, name, better, note in (
                *((key, "Emotion", name, LOWER if reference is not None else "", NOTES[key]) for key, name in STAND_INS.items()),
                ("emotion", "Emotion", "FED", LOWER, "Frechet distance of the user's emotion network's features"),
                ("inception", "Identity and quality", "FID", LOWER, "Frechet distance of the user's Inception features"),
                ("identity", "Identity and quality", "FID, face network", LOWER, "NED's FID: Frechet distance of the face network's features")):
            if key not in other:
                continue
            if min(other[key].count, self._moments["output"][key].count) < 2:
                out.append(missing(group, name, "at least two frames with the face", better))
                continue
            value = set_distance(key, self._moments["output"][key], other[key], self._moments["plate"][key])
            out.append(Measure(group, name, value, better=better, note=f"{note}; against {name_of}"))
        if "identity" in self.networks:
            value = cosine_of_means(self._moments["plate"]["identity"].mean, self._moments["output"]["identity"].mean)
            out.append(Measure("Identity and quality", "ID", value, better=HIGHER, note="cosine of the mean features; against the plate"))
        return out


def _same_place(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether both were found and are the same face, not two of a group."""
    if a is None or b is None:
        return False
    return float(np.linalg.norm(a[:468, :2].mean(0) - b[:468, :2].mean(0))) < 0.4 * float(np.ptp(a[:468, 0]))


def _or_none(value: float, of: np.ndarray) -> float | None:
    return float(value) if len(of) else None


def _mean(group: str, name: str, values: np.ndarray, unit: str = "", better: str = "", note: str = "",
          limits: tuple[float, float] | None = None) -> Measure:
    return Measure(group, name, float(values.mean()) if len(values) else None, unit, better, note, limits=limits)


def _psnr(name: str, values: np.ndarray, where: str) -> Measure:
    """Mean over the frames that differ at all; those equal bit for bit would make it infinite."""
    finite, equal = values[np.isfinite(values)], int(np.isposinf(values).sum())
    note = f"{where}, mean" + (f" of those that differ; {equal} of {len(finite) + equal} are equal bit for bit" if equal else "")
    return Measure("Picture", name, float(finite.mean()) if len(finite) else None, "dB", HIGHER, note)
