"""Stage 5: the list of ASR output tokens, of characters or of SentencePiece units, in ESPnet's format."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from espnet2_birq.corpus.tables import read_lines, read_table, write_text_atomically
from espnet2_birq.errors import BadInputError

BLANK, UNKNOWN, END, SPACE = "<blank>", "<unk>", "<sos/eos>", "<space>"
# SentencePiece refuses longer lines silently; no transcript comes near.
_LONGEST_SENTENCE_IN_BYTES = 1_000_000


def write_token_list(texts: Sequence[Path], out_dir: Path, token_type: str, num_bpe: int) -> list[str]:
    """Make ``tokens.txt`` (and ``bpe.model``) from transcripts; the same transcripts give the same files.

    Args:
        texts: ``text`` files of the training sets.
        out_dir: where the files go.
        token_type: ``char`` or ``bpe`` (SentencePiece unigram model).
        num_bpe: number of tokens for ``bpe``, special tokens included.

    Returns:
        The tokens: ``<blank>``, ``<unk>``, the units, ``<sos/eos>``.
    """
    sentences = [transcript for path in texts for transcript in read_table(path, allow_empty_values=True).values()]
    if not any(sentences):
        raise BadInputError(f"{texts[0]}: all transcripts are empty; a token list needs text")
    out_dir.mkdir(parents=True, exist_ok=True)
    if token_type == "char":
        units = _characters(sentences)
    else:
        units, model = _train_bpe(sentences, num_bpe, texts[0])
        temporary = out_dir / ".bpe.model.tmp"
        temporary.write_bytes(model)
        temporary.replace(out_dir / "bpe.model")
    tokens = [BLANK, UNKNOWN, *units, END]
    write_text_atomically(out_dir / "tokens.txt", "".join(f"{token}\n" for token in tokens))
    return tokens


def unknown_characters(text: Path, token_dir: Path) -> dict[str, str]:
    """Characters of each transcript that the tokens cannot express, by utterance.

    Args:
        text: the ``text`` file of a set.
        token_dir: where ``write_token_list`` wrote.
    """
    # A token is a line, but the line may be any character, so only line feeds divide lines.
    known = set(
        "".join(_plain(token) for token in read_lines(token_dir / "tokens.txt") if token not in (BLANK, UNKNOWN, END))
    )
    found = {}
    for name, transcript in read_table(text, allow_empty_values=True).items():
        unknown = "".join(dict.fromkeys(c for c in transcript if c not in known and c != " "))
        if unknown:
            found[name] = unknown
    return found


def check_characters(texts: Iterable[Path], token_dir: Path) -> list[str]:
    """A line for every file that has characters outside the tokens: utterance, characters, how many utterances."""
    lines = []
    for text in texts:
        found = unknown_characters(text, token_dir)
        if found:
            name, characters = next(iter(found.items()))
            shown = " ".join(f"{character!r} (U+{ord(character):04X})" for character in characters)
            lines.append(
                f"{text}: utterance {name!r} has {shown} outside the token list {token_dir / 'tokens.txt'} "
                f"({len(found)} such utterance(s)); normalise the transcripts, or make the list from text that has it"
            )
    return lines


def _plain(token: str) -> str:
    """The characters that a token stands for; ``▁`` marks a word start in SentencePiece units."""
    return "" if token == SPACE else token.replace("▁", "")


def _characters(sentences: Iterable[str]) -> list[str]:
    """Characters by falling count, then by code point."""
    counts = Counter(character for sentence in sentences for character in re.sub(r"\s+", " ", sentence))
    ordered = sorted(counts, key=lambda character: (-counts[character], character))
    return [SPACE if character == " " else character for character in ordered]


def _train_bpe(sentences: Sequence[str], num_bpe: int, text: Path) -> tuple[list[str], bytes]:
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(sentence for sentence in sentences if sentence),
            model_writer=model,
            model_type="unigram",
            vocab_size=num_bpe,
            character_coverage=1.0,
            normalization_rule_name="identity",  # hypotheses must be able to equal references
            max_sentence_length=_LONGEST_SENTENCE_IN_BYTES,
            num_threads=1,  # sums in another order could give other units
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        limit = re.search(r"<= (\d+)", str(error))
        needed = re.search(r"[Vv]ocabulary size is smaller than required_chars.*?vs (\d+)", str(error))
        if limit:
            advice = (
                f"the text has units for at most {limit.group(1)}; use --nbpe {limit.group(1)} or less, or characters"
            )
        elif needed:
            advice = f"its characters alone need {needed.group(1)}; use a larger --nbpe, or characters"
        else:
            raise
        raise BadInputError(f"{text}: cannot make {num_bpe} BPE tokens: {advice}") from error
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    special = {index for index in range(len(pieces)) if processor.is_control(index) or processor.is_unknown(index)}
    return [piece for index, piece in enumerate(pieces) if index not in special], model.getvalue()
