"""Stage 3: decode, resample, cut and write every utterance of a set, in parallel, so that a killed run can go on.

The name of an audio file carries a digest of everything its content depends on (source path, size and time of change,
stretch, speed, sampling rate, format). A file that exists is therefore finished and current: starting again decodes
only what is missing, and another set may point at the same file instead of decoding once more.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from espnet2_birq.corpus.audio import AudioError, num_samples_in_header
from espnet2_birq.corpus.data_dir import DataDir, Segment, read_data_dir, write_data_dir
from espnet2_birq.corpus.format_processes import format_in_processes
from espnet2_birq.corpus.format_recording import FormatOptions, PlannedUtterance, Recording
from espnet2_birq.corpus.speed import speed_factors
from espnet2_birq.corpus.tables import write_rows, write_table, write_text_atomically
from espnet2_birq.errors import BadInputError

_CODE_VERSION = "1"  # part of the digest: raise it when the same source would be written differently
_LONGEST_NAME_IN_BYTES = 200  # leaves room for digest and ending in the 255 bytes of a file name


def format_data_dir(data_dir: Path, out_dir: Path, options: FormatOptions, reuse: Sequence[Path] = ()) -> DataDir:
    """Format the set in ``data_dir`` into ``out_dir``.

    Args:
        data_dir: a data directory; its ``utt2speed`` (speed factor by utterance) is applied when it exists.
        out_dir: gets ``wav.scp``, ``utt2spk``, ``spk2utt``, ``utt2num_samples``, ``feats_type``, ``audio_format``,
            ``text`` and ``utt2lang`` when there are any, ``dropped.tsv`` when utterances were left out, and ``audio/``.
        options: what to write.
        reuse: formatted sets whose audio files serve this one too where utterance and source agree.

    Returns:
        The formatted set.

    Raises:
        BadInputError: unusable audio (after all of it was listed on standard error), a full disk, a lost worker.
    """
    data = read_data_dir(data_dir)
    for name in data.utterances:
        if "/" in name or name.startswith(".") or len(name.encode()) > _LONGEST_NAME_IN_BYTES:
            raise BadInputError(
                f"{data_dir}: utterance id {name!r} cannot name a file (a '/', a leading '.', or more than "
                f"{_LONGEST_NAME_IN_BYTES} bytes); rename it"
            )
    start = time.monotonic()
    plan, faults = _plan(data, speed_factors(data, data_dir), out_dir, options, reuse)
    targets = {utterance.name: utterance.target for recording in plan for utterance in recording.utterances}
    lengths = _lengths_of_finished(targets)
    print(f"{out_dir}: {len(targets)} utterances, {len(lengths)} of them already formatted", flush=True)
    todo = [_without(recording, lengths) for recording in plan]
    for outcome in format_in_processes(
        [recording for recording in todo if recording.utterances], options, len(lengths), len(targets)
    ):
        if outcome.fault is None:
            lengths[outcome.name] = outcome.num_samples
        else:
            faults.append((outcome.name, outcome.fault))
    _handle_faults(faults, data_dir, out_dir, options)
    if not lengths:
        raise BadInputError(f"{data_dir}: no utterance could be formatted; see {out_dir / 'dropped.tsv'}")
    formatted = _write_set(data, out_dir, options, targets, lengths)
    hours = sum(lengths.values()) / options.sampling_rate / 3600
    print(f"{out_dir}: {len(lengths)} utterances, {hours:.2f} h, in {time.monotonic() - start:.1f} s", flush=True)
    return formatted


def _plan(
    data: DataDir, speeds: dict[str, float], out_dir: Path, options: FormatOptions, reuse: Sequence[Path]
) -> tuple[list[Recording], list[tuple[str, str]]]:
    """What to decode, and the utterances whose source does not even exist."""
    by_recording: dict[str, list[tuple[str, Segment | None]]] = {}
    for name in data.utterances:
        segment = None if data.segments is None else data.segments[name]
        by_recording.setdefault(name if segment is None else segment.recording, []).append((name, segment))
    plan: list[Recording] = []
    faults: list[tuple[str, str]] = []
    for recording, members in by_recording.items():
        source = Path(data.recordings[recording]).absolute()
        try:
            status = source.stat()
        except OSError:
            faults.extend((name, f"{source}: no such file") for name, _ in members)
            continue
        utterances = []
        for name, segment in members:
            digest = _digest(source, status, segment, speeds[name], options)
            # Two digits of folder keep folders small in corpora of a million utterances.
            relative = Path("audio", digest[:2], f"{name}.{digest}.{options.audio_format}")
            existing = [folder / relative for folder in (out_dir, *reuse) if (folder / relative).is_file()]
            target = existing[0] if existing else out_dir / relative
            utterances.append(PlannedUtterance(name, segment, speeds[name], target.absolute()))
        plan.append(Recording(source, tuple(utterances)))
    return plan, faults


def _digest(source: Path, status: os.stat_result, segment: Segment | None, speed: float, options: FormatOptions) -> str:
    stretch = "" if segment is None else f"{segment.start}-{segment.end}"
    signature = (
        f"{_CODE_VERSION}|{source}|{status.st_size}|{status.st_mtime_ns}|{stretch}|{speed}|{options.sampling_rate}"
    )
    if options.expected_rate is not None:  # what was made without the check has yet to pass it
        signature += f"|{options.expected_rate}"
    return hashlib.sha256(signature.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _without(recording: Recording, finished: dict[str, int]) -> Recording:
    return replace(recording, utterances=tuple(u for u in recording.utterances if u.name not in finished))


def _lengths_of_finished(targets: dict[str, Path]) -> dict[str, int]:
    """Length in samples of every target that exists; an unreadable one (damaged disk) is removed and made again."""
    lengths = {}
    for name, target in targets.items():
        if not target.is_file():
            continue
        try:
            lengths[name] = num_samples_in_header(target)
        except AudioError:
            target.unlink()
    return lengths


def _handle_faults(faults: list[tuple[str, str]], data_dir: Path, out_dir: Path, options: FormatOptions) -> None:
    """List unusable utterances; fail unless they may be left out, else record them in ``dropped.tsv``."""
    faults.sort()
    for name, fault in faults:
        print(f"{'left out' if options.skip_bad else 'unusable'}: {name}: {fault}", file=sys.stderr)
    if faults and not options.skip_bad:
        raise BadInputError(
            f"{data_dir}: {len(faults)} utterance(s) with unusable audio, first {faults[0][0]!r} ({faults[0][1]}); "
            "repair or remove them, or leave them out with --skip_bad true; the others are kept"
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    if faults:
        write_rows(out_dir / "dropped.tsv", ((name, f"unusable audio: {fault}") for name, fault in faults))
    else:
        (out_dir / "dropped.tsv").unlink(missing_ok=True)


def _write_set(
    data: DataDir, out_dir: Path, options: FormatOptions, targets: dict[str, Path], lengths: dict[str, int]
) -> DataDir:
    kept = data.subset(lengths)
    companions = {name: table for name, table in kept.companions.items() if name != "utt2speed"}
    formatted = DataDir({name: str(targets[name]) for name in lengths}, kept.utt2spk, None, companions)
    for leftover in (out_dir / "audio").glob("*/*.tmp"):  # of workers that were killed
        leftover.unlink()
    write_table(out_dir / "utt2num_samples", {name: str(length) for name, length in lengths.items()})
    write_text_atomically(out_dir / "feats_type", "raw\n")
    write_text_atomically(out_dir / "audio_format", f"{options.audio_format}\n")
    write_data_dir(out_dir, formatted)
    return formatted
