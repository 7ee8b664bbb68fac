"""Weights of the penalty form (Eq 9): w1 for the enhanced label's loss F, w2 for the anchoring label's loss G."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

Points = Sequence[Sequence[float]]


class PenaltyWeights(NamedTuple):
    """What holds at one step.

    Attributes:
        enhanced: w1.
        anchoring: w2; the penalty is gamma = w2 / w1.
        tau: temperature of the enhanced label; None leaves it at the label source's own.
    """

    enhanced: float
    anchoring: float
    tau: float | None = None


class Penalty(ABC):
    """How the two weights, and the temperature, move over training."""

    @abstractmethod
    def weights(self, step: int) -> PenaltyWeights:
        """Weights at an optimizer step, counted from zero."""

    @property
    @abstractmethod
    def uses_enhanced(self) -> bool:
        """Whether the enhanced label is ever weighted; if not, its label pass never runs (BEST-RQ)."""

    @property
    @abstractmethod
    def moves(self) -> bool:
        """Whether anything changes from step to step, and so is worth logging."""


class ConstantPenalty(Penalty):
    """The paper's constant weights.

    Args:
        w1: weight of the enhanced label's loss; 0 is BEST-RQ.
        w2: weight of the anchoring label's loss.

    Raises:
        ValueError: if a weight is negative or both are zero.
    """

    def __init__(self, w1: float = 0.1, w2: float = 2.4) -> None:
        if w1 < 0 or w2 < 0 or w1 + w2 == 0:
            raise ValueError(f"w1 and w2 must not be negative, and not both zero, got w1={w1}, w2={w2}")
        self._weights = PenaltyWeights(float(w1), float(w2))

    def weights(self, step: int) -> PenaltyWeights:
        """The same at every step."""
        return self._weights

    @property
    def uses_enhanced(self) -> bool:
        """True unless w1 is zero."""
        return self._weights.enhanced > 0

    @property
    def moves(self) -> bool:
        """Never."""
        return False


class PiecewisePenalty(Penalty):
    """Weights and temperature that move along straight lines between given points.

    Args:
        w1: a number, or points ``[[step, value], ...]`` by rising step; before the first point its value holds, behind
            the last one that one's.
        w2: likewise.
        tau: likewise; None leaves the temperature at the label source's own.

    Raises:
        ValueError: if the points are not in order, a weight is negative, both are zero somewhere, or tau is not
            positive.
    """

    def __init__(self, w1: float | Points = 0.1, w2: float | Points = 2.4, tau: float | Points | None = None) -> None:
        self._w1, self._w2 = _points("w1", w1), _points("w2", w2)
        self._tau = None if tau is None else _points("tau", tau)
        for name, points in (("w1", self._w1), ("w2", self._w2)):
            if min(value for _, value in points) < 0:
                raise ValueError(f"{name} must not be negative, got {points}")
        if self._tau is not None and min(value for _, value in self._tau) <= 0:
            raise ValueError(f"tau must be positive, got {self._tau}")
        # Both are straight between two neighbouring points of either, so it is enough to look there and half-way.
        steps = sorted({step for points in (self._w1, self._w2) for step, _ in points})
        steps += [(first + second) / 2 for first, second in zip(steps, steps[1:], strict=False)]
        for step in steps:
            if _interpolate(self._w1, step) + _interpolate(self._w2, step) == 0:
                raise ValueError(f"w1 and w2 must not both be zero, but they are at step {step:g}")

    def weights(self, step: int) -> PenaltyWeights:
        """Interpolated between the neighbouring points."""
        tau = None if self._tau is None else _interpolate(self._tau, step)
        return PenaltyWeights(_interpolate(self._w1, step), _interpolate(self._w2, step), tau)

    @property
    def uses_enhanced(self) -> bool:
        """True if w1 is ever positive. The label pass then runs at every step, so that each logs the same numbers."""
        return any(value > 0 for _, value in self._w1)

    @property
    def moves(self) -> bool:
        """Always."""
        return True


class LinearPenalty(PiecewisePenalty):
    """Weights and temperature that move along one straight line each, all over the same steps (BL-JUST's ramp).

    Args:
        steps: how many optimizer steps the ramp takes.
        w1: a number, or ``[from, to]``.
        w2: likewise.
        tau: likewise; None leaves the temperature at the label source's own.
        start: step at which the ramp begins.

    Raises:
        ValueError: as `PiecewisePenalty`, and if the ramp takes no step.
    """

    def __init__(
        self,
        steps: int,
        w1: float | Sequence[float] = (0.0, 0.1),
        w2: float | Sequence[float] = 2.4,
        tau: float | Sequence[float] | None = None,
        start: int = 0,
    ) -> None:
        if steps < 1 or start < 0:
            raise ValueError(f"steps must be at least 1 and start not negative, got {steps} and {start}")

        def ramp(name: str, value: float | Sequence[float]) -> float | Points:
            if isinstance(value, int | float):
                return value
            if len(value) != 2:
                raise ValueError(f"{name} must be a number or [from, to], got {value}")
            return [[start, value[0]], [start + steps, value[1]]]

        super().__init__(ramp("w1", w1), ramp("w2", w2), None if tau is None else ramp("tau", tau))


def _points(name: str, value: float | Points) -> list[tuple[float, float]]:
    if isinstance(value, int | float):
        return [(0.0, float(value))]
    try:
        points = [(float(step), float(at)) for step, at in value]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number or points [[step, value], ...], got {value}") from error
    if not points or any(second[0] <= first[0] for first, second in zip(points, points[1:], strict=False)):
        raise ValueError(f"{name}: the steps of its points must rise, got {value}")
    return points


def _interpolate(points: list[tuple[float, float]], step: float) -> float:
    if step <= points[0][0]:
        return points[0][1]
    for (first, low), (second, high) in zip(points, points[1:], strict=False):
        if step <= second:
            return low + (high - low) * (step - first) / (second - first)
    return points[-1][1]
