"""The linear CTC probe on vectors that spell their text, and on vectors that do not."""

from __future__ import annotations

import numpy as np
import torch

from espnet2_birq.diagnostics.probe import ctc_probe

ALPHABET = "abcd "


def texts(count: int) -> dict[str, str]:
    random = np.random.default_rng(0)
    return {f"utt{n:02}": "a" + "".join(random.choice(list("abcd"), size=5)) + " ba" for n in range(count)}


def spelled(text: str) -> torch.Tensor:
    """Three steps for each character, one of them blank, as one-hot vectors with noise."""
    rows = [row for character in text for row in (1 + ALPHABET.index(character),) * 2 + (0,)]
    generator = torch.Generator().manual_seed(len(text))
    return torch.nn.functional.one_hot(torch.tensor(rows), 6) + 0.05 * torch.randn(len(rows), 6, generator=generator)


def test_vectors_that_spell_the_text_are_read_without_errors() -> None:
    transcripts = texts(25)
    result = ctc_probe({name: spelled(text) for name, text in transcripts.items()}, transcripts, updates=300)
    assert result.cer < 0.02
    assert (result.train_utterances, result.test_utterances) == (20, 5)


def test_vectors_of_noise_tell_nothing() -> None:
    transcripts = texts(25)
    generator = torch.Generator().manual_seed(0)
    vectors = {name: torch.randn(3 * len(text), 6, generator=generator) for name, text in transcripts.items()}
    assert ctc_probe(vectors, transcripts, updates=100).cer > 0.5


def test_texts_that_do_not_fit_and_missing_texts_are_left_out() -> None:
    assert ctc_probe({"a": torch.zeros(3, 2)}, {}) is None
    assert ctc_probe({"a": torch.zeros(3, 2), "b": torch.zeros(2, 2)}, {"a": "x", "b": "much too long"}) is None
