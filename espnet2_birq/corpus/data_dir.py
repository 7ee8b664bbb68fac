"""A data directory: ``wav.scp``, ``utt2spk``, ``spk2utt``, and when there are any ``segments``, ``text``, ``utt2lang``,
``utt2speed``. Read and checked in one place, written atomically with ``wav.scp`` last."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from espnet2_birq.corpus.tables import byte_order, read_table, write_table
from espnet2_birq.errors import BadInputError

# Per-utterance companions that are carried along by every stage when they exist.
_OPTIONAL = ("text", "utt2lang", "utt2speed")


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording, in seconds."""

    recording: str
    start: float
    end: float


@dataclass
class DataDir:
    """The tables of one set.

    Attributes:
        recordings: audio path by recording id (``wav.scp``); recording and utterance ids agree without ``segments``.
        utt2spk: speaker by utterance.
        segments: stretch by utterance, or None when every recording is one utterance.
        companions: further per-utterance tables by file name (``text``, ``utt2lang``, ``utt2speed``). ``text`` and
            ``utt2lang`` may lack utterances.
    """

    recordings: dict[str, str]
    utt2spk: dict[str, str]
    segments: dict[str, Segment] | None = None
    companions: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def text(self) -> dict[str, str] | None:
        return self.companions.get("text")

    @property
    def utterances(self) -> list[str]:
        """Utterance ids in byte order."""
        return sorted(self.utt2spk, key=byte_order)

    def subset(self, utterances: Collection[str]) -> DataDir:
        """The same set with only ``utterances``, and only the recordings that they need."""
        keep = set(utterances)
        segments = None if self.segments is None else {u: s for u, s in self.segments.items() if u in keep}
        needed = keep if segments is None else {segment.recording for segment in segments.values()}
        companions = {
            name: {utterance: value for utterance, value in table.items() if utterance in keep}
            for name, table in self.companions.items()
        }
        return replace(
            self,
            recordings={key: path for key, path in self.recordings.items() if key in needed},
            utt2spk={utterance: speaker for utterance, speaker in self.utt2spk.items() if utterance in keep},
            segments=segments,
            companions=companions,
        )


def speaker_lists(utt2spk: dict[str, str]) -> dict[str, str]:
    """``spk2utt``: the utterances of each speaker, separated by blanks, in byte order."""
    lists: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk, key=byte_order):
        lists.setdefault(utt2spk[utterance], []).append(utterance)
    return {speaker: " ".join(utterances) for speaker, utterances in lists.items()}


def read_data_dir(directory: Path, allow_empty_text: bool = True) -> DataDir:
    """Read a data directory and check that its tables agree.

    Args:
        directory: the set, for example ``data/train``.
        allow_empty_text: accept empty transcripts; the filter of stage 4 leaves such utterances out and reports them.

    Raises:
        BadInputError: the first fault found; the message names file and line.
    """
    if not directory.is_dir():
        raise BadInputError(
            f"{directory}: no such data directory; run the data preparation (stage 1) or correct the name"
        )
    recordings = read_table(directory / "wav.scp")
    for number, (key, path) in enumerate(recordings.items(), 1):
        if path.endswith("|") or path.startswith("|"):
            raise BadInputError(
                f"{directory / 'wav.scp'}:{number}: {key!r} is a command ({path}); only paths of audio files are read: "
                "run the command once and give the file it makes"
            )
    utt2spk = read_table(directory / "utt2spk")
    segments = _read_segments(directory / "segments", recordings) if (directory / "segments").exists() else None
    source, keys = ("wav.scp", recordings.keys()) if segments is None else ("segments", segments.keys())
    _check_same_keys(directory, "utt2spk", utt2spk, source, keys)
    if (directory / "spk2utt").exists():
        _check_speakers(directory, utt2spk)
    companions = {}
    for name in _OPTIONAL:
        if (directory / name).exists():
            companions[name] = read_table(directory / name, allow_empty_values=name == "text" and allow_empty_text)
            _check_known_keys(directory, name, companions[name], "utt2spk", utt2spk)
    return DataDir(recordings, utt2spk, segments, companions)


