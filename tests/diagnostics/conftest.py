"""A formatted set of synthetic utterances: silence, then bursts of tones and noise in the order of the transcript."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet2_birq.corpus.data_dir import DataDir, write_data_dir
from espnet2_birq.diagnostics.utterances import Utterance, read_utterances

RATE = 16000
SOUND_SECONDS = 0.12
SILENCE_SECONDS = 0.3
TEXTS = ("abba", "ab", "cabac", "bcab cab", "cab", "accb")


def sound(character: str, random: np.random.Generator) -> np.ndarray:
    """A sound that only this character has."""
    time = np.arange(round(SOUND_SECONDS * RATE)) / RATE
    if character == "c":
        return 0.2 * random.standard_normal(len(time))
    pitch = {"a": 300.0, "b": 1500.0}[character]
    return 0.3 * np.sin(2 * np.pi * pitch * time) + 0.01 * random.standard_normal(len(time))


def speak(text: str, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    silence = 1e-4 * random.standard_normal(round(SILENCE_SECONDS * RATE))
    sounds = [sound(character, random) for character in text if character != " "]
    return np.concatenate([silence, *sounds, silence]).astype(np.float32)


@pytest.fixture(scope="session")
def speech_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory of six utterances with transcripts."""
    folder = tmp_path_factory.mktemp("speech")
    data = DataDir({}, {}, None, {"text": {}})
    for number, text in enumerate(TEXTS):
        name = f"utt{number}"
        soundfile.write(folder / f"{name}.flac", speak(text, number), RATE)
        data.recordings[name] = str(folder / f"{name}.flac")
        data.utt2spk[name] = "speaker"
        data.companions["text"][name] = text
    write_data_dir(folder, data)
    return folder


@pytest.fixture
def speech(speech_set: Path) -> list[Utterance]:
    """The same utterances in memory."""
    return read_utterances(speech_set, RATE, shortest=1, most=100)
