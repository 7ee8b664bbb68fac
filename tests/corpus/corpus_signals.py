"""Signals for tests of the corpus modules."""

from __future__ import annotations

import numpy as np


def tone(seconds: float, rate: int = 16000) -> np.ndarray:
    """A quiet tone of 440 Hz (num_samples,)."""
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def pitch(samples: np.ndarray, rate: int) -> float:
    """Frequency in Hz of the strongest component."""
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples))