def write_data_dir(directory: Path, data: DataDir) -> None:
    """Write the tables; ``wav.scp`` comes last, so that its presence means that the set is whole.

    Optional files of an earlier version that the set no longer has are removed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if data.segments is not None:
        write_table(directory / "segments", {u: f"{s.recording} {s.start} {s.end}" for u, s in data.segments.items()})
    else:
        (directory / "segments").unlink(missing_ok=True)
    for name in _OPTIONAL:
        if data.companions.get(name):
            write_table(directory / name, data.companions[name])
        else:
            (directory / name).unlink(missing_ok=True)
    write_table(directory / "utt2spk", data.utt2spk)
    write_table(directory / "spk2utt", speaker_lists(data.utt2spk))
    write_table(directory / "wav.scp", data.recordings)


def validate_data_dir(directory: Path, text: bool) -> DataDir:
    """Check everything that later stages rely on, audio files' existence included.

    Args:
        directory: the set.
        text: whether every utterance needs a transcript.
    """
    data = read_data_dir(directory, allow_empty_text=False)
    if text:
        if data.text is None:
            raise BadInputError(
                f"{directory / 'text'}: no such file; supply the transcripts, or validate with --text false"
            )
        _check_same_keys(directory, "text", data.text, "utt2spk", data.utt2spk)
    for number, (key, path) in enumerate(data.recordings.items(), 1):
        if not Path(path).is_file():
            raise BadInputError(
                f"{directory / 'wav.scp'}:{number}: audio file {path} of {key!r} does not exist; "
                "restore it, correct the path, or remove the utterance"
            )
    return data


def _read_segments(path: Path, recordings: Collection[str]) -> dict[str, Segment]:
    segments = {}
    for number, (utterance, value) in enumerate(read_table(path).items(), 1):
        where = f"{path}:{number}"
        fields = value.split()
        try:
            recording, start, end = fields[0], float(fields[1]), float(fields[2])
        except (IndexError, ValueError):
            fields = []
        if len(fields) != 3:
            raise BadInputError(
                f"{where}: expected '<utterance> <recording> <start seconds> <end seconds>', found {value!r}"
            )
        if not 0 <= start < end:
            raise BadInputError(f"{where}: {utterance!r} runs from {start} s to {end} s; need 0 <= start < end")
        if recording not in recordings:
            raise BadInputError(f"{where}: recording {recording!r} is not in wav.scp; add it or remove the segment")
        segments[utterance] = Segment(recording, start, end)
    return segments


def _check_same_keys(directory: Path, name: str, table: Iterable[str], other: str, keys: Iterable[str]) -> None:
    _check_known_keys(directory, name, table, other, keys)
    _check_known_keys(directory, other, keys, name, table)


def _check_known_keys(directory: Path, name: str, table: Iterable[str], other: str, keys: Iterable[str]) -> None:
    """Every key of ``table`` (file ``name``) must occur in ``keys`` (file ``other``)."""
    known = set(keys)
    for number, key in enumerate(table, 1):
        if key not in known:
            raise BadInputError(
                f"{directory / name}:{number}: {key!r} has no line in {directory / other}; "
                "add one there or remove it here"
            )


def _check_speakers(directory: Path, utt2spk: dict[str, str]) -> None:
    listed = read_table(directory / "spk2utt")
    expected = speaker_lists(utt2spk)
    for number, (speaker, utterances) in enumerate(listed.items(), 1):
        if sorted(utterances.split()) != sorted(expected.get(speaker, "").split()):
            raise BadInputError(
                f"{directory / 'spk2utt'}:{number}: utterances of {speaker!r} differ from utt2spk; "
                "delete spk2utt and prepare the data again"
            )
    for speaker in expected:
        if speaker not in listed:
            raise BadInputError(
                f"{directory / 'spk2utt'}: speaker {speaker!r} of utt2spk is missing; "
                "delete spk2utt and prepare the data again"
            )
