# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's voice: a source and filters (Klatt 1980, in its simplest form) saying the utterance of speech.py.

A glottal pulse train with a falling melody and a little breath goes through four resonators, whose frequencies move from
vowel to vowel. Vowel formants after Peterson & Barney 1952 (women).
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from .speech import OPENING, Timeline

FORMANTS: dict[str, tuple[float, float, float]] = {
    "a": (850, 1220, 2810), "e": (610, 2330, 2990), "i": (310, 2790, 3310), "o": (590, 920, 2710), "u": (370, 950, 2670),
    "m": (280, 1100, 2300), "l": (400, 1300, 2900), "-": (500, 1500, 2700),
}
"""Hertz of the first three; the fourth is fixed."""
FOURTH = 3900.0
BANDWIDTHS = (80.0, 100.0, 140.0, 200.0)
BLOCK = 0.004
"""Seconds over which the filters stand still."""
VOICED = {**OPENING, "m": 0.22, "l": 0.45}
"""Loudness of each sound: closed lips still hum."""


def voice(duration: float, rate: int = 48000) -> np.ndarray:
    """(n,) float32 in -1..1, `duration` seconds at `rate` samples a second; silence once the utterance is over."""
    n = round(duration * rate)
    times = np.arange(n) / rate
    timeline = Timeline.utterance()
    source = _source(times, rate, timeline)
    formants = np.stack([timeline.blend({s: f[k] for s, f in FORMANTS.items()}, times) for k in range(3)])
    formants = np.concatenate([formants, np.full((1, n), FOURTH)])
    out = source
    for frequency, bandwidth in zip(formants, BANDWIDTHS):
        out = _resonate(out, frequency, bandwidth, rate)
    loudness = timeline.blend(VOICED, times) ** 0.7
    loudness = np.where(times < timeline.duration, loudness, 0)
    smooth = np.hanning(round(0.02 * rate))
    out = out * np.convolve(loudness, smooth / smooth.sum(), mode="same")
    return (0.5 * out / max(np.abs(out).max(initial=0.0), 1e-9)).astype(np.float32)


def _source(times: np.ndarray, rate: int, timeline: Timeline) -> np.ndarray:
    """Pulses of the vocal folds (Rosenberg's), differentiated, with a breath of noise."""
    silences = [(end - length, end) for sound, end, length in zip(timeline.sounds, timeline.ends, np.diff(timeline.ends, prepend=0))
                if sound == "-" and length > 0.2]
    starts = np.array([end for _, end in silences])
    since = times - starts[np.clip(np.searchsorted(starts, times) - 1, 0, len(starts) - 1)]
    pitch = 215 * np.exp(-0.22 * np.clip(since, 0, 2)) * (1 + 0.035 * np.sin(2 * np.pi * 1.9 * times) + 0.008 * np.sin(2 * np.pi * 5.3 * times))
    phase = np.cumsum(pitch / rate) % 1
    opened, closing = 0.45, 0.17
    pulse = np.where(phase < opened, 0.5 - 0.5 * np.cos(np.pi * phase / opened),
                     np.where(phase < opened + closing, np.cos(np.pi / 2 * (phase - opened) / closing), 0.0))
    noise = np.random.default_rng(7).standard_normal(len(times))
    return np.diff(pulse, prepend=0.0) + 0.0015 * noise * (0.3 + pulse)


def _resonate(signal: np.ndarray, frequency: np.ndarray, bandwidth: float, rate: int) -> np.ndarray:
    """A second-order resonator of unit gain at zero frequency whose centre moves; (n,) -> (n,)."""
    out = np.empty_like(signal)
    state = np.zeros(2)
    step = max(1, round(BLOCK * rate))
    radius = np.exp(-np.pi * bandwidth / rate)
    for start in range(0, len(signal), step):
        angle = 2 * np.pi * frequency[start] / rate
        poles = np.array([1.0, -2 * radius * np.cos(angle), radius**2])
        out[start:start + step], state = lfilter([poles.sum()], poles, signal[start:start + step], zi=state)
    return out
