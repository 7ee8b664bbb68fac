"""From feature frames to encoder steps: stacking, time alignment, what labels are made from."""

from espnet2_birq.features.alignment import Subsampling, input_layer_subsampling
from espnet2_birq.features.anchors import AnchorFeatures, CepstralFrames, StackedFrames
from espnet2_birq.features.lower_layers import evaluation_mode, lower_layers, resolve_layer

__all__ = [
    "AnchorFeatures",
    "CepstralFrames",
    "StackedFrames",
    "Subsampling",
    "evaluation_mode",
    "input_layer_subsampling",
    "lower_layers",
    "resolve_layer",
]
