from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from espnet2_birq.corpus.data_dir import validate_data_dir
from espnet2_birq.corpus.format_recording import FormatOptions
from espnet2_birq.corpus.formatting import format_data_dir
from espnet2_birq.corpus.tables import read_table

MakeSet = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def formatted(make_set: MakeSet, tmp_path: Path) -> Path:
    """Lengths 0.05 s to 2 s; ``a-empty`` has an empty transcript, ``a-none`` has none."""
    seconds = {"a-short": 0.05, "a-good": 0.5, "a-empty": 0.5, "a-none": 0.5, "b-good": 1.0, "b-long": 2.0}
    directory = make_set(seconds)
    lines = (directory / "text").read_text().splitlines()
    kept = [line.split()[0] if line.startswith("a-empty") else line for line in lines if not line.startswith("a-none")]
    (directory / "text").write_text("".join(f"{line}\n" for line in kept))
    format_data_dir(directory, tmp_path / "org", FormatOptions())
    return tmp_path / "org"


def test_what_is_left_out_is_listed_with_its_reason_and_counted(formatted: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "dump"
    limits = ("--min_seconds", 0.1, "--max_seconds", 1.5)
    status, output, _ = run("birq_filter", "--data_dir", formatted, "--out_dir", out, *limits, "--text", "true")
    assert status == 0
    assert validate_data_dir(out, text=True).utterances == ["a-good", "b-good"]
    assert list(read_table(out / "utt2num_samples")) == ["a-good", "b-good"]
    assert (out / "feats_type").read_text() == "raw\n"
    assert (out / "audio_format").read_text() == "flac\n"
    assert (out / "dropped.tsv").read_text().splitlines() == [
        "a-empty\tempty transcript",
        "a-none\tno transcript",
        "a-short\tshorter than 0.1 s: 0.050 s",
        "b-long\tlonger than 1.5 s: 2.000 s",
    ]
    assert "2 utterances kept, 0.00 h; 4 left out" in output
    for reason in ("1 empty transcript", "1 no transcript", "1 shorter than 0.1 s", "1 longer than 1.5 s"):
        assert f"  {reason}\n" in output


def test_pretraining_needs_no_transcripts(formatted: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "dump"
    assert run("birq_filter", "--data_dir", formatted, "--out_dir", out, "--text", "false")[0] == 0
    assert len(read_table(out / "wav.scp")) == 5


def test_what_stage_3_left_out_is_reported_again(make_set: MakeSet, run: Run, tmp_path: Path) -> None:
    directory = make_set({"a-1": 0.2, "a-2": 0.2})
    (tmp_path / "audio/a-2.wav").write_bytes(b"")
    format_data_dir(directory, tmp_path / "org", FormatOptions(skip_bad=True))
    status, output, _ = run("birq_filter", "--data_dir", tmp_path / "org", "--out_dir", tmp_path / "dump")
    assert status == 0
    assert "  1 unusable audio\n" in output
    assert (tmp_path / "dump/dropped.tsv").read_text().startswith("a-2\tunusable audio: ")


def test_doing_it_again_gives_the_same(formatted: Path, run: Run, tmp_path: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "dump").iterdir()}

    run("birq_filter", "--data_dir", formatted, "--out_dir", tmp_path / "dump")
    before = contents()
    run("birq_filter", "--data_dir", formatted, "--out_dir", tmp_path / "dump")
    assert contents() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--min_seconds", 5, "--max_seconds", 10), "no utterance is left (6 shorter than 5 s); widen the limits"),
        (("--min_seconds", 2, "--max_seconds", 1), "need 0 <= min < max"),
    ],
)
def test_limits_that_leave_nothing_are_refused(
    formatted: Path, run: Run, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    status, _, error = run("birq_filter", "--data_dir", formatted, "--out_dir", tmp_path / "dump", *arguments)
    assert status == 1
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "dump").exists()


def test_a_set_is_not_filtered_into_itself(formatted: Path, run: Run) -> None:
    status, _, error = run("birq_filter", "--data_dir", formatted, "--out_dir", formatted)
    assert status == 1
    assert "--out_dir is --data_dir" in error


def test_a_set_that_was_not_formatted_is_refused(make_set: MakeSet, run: Run, tmp_path: Path) -> None:
    status, _, error = run("birq_filter", "--data_dir", make_set({"a-1": 0.2}), "--out_dir", tmp_path / "dump")
    assert status == 1
    assert "utt2num_samples: no such file" in error
