from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_birq.bin import birq_score
from espnet2_birq.decode import report, scoring
from espnet2_birq.errors import BadInputError, run_command

SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "dé", "本"]), max_size=7)


def slow_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest edits, by trying everything at the first token."""
    if not reference or not hypothesis:
        return len(reference) + len(hypothesis)
    substitution = slow_distance(reference[1:], hypothesis[1:]) + (reference[0] != hypothesis[0])
    return min(substitution, slow_distance(reference[1:], hypothesis) + 1, slow_distance(reference, hypothesis[1:]) + 1)


def score_text(ref: str, hyp: str, tokenize: scoring.Tokenizer = scoring.split_words) -> scoring.Counts:
    return scoring.score({"u": ref}, {"u": hyp}, tokenize, {}).total()


@given(SENTENCES, SENTENCES)
def test_errors_are_the_fewest_edits(reference: list[str], hypothesis: list[str]) -> None:
    counts = scoring.align(reference, hypothesis).counts()
    assert counts.errors == slow_distance(reference, hypothesis)


@given(SENTENCES, SENTENCES)
def test_an_alignment_spells_both_sides(reference: list[str], hypothesis: list[str]) -> None:
    pairs = scoring.align(reference, hypothesis).pairs
    assert [ref for ref, _ in pairs if ref is not None] == reference
    assert [hyp for _, hyp in pairs if hyp is not None] == hypothesis
    counts = scoring.align(reference, hypothesis).counts()
    assert counts.words == len(reference) == counts.correct + counts.substitutions + counts.deletions
    assert counts.sentence_errors == (reference != hypothesis)


@pytest.mark.parametrize(
    ("ref", "hyp", "expected"),
    [  # correct, substitutions, deletions, insertions
        ("the cat sat", "the cat sat", (3, 0, 0, 0)),
        ("the cat sat", "the bat sat", (2, 1, 0, 0)),
        ("the cat sat", "the sat", (2, 0, 1, 0)),
        ("the cat sat", "the cat sat down", (3, 0, 0, 1)),
        ("the cat sat", "", (0, 0, 3, 0)),
        ("", "the cat", (0, 0, 0, 2)),
    ],
)
def test_hand_worked_word_errors(ref: str, hyp: str, expected: tuple[int, ...]) -> None:
    counts = score_text(ref, hyp)
    assert (counts.correct, counts.substitutions, counts.deletions, counts.insertions) == expected


def test_character_errors_count_the_space_and_composed_characters() -> None:
    counts = score_text("é a", "e\u0301a", scoring.split_characters)
    assert (counts.words, counts.correct, counts.deletions) == (3, 2, 1)
    assert scoring.split_characters("ja  你") == ["j", "a", "<space>", "你"]


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def run_score(tmp_path: Path, *more: str) -> None:
    files = ["--ref", str(tmp_path / "ref"), "--hyp", str(tmp_path / "hyp"), "--out_dir", str(tmp_path / "out")]
    run_command("birq_score", lambda: birq_score.main([*files, *more]))


def test_a_missing_hypothesis_counts_as_deleted_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "ref", "a one two", "b three")
    write(tmp_path / "hyp", "a one two")
    run_score(tmp_path)
    result = json.loads((tmp_path / "out/score_wer/result.json").read_text())
    assert (result["Wrd"], result["deletions"], result["Snt"]) == (3, 1, 2)
    assert result["S.Err"] == 50.0
    assert "warning" in (error := capsys.readouterr().err)
    assert "1 of 2 utterances have no hypothesis" in error


@pytest.mark.parametrize(
    ("hypotheses", "complaint"),
    [
        (["a one", "c x"], "1 hypotheses have no reference, first c"),
        (["a one", "a two"], "duplicate key 'a'"),
        (["b one", "a two"], "not sorted"),
    ],
)
def test_hypotheses_that_do_not_belong_are_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hypotheses: list[str], complaint: str
) -> None:
    write(tmp_path / "ref", "a one", "b two")
    write(tmp_path / "hyp", *hypotheses)
    with pytest.raises(SystemExit) as caught:
        run_score(tmp_path)
    assert caught.value.code == 1
    assert complaint in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_set_without_a_single_word_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "ref", "a")
    write(tmp_path / "hyp", "a one")
    with pytest.raises(SystemExit):
        run_score(tmp_path)
    assert "not a single token" in capsys.readouterr().err


def test_speakers_have_lines_of_their_own_that_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "ref", "s1-a one two", "s1-b three", "s2-a four")
    write(tmp_path / "hyp", "s1-a one", "s1-b three", "s2-a five six")
    write(tmp_path / "utt2spk", "s1-a s1", "s1-b s1", "s2-a s2")
    run_score(tmp_path, "--utt2spk", str(tmp_path / "utt2spk"))
    rows = [line.replace("|", " ").split() for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    words = {row[0]: row[1:] for row in rows[:4]}
    assert words["s1"] == ["2", "3", "66.7", "0.0", "33.3", "0.0", "33.3", "50.0"]
    assert words["s2"] == ["1", "1", "0.0", "100.0", "0.0", "100.0", "200.0", "100.0"]
    assert words["Sum/Avg"] == ["3", "4", "50.0", "25.0", "25.0", "25.0", "75.0", "66.7"]


def test_the_aligned_lines_stand_below_each_other() -> None:
    score = scoring.score({"u": "the cat 你 sat quite"}, {"u": "the bat sat quite on"}, scoring.split_words, {})
    text = report.result_text(score)
    assert "id: (u)\nScores: (#C #S #D #I) 3 1 1 1\n" in text
    assert "REF:  the CAT 你 sat quite **\n" in text
    assert "HYP:  the BAT ** sat quite ON\n" in text
    assert "Eval:     S   D            I\n" in text


def test_case_may_be_ignored(tmp_path: Path) -> None:
    write(tmp_path / "ref", "a One")
    write(tmp_path / "hyp", "a oNE")
    run_score(tmp_path, "--ignore_case", "true")
    assert json.loads((tmp_path / "out/score_wer/result.json").read_text())["Err"] == 0.0


def test_an_unreadable_sentencepiece_model_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "bpe.model", "no model")
    with pytest.raises(BadInputError, match="not a sentencepiece model"):
        scoring.sentencepiece_tokenizer(tmp_path / "bpe.model")
