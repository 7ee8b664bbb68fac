"""Eq 4: Gumbel-softmax over the codes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_birq.labels import gumbel_softmax_labels
from espnet2_birq.labels.selection import code_scores, nearest_codes


def soft_label_by_loops(u: list[float], codes: list[list[float]], q: list[float], tau: float, sign: int) -> list[float]:
    """Eq 4 as written for one step, with the draws q given; sign -1 is the printed one, +1 the standard, 0 none."""
    scores = []
    for code, draw in zip(codes, q, strict=True):
        distance = sum((u_c - c) ** 2 for u_c, c in zip(u, code, strict=True))
        scores.append((-distance + sign * -math.log(-math.log(draw))) / tau)
    largest = max(scores)
    total = sum(math.exp(score - largest) for score in scores)
    return [math.exp(score - largest) / total for score in scores]


@given(
    steps=st.integers(1, 4),
    code_dim=st.integers(1, 5),
    num_codes=st.integers(1, 9),
    tau=st.floats(0.05, 5.0),
    noise=st.sampled_from(["printed", "gumbel", "none"]),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=40, deadline=None)
def test_soft_labels_equal_a_loop_over_equation_4(
    steps: int, code_dim: int, num_codes: int, tau: float, noise: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(steps, code_dim, generator=generator, dtype=torch.float64)
    codes = torch.randn(num_codes, code_dim, generator=generator, dtype=torch.float64)
    labels = gumbel_softmax_labels(u, codes, tau, noise, torch.Generator().manual_seed(seed))
    exponential = torch.empty(steps, num_codes, dtype=torch.float64)
    q = exponential.exponential_(generator=torch.Generator().manual_seed(seed)).neg().exp()
    sign = {"printed": -1, "gumbel": 1, "none": 0}[noise]
    for t in range(steps):
        expected = soft_label_by_loops(u[t].tolist(), codes.tolist(), q[t].tolist(), tau, sign)
        assert labels[t].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_standard_noise_samples_codes_with_their_softmax_probability() -> None:
    """Gumbel-max: what sets ``gumbel`` apart from the printed sign."""
    u, codes = torch.tensor([[0.2, -0.4]]), torch.tensor([[0.0, 0.0], [0.5, 0.5], [1.0, -1.0], [-0.7, 0.3]])
    draws = 40_000
    generator = torch.Generator().manual_seed(0)
    labels = gumbel_softmax_labels(u.expand(draws, 2), codes, 0.5, "gumbel", generator)
    share = torch.bincount(labels.argmax(-1), minlength=4) / draws
    probability = torch.softmax(-(u - codes).square().sum(-1), -1)
    assert torch.allclose(share, probability, atol=4 * 0.5 / math.sqrt(draws))
    printed = gumbel_softmax_labels(u.expand(draws, 2), codes, 0.5, "printed", generator)
    assert not torch.allclose(torch.bincount(printed.argmax(-1), minlength=4) / draws, probability, atol=0.02)


def test_without_noise_the_largest_entry_is_the_nearest_code() -> None:
    u, codes = torch.randn(50, 8), torch.randn(30, 8)
    assert torch.equal(gumbel_softmax_labels(u, codes, 0.5, "none").argmax(-1), nearest_codes(u, codes))


def test_scores_are_distances_up_to_a_constant_of_the_step() -> None:
    u, codes = torch.randn(5, 8, dtype=torch.float64), torch.randn(7, 8, dtype=torch.float64)
    constant = code_scores(u, codes) + torch.cdist(u, codes).square()
    assert torch.allclose(constant, u.square().sum(-1, keepdim=True).expand_as(constant))


def test_extreme_noise_gives_finite_labels() -> None:
    labels = gumbel_softmax_labels(torch.randn(3000, 4), torch.randn(100, 4), 1e-3, "printed")
    assert torch.isfinite(labels).all()
    assert torch.allclose(labels.sum(-1), torch.ones(3000))


@pytest.mark.parametrize(("conf", "message"), [({"tau": 0.0}, "tau must be positive"), ({"noise": "no"}, "noise must")])
def test_a_wrong_choice_is_named(conf: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gumbel_softmax_labels(torch.zeros(1, 2), torch.zeros(3, 2), **conf)
