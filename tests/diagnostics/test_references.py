"""When steps happen and which character belongs to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet2_birq.diagnostics.ctc_alignment import spikes
from espnet2_birq.diagnostics.references import (
    UNKNOWN,
    StepTimes,
    file_reference,
    nearest_classes,
    speech_ends,
    uniform_classes,
    uniform_reference,
)
from espnet2_birq.diagnostics.utterances import Utterance
from espnet2_birq.errors import BadInputError
from espnet2_birq.features import input_layer_subsampling

TIMES = StepTimes(input_layer_subsampling("conv2d"), 0.01, 0.016)


def test_a_step_happens_where_a_click_makes_its_features_loudest(build_tiny: Callable[..., Any]) -> None:
    """With unpadded frames of 512 samples every 160, and two convolutions that halve the rate."""
    model = build_tiny(normalize=None)
    for position in (5000, 8000, 11000):
        wave = torch.zeros(1, 16000)
        wave[0, position] = 1.0
        features, lengths = model.features(wave, torch.tensor([16000]))
        energy = model.subsampling.stack(features.exp(), int(model.subsampling.steps(lengths))).sum(-1)[0]
        times = TIMES(len(energy))
        assert abs(times[int(energy.argmax())] - position / 16000) <= 0.5 * 0.04 + 1e-9


@given(st.integers(1, 50), st.floats(0, 1), st.floats(0.1, 2))
def test_characters_lie_side_by_side_and_equally_long(length: int, start: float, duration: float) -> None:
    times = np.arange(0, 4, 0.001)
    classes = uniform_classes(length, (start, start + duration), times)
    inside = (times >= start) & (times < start + duration)
    assert (classes[~inside] == UNKNOWN).mean() > 0.99
    assert (np.diff(classes[classes >= 0]) >= 0).all()
    if duration / length > 0.01:
        counts = np.bincount(classes[classes >= 0], minlength=length)
        assert len(counts) == length
        assert counts.max() - counts.min() <= 2


def test_silent_ends_are_found_by_energy() -> None:
    samples = np.full(16000, 1e-4)
    samples[4000:9000] = 0.3 * np.sin(np.arange(5000))
    start, end = speech_ends(samples, 16000)
    assert start == pytest.approx(4000 / 16000, abs=0.021)
    assert end == pytest.approx(9000 / 16000, abs=0.021)
    assert speech_ends(np.zeros(16000), 16000) == (0.0, 1.0)
    assert speech_ends(np.ones(3), 16000)[1] > 0


def test_sounds_that_follow_the_transcript_evenly_get_their_characters(speech: list[Utterance]) -> None:
    num_steps = {utterance.name: (len(utterance.samples) - 512) // 160 // 4 - 1 for utterance in speech}
    reference = uniform_reference(speech, TIMES, num_steps, 16000)
    assert reference.names == ("a", "b", "c")
    for utterance in speech:
        row = reference.classes[utterance.name]
        changes = row[np.flatnonzero(np.diff(row, prepend=UNKNOWN))]
        runs = "".join(reference.names[character] for character in changes if character != UNKNOWN)
        letters = utterance.text.replace(" ", "")
        assert runs == "".join(letter for letter, _ in itertools.groupby(letters))
        assert row[0] == UNKNOWN
        assert row[-1] == UNKNOWN


def test_without_a_transcript_there_is_no_reference() -> None:
    silent = [Utterance("a", torch.zeros(16000), None)]
    assert uniform_reference(silent, TIMES, {"a": 10}, 16000) is None


def test_tokens_of_a_ctc_path_are_placed_in_the_middle_of_their_steps() -> None:
    tokens, places = spikes(np.array([0, 0, 5, 5, 0, 5, 7, 0]))
    assert tokens.tolist() == [5, 5, 7]
    assert places.tolist() == [3 / 8, 5.5 / 8, 6.5 / 8]


def test_a_step_gets_the_nearest_token_inside_of_the_speech() -> None:
    times = np.array([0.0, 0.1, 0.3, 0.5, 0.8, 0.95])
    classes = nearest_classes(np.array([3, 4]), np.array([0.2, 0.6]), (0.1, 0.9), times)
    assert classes.tolist() == [UNKNOWN, 3, 3, 4, 4, UNKNOWN]
    assert nearest_classes(np.array([]), np.array([]), (0, 1), np.array([0.5])).tolist() == [UNKNOWN]


def test_phones_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "phones.tsv"
    path.write_text("other\tx,x\nutt\t" + ",".join(["sil"] * 10 + ["AH"] * 10 + ["T"] * 2) + "\n")
    reference = file_reference(path, TIMES, {"utt": 6, "absent": 2})
    assert reference.names == ("AH", "T", "sil")
    shown = [reference.names[phone] if phone >= 0 else None for phone in reference.classes["utt"]]
    assert shown == ["sil", "sil", "AH", "AH", "T", None]  # steps at 41, 81, ... 241 ms
    assert reference.classes["absent"].tolist() == [UNKNOWN] * 2


@pytest.mark.parametrize(("content", "message"), [("utt a,b\n", ":1: expected"), ("other\ta,b\n", "none of the utter")])
def test_a_file_of_another_form_or_set_is_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "phones.tsv"
    path.write_text(content)
    with pytest.raises(BadInputError, match=message):
        file_reference(path, TIMES, {"utt": 3})
