"""One pass over utterances with a pretrained model: labels, predictions and hidden vectors, step by step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch

from espnet2_birq.diagnostics.utterances import Utterance, batches, padded
from espnet2_birq.espnet_model import ESPnetBiRQModel
from espnet2_birq.labels.selection import nearest_codes

SEED = 20250918


@dataclass(frozen=True)
class UtteranceLabels:
    """What the model says about one utterance of T steps with G codebooks.

    Attributes:
        name: of the utterance.
        anchoring: int64 (T, G).
        enhanced: nearest codes of layer k without noise, int64 (T, G); None for BEST-RQ.
    """

    name: str
    anchoring: np.ndarray
    enhanced: np.ndarray | None


Parts = dict[str, list[torch.Tensor]]


@dataclass(frozen=True)
class Collected:
    """Everything that the statistics are made from.

    Attributes:
        utterances: labels by utterance, in the order of the pass.
        hits: for ``anchoring`` and ``enhanced``: whether the prediction at each masked step is the label, bool (S, G).
        masked_labels: the labels at the same steps, int64 (S, G).
        soft: mean statistics of the soft labels (``perplexity``, ``agreement``), as in training.
        layers: vectors at sampled steps by layer, (R, H): ``0`` is what the quantizer labels, then the encoder's layers
            from ``1``, and ``output`` behind the final normalisation.
        sampled: index of each sampled step among all steps of the pass, int64 (R,).
    """

    utterances: list[UtteranceLabels]
    hits: dict[str, np.ndarray]
    masked_labels: dict[str, np.ndarray]
    soft: dict[str, float]
    layers: dict[str, torch.Tensor]
    sampled: np.ndarray

    def labels(self, kind: str) -> np.ndarray | None:
        """Labels of all utterances in one row: (sum of T, G); ``kind`` is anchoring or enhanced."""
        parts = [getattr(utterance, kind) for utterance in self.utterances]
        return None if parts[0] is None else np.concatenate(parts)


def all_layers(model: ESPnetBiRQModel, features_BFD: torch.Tensor, lengths_B: torch.Tensor) -> dict[str, torch.Tensor]:
    """What every encoder layer puts out on given features, (B, T, H), numbered from 1, and the encoder's ``output``."""
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str, output: object) -> None:
        while isinstance(output, tuple):  # ((hidden, positions), mask) with relative positions
            output = output[0]
        outputs[name] = output

    handles = [
        layer.register_forward_hook(lambda _layer, _inputs, output, name=str(number): keep(name, output))
        for number, layer in enumerate(model.encoder.encoders, 1)
    ]
    try:
        output_BTH = model.encoder_output(features_BFD, lengths_B)
    finally:
        for handle in handles:
            handle.remove()
    return outputs | {"output": output_BTH}


def enhanced_codes(model: ESPnetBiRQModel, hidden_SH: torch.Tensor) -> torch.Tensor:
    """Nearest codes of layer k's output, without noise: (S, H) -> int64 (S, G)."""
    enhanced, quantizer = model.loss.enhanced, model.loss.quantizer
    codes = zip(enhanced.project(hidden_SH, quantizer), enhanced.codes(quantizer), strict=True)
    return torch.stack([nearest_codes(u_SC, c_NC) for u_SC, c_NC in codes], dim=-1)


@torch.no_grad()
def enhanced_labels(model: ESPnetBiRQModel, utterances: list[Utterance], most_samples: int) -> dict[str, np.ndarray]:
    """Enhanced labels alone, (T, G) by utterance, for comparison with those of another checkpoint."""
    model.eval()
    labels: dict[str, np.ndarray] = {}
    for batch in batches(utterances, most_samples):
        features_BFD, lengths_B = model.features(*padded(batch))
        steps_B, valid_BT = valid_steps(model, lengths_B)
        codes_SG = enhanced_codes(model, model.hidden(features_BFD, lengths_B)[valid_BT])
        labels |= dict(zip((utterance.name for utterance in batch), by_utterance(codes_SG, steps_B), strict=True))
    return labels


