from __future__ import annotations

from pathlib import Path

import pytest

from espnet2_birq.bin import birq_results
from espnet2_birq.decode import report, scoring
from espnet2_birq.decode.results import compare, comparison_table, results_markdown
from espnet2_birq.errors import BadInputError

REFERENCES = {f"utt{number}": "one two three four" for number in range(20)}


def write_scores(folder: Path, wrong: int) -> None:
    """Scores of a system that misses one word in each of the first ``wrong`` utterances."""
    hypotheses = {
        utterance: "one two three" if number < wrong else "one two three four"
        for number, utterance in enumerate(REFERENCES)
    }
    for kind, tokenize in (("wer", scoring.split_words), ("cer", scoring.split_characters)):
        report.write_score(scoring.score(REFERENCES, hypotheses, tokenize, {}), folder / f"score_{kind}")


@pytest.fixture
def expdir(tmp_path: Path) -> Path:
    write_scores(tmp_path / "asr_a/decode_x/test", wrong=20)
    write_scores(tmp_path / "asr_b/decode_x/test", wrong=5)
    return tmp_path


def test_results_have_the_layout_of_espnet(expdir: Path) -> None:
    birq_results.main(["--expdir", str(expdir)])
    lines = (expdir / "RESULTS.md").read_text().splitlines()
    assert lines[1:3] == ["# RESULTS", "## Environments"]
    assert [line.split(":")[0] for line in lines[3:9]] == [
        "- date",
        "- python version",
        "- espnet version",
        "- pytorch version",
        "- Git hash",
        "  - Commit date",
    ]
    assert f"## {expdir}/asr_a" in lines
    assert "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|" in lines
    assert "|decode_x/test|20|80|75.0|0.0|25.0|0.0|25.0|100.0|" in lines


def test_one_experiment_has_results_of_its_own(expdir: Path) -> None:
    text = results_markdown(expdir / "asr_b")
    assert "|decode_x/test|20|80|93.8|0.0|6.2|0.0|6.2|25.0|" in text
    assert "asr_a" not in text


def test_no_scores_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="run stage 12 first"):
        results_markdown(tmp_path)


def test_the_comparison_gives_relative_changes_with_intervals(expdir: Path) -> None:
    table = comparison_table({"scratch": expdir / "asr_a", "BiRQ": expdir / "asr_b"}, None, "test")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert rows[0][0] == "test"
    assert rows[2][:3] == ["scratch", "25.0 [25.0, 25.0]", ""]
    assert rows[3][1].startswith("6.2 [")
    assert rows[3][2].startswith("-75.0 % [")


def test_the_raw_rows_of_a_comparison_are_the_scores(expdir: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    birq_results.main(["--compare", f"BiRQ={expdir / 'asr_b'}", "--set", "test", "--csv", str(path)])
    lines = path.read_text().splitlines()
    assert lines[0] == "system,set,kind,Snt,Wrd,Corr,Sub,Del,Ins,Err,S.Err"
    assert lines[1].startswith("BiRQ,test,WER,20,80,")
    assert lines[1].endswith(",6.25,25.0")


def test_intervals_hold_the_estimate_and_are_the_same_every_time() -> None:
    def result(errors: list[int]) -> dict:
        rate = 100.0 * sum(errors) / (4 * len(errors))
        return {"Err": rate, "utterances": {f"u{number}": [4, count] for number, count in enumerate(errors)}}

    systems = [result([2, 1, 0, 1] * 10), result([1, 1, 0, 0] * 10)]
    first, second = compare(systems)
    assert first.relative is None
    assert second.relative is not None
    change, low, high = second.relative
    assert change == -50.0
    assert low < change < high < 0
    assert second.interval[0] < second.error < second.interval[1]
    assert compare(systems) == [first, second]


def test_systems_scored_on_other_utterances_are_not_compared() -> None:
    with pytest.raises(BadInputError, match="not scored on the same utterances"):
        compare([{"Err": 1.0, "utterances": {"a": [1, 1]}}, {"Err": 1.0, "utterances": {"b": [1, 1]}}])


def test_several_decodings_of_a_set_have_to_be_chosen_from(expdir: Path) -> None:
    write_scores(expdir / "asr_a/decode_y/test", wrong=1)
    with pytest.raises(BadInputError, match=r"several ways \(decode_x, decode_y\): choose with --decoding"):
        comparison_table({"scratch": expdir / "asr_a"}, None, "test")
    assert "1.2 [" in comparison_table({"scratch": expdir / "asr_a"}, "decode_y", "test")
