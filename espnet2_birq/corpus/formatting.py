"""Stage 3: decode, resample, cut and write every utterance of a set, in parallel, so that a killed run can go on.

The name of an audio file carries a digest of everything its content depends on (source path, size and time of change,
stretch, speed, sampling rate, format). A file that exists is therefore finished and current: starting again decodes
only what is missing, and another set may point at the same file instead of decoding once more.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from espnet2_birq.corpus.audio import AudioError, decode, encode, num_samples_in_header, resample
from espnet2_birq.corpus.data_dir import DataDir, Segment, read_data_dir, write_data_dir
from espnet2_birq.corpus.tables import write_rows, write_table, write_text_atomically
from espnet2_birq.errors import BadInputError

_SECONDS_BETWEEN_PROGRESS_LINES = 5.0
_UTTERANCES_PER_TASK = 32
_CODE_VERSION = "1"  # part of the digest: raise it when the same source would be written differently


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
class _Utterance:
    """One file to write; ``segment`` None means the whole recording."""

    name: str
    segment: Segment | None
    speed: float
    target: Path


@dataclass(frozen=True)
class _Recording:
    """One file to decode and the utterances to cut from it."""

    source: Path
    utterances: tuple[_Utterance, ...]


@dataclass(frozen=True)
class _Outcome:
    """What became of an utterance: its length in samples, or why it cannot be used."""

    name: str
    num_samples: int = 0
    fault: str | None = None


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
    bad_keys = [name for name in data.utterances if not re.fullmatch(r"[^/\0]{1,200}", name) or name.startswith(".")]
    if bad_keys:
        raise BadInputError(
            f"{data_dir}: utterance id {bad_keys[0]!r} cannot name a file ('/', a leading '.', or over 200 characters); rename it"
        )
    start = time.monotonic()
    plan, faults = _plan(data, out_dir, options, reuse)
    targets = {utterance.name: utterance.target for recording in plan for utterance in recording.utterances}
    lengths = _lengths_of_finished(targets)
    print(f"{out_dir}: {len(targets)} utterances, {len(lengths)} of them already formatted", flush=True)
    todo = [_without(recording, lengths) for recording in plan]
    for outcome in _format_all(
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
    data: DataDir, out_dir: Path, options: FormatOptions, reuse: Sequence[Path]
) -> tuple[list[_Recording], list[tuple[str, str]]]:
    """What to decode, and the utterances whose source does not even exist."""
    speeds = data.companions.get("utt2speed", {})
    by_recording: dict[str, list[tuple[str, Segment | None]]] = {}
    for name in data.utterances:
        segment = None if data.segments is None else data.segments[name]
        by_recording.setdefault(name if segment is None else segment.recording, []).append((name, segment))
    plan: list[_Recording] = []
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
            speed = float(speeds.get(name, "1"))
            stretch = "" if segment is None else f"{segment.start}-{segment.end}"
            signature = f"{_CODE_VERSION}|{source}|{status.st_size}|{status.st_mtime_ns}|{stretch}|{speed}|{options.sampling_rate}"
            digest = hashlib.sha256(signature.encode("utf-8", "surrogateescape")).hexdigest()[:12]
            # Two digits of folder keep folders small in corpora of a million utterances.
            relative = Path("audio", digest[:2], f"{name}.{digest}.{options.audio_format}")
            existing = [folder / relative for folder in (out_dir, *reuse) if (folder / relative).is_file()]
            target = existing[0] if existing else out_dir / relative
            utterances.append(_Utterance(name, segment, speed, target.absolute()))
        plan.append(_Recording(source, tuple(utterances)))
    return plan, faults


def _without(recording: _Recording, finished: dict[str, int]) -> _Recording:
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


def _format_all(
    recordings: list[_Recording], options: FormatOptions, num_done: int, num_total: int
) -> Iterator[_Outcome]:
    """Outcomes of all recordings, with progress lines."""
    progress = _Progress(num_done, num_total, options.sampling_rate)
    for outcomes in _run_in_processes(list(_tasks(recordings)), options):
        for outcome in outcomes:
            progress.add(outcome)
            yield outcome


def _tasks(recordings: list[_Recording]) -> Iterator[tuple[_Recording, ...]]:
    """Recordings in bundles of about ``_UTTERANCES_PER_TASK`` utterances, to spare process traffic."""
    bundle: list[_Recording] = []
    size = 0
    for recording in recordings:
        bundle.append(recording)
        size += len(recording.utterances)
        if size >= _UTTERANCES_PER_TASK:
            yield tuple(bundle)
            bundle, size = [], 0
    if bundle:
        yield tuple(bundle)


def _run_in_processes(tasks: list[tuple[_Recording, ...]], options: FormatOptions) -> Iterator[list[_Outcome]]:
    if options.num_jobs == 1 or len(tasks) <= 1:
        yield from (_format_bundle(task, options) for task in tasks)
        return
    # Fork: workers start at once, and nothing threaded has been started in the parent.
    with ProcessPoolExecutor(options.num_jobs, mp_context=get_context("fork")) as executor:
        waiting = iter(tasks)
        running: set[Future[list[_Outcome]]] = set()
        try:
            while True:
                while len(running) < 2 * options.num_jobs and (task := next(waiting, None)) is not None:
                    running.add(executor.submit(_format_bundle, task, options))
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise BadInputError(
                "a worker process was killed (out of memory?); finished files are kept: run again, with fewer --nj"
            ) from error
        finally:
            for future in running:
                future.cancel()


def _format_bundle(bundle: Sequence[_Recording], options: FormatOptions) -> list[_Outcome]:
    return [outcome for recording in bundle for outcome in _format_recording(recording, options)]


def _format_recording(recording: _Recording, options: FormatOptions) -> list[_Outcome]:
    """Decode one recording and write its utterances."""
    try:
        samples, rate = decode(recording.source)
        if options.expected_rate is not None and rate != options.expected_rate:
            raise AudioError(f"sampling rate {rate} Hz, expected {options.expected_rate} Hz")
    except AudioError as error:
        return [_Outcome(u.name, fault=f"{recording.source}: {error}") for u in recording.utterances]
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
                outcomes.append(_Outcome(utterance.name, fault=fault))
                continue
            stretch = samples[first:last]
        written = resample(stretch, rate * utterance.speed, options.sampling_rate)
        if len(written) == 0:
            outcomes.append(_Outcome(utterance.name, fault=f"{recording.source}: no samples"))
            continue
        _write_bytes(utterance.target, encode(written, options.sampling_rate, options.audio_format))
        outcomes.append(_Outcome(utterance.name, len(written)))
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


def _handle_faults(faults: list[tuple[str, str]], data_dir: Path, out_dir: Path, options: FormatOptions) -> None:
    """List unusable utterances; fail unless they may be left out, else record them in ``dropped.tsv``."""
    faults.sort()
    for name, fault in faults:
        print(f"{'left out' if options.skip_bad else 'unusable'}: {name}: {fault}", file=sys.stderr)
    if faults and not options.skip_bad:
        raise BadInputError(
            f"{data_dir}: {len(faults)} utterance(s) with unusable audio, first {faults[0][0]!r} ({faults[0][1]}); repair or "
            "remove them, or leave them out with --skip_bad true; the others are kept"
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    if faults:
        write_rows(out_dir / "dropped.tsv", faults)
    else:
        (out_dir / "dropped.tsv").unlink(missing_ok=True)


def _write_set(
    data: DataDir, out_dir: Path, options: FormatOptions, targets: dict[str, Path], lengths: dict[str, int]
) -> DataDir:
    kept = data.subset(lengths)
    companions = {name: table for name, table in kept.companions.items() if name != "utt2speed"}
    formatted = DataDir({name: str(targets[name]) for name in lengths}, kept.utt2spk, None, companions)
    write_table(out_dir / "utt2num_samples", {name: str(length) for name, length in lengths.items()})
    write_text_atomically(out_dir / "feats_type", "raw\n")
    write_text_atomically(out_dir / "audio_format", f"{options.audio_format}\n")
    write_data_dir(out_dir, formatted)
    return formatted


class _Progress:
    """A line every few seconds: how much is done, how fast, how long to go."""

    def __init__(self, num_done: int, num_total: int, sampling_rate: int) -> None:
        self.num_done, self.num_total, self.sampling_rate = num_done, num_total, sampling_rate
        self.num_new, self.num_samples = 0, 0
        self.start = self.last = time.monotonic()

    def add(self, outcome: _Outcome) -> None:
        self.num_done += 1
        self.num_new += 1
        self.num_samples += outcome.num_samples
        now = time.monotonic()
        if now - self.last < _SECONDS_BETWEEN_PROGRESS_LINES:
            return
        self.last = now
        elapsed = now - self.start
        seconds = self.num_samples / self.sampling_rate
        left = (self.num_total - self.num_done) * elapsed / self.num_new
        print(
            f"  {self.num_done}/{self.num_total} utterances, {seconds / 3600:.2f} h of audio, "
            f"{seconds / elapsed:.0f} times real time, about {left:.0f} s left",
            flush=True,
        )
