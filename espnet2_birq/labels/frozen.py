"""Frozen numbers stay what they were drawn as: checked whenever a checkpoint is loaded."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

import torch

from espnet2_birq.errors import BadInputError
from espnet2_birq.labels.quantizer import tensor_fingerprint


def settle_frozen(
    drawn: Mapping[str, torch.Tensor], state: MutableMapping[str, torch.Tensor], prefix: str = ""
) -> None:
    """Compare the frozen tensors of a checkpoint with those that the configuration draws.

    The average of several checkpoints (ESPnet's ``ave.pth``) has them up to rounding; the drawn ones then take their
    place, so that an averaged model makes the same labels bit for bit.

    Args:
        drawn: frozen tensors by name.
        state: the checkpoint's tensors under ``prefix + name``; missing ones and other shapes are left to PyTorch's
            own report.
        prefix: of the names in ``state``.

    Raises:
        BadInputError: if the numbers are others: the labels would not be those that the model was trained on.
    """
    for name, expected in drawn.items():
        found = state.get(prefix + name)
        if found is None or found.shape != expected.shape:
            continue
        expected_there = expected.to(found.device)
        if not torch.allclose(found.to(expected.dtype), expected_there, rtol=1e-5, atol=1e-6):
            raise BadInputError(
                f"checkpoint: {prefix}{name} has the fingerprint {tensor_fingerprint(found)[:12]}, the configuration "
                f"draws {tensor_fingerprint(expected)[:12]}; use the quantizer_conf (seed, scale, distance, "
                "statistics) that the checkpoint was trained with"
            )
        state[prefix + name] = expected_there.clone()
