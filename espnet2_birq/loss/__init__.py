"""The masked-prediction losses and their penalty combination. Plain PyTorch, no ESPnet."""

from espnet2_birq.loss.birq import BiRQLoss
from espnet2_birq.loss.cross_entropy import hard_cross_entropy, soft_cross_entropy
from espnet2_birq.loss.distillation import CodebookDistillation
from espnet2_birq.loss.penalty import ConstantPenalty, LinearPenalty, Penalty, PenaltyWeights, PiecewisePenalty

__all__ = [
    "BiRQLoss",
    "CodebookDistillation",
    "ConstantPenalty",
    "LinearPenalty",
    "Penalty",
    "PenaltyWeights",
    "PiecewisePenalty",
    "hard_cross_entropy",
    "soft_cross_entropy",
]
