"""Stage 4: leave out utterances too short, too long, or (for ASR) without transcript, and say which and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from espnet2_birq.corpus.audio import header_rate
from espnet2_birq.corpus.data_dir import DataDir, read_data_dir, write_data_dir
from espnet2_birq.corpus.tables import byte_order, read_rows, read_table, write_rows, write_table, write_text_atomically
from espnet2_birq.errors import BadInputError


def filter_data_dir(
    data_dir: Path, out_dir: Path, min_seconds: float, max_seconds: float, text: bool
) -> tuple[DataDir, Counter[str]]:
    """Write the utterances of a formatted set that can be trained on.

    Args:
        data_dir: a formatted set (stage 3).
        out_dir: gets the same files without the utterances left out, and ``dropped.tsv`` (utterance, reason), which
            also repeats what stage 3 left out.
        min_seconds: shortest utterance kept.
        max_seconds: longest utterance kept.
        text: whether utterances need a transcript.

    Returns:
        What was kept, and how many utterances were left out by reason.

    Raises:
        BadInputError: nothing is left, or the set is not a formatted one.
    """
    if not 0 <= min_seconds < max_seconds:
        raise BadInputError(f"--min_seconds {min_seconds:g} --max_seconds {max_seconds:g}: need 0 <= min < max")
    if data_dir.resolve() == out_dir.resolve():
        raise BadInputError(
            f"{out_dir}: --out_dir is --data_dir; give another folder, so that filtering can be repeated"
        )
    data = read_data_dir(data_dir)
    if text and data.text is None:
        raise BadInputError(f"{data_dir / 'text'}: no such file; supply the transcripts, or filter with --text false")
    seconds = _seconds(data_dir, data)
    dropped: dict[str, str] = {}
    for name in data.utterances:
        if seconds[name] < min_seconds:
            dropped[name] = f"shorter than {min_seconds:g} s: {seconds[name]:.3f} s"
        elif seconds[name] > max_seconds:
            dropped[name] = f"longer than {max_seconds:g} s: {seconds[name]:.3f} s"
        elif text and not (data.text or {}).get(name):
            dropped[name] = "empty transcript" if name in (data.text or {}) else "no transcript"
    kept = data.subset([name for name in data.utterances if name not in dropped])
    before = _dropped_before(data_dir)
    counts = Counter(reason.split(":")[0] for reason in (before | dropped).values())
    if not kept.utt2spk:
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        raise BadInputError(f"{data_dir}: no utterance is left ({reasons}); widen the limits or correct the data")
    out_dir.mkdir(parents=True, exist_ok=True)
    lengths = read_table(data_dir / "utt2num_samples")
    write_rows(out_dir / "dropped.tsv", sorted((before | dropped).items(), key=lambda row: byte_order(row[0])))
    write_table(out_dir / "utt2num_samples", {name: lengths[name] for name in kept.utt2spk})
    for name in ("feats_type", "audio_format"):
        if (data_dir / name).is_file():
            write_text_atomically(out_dir / name, (data_dir / name).read_text())
    write_data_dir(out_dir, kept)
    hours = sum(seconds[name] for name in kept.utt2spk) / 3600
    print(f"{out_dir}: {len(kept.utt2spk)} utterances kept, {hours:.2f} h; {sum(counts.values())} left out", flush=True)
    for reason, count in counts.most_common():
        print(f"  {count} {reason}", flush=True)
    return kept, counts


def _seconds(data_dir: Path, data: DataDir) -> dict[str, float]:
    """Length of every utterance; the sampling rate, equal for all, is that of the first file."""
    lengths = read_table(data_dir / "utt2num_samples")
    missing = [name for name in data.utterances if name not in lengths]
    if missing:
        raise BadInputError(
            f"{data_dir / 'utt2num_samples'}: {missing[0]!r} is missing; run the formatting (stage 3) again"
        )
    path = Path(next(iter(data.recordings.values())))
    rate = header_rate(path) if path.is_file() else None
    if rate is None:
        raise BadInputError(f"{path}: cannot be read; run the formatting (stage 3) again")
    try:
        return {name: int(lengths[name]) / rate for name in data.utterances}
    except ValueError as error:
        raise BadInputError(f"{data_dir / 'utt2num_samples'}: {error}; run the formatting (stage 3) again") from error


def _dropped_before(data_dir: Path) -> dict[str, str]:
    path = data_dir / "dropped.tsv"
    return {row[0]: row[1] for row in read_rows(path)} if path.is_file() else {}
