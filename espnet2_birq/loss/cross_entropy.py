"""Cross-entropy of logits against hard and soft labels, averaged over the masked steps (section 4)."""

from __future__ import annotations

import torch


def hard_cross_entropy(logits_GSN: torch.Tensor, labels_SG: torch.Tensor) -> torch.Tensor:
    """Mean over steps and codebooks of ``-log softmax(o)[y]``: (G, S, N), int64 (S, G) -> scalar."""
    return torch.nn.functional.cross_entropy(logits_GSN.flatten(0, 1), labels_SG.t().flatten())


def soft_cross_entropy(logits_GSN: torch.Tensor, labels_GSN: torch.Tensor) -> torch.Tensor:
    """Mean over steps and codebooks of ``-sum_n y_n log softmax(o)_n``, with gradients to logits and labels.

    Labels sum to one, so this is ``logsumexp(o) - y.o``, which needs no steps x codes tensor of log probabilities. The
    gradient to the labels then lacks a term that is the same for all codes of a step; a softmax, through which it goes
    on, takes exactly such terms out again.
    """
    expected_GS = torch.einsum("gsn,gsn->gs", labels_GSN, logits_GSN)
    return (logits_GSN.logsumexp(-1) - expected_GS).mean()
