from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from espnet2_birq.corpus.data_dir import DataDir, Segment, read_data_dir, validate_data_dir, write_data_dir
from espnet2_birq.errors import BadInputError

MakeSet = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


def test_a_good_set_is_called_good(make_set: MakeSet, run: Run) -> None:
    directory = make_set({"a-1": 0.2, "a-2": 0.2, "b-1": 0.2})
    status, output, _ = run("birq_validate", "--data_dir", directory, "--text", "true")
    assert status == 0
    assert "3 utterances of 2 speakers, 3 transcripts: good" in output


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("utt2spk", "a-1 a\na-1 a\n", "utt2spk:2: duplicate key 'a-1'"),
        ("utt2spk", "a-2 a\na-1 a\n", "utt2spk:2: not sorted: 'a-1' comes after 'a-2'"),
        ("utt2spk", "a-1 a\n", "wav.scp:2: 'a-2' has no line in"),
        ("utt2spk", "a-1 a\na-2 a\na-3 a\n", "utt2spk:3: 'a-3' has no line in"),
        ("text", "a-1 words\na-2\n", "text:2: 'a-2' has an empty transcript"),
        ("text", "a-1 words\n", "utt2spk:2: 'a-2' has no line in"),
        ("text", "a-1 words\na-2 words\na-3 words\n", "text:3: 'a-3' has no line in"),
        ("wav.scp", "a-1 sph2pipe x.sph |\na-2 y.wav\n", "wav.scp:1: 'a-1' is a command (sph2pipe x.sph |)"),
        ("wav.scp", "a-1 /nowhere/x.wav\na-2 y.wav\n", "wav.scp:1: audio file /nowhere/x.wav of 'a-1' does not exist"),
        ("spk2utt", "a a-1\n", "spk2utt:1: utterances of 'a' differ from utt2spk"),
        ("spk2utt", "b a-1 a-2\n", "spk2utt:1: utterances of 'b' differ from utt2spk"),
        ("segments", "a-1 a-1 0.0\n", "segments:1: expected '<utterance> <recording> <start seconds> <end seconds>'"),
        ("segments", "a-1 a-1 0.5 0.5\n", "segments:1: 'a-1' runs from 0.5 s to 0.5 s"),
        ("segments", "a-1 rec 0.0 0.5\n", "segments:1: recording 'rec' is not in wav.scp"),
        ("utt2lang", "a-1 en\na-9 en\n", "utt2lang:2: 'a-9' has no line in"),
    ],
)
def test_each_fault_is_one_line_with_file_and_line_number(
    make_set: MakeSet, run: Run, file: str, content: str, message: str
) -> None:
    directory = make_set({"a-1": 0.1, "a-2": 0.1})
    (directory / file).write_text(content)
    status, _, error = run("birq_validate", "--data_dir", directory, "--text", "true")
    assert status == 1
    assert error.count("\n") == 1
    assert error.startswith("birq_validate: error: ")
    assert message in error


@pytest.mark.parametrize("file", ["wav.scp", "utt2spk", "text"])
def test_a_missing_file_is_named(make_set: MakeSet, run: Run, file: str) -> None:
    directory = make_set({"a-1": 0.1})
    (directory / file).unlink()
    status, _, error = run("birq_validate", "--data_dir", directory, "--text", "true")
    assert status == 1
    assert error.count("\n") == 1
    assert f"{directory / file}: no such file" in error


def test_a_set_without_transcripts_is_good_for_pretraining(make_set: MakeSet) -> None:
    directory = make_set({"a-1": 0.1}, text=False)
    assert validate_data_dir(directory, text=False).text is None


def test_transcripts_of_only_some_utterances_are_good_for_pretraining(make_set: MakeSet) -> None:
    directory = make_set({"a-1": 0.1, "a-2": 0.1})
    (directory / "text").write_text("a-2 words\n")
    assert validate_data_dir(directory, text=False).text == {"a-2": "words"}


def test_a_set_survives_writing_and_reading(tmp_path: Path) -> None:
    data = DataDir(
        {"rec": "/audio/rec.wav"},
        {"a-2": "a", "a-1": "a"},
        {"a-1": Segment("rec", 0.1, 1.23456), "a-2": Segment("rec", 2.0, 3.0)},
        {"text": {"a-1": "x", "a-2": ""}, "utt2lang": {"a-1": "en"}},
    )
    write_data_dir(tmp_path / "set", data)
    assert read_data_dir(tmp_path / "set") == data
    assert (tmp_path / "set/spk2utt").read_text() == "a a-1 a-2\n"


def test_writing_removes_files_that_the_set_no_longer_has(tmp_path: Path) -> None:
    write_data_dir(tmp_path, DataDir({"r": "x"}, {"a": "s"}, {"a": Segment("r", 0, 1)}, {"text": {"a": "x"}}))
    write_data_dir(tmp_path, DataDir({"a": "x"}, {"a": "s"}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spk2utt", "utt2spk", "wav.scp"]


def test_a_subset_keeps_only_the_recordings_it_needs() -> None:
    data = DataDir(
        {"r1": "1.wav", "r2": "2.wav"},
        {"a": "s", "b": "s", "c": "t"},
        {"a": Segment("r1", 0, 1), "b": Segment("r1", 1, 2), "c": Segment("r2", 0, 1)},
        {"text": {"a": "x", "c": "z"}},
    )
    part = data.subset(["a", "b"])
    assert part.recordings == {"r1": "1.wav"}
    assert part.utterances == ["a", "b"]
    assert part.text == {"a": "x"}


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nowhere: no such data directory"):
        read_data_dir(tmp_path / "nowhere")
