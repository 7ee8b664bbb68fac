"""How a score is written down: ``result.txt`` for people, in sclite's manner, and ``result.json`` for programs."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

from espnet2_birq.corpus.tables import write_text_atomically
from espnet2_birq.decode.scoring import Alignment, Counts, Score

COLUMNS = ("Corr", "Sub", "Del", "Ins", "Err", "S.Err")


def _row(name: str, width: int, counts: Counts) -> str:
    if counts.words:
        percent = " ".join(f"{counts.percentages()[column]:6.1f}" for column in COLUMNS)
    else:
        percent = " ".join(f"{'-':>6}" for _ in COLUMNS)
    return f"| {_pad(name, width)} | {counts.sentences:6d} {counts.words:7d} | {percent} |"


def _columns(text: str) -> int:
    """Terminal columns that a text takes: none for a combining mark, two for a wide East Asian character."""
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def table(score: Score) -> str:
    """Counts and percentages of each speaker and of the sum."""
    rows = score.by_speaker() | {"Sum/Avg": score.total()}
    width = max(_columns(name) for name in ("SPKR", *rows))
    head = " ".join(f"{column:>6}" for column in COLUMNS)
    lines = [f"| {_pad('SPKR', width)} | {'# Snt':>6} {'# Wrd':>7} | {head} |"]
    rule = "|" + "-" * (len(lines[0]) - 2) + "|"
    lines.append(rule)
    for name, counts in rows.items():
        if name == "Sum/Avg" and len(rows) > 1:
            lines.append(rule)
        lines.append(_row(name, width, counts))
    return "\n".join(lines)


def _aligned_lines(alignment: Alignment) -> list[str]:
    """REF, HYP and Eval below each other; tokens that differ in capitals, gaps as stars."""
    lines = ["REF: ", "HYP: ", "Eval:"]
    for ref, hyp in alignment.pairs:
        if ref == hyp:
            cells = [ref, hyp, ""]
        elif hyp is None:
            cells = [ref.upper(), "*" * _columns(ref), "D"]
        elif ref is None:
            cells = ["*" * _columns(hyp), hyp.upper(), "I"]
        else:
            cells = [ref.upper(), hyp.upper(), "S"]
        width = max(_columns(cell) for cell in cells)
        lines = [f"{line} {_pad(cell, width)}" for line, cell in zip(lines, cells, strict=True)]
    return [line.rstrip() for line in lines]


def result_text(score: Score) -> str:
    """The table, then every utterance with its alignment."""
    lines = [table(score), ""]
    for utterance, alignment in score.alignments.items():
        counts = alignment.counts()
        numbers = (counts.correct, counts.substitutions, counts.deletions, counts.insertions)
        speaker = f"{score.speakers[utterance]} " if score.speakers else ""
        lines += ["", f"id: ({speaker}{utterance})", f"Scores: (#C #S #D #I) {' '.join(map(str, numbers))}"]
        lines += _aligned_lines(alignment)
    return "\n".join(lines) + "\n"


def result_json(score: Score) -> dict:
    """Counts and percentages of the sum, and for each utterance [words, errors], which intervals are computed from."""
    total = score.total()
    names = ("Snt", "Wrd", "correct", "substitutions", "deletions", "insertions", "sentence_errors")
    utterances = {}
    for utterance, alignment in score.alignments.items():
        counts = alignment.counts()
        utterances[utterance] = [counts.words, counts.errors]
    return dict(zip(names, total.as_tuple(), strict=True)) | total.percentages() | {"utterances": utterances}


def write_score(score: Score, folder: Path) -> None:
    """Write ``result.txt`` and ``result.json`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(result_json(score), ensure_ascii=False)
    write_text_atomically(folder / "result.json", content + "\n")
    write_text_atomically(folder / "result.txt", result_text(score))
