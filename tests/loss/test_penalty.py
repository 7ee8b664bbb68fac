"""Weights by step."""

from __future__ import annotations

import pytest

from espnet2_birq.loss import ConstantPenalty


def test_the_papers_weights_are_the_default() -> None:
    assert ConstantPenalty().weights(0) == (0.1, 2.4, None)
    assert ConstantPenalty().weights(10**6) == (0.1, 2.4, None)
    assert ConstantPenalty().uses_enhanced


def test_best_rq_is_a_zero_weight() -> None:
    assert not ConstantPenalty(w1=0, w2=1).uses_enhanced


@pytest.mark.parametrize(("w1", "w2"), [(-0.1, 1), (1, -1), (0, 0)])
def test_useless_weights_are_refused(w1: float, w2: float) -> None:
    with pytest.raises(ValueError, match=f"w1={w1}, w2={w2}"):
        ConstantPenalty(w1, w2)
