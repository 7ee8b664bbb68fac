"""Properties that every mask has, whatever the lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from espnet2_birq.masking import SpanMasker

LENGTHS = st.lists(st.integers(1, 120), min_size=1, max_size=8)


def runs(mask: list[bool]) -> list[tuple[int, int]]:
    """(start, length) of each unbroken run of masked steps."""
    found, start = [], None
    for t, masked in enumerate([*mask, False]):
        if masked and start is None:
            start = t
        elif not masked and start is not None:
            found.append((start, t - start))
            start = None
    return found


@given(
    lengths=LENGTHS, probability=st.floats(0, 1), span=st.integers(1, 40), extra=st.integers(0, 9), seed=st.integers(0)
)
@settings(max_examples=100, deadline=None)
def test_every_utterance_is_masked_somewhere_and_padding_nowhere(
    lengths: list[int], probability: float, span: int, extra: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed % 2**31)
    max_length = max(lengths) + extra
    mask = SpanMasker(probability, span).draw(torch.tensor(lengths), max_length, generator)
    assert mask.shape == (len(lengths), max_length)
    assert mask.dtype == torch.bool
    for row, length in zip(mask.tolist(), lengths, strict=True):
        assert any(row[:length])
        assert not any(row[length:])
        for start, size in runs(row):
            # Only the end of the utterance cuts a span short.
            assert size >= span or start + size == length


@given(lengths=LENGTHS, span=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_without_starts_each_utterance_gets_one_whole_span(lengths: list[int], span: int) -> None:
    mask = SpanMasker(0.0, span).draw(torch.tensor(lengths), max(lengths))
    for row, length in zip(mask.tolist(), lengths, strict=True):
        ((_, size),) = runs(row)
        assert size == min(span, length)


def test_a_mask_equals_its_starts_spread_one_by_one() -> None:
    """Against a loop over the starts, which are those of the masker with span 1 and the same draws."""
    lengths, generator = torch.tensor([200, 150, 90]), torch.Generator()
    starts = SpanMasker(0.05, 1).draw(lengths, 200, generator.manual_seed(3))
    mask = SpanMasker(0.05, 7).draw(lengths, 200, generator.manual_seed(3))
    expected = torch.zeros_like(mask)
    for b, t in starts.nonzero().tolist():
        expected[b, t : min(t + 7, int(lengths[b]))] = True
    assert torch.equal(mask, expected)


def test_the_papers_setting_masks_a_third() -> None:
    mask = SpanMasker().draw(torch.full((200,), 1000), 1000, torch.Generator().manual_seed(0))
    assert float(mask.float().mean()) == pytest.approx(1 - 0.98**20, abs=0.01)


def test_short_utterances_are_masked_as_densely_as_long_ones() -> None:
    """No utterance borrows another one's mask or is cut to the shortest."""
    lengths = torch.tensor([1000, 100]).repeat(300)
    mask = SpanMasker().draw(lengths, 1000, torch.Generator().manual_seed(0))
    long, short = mask[0::2].float().mean(), mask[1::2, :100].float().mean()
    assert float(short) == pytest.approx(float(long), abs=0.05)


def test_a_batch_of_a_hundred_takes_as_many_operations_as_a_batch_of_one() -> None:
    """Vectorised: no loop over utterances, and nothing is read back from the device."""

    class Operations(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    counts = []
    for batch in (1, 100):
        lengths, features = torch.full((batch,), 50), torch.zeros(batch, 50, 3)
        with Operations() as operations:
            SpanMasker().fill(features, SpanMasker().draw(lengths, 50))
        counts.append(len(operations.names))
        assert not any("_local_scalar_dense" in name for name in operations.names)
    assert counts[0] == counts[1]


@given(frames=st.integers(1, 60), seed=st.integers(0, 2**20))
@settings(max_examples=20, deadline=None)
def test_fill_changes_masked_frames_only_and_copies(frames: int, seed: int) -> None:
    features = torch.randn(2, frames, 5, generator=torch.Generator().manual_seed(seed))
    before = features.clone()
    masked = torch.rand(2, frames, generator=torch.Generator().manual_seed(seed)) < 0.4
    filled = SpanMasker().fill(features, masked, torch.Generator().manual_seed(seed))
    assert torch.equal(features, before)
    assert torch.equal(filled[~masked], features[~masked])
    assert not (filled[masked] == features[masked]).any()


def test_fill_has_the_given_standard_deviation() -> None:
    filled = SpanMasker(noise_std=0.1).fill(torch.ones(4, 500, 80), torch.ones(4, 500, dtype=torch.bool))
    assert float(filled.mean()) == pytest.approx(0.0, abs=1e-3)
    assert float(filled.std()) == pytest.approx(0.1, rel=0.01)


def test_a_generator_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    masker, generator = SpanMasker(), torch.Generator().manual_seed(0)
    mask = masker.draw(torch.tensor([50, 20]), 50, generator)
    masker.fill(torch.zeros(2, 50, 3), mask, generator)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("conf", [{"start_probability": 1.5}, {"span": 0}, {"noise_std": -0.1}])
def test_a_value_out_of_range_is_named(conf: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(conf))):
        SpanMasker(**conf)
