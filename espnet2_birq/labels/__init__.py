"""Discrete labels for masked prediction, made from unmasked features. Plain PyTorch, no ESPnet.

`Quantizer` is what users choose between for the anchoring label: codes behind a random or a PCA projection, or the
centroids of a k-means. `EnhancedLabels` makes the label of the encoder's own lower layers.

Shape suffixes used throughout: B utterances, T steps, S selected (masked) steps, I input width, H hidden width of the
label layer, C code width, N codes, G codebooks.
"""

from espnet2_birq.labels.centroids import CentroidQuantizer
from espnet2_birq.labels.enhanced import EnhancedLabels, LabelStatistics, normalize_hidden
from espnet2_birq.labels.online_pca import OnlinePCAQuantizer
from espnet2_birq.labels.pca import PCAProjectionQuantizer
from espnet2_birq.labels.quantizer import Quantizer, RandomProjectionQuantizer
from espnet2_birq.labels.refinement import CodebookRefinement
from espnet2_birq.labels.selection import code_scores, gumbel_softmax_labels, nearest_codes

__all__ = [
    "CentroidQuantizer",
    "CodebookRefinement",
    "EnhancedLabels",
    "LabelStatistics",
    "OnlinePCAQuantizer",
    "PCAProjectionQuantizer",
    "Quantizer",
    "RandomProjectionQuantizer",
    "code_scores",
    "gumbel_softmax_labels",
    "nearest_codes",
    "normalize_hidden",
]
