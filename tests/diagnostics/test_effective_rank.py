"""RankMe on vectors of known rank and against its definition by singular values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_birq.diagnostics.effective_rank import rankme


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 1000))
def test_it_is_the_papers_formula(steps: int, width: int, seed: int) -> None:
    vectors = torch.randn(steps, width, generator=torch.Generator().manual_seed(seed))
    values = torch.linalg.svdvals(vectors.double())
    shares = values / values.sum() + 1e-7
    assert rankme(vectors) == pytest.approx(float((-(shares * shares.log())).sum().exp()), rel=1e-3)


def test_orthogonal_vectors_of_equal_length_have_full_rank_and_copies_have_one() -> None:
    assert rankme(torch.eye(12)) == pytest.approx(12)
    assert rankme(torch.ones(50, 12)) == pytest.approx(1)


def test_low_rank_is_seen_under_full_width() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(64, 4, generator=generator))[0]
    vectors = torch.randn(5000, 4, generator=generator) @ mixing.T
    assert rankme(vectors) == pytest.approx(4, rel=0.01)


def test_scale_does_not_matter_and_zero_vectors_have_rank_one() -> None:
    vectors = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    assert rankme(1e3 * vectors) == pytest.approx(rankme(vectors))
    assert rankme(torch.zeros(5, 3)) == 1.0


@pytest.mark.parametrize(
    ("vectors", "message"), [(torch.zeros(0, 3), "no vectors"), (torch.full((2, 2), float("nan")), "not finite")]
)
def test_what_has_no_rank_is_refused(vectors: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rankme(vectors)
