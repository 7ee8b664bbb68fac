"""The masked-prediction losses and their penalty combination. Plain PyTorch, no ESPnet."""

from espnet2_birq.loss.birq import BiRQLoss
from espnet2_birq.loss.cross_entropy import hard_cross_entropy, soft_cross_entropy
from espnet2_birq.loss.penalty import ConstantPenalty, Penalty, PenaltyWeights

__all__ = [
    "BiRQLoss",
    "ConstantPenalty",
    "Penalty",
    "PenaltyWeights",
    "hard_cross_entropy",
    "soft_cross_entropy",
]
