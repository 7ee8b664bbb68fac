"""The first k layers of an encoder as a function of their own, sharing every parameter with it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


def resolve_layer(layer: int | float, num_layers: int) -> int:
    """Number k of layers below the enhanced label: an index from 1, or a fraction of the depth below 1.

    The paper's rule of thumb is 0.7 (5 layers: 3 or 4, 10 layers: 7).

    Raises:
        ValueError: if the result is not a layer of the encoder.
    """
    k = round(layer * num_layers) if isinstance(layer, float) and layer < 1 else int(layer)
    k = max(k, 1) if 0 < layer < 1 else k
    if not 1 <= k <= num_layers or (isinstance(layer, float) and layer >= 1 and layer != k):
        raise ValueError(f"layer must be 1 to {num_layers} or a fraction between 0 and 1, got {layer}")
    return k


def lower_layers(encoder: nn.Module, k: int) -> nn.Module:
    """A view of the encoder that ends behind layer k, without the final normalisation.

    The view owns nothing: its modules are the encoder's, so gradients reach the encoder's parameters. Keep it out of
    the model's registered modules (parameters would be counted twice). Needs an encoder whose layers are iterable as
    ``encoder.encoders`` and that ends in an optional ``after_norm``, like ESPnet's Transformer family.
    """
    view = copy.copy(encoder)
    view._modules = dict(encoder._modules)
    layers = copy.copy(encoder.encoders)
    layers._modules = dict(list(encoder.encoders._modules.items())[:k])
    view._modules["encoders"] = layers
    if "after_norm" in view._modules:
        view._modules["after_norm"] = nn.Identity()
    return view


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout, batch normalisation by running statistics) that leaves each flag as it was.

    The label pass runs in it, so that labels do not depend on batch mates and gradients still flow.
    """
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
