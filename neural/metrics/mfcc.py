# SPDX-License-Identifier: GPL-3.0-or-later
"""Mel-frequency cepstra as SyncNet was trained with them (the defaults of the Python package python_speech_features).

13 coefficients each 10 ms from windows of 25 ms without a taper, pre-emphasis 0.97, FFT of 512, 26 mel bands to 8 kHz, lifter 22, the
first coefficient replaced by the log of the window's energy.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

RATE = 16000
WINDOW, STEP, FFT, BANDS, CEPSTRA, LIFTER, EMPHASIS = 400, 160, 512, 26, 13, 22, 0.97
TINY = np.finfo(float).eps


def _mel(hertz: float) -> float:
    return 2595 * np.log10(1 + hertz / 700)


def mel_bands() -> np.ndarray:
    """(26, 257): triangular filters, their corners on whole FFT bins."""
    mels = np.linspace(0, _mel(RATE / 2), BANDS + 2)
    corners = np.floor((FFT + 1) * 700 * (10 ** (mels / 2595) - 1) / RATE)
    bins = np.arange(FFT // 2 + 1)
    low, middle, high = (corners[i:i + BANDS, None] for i in range(3))
    rise, fall = (bins - low) / np.maximum(middle - low, 1), (high - bins) / np.maximum(high - middle, 1)
    return np.where((bins >= low) & (bins < middle), rise, np.where((bins >= middle) & (bins < high), fall, 0.0))


def mfcc(sound: np.ndarray) -> np.ndarray:
    """Mono sound (n,) in 16-bit units at 16 kHz -> (frames, 13) float64; the end is filled with silence to a whole window."""
    x = np.asarray(sound, np.float64)
    if not len(x):
        return np.zeros((0, CEPSTRA))
    x = np.append(x[0], x[1:] - EMPHASIS * x[:-1])
    count = 1 + max(0, -(-(len(x) - WINDOW) // STEP))
    x = np.pad(x, (0, (count - 1) * STEP + WINDOW - len(x)))
    windows = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::STEP][:count]
    power = np.abs(np.fft.rfft(windows, FFT)) ** 2 / FFT
    energy = np.maximum(power.sum(1), TINY)
    cepstra = dct(np.log(np.maximum(power @ mel_bands().T, TINY)), type=2, axis=1, norm="ortho")[:, :CEPSTRA]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    cepstra[:, 0] = np.log(energy)
    return cepstra
