from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from espnet2_birq.corpus.data_dir import DataDir, Segment, read_data_dir, validate_data_dir
from espnet2_birq.corpus.format_recording import FormatOptions
from espnet2_birq.corpus.formatting import format_data_dir
from espnet2_birq.corpus.speed import perturb_speed
from espnet2_birq.errors import BadInputError

MakeSet = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


def test_copies_are_named_as_kaldi_names_them(make_set: MakeSet, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "data/train_sp"
    directory = make_set({"a-1": 0.2, "a-2": 0.2})
    assert run("birq_perturb", "--data_dir", directory, "--out_dir", out, "--factors", 0.9, 1.0, 1.1)[0] == 0
    data = validate_data_dir(out, text=True)
    assert data.utt2spk == {
        "a-1": "a", "a-2": "a",
        "sp0.9-a-1": "sp0.9-a", "sp0.9-a-2": "sp0.9-a",
        "sp1.1-a-1": "sp1.1-a", "sp1.1-a-2": "sp1.1-a",
    }  # fmt: skip
    assert data.text is not None
    assert data.text["sp0.9-a-1"] == data.text["a-1"]
    assert data.companions["utt2speed"] == {
        "sp0.9-a-1": "0.9", "sp0.9-a-2": "0.9", "sp1.1-a-1": "1.1", "sp1.1-a-2": "1.1",
    }  # fmt: skip


def test_segments_keep_their_recordings() -> None:
    data = DataDir({"rec": "x.wav"}, {"a-1": "a"}, {"a-1": Segment("rec", 0.0, 1.0)})
    copies = perturb_speed(data, [0.9, 1.0])
    assert copies.recordings == {"rec": "x.wav"}
    assert copies.segments == {"a-1": Segment("rec", 0.0, 1.0), "sp0.9-a-1": Segment("rec", 0.0, 1.0)}


def test_the_original_is_a_copy_only_where_asked_for() -> None:
    assert perturb_speed(DataDir({"a-1": "x"}, {"a-1": "a"}), [1.1, 1.1]).utterances == ["sp1.1-a-1"]


@pytest.mark.parametrize("factor", [0.0, -1.0, 9.0, float("nan")])
def test_an_absurd_factor_is_refused(make_set: MakeSet, run: Run, tmp_path: Path, factor: float) -> None:
    directory = make_set({"a-1": 0.1})
    status, _, error = run("birq_perturb", "--data_dir", directory, "--out_dir", tmp_path / "sp", f"--factors={factor}")
    assert status == 1
    assert f"--factors: {factor} is not between" in error


def test_copies_are_not_perturbed_again(make_set: MakeSet, run: Run, tmp_path: Path) -> None:
    run("birq_perturb", "--data_dir", make_set({"a-1": 0.1}), "--out_dir", tmp_path / "sp", "--factors", 0.9)
    with pytest.raises(BadInputError, match="has other speeds already"):
        perturb_speed(read_data_dir(tmp_path / "sp"), [1.1])


def test_a_speed_that_is_no_number_is_named(make_set: MakeSet, tmp_path: Path) -> None:
    directory = make_set({"a-1": 0.1})
    (directory / "utt2speed").write_text("a-1 fast\n")
    with pytest.raises(BadInputError, match="utt2speed:1: 'fast' is not a speed factor"):
        format_data_dir(directory, tmp_path / "dump", FormatOptions())
