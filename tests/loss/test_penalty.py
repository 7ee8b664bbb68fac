"""Weights by step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from espnet2_birq.loss import ConstantPenalty, LinearPenalty, PiecewisePenalty


def test_the_papers_weights_are_the_default() -> None:
    assert ConstantPenalty().weights(0) == (0.1, 2.4, None)
    assert ConstantPenalty().weights(10**6) == (0.1, 2.4, None)
    assert ConstantPenalty().uses_enhanced


def test_best_rq_is_a_zero_weight() -> None:
    assert not ConstantPenalty(w1=0, w2=1).uses_enhanced
    assert not LinearPenalty(10, w1=0, w2=[1, 2]).uses_enhanced
    assert not PiecewisePenalty(w1=0, w2=1).uses_enhanced


@pytest.mark.parametrize(("w1", "w2"), [(-0.1, 1), (1, -1), (0, 0)])
def test_useless_weights_are_refused(w1: float, w2: float) -> None:
    with pytest.raises(ValueError, match=f"w1={w1}, w2={w2}"):
        ConstantPenalty(w1, w2)


def test_a_ramp_is_straight_and_holds_its_ends() -> None:
    ramp = LinearPenalty(10, w1=[0, 0.2], w2=2.4, tau=[1.0, 0.5], start=5)
    assert ramp.weights(0) == ramp.weights(5) == (0.0, 2.4, 1.0)
    assert ramp.weights(10) == pytest.approx((0.1, 2.4, 0.75))
    assert ramp.weights(15) == ramp.weights(10**6) == (0.2, 2.4, 0.5)
    assert ramp.uses_enhanced
    assert ramp.moves
    assert not ConstantPenalty().moves


def test_points_are_joined_by_straight_lines() -> None:
    penalty = PiecewisePenalty(w1=[[10, 0.0], [20, 0.4], [40, 0.2]], w2=1)
    values = [penalty.weights(step).enhanced for step in (0, 10, 15, 20, 30, 40, 99)]
    assert values == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.3, 0.2, 0.2])
    assert penalty.weights(15).tau is None


def test_a_ramp_is_the_piecewise_schedule_of_two_points() -> None:
    ramp, points = LinearPenalty(8, w1=[0, 1], w2=[3, 2]), PiecewisePenalty([[0, 0], [8, 1]], [[0, 3], [8, 2]])
    assert [ramp.weights(step) for step in range(12)] == [points.weights(step) for step in range(12)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearPenalty(0), "steps must be at least 1"),
        (lambda: LinearPenalty(5, w1=[0, 1, 2]), r"w1 must be a number or \[from, to\]"),
        (lambda: LinearPenalty(5, w1=[0.1, -0.1]), "w1 must not be negative"),
        (lambda: LinearPenalty(5, tau=[1, 0]), "tau must be positive"),
        (lambda: LinearPenalty(5, w1=[0, 1], w2=0), "must not both be zero, but they are at step 0"),
        (lambda: PiecewisePenalty(w1=[[5, 1], [5, 2]]), "w1: the steps of its points must rise"),
        (lambda: PiecewisePenalty(w2=[1, 2]), r"w2 must be a number or points \[\[step, value\], ...\]"),
        (lambda: PiecewisePenalty(w1=[]), "w1: the steps of its points must rise"),
        (lambda: PiecewisePenalty(w1=[[0, 1], [4, 0], [8, 0]], w2=[[4, 0], [8, 0], [9, 1]]), "at step 4"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
