"""Small data directories and commands run in process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import soundfile
from corpus_signals import tone

from espnet2_birq.errors import run_command


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., Path]:
    """Write ``data/<name>`` with one tone of ``seconds[utterance]`` per utterance, speaker = part before the hyphen."""

    def make(seconds: Mapping[str, float], name: str = "train", text: bool = True, rate: int = 16000) -> Path:
        directory = tmp_path / "data" / name
        directory.mkdir(parents=True)
        (tmp_path / "audio").mkdir(exist_ok=True)
        utterances = sorted(seconds, key=str.encode)
        for utterance in utterances:
            soundfile.write(tmp_path / f"audio/{utterance}.wav", tone(seconds[utterance], rate), rate)
        tables = {
            "wav.scp": [f"{utterance} {tmp_path}/audio/{utterance}.wav" for utterance in utterances],
            "utt2spk": [f"{utterance} {utterance.split('-')[0]}" for utterance in utterances],
        }
        if text:
            tables["text"] = [f"{utterance} words of {utterance.lower()}" for utterance in utterances]
        for file, lines in tables.items():
            (directory / file).write_text("".join(f"{line}\n" for line in lines))
        return directory

    return make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command of the package in this process: exit status, standard output, standard error."""

    def run_it(verb: str, *arguments: object) -> tuple[int, str, str]:
        module = importlib.import_module(f"espnet2_birq.bin.{verb}")
        monkeypatch.setattr(sys, "argv", [verb, *map(str, arguments)])
        status = 0
        try:
            run_command(verb, module.main)
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_it
