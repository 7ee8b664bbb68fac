"""Which part of the objective moves the encoder: norms of w1 dF and w2 dG, and of dF's two paths.

The gradient of F reaches the encoder by the prediction path (through the logits) and by the label path (through layers
1 to k on the unmasked input). A label path that dominates makes labels easy instead of predictions good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from espnet2_birq.diagnostics.collect import SEED, valid_steps
from espnet2_birq.diagnostics.utterances import Utterance, padded
from espnet2_birq.espnet_model import ESPnetBiRQModel
from espnet2_birq.loss import hard_cross_entropy, soft_cross_entropy


@dataclass(frozen=True)
class GradientShares:
    """Gradient norms over all encoder parameters, means over batches; the enhanced label's are None for BEST-RQ.

    Attributes:
        batches: number of batches.
        w1: weight of F at the model's step.
        w2: weight of G.
        anchoring: w2 |dG|.
        enhanced: w1 |dF|.
        enhanced_share: w1 |dF| / (w1 |dF| + w2 |dG|).
        prediction_path: w1 |dF through the logits|.
        label_path: w1 |dF through the labels|.
        label_path_share: label path / (label path + prediction path).
        cosine: of dF and dG; negative when the two levels pull against each other.
    """

    batches: int
    w1: float
    w2: float
    anchoring: float
    enhanced: float | None = None
    enhanced_share: float | None = None
    prediction_path: float | None = None
    label_path: float | None = None
    label_path_share: float | None = None
    cosine: float | None = None


def gradient_shares(model: ESPnetBiRQModel, batch_list: Sequence[Sequence[Utterance]]) -> GradientShares:
    """Gradients of single batches in evaluation mode, with masks and noise of a fixed seed.

    Args:
        model: its parameters' ``grad`` is not touched.
        batch_list: the batches, each as large as memory allows with gradients.
    """
    model.eval()
    generator = torch.Generator().manual_seed(SEED)
    step = int(model.global_step) // model.accumulation
    weights = model.penalty.weights(step)
    rows = [_batch_gradients(model, list(batch), generator) for batch in batch_list]
    anchoring = weights.anchoring * _mean([row["anchoring"].norm() for row in rows])
    if model.loss.enhanced is None:
        return GradientShares(len(rows), weights.enhanced, weights.anchoring, anchoring)
    totals = [row["prediction"] + row["label"] for row in rows]
    enhanced = weights.enhanced * _mean([total.norm() for total in totals])
    prediction = weights.enhanced * _mean([row["prediction"].norm() for row in rows])
    label = weights.enhanced * _mean([row["label"].norm() for row in rows])
    cosines = [
        torch.nn.functional.cosine_similarity(total, row["anchoring"], dim=0)
        for total, row in zip(totals, rows, strict=True)
    ]
    return GradientShares(
        batches=len(rows),
        w1=weights.enhanced,
        w2=weights.anchoring,
        anchoring=anchoring,
        enhanced=enhanced,
        enhanced_share=_share(enhanced, anchoring),
        prediction_path=prediction,
        label_path=label,
        label_path_share=_share(label, prediction),
        cosine=_mean(cosines),
    )


def _batch_gradients(
    model: ESPnetBiRQModel, batch: list[Utterance], generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Flat gradients (P,) of G (``anchoring``) and of F by ``prediction`` and ``label`` path, before weighting."""
    loss = model.loss
    features_BFD, lengths_B = model.features(*padded(batch))
    steps_B, valid_BT = valid_steps(model, lengths_B)
    masked_BT = model.masker.draw(steps_B, valid_BT.size(1), generator)
    masked_BF = model.subsampling.mask_frames(masked_BT, features_BFD.size(1))
    encoded_SD = model.encoder_output(model.masker.fill(features_BFD, masked_BF, generator), lengths_B)[masked_BT]
    codes_SG = loss.quantizer(model.anchor_vectors(features_BFD, lengths_B, valid_BT.size(1))[masked_BT])
    logits_GSN = loss.logits(encoded_SD)
    gradients = {"anchoring": _flat_gradient(hard_cross_entropy(logits_GSN, codes_SG), model)}
    if loss.enhanced is not None:
        if loss.enhanced_head is not None:
            logits_GSN = loss.enhanced_logits(encoded_SD)
        tau = model.penalty.weights(int(model.global_step) // model.accumulation).tau
        hidden_SH = model.hidden(features_BFD, lengths_B)[masked_BT]
        labels_GSN = loss.enhanced(hidden_SH, loss.quantizer, tau, generator)[0]
        gradients["prediction"] = _flat_gradient(soft_cross_entropy(logits_GSN, labels_GSN.detach()), model)
        gradients["label"] = _flat_gradient(soft_cross_entropy(logits_GSN.detach(), labels_GSN), model)
    return gradients


def _flat_gradient(value: torch.Tensor, model: ESPnetBiRQModel) -> torch.Tensor:
    parameters = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    if not value.requires_grad:  # labels without gradients
        return torch.zeros(sum(parameter.numel() for parameter in parameters))
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [
            (torch.zeros_like(parameter) if gradient is None else gradient).flatten()
            for parameter, gradient in zip(parameters, found, strict=True)
        ]
    )


def _mean(values: list[torch.Tensor]) -> float:
    return float(torch.stack(values).mean())


def _share(first: float, second: float) -> float:
    return first / (first + second) if first + second > 0 else 0.0