def valid_steps(model: ESPnetBiRQModel, lengths_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps of every utterance (B,), and which of (B, T) are not padding."""
    steps_B = model.subsampling.steps(lengths_B)
    return steps_B, torch.arange(int(steps_B.max())) < steps_B[:, None]


def by_utterance(values_SG: torch.Tensor, steps_B: torch.Tensor) -> list[np.ndarray]:
    """Rows of all valid steps of a batch, (T, G) for each utterance."""
    return [part.numpy() for part in values_SG.split(steps_B.tolist())]


@torch.no_grad()
def collect(
    model: ESPnetBiRQModel, utterances: list[Utterance], most_samples: int, most_sampled_steps: int
) -> Collected:
    """Run the model in evaluation mode over utterances, once unmasked and once masked.

    Args:
        model: pretrained model.
        utterances: what to look at.
        most_samples: audio in one batch.
        most_sampled_steps: hidden vectors are kept for about so many steps, drawn evenly from all.
    """
    model.eval()
    generator = torch.Generator().manual_seed(SEED)
    kept_share = most_sampled_steps / max(1, sum(len(utterance.samples) for utterance in utterances))
    parts: Parts = defaultdict(list)
    labelled: list[UtteranceLabels] = []
    for batch in batches(utterances, most_samples):
        features_BFD, lengths_B = model.features(*padded(batch))
        steps_B, valid_BT = valid_steps(model, lengths_B)
        anchor_SI = model.anchor_vectors(features_BFD, lengths_B, valid_BT.size(1))[valid_BT]
        labels = {"anchoring": model.loss.quantizer(anchor_SI)}
        hidden_SH = None
        if model.loss.enhanced is not None:
            hidden_SH = model.hidden(features_BFD, lengths_B)[valid_BT]
            labels["enhanced"] = enhanced_codes(model, hidden_SH)

        keep = round(kept_share * sum(len(utterance.samples) for utterance in batch))
        sampled_R = torch.randperm(len(anchor_SI), generator=generator)[: max(1, keep)].sort().values
        parts["sampled"].append(sampled_R + sum(len(utterance.anchoring) for utterance in labelled))
        parts["layer 0"].append(anchor_SI[sampled_R])
        for name, output_BTH in all_layers(model, features_BFD, lengths_B).items():
            parts[f"layer {name}"].append(output_BTH[valid_BT][sampled_R].float())
        _predict(model, features_BFD, lengths_B, labels, hidden_SH, generator, parts)

        rows = {kind: by_utterance(codes_SG, steps_B) for kind, codes_SG in labels.items()}
        for index, utterance in enumerate(batch):
            enhanced = rows["enhanced"][index] if "enhanced" in rows else None
            labelled.append(UtteranceLabels(utterance.name, rows["anchoring"][index], enhanced))
    return _joined(labelled, {name: torch.cat(tensors) for name, tensors in parts.items()})


def _predict(
    model: ESPnetBiRQModel,
    features_BFD: torch.Tensor,
    lengths_B: torch.Tensor,
    labels: dict[str, torch.Tensor],
    hidden_SH: torch.Tensor | None,
    generator: torch.Generator,
    parts: Parts,
) -> None:
    """Mask, predict and compare with the labels, given for all valid steps, as is ``hidden_SH``."""
    steps_B, valid_BT = valid_steps(model, lengths_B)
    masked_BT = model.masker.draw(steps_B, valid_BT.size(1), generator)
    masked_BF = model.subsampling.mask_frames(masked_BT, features_BFD.size(1))
    encoded_SD = model.encoder_output(model.masker.fill(features_BFD, masked_BF, generator), lengths_B)[masked_BT]
    masked_S, loss = masked_BT[valid_BT], model.loss
    for kind, codes_SG in labels.items():
        separate = kind == "enhanced" and loss.enhanced_head is not None
        logits_GSN = loss.enhanced_logits(encoded_SD) if separate else loss.logits(encoded_SD)
        parts[f"{kind} hits"].append(codes_SG[masked_S] == logits_GSN.argmax(-1).T)
        parts[f"{kind} masked"].append(codes_SG[masked_S])
    if hidden_SH is not None:
        tau = model.penalty.weights(int(model.global_step) // model.accumulation).tau
        made = loss.enhanced(hidden_SH[masked_S], loss.quantizer, tau, generator)[1]
        parts["soft"].append(torch.stack([made.perplexity, made.agreement]).double()[None] * len(encoded_SD))


def _joined(labelled: list[UtteranceLabels], whole: dict[str, torch.Tensor]) -> Collected:
    kinds = [kind for kind in ("anchoring", "enhanced") if f"{kind} hits" in whole]
    soft = {}
    if "soft" in whole:
        means = whole["soft"].sum(0) / len(whole["enhanced masked"])
        soft = dict(zip(("perplexity", "agreement"), means.tolist(), strict=True))
    return Collected(
        utterances=labelled,
        hits={kind: whole[f"{kind} hits"].numpy() for kind in kinds},
        masked_labels={kind: whole[f"{kind} masked"].numpy() for kind in kinds},
        soft=soft,
        layers={name.split()[1]: whole[name] for name in whole if name.startswith("layer ")},
        sampled=whole["sampled"].numpy(),
    )
