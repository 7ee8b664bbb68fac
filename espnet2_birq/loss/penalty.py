"""Weights of the penalty form (Eq 9): w1 for the enhanced label's loss F, w2 for the anchoring label's loss G."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple


class PenaltyWeights(NamedTuple):
    """w1 (enhanced) and w2 (anchoring) of one step; the penalty is gamma = w2 / w1."""

    enhanced: float
    anchoring: float


class Penalty(ABC):
    """How the two weights move over training."""

    @abstractmethod
    def weights(self, step: int) -> PenaltyWeights:
        """Weights at an optimizer step, counted from zero."""

    @property
    @abstractmethod
    def uses_enhanced(self) -> bool:
        """Whether the enhanced label is ever weighted; if not, its label pass never runs (BEST-RQ)."""


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
