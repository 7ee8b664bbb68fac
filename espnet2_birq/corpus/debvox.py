"""DebVox: recorded speech in seven languages from Debian packages, as data directories with fixed splits.

Splits are drawn from a hash of the group (Asterisk prompt, Fish Fillets level), so that they are the same on every
machine, do not move when a language is left out, and never divide one prompt in several languages or one level.
Short sentences that occur again under another name would still be in training and test: fine-tuning sets go without.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet2_birq.corpus.data_dir import DataDir, write_data_dir
from espnet2_birq.corpus.debian_packages import collect_packages, unpack
from espnet2_birq.corpus.debvox_sources import Clip, packages_of, read_clips
from espnet2_birq.corpus.debvox_text import NoTranscriptError, normalise
from espnet2_birq.corpus.tables import write_rows

_TEST_SHARE = 0.14
_VALID_SHARE = 0.07
_SALT = "debvox-18"  # changing it draws other splits, and makes all published numbers incomparable
# Low-resource subsets of the transcribed training speech, by name, in seconds.
_SUBSETS = {"1h": 3600.0, "10min": 600.0}
# Clips that no set holds: the prompts silence/1 to silence/10 (digital silence), and three files without a sample.
_SILENCE, _NO_AUDIO = "silence", "no audio"
_HELD_OUT = "sentence of the validation or test set"
_G722_BYTES_PER_SECOND = 8000


@dataclass(frozen=True)
class Utterance:
    """A clip with its normalised transcript (None: none, for the reason given) and its length in seconds."""

    clip: Clip
    transcript: str | None
    reason: str
    seconds: float


def prepare(data_dir: Path, downloads: Path, mirror: Path | None, languages: Sequence[str]) -> None:
    """Write all sets of DebVox under ``data_dir``.

    Args:
        data_dir: gets ``train_ssl``, ``valid_ssl`` and, per language L, ``train_L_all``, ``train_L_1h``,
            ``train_L_10min`` (where there is that much), ``valid_L`` and ``test_L``; ``left_out.tsv`` lists what
            serves pretraining only and why (reasons ``silence`` and ``no audio``: not even that).
        downloads: keeps the packages and their unpacked content.
        mirror: folder that holds the packages already, or None to download them with apt.
        languages: two-letter codes.
    """
    packages = packages_of(tuple(languages))
    paths = collect_packages(packages, downloads, mirror)
    unpacked = downloads / "unpacked"
    for name, path in paths.items():
        unpack(path, unpacked / name)
    everything = [_utterance(clip) for language in languages for clip in read_clips(language, unpacked)]
    data_dir.mkdir(parents=True, exist_ok=True)
    audible = [utterance for utterance in everything if utterance.reason not in (_SILENCE, _NO_AUDIO)]
    utterances = {language: [u for u in audible if u.clip.language == language] for language in languages}
    sets = _sets(utterances)
    for name, members in sets.items():
        write_data_dir(data_dir / name, _data_dir(members, with_text=not name.endswith("_ssl")))
        hours = sum(member.seconds for member in members) / 3600
        print(f"{data_dir / name}: {len(members)} utterances, {hours:.2f} h", flush=True)
    in_use = {u.clip.utterance for name, members in sets.items() if not name.endswith("_ssl") for u in members}
    left_out = [(u.clip.utterance, u.reason or _HELD_OUT) for u in everything if u.clip.utterance not in in_use]
    write_rows(data_dir / "left_out.tsv", left_out)
    counts = Counter(reason for _, reason in left_out)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    print(f"{data_dir / 'left_out.tsv'}: not in the transcribed sets: {reasons}", flush=True)


def split_of(group: str) -> str:
    """``train``, ``valid`` or ``test``."""
    point = _hash(group) / 2**64
    if point < _TEST_SHARE:
        return "test"
    return "valid" if point < _TEST_SHARE + _VALID_SHARE else "train"


def nested_subset(utterances: Iterable[Utterance], seconds: float) -> list[Utterance]:
    """The first utterances, in the order of a hash of their ids, that fit into ``seconds``; so subsets are nested."""
    chosen: list[Utterance] = []
    total = 0.0
    for utterance in sorted(utterances, key=lambda u: (_hash(u.clip.utterance), u.clip.utterance)):
        if total + utterance.seconds > seconds:
            break
        chosen.append(utterance)
        total += utterance.seconds
    return chosen


def _sets(utterances: dict[str, list[Utterance]]) -> dict[str, list[Utterance]]:
    sets: dict[str, list[Utterance]] = {"train_ssl": [], "valid_ssl": []}
    for language, members in utterances.items():
        splits: dict[str, list[Utterance]] = {"train": [], "valid": [], "test": []}
        for member in members:
            splits[split_of(member.clip.group)].append(member)
        sets["train_ssl"] += splits["train"]
        sets["valid_ssl"] += splits["valid"]
        transcribed = {name: [u for u in split if u.transcript is not None] for name, split in splits.items()}
        held_out = {u.transcript for name in ("valid", "test") for u in transcribed[name]}
        transcribed["train"] = [u for u in transcribed["train"] if u.transcript not in held_out]
        sets[f"train_{language}_all"] = transcribed["train"]
        total = sum(utterance.seconds for utterance in transcribed["train"])
        for name, seconds in _SUBSETS.items():
            if total > seconds:
                sets[f"train_{language}_{name}"] = nested_subset(transcribed["train"], seconds)
        sets[f"valid_{language}"] = transcribed["valid"]
        sets[f"test_{language}"] = transcribed["test"]
    return sets


def _data_dir(members: Sequence[Utterance], with_text: bool) -> DataDir:
    companions = {"utt2lang": {u.clip.utterance: u.clip.language for u in members}}
    if with_text:
        companions["text"] = {u.clip.utterance: u.transcript or "" for u in members}
    return DataDir(
        recordings={u.clip.utterance: str(u.clip.path.absolute()) for u in members},
        utt2spk={u.clip.utterance: u.clip.speaker for u in members},
        companions=companions,
    )


def _utterance(clip: Clip) -> Utterance:
    seconds = _seconds(clip.path)
    if clip.group.startswith("asterisk:silence/"):
        return Utterance(clip, None, _SILENCE, seconds)
    if seconds == 0:
        return Utterance(clip, None, _NO_AUDIO, seconds)
    if not clip.text:
        return Utterance(clip, None, "no text", seconds)
    try:
        return Utterance(clip, normalise(clip.text, clip.language), "", seconds)
    except NoTranscriptError as error:
        return Utterance(clip, None, str(error), seconds)


def _seconds(path: Path) -> float:
    """Length without decoding: G.722 has a constant rate, Ogg says it in its last page."""
    if path.suffix == ".g722":
        return path.stat().st_size / _G722_BYTES_PER_SECOND
    import soundfile

    return float(soundfile.info(str(path)).duration)


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{_SALT}:{key}".encode()).digest()[:8], "big")
