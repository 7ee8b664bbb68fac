"""What one worker of stage 3 does: decode a recording, cut and resample its utterances, write their files."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet2_birq.corpus.audio import AudioError, decode, encode, resample
from espnet2_birq.corpus.data_dir import Segment
from espnet2_birq.errors import BadInputError


@dataclass(frozen=True)
class FormatOptions:
    """What to write.

    Attributes:
        sampling_rate: of the written audio, in Hz.
        audio_format: ``flac`` or ``wav``.
        num_jobs: worker processes.
        expected_rate: sampling rate in Hz that every source must have, or None to accept and resample any.
        skip_bad: leave utterances with unusable audio out instead of failing.
    """

    sampling_rate: int = 16000
    audio_format: str = "flac"
    num_jobs: int = 1
    expected_rate: int | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class PlannedUtterance:
    """One file to write; ``segment`` None means the whole recording."""

    name: str
    segment: Segment | None
    speed: float
    target: Path


@dataclass(frozen=True)
class Recording:
    """One file to decode and the utterances to cut from it."""

    source: Path
    utterances: tuple[PlannedUtterance, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of an utterance: its length in samples, or why it cannot be used."""

    name: str
    num_samples: int = 0
    fault: str | None = None


def format_recordings(bundle: Sequence[Recording], options: FormatOptions) -> list[Outcome]:
    return [outcome for recording in bundle for outcome in _format_recording(recording, options)]


def _format_recording(recording: Recording, options: FormatOptions) -> list[Outcome]:
    """Decode one recording and write its utterances."""
    try:
        samples, rate = decode(recording.source)
        if options.expected_rate is not None and rate != options.expected_rate:
            raise AudioError(f"sampling rate {rate} Hz, expected {options.expected_rate} Hz")
    except AudioError as error:
        return [Outcome(u.name, fault=f"{recording.source}: {error}") for u in recording.utterances]
    outcomes = []
    for utterance in recording.utterances:
        stretch = samples
        if utterance.segment is not None:
            first, last = round(utterance.segment.start * rate), round(utterance.segment.end * rate)
            if first >= len(samples) or last > len(samples) + rate // 10:
                seconds = len(samples) / rate
                fault = (
                    f"{recording.source}: segment ends at {utterance.segment.end} s, the recording at {seconds:.3f} s"
                )
                outcomes.append(Outcome(utterance.name, fault=fault))
                continue
            stretch = samples[first:last]
        written = resample(stretch, rate * utterance.speed, options.sampling_rate)
        if len(written) == 0:
            outcomes.append(Outcome(utterance.name, fault=f"{recording.source}: no samples"))
            continue
        _write_bytes(utterance.target, encode(written, options.sampling_rate, options.audio_format))
        outcomes.append(Outcome(utterance.name, len(written)))
    return outcomes


def _write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a full disk becomes one line."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        if temporary.exists():
            temporary.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BadInputError(
                f"{path.parent}: {os.strerror(error.errno)}; finished files are kept: free space (or choose another "
                "--dumpdir) and run again"
            ) from error
        raise
