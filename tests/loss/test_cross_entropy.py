"""Section 4's cross-entropy against loops over steps and codes, in value and in gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_birq.loss import hard_cross_entropy, soft_cross_entropy

SIZES = {"groups": st.integers(1, 3), "steps": st.integers(1, 4), "codes": st.integers(1, 7)}


def cross_entropy_by_loops(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean over codebooks and steps of -sum_n y_n log softmax(o)_n, in Python floats."""
    terms = []
    for logits_SN, labels_SN in zip(logits.tolist(), labels.tolist(), strict=True):
        for o, y in zip(logits_SN, labels_SN, strict=True):
            log_total = math.log(sum(math.exp(value) for value in o))
            terms.append(-sum(y_n * (o_n - log_total) for y_n, o_n in zip(y, o, strict=True)))
    return sum(terms) / len(terms)


@given(**SIZES, seed=st.integers(0, 2**20))
@settings(max_examples=30, deadline=None)
def test_both_equal_a_loop_over_the_definition(groups: int, steps: int, codes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(groups, steps, codes, generator=generator, dtype=torch.float64)
    soft = torch.softmax(2 * torch.randn(groups, steps, codes, generator=generator, dtype=torch.float64), -1)
    assert float(soft_cross_entropy(logits, soft)) == pytest.approx(cross_entropy_by_loops(logits, soft), rel=1e-10)
    hard = torch.randint(codes, (steps, groups), generator=generator)
    one_hot = torch.nn.functional.one_hot(hard.t(), codes).double()
    assert float(hard_cross_entropy(logits, hard)) == pytest.approx(cross_entropy_by_loops(logits, one_hot), rel=1e-10)
    assert float(soft_cross_entropy(logits, one_hot)) == pytest.approx(float(hard_cross_entropy(logits, hard)))


def test_gradients_equal_finite_differences_through_logits_and_through_labels() -> None:
    logits = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    scores = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda o, s: soft_cross_entropy(o, torch.softmax(s / 0.5, -1)), (logits, scores))


def test_the_loss_is_a_mean_over_steps_so_weights_by_step_count_put_parts_together() -> None:
    logits, labels = torch.randn(1, 10, 5, dtype=torch.float64), torch.randint(5, (10, 1))
    parts = [hard_cross_entropy(logits[:, s], labels[s]) * n for s, n in ((slice(0, 3), 3), (slice(3, 10), 7))]
    assert float(hard_cross_entropy(logits, labels)) == pytest.approx(float(sum(parts)) / 10)
