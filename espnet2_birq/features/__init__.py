"""From feature frames to encoder steps: stacking, time alignment, and the encoder's lower layers as a label source."""

from espnet2_birq.features.alignment import Subsampling, input_layer_subsampling
from espnet2_birq.features.lower_layers import evaluation_mode, lower_layers, resolve_layer

__all__ = ["Subsampling", "evaluation_mode", "input_layer_subsampling", "lower_layers", "resolve_layer"]
