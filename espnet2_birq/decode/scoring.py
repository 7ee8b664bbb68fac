"""Word, character and token error rates with an alignment.

An alignment is one with the fewest edits (Levenshtein); among several such, which edits are substitutions is arbitrary.
NIST's sclite instead weighs a substitution 4 and an insertion or deletion 3, so its error rate can be a little higher.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from espnet2_birq.errors import BadInputError

Tokenizer = Callable[[str], list[str]]


@dataclass(frozen=True)
class Counts:
    """What an alignment counts. ``words`` is the number of reference tokens, whatever kind they are of."""

    sentences: int = 0
    words: int = 0
    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    sentence_errors: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(self.as_tuple(), other.as_tuple(), strict=True)))

    def as_tuple(self) -> tuple[int, ...]:
        """In the order of the fields."""
        return (
            self.sentences,
            self.words,
            self.correct,
            self.substitutions,
            self.deletions,
            self.insertions,
            self.sentence_errors,
        )

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    def percentages(self) -> dict[str, float]:
        """Corr, Sub, Del, Ins and Err in percent of the reference tokens, S.Err in percent of the sentences.

        Raises:
            BadInputError: if there is no reference token to take a percentage of.
        """
        if self.words == 0:
            raise BadInputError("the references hold not a single token, so no error rate exists: check the text file")
        of_words = {
            "Corr": self.correct,
            "Sub": self.substitutions,
            "Del": self.deletions,
            "Ins": self.insertions,
            "Err": self.errors,
        }
        percent = {name: 100.0 * value / self.words for name, value in of_words.items()}
        return percent | {"S.Err": 100.0 * self.sentence_errors / self.sentences}


@dataclass(frozen=True)
class Alignment:
    """One utterance: pairs of reference and hypothesis token, None where one side has no counterpart."""

    pairs: tuple[tuple[str | None, str | None], ...]

    def counts(self) -> Counts:
        """Counts of this one sentence."""
        correct = sum(ref == hyp for ref, hyp in self.pairs)
        deletions = sum(hyp is None for _, hyp in self.pairs)
        insertions = sum(ref is None for ref, _ in self.pairs)
        substitutions = len(self.pairs) - correct - deletions - insertions
        words = len(self.pairs) - insertions
        return Counts(1, words, correct, substitutions, deletions, insertions, int(correct < len(self.pairs)))


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """Align two token sequences with the fewest edits."""
    from rapidfuzz.distance import Levenshtein

    pairs: list[tuple[str | None, str | None]] = []
    for edit in Levenshtein.opcodes(reference, hypothesis):
        refs = reference[edit.src_start : edit.src_end]
        hyps = hypothesis[edit.dest_start : edit.dest_end]
        if edit.tag == "insert":
            pairs += [(None, hyp) for hyp in hyps]
        elif edit.tag == "delete":
            pairs += [(ref, None) for ref in refs]
        else:
            pairs += zip(refs, hyps, strict=True)
    return Alignment(tuple(pairs))


def split_words(text: str) -> list[str]:
    """Words are what spaces separate."""
    return text.split()


def split_characters(text: str) -> list[str]:
    """Characters of the words, with ``<space>`` between words, as ESPnet counts them.

    A character is one code point of the composed form (NFC), so that an accent counts the same however it was typed.
    """
    return ["<space>" if char == " " else char for char in unicodedata.normalize("NFC", " ".join(text.split()))]


def sentencepiece_tokenizer(model: Path) -> Tokenizer:
    """Tokens of a sentencepiece model.

    Raises:
        BadInputError: if the model cannot be read.
    """
    import sentencepiece

    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    except (OSError, RuntimeError) as error:
        raise BadInputError(f"{model}: not a sentencepiece model: {str(error).splitlines()[0]}") from None
    return lambda text: processor.encode(text, out_type=str)


@dataclass(frozen=True)
class Score:
    """Alignments of a whole set, by utterance, and which speaker each utterance is of."""

    alignments: Mapping[str, Alignment]
    speakers: Mapping[str, str] = field(default_factory=dict)

    def total(self) -> Counts:
        """Counts over all utterances."""
        return _sum(alignment.counts() for alignment in self.alignments.values())

    def by_speaker(self) -> dict[str, Counts]:
        """Counts of each speaker, sorted by name; empty when the speakers are not known."""
        sums: dict[str, Counts] = {}
        if self.speakers:
            for utterance, alignment in self.alignments.items():
                speaker = self.speakers[utterance]
                sums[speaker] = sums.get(speaker, Counts()) + alignment.counts()
        return dict(sorted(sums.items()))


def _sum(counts: Iterable[Counts]) -> Counts:
    return sum(counts, Counts())


def score(
    references: Mapping[str, str], hypotheses: Mapping[str, str], tokenize: Tokenizer, speakers: Mapping[str, str]
) -> Score:
    """Align every reference with its hypothesis; an utterance without one counts as deleted.

    Args:
        references: text by utterance.
        hypotheses: text by utterance.
        tokenize: cuts a text into the tokens that are counted.
        speakers: speaker by utterance, or empty.

    Raises:
        BadInputError: if there are hypotheses without a reference, or an utterance without a speaker.
    """
    extra = [utterance for utterance in hypotheses if utterance not in references]
    if extra:
        raise BadInputError(
            f"{len(extra)} hypotheses have no reference, first {extra[0]}: score against the set that was decoded"
        )
    if speakers:
        for utterance in references:
            if utterance not in speakers:
                raise BadInputError(f"utterance {utterance} has no speaker: add it to utt2spk, or leave --utt2spk out")
    alignments = {
        utterance: align(tokenize(text), tokenize(hypotheses.get(utterance, "")))
        for utterance, text in references.items()
    }
    return Score(alignments, speakers)
