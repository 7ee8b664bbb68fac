from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def write_text(path: Path, sentences: list[str]) -> Path:
    path.write_text("".join(f"u{number:03d} {sentence}".rstrip() + "\n" for number, sentence in enumerate(sentences)))
    return path


@pytest.fixture
def text(tmp_path: Path) -> Path:
    words = ["press", "one", "to", "hear", "the", "next", "message", "or", "hang", "up", "věc", "déjà"]
    return write_text(tmp_path / "text", [" ".join(words[i % 12 :] + words[: i % 5]) for i in range(60)])


def test_characters_come_by_falling_count_between_the_special_tokens(run: Run, tmp_path: Path) -> None:
    text = write_text(tmp_path / "text", ["bb a", "b č", "", "b"])
    assert run("birq_tokens", "--text", text, "--token_type", "char", "--out_dir", tmp_path / "tokens")[0] == 0
    tokens = (tmp_path / "tokens/tokens.txt").read_text().splitlines()
    assert tokens == ["<blank>", "<unk>", "b", "<space>", "a", "č", "<sos/eos>"]


def test_bpe_tokens_are_as_many_as_asked_for_and_make_up_the_text(run: Run, text: Path, tmp_path: Path) -> None:
    import sentencepiece

    out = tmp_path / "tokens"
    assert run("birq_tokens", "--text", text, "--token_type", "bpe", "--nbpe", 28, "--out_dir", out)[0] == 0
    tokens = (out / "tokens.txt").read_text().splitlines()
    assert len(tokens) == len(set(tokens)) == 28
    assert (tokens[0], tokens[1], tokens[-1]) == ("<blank>", "<unk>", "<sos/eos>")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(out / "bpe.model"))
    sentence = "press one věc déjà"
    pieces = processor.encode(sentence, out_type=str)
    assert set(pieces) <= set(tokens)
    assert processor.decode(pieces) == sentence


@pytest.mark.parametrize("token_type", ["char", "bpe"])
def test_the_same_text_gives_the_same_bytes(run: Run, text: Path, tmp_path: Path, token_type: str) -> None:
    contents = []
    for name in ("one", "two"):
        arguments = ("--token_type", token_type, "--nbpe", 28, "--out_dir", tmp_path / name)
        assert run("birq_tokens", "--text", text, *arguments)[0] == 0
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]


@pytest.mark.parametrize(("num_bpe", "message"), [(9999, r"use --nbpe \d+ or less"), (5, "use a larger --nbpe")])
def test_a_number_of_bpe_tokens_that_cannot_be_is_refused(
    run: Run, text: Path, tmp_path: Path, num_bpe: int, message: str
) -> None:
    arguments = ("--token_type", "bpe", "--nbpe", num_bpe, "--out_dir", tmp_path / "tokens")
    status, _, error = run("birq_tokens", "--text", text, *arguments)
    assert status == 1
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not (tmp_path / "tokens/tokens.txt").exists()


@pytest.mark.parametrize("token_type", ["char", "bpe"])
def test_a_character_outside_the_tokens_is_named_with_its_utterance(
    run: Run, text: Path, tmp_path: Path, token_type: str
) -> None:
    out = tmp_path / "tokens"
    run("birq_tokens", "--text", text, "--token_type", token_type, "--nbpe", 28, "--out_dir", out)
    other = write_text(tmp_path / "other", ["press one", "press ß and ß", "7"])
    status, _, error = run("birq_tokens", "--out_dir", out, "--check", text, other)
    assert status == 1
    assert error.count("\n") == 1
    assert f"{other}: utterance 'u001' has 'ß' (U+00DF)" in error
    assert "(2 such utterance(s))" in error
    status, _, error = run("birq_tokens", "--out_dir", out, "--check", other, "--unknown_characters", "warn")
    assert status == 0
    assert error.startswith("birq_tokens: warning: ")
    assert run("birq_tokens", "--out_dir", out, "--check", text)[0] == 0


def test_transcripts_that_are_all_empty_are_refused(run: Run, tmp_path: Path) -> None:
    status, _, error = run("birq_tokens", "--text", write_text(tmp_path / "text", ["", ""]), "--out_dir", tmp_path)
    assert status == 1
    assert "all transcripts are empty" in error


def test_nothing_to_do_is_an_error(run: Run, tmp_path: Path) -> None:
    status, _, error = run("birq_tokens", "--out_dir", tmp_path)
    assert status == 1
    assert "give --text" in error


def test_a_check_without_a_token_list_names_the_missing_file(run: Run, text: Path, tmp_path: Path) -> None:
    status, _, error = run("birq_tokens", "--out_dir", tmp_path / "none", "--check", text)
    assert status == 1
    assert "tokens.txt: no such file" in error
