"""Reference classes of encoder steps: characters placed in time, or phones from a file.

A class is an integer from zero; -1 is a step without one (silence, outside of the transcript), which does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_birq.corpus.tables import read_lines
from espnet2_birq.diagnostics.utterances import Utterance
from espnet2_birq.errors import BadInputError
from espnet2_birq.features import Subsampling

UNKNOWN = -1
ENERGY_WINDOW_SECONDS = 0.02
# Quieter than the loudest window by so much is silence, in the search for an utterance's ends.
SILENCE_DECIBELS = 35.0
FILE_STEP_SECONDS = 0.01


@dataclass(frozen=True)
class Reference:
    """Where reference classes come from, and the classes of every step by utterance.

    Attributes:
        kind: in words.
        names: name of each class.
        classes: int64 (T,) by utterance.
    """

    kind: str
    names: tuple[str, ...]
    classes: dict[str, np.ndarray]


@dataclass(frozen=True)
class StepTimes:
    """When encoder steps happen: the middle of the frames that a step's label is made from, in seconds.

    Attributes:
        subsampling: frames per step.
        hop_seconds: between two frames.
        first_seconds: middle of the first frame.
    """

    subsampling: Subsampling
    hop_seconds: float
    first_seconds: float

    def __call__(self, num_steps: int) -> np.ndarray:
        """Times of so many steps, float64 (num_steps,)."""
        middle = self.subsampling.offset + (self.subsampling.factor - 1) / 2
        return self.first_seconds + (middle + self.subsampling.factor * np.arange(num_steps)) * self.hop_seconds

    def frames(self, num_frames: int) -> np.ndarray:
        """Times of so many feature frames, float64 (num_frames,)."""
        return self.first_seconds + np.arange(num_frames) * self.hop_seconds


def speech_ends(samples: np.ndarray, sampling_rate: int) -> tuple[float, float]:
    """First and last moment of speech in seconds, by energy: silence at both ends is left out.

    An utterance without any sound is taken as a whole.
    """
    window = max(1, round(ENERGY_WINDOW_SECONDS * sampling_rate))
    count = max(1, len(samples) // window)
    energy = np.square(samples[: count * window].astype(np.float64)).reshape(count, -1).mean(1)
    loud = np.flatnonzero(energy > energy.max() * 10 ** (-SILENCE_DECIBELS / 10))
    if not loud.size:
        return 0.0, len(samples) / sampling_rate
    return loud[0] * window / sampling_rate, (loud[-1] + 1) * window / sampling_rate


def uniform_classes(length: int, ends: tuple[float, float], times: np.ndarray) -> np.ndarray:
    """Place so many characters side by side, equally long, between two moments: character at each time, or -1."""
    start, end = ends
    place = np.floor((times - start) / max(end - start, 1e-9) * length).astype(np.int64)
    return np.where((place >= 0) & (place < length), place, UNKNOWN)


def nearest_classes(
    tokens: np.ndarray, token_times: np.ndarray, ends: tuple[float, float], times: np.ndarray
) -> np.ndarray:
    """The token nearest in time to each moment between two ends, as a CTC model emits tokens as spikes: else -1."""
    if not len(tokens):
        return np.full(len(times), UNKNOWN, dtype=np.int64)
    nearest = np.abs(times[:, None] - token_times[None]).argmin(1)
    return np.where((times >= ends[0]) & (times < ends[1]), tokens[nearest], UNKNOWN)


def uniform_reference(
    utterances: Sequence[Utterance], times: StepTimes, num_steps: Mapping[str, int], sampling_rate: int
) -> Reference | None:
    """Characters spread evenly over each utterance between its silent ends: a crude stand-in for an alignment.

    White space is left out. None if no utterance has a transcript.
    """
    characters = {utterance.name: [c for c in utterance.text or "" if not c.isspace()] for utterance in utterances}
    names = tuple(sorted({character for row in characters.values() for character in row}))
    if not names:
        return None
    index = {name: number for number, name in enumerate(names)}
    classes = {}
    for utterance in utterances:
        row = np.array([index[character] for character in characters[utterance.name]] + [UNKNOWN])
        ends = speech_ends(utterance.samples.numpy(), sampling_rate)
        place = uniform_classes(len(row) - 1, ends, times(num_steps[utterance.name]))
        classes[utterance.name] = row[place]
    return Reference("uniform character alignment", names, classes)


def file_reference(path: Path, times: StepTimes, num_steps: Mapping[str, int]) -> Reference:
    """Phones from a file with a line ``utterance<TAB>p1,p2,...`` for each utterance, one phone every 10 ms.

    Utterances that the file lacks have no reference.

    Raises:
        BadInputError: on a line of another form, or if the file has none of the utterances.
    """
    found: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(path), 1):
        name, separator, row = line.partition("\t")
        if not separator or not row:
            raise BadInputError(f"{path}:{number}: expected '<utterance><TAB><phone>,<phone>,...' with 10 ms each")
        if name in num_steps:
            found[name] = row.split(",")
    if not found:
        raise BadInputError(f"{path}: has none of the utterances of the data directory; is it of another set?")
    names = tuple(sorted({phone for row in found.values() for phone in row}))
    index = {name: number for number, name in enumerate(names)}
    classes = {}
    for name, steps in num_steps.items():
        row = np.array([index[phone] for phone in found.get(name, [])] + [UNKNOWN])
        place = np.floor(times(steps) / FILE_STEP_SECONDS).astype(np.int64)
        classes[name] = row[np.where(place < len(row) - 1, place, -1)]
    return Reference(f"alignment {path}", names, classes)
