"""Discrete labels for masked prediction, made from unmasked features. Plain PyTorch, no ESPnet.

Shape suffixes used throughout: B utterances, T steps, S selected (masked) steps, I input width, H hidden width of the
label layer, C code width, N codes, G codebooks.
"""

from espnet2_birq.labels.enhanced import EnhancedLabels, LabelStatistics, normalize_hidden
from espnet2_birq.labels.quantizer import RandomProjectionQuantizer
from espnet2_birq.labels.selection import code_scores, gumbel_softmax_labels, nearest_codes

__all__ = [
    "EnhancedLabels",
    "LabelStatistics",
    "RandomProjectionQuantizer",
    "code_scores",
    "gumbel_softmax_labels",
    "nearest_codes",
    "normalize_hidden",
]
