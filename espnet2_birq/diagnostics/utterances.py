"""The utterances that a diagnosis looks at, in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from espnet2_birq.corpus.data_dir import read_data_dir
from espnet2_birq.decode.data_dir import read_waveform
from espnet2_birq.errors import BadInputError


@dataclass(frozen=True)
class Utterance:
    """One utterance in memory: mono float32 samples (L,), and its transcript if there is one."""

    name: str
    samples: torch.Tensor
    text: str | None


def read_utterances(data_dir: Path, sampling_rate: int, shortest: int, most: int) -> list[Utterance]:
    """Utterances of a formatted set, spread evenly over it.

    Args:
        data_dir: set that stage 3 or 4 wrote.
        sampling_rate: that of the model, in Hz.
        shortest: samples that give the model one step; shorter utterances are left out.
        most: how many to take.

    Raises:
        BadInputError: if the set or an audio file cannot be used, or all utterances are too short.
    """
    if most < 1:
        raise BadInputError(f"--max_utterances {most}: at least one utterance is needed")
    data = read_data_dir(data_dir)
    if data.segments is not None:
        raise BadInputError(f"{data_dir}: has segments; give a set that stage 3 formatted")
    names = data.utterances
    chosen = [names[index * len(names) // most] for index in range(most)] if most < len(names) else names
    utterances = []
    for name in chosen:
        samples = read_waveform(name, Path(data.recordings[name]), sampling_rate)
        if len(samples) >= shortest:
            utterances.append(Utterance(name, torch.from_numpy(samples), (data.text or {}).get(name) or None))
    if not utterances:
        raise BadInputError(f"{data_dir}: every utterance is shorter than one encoder step ({shortest} samples)")
    return utterances


def batches(utterances: list[Utterance], most_samples: int) -> Iterator[list[Utterance]]:
    """Utterances by falling length in batches of at most so many samples, padding included (but at least one)."""
    batch: list[Utterance] = []
    for utterance in sorted(utterances, key=lambda utterance: (-len(utterance.samples), utterance.name)):
        if batch and len(batch[0].samples) * (len(batch) + 1) > most_samples:
            yield batch
            batch = []
        batch.append(utterance)
    if batch:
        yield batch


def padded(batch: list[Utterance]) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, L) zero-padded samples and lengths (B,)."""
    samples = [utterance.samples for utterance in batch]
    lengths = torch.tensor([len(wave) for wave in samples])
    return torch.nn.utils.rnn.pad_sequence(samples, batch_first=True), lengths
