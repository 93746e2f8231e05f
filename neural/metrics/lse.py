# SPDX-License-Identifier: GPL-3.0-or-later
"""LSE-D and LSE-C: do the lips fit the sound? (Prajwal et al. 2020, the Wav2Lip evaluation; Chung and Zisserman 2016)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from .face import OVAL, cut
from .mfcc import mfcc
from .syncnet import SyncNet

SHIFT = 15
"""How far lips and sound are moved against each other, frames of 1/25 s either way."""
RATE = 25
SPAN, SIZE, BATCH = 5, 224, 16
CROP = 0.4
"""How much the crop is wider than the face's box, on each side and below, in half box sizes."""


@dataclass(frozen=True)
class LipSync:
    """lse_d: lower is better; lse_c: higher is better; offset in frames of 1/25 s, positive when the sound is late."""

    lse_d: float
    lse_c: float
    offset: int


def shifted_distances(lips: np.ndarray, sound: np.ndarray, shift: int = SHIFT) -> np.ndarray:
    """Mean over frames of |lips_t - sound_(t+s)| for s in -shift..shift: (2 shift + 1,). Features (T, D); beyond the ends the sound's are zero."""
    lips, sound = np.asarray(lips, np.float64), np.asarray(sound, np.float64)
    padded = np.pad(sound, ((shift, shift), (0, 0)))
    return np.array([np.linalg.norm(lips - padded[s:s + len(lips)] + 1e-6, axis=1).mean() for s in range(2 * shift + 1)])


def lip_sync(lips: np.ndarray, sound: np.ndarray, shift: int = SHIFT) -> LipSync:
    """LSE-D = min_s d(s), LSE-C = median_s d(s) - min_s d(s), with d of `shifted_distances`.

    Raises ValueError without frames or of unequal lengths.
    """
    if len(lips) != len(sound) or not len(lips):
        raise ValueError(f"{len(lips)} features of lips and {len(sound)} of sound")
    d = shifted_distances(lips, sound, shift)
    best = int(d.argmin())
    return LipSync(float(d[best]), float(np.median(d) - d[best]), best - shift)


def lip_crop(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face as SyncNet wants it: (224, 224, 3) uint8 BGR. The box is that of the tracked outline, where the authors use a detector's."""
    points = landmarks[list(OVAL), :2]
    low, high = points.min(0), points.max(0)
    half, (x, y) = float((high - low).max()) / 2, (low + high) / 2
    box = (float(x) - half * (1 + CROP), float(y) - half, 2 * half * (1 + CROP))
    return cv2.cvtColor(cut(picture, box, SIZE), cv2.COLOR_RGB2BGR)


class LipFeatures:
    """Features of five frames each, at 25 a second, from the frames of a clip of any rate; holds a few pictures only."""

    def __init__(self, network: SyncNet) -> None:
        self._network = network
        self._window: list[np.ndarray] = []
        self._batch: list[torch.Tensor] = []
        self._done: list[np.ndarray] = []
        self._ticks = 0
        self.gaps = 0
        """Frames without a face, on which the last crop was held."""

    def add(self, crop: np.ndarray | None, until: float) -> None:
        """The crop (224, 224, 3) of a frame that is shown until `until` seconds. Without a face the one before is held."""
        if crop is None:
            self.gaps += 1
            crop = self._window[-1] if self._window else np.zeros((SIZE, SIZE, 3), np.uint8)
        while self._ticks / RATE < until - 1e-6:
            self._ticks += 1
            self._window = [*self._window[-(SPAN - 1):], crop]
            if len(self._window) == SPAN:
                self._batch.append(torch.from_numpy(np.stack(self._window)).permute(3, 0, 1, 2))
                if len(self._batch) == BATCH:
                    self._flush()

    def _flush(self) -> None:
        if self._batch:
            with torch.inference_mode():
                self._done.append(self._network.lips(torch.stack(self._batch).float()).numpy())
            self._batch = []

    def finish(self) -> np.ndarray:
        """(ticks - 4, 1024) float32."""
        self._flush()
        return np.concatenate(self._done) if self._done else np.zeros((0, 1024), np.float32)


def sound_features(network: SyncNet, sound: np.ndarray) -> np.ndarray:
    """Mono sound (n,) int16 at 16 kHz -> one feature of 0.2 s each 1/25 s: (N, 1024) float32."""
    cepstra = torch.from_numpy(mfcc(sound).T.astype(np.float32))
    count = max(0, (cepstra.shape[1] - 20) // 4 + 1)
    out: list[np.ndarray] = []
    with torch.inference_mode():
        for start in range(0, count, 64):
            part = [cepstra[None, :, 4 * i:4 * i + 20] for i in range(start, min(count, start + 64))]
            out.append(network.sound(torch.stack(part)).numpy())
    return np.concatenate(out) if out else np.zeros((0, 1024), np.float32)


def common(lips: np.ndarray, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both cut to the shorter one's length."""
    n = min(len(lips), len(sound))
    return lips[:n], sound[:n]


def clip_sync(network: SyncNet, crops: Iterable[tuple[np.ndarray | None, float]], sound: np.ndarray) -> LipSync:
    """The whole way, from (crop, shown until) of each frame and the sound (n,) int16 at 16 kHz."""
    lips = LipFeatures(network)
    for crop, until in crops:
        lips.add(crop, until)
    return lip_sync(*common(lips.finish(), sound_features(network, sound)))
