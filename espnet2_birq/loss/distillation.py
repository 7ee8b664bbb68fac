"""A second codebook that learns from the encoder (arXiv 2606.30671, section 2.2.3): codebook distillation.

Hidden vectors move too fast to be clustered while training, but which frames of an utterance resemble each other does
not. So the codes are trained until the sequence of nearest codes has the self-similarity of the middle layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from espnet2_birq.labels.quantizer import Quantizer, unit_norm
from espnet2_birq.labels.selection import at_least_float32, exact_dtype, nearest_codes
from espnet2_birq.loss.cross_entropy import hard_cross_entropy
from espnet2_birq.loss.penalty import PenaltyWeights


class CodebookDistillation(nn.Module):
    """The second codebook in the anchor's code space, its head, and the loss that trains it.

    Labels are made from a copy of the codes that is renewed now and then: ``codebook``, of unit length. The codes in
    training, ``trained``, get gradients from the distillation loss alone, and the encoder gets none from it.

    Args:
        encoder_dim: D, width of the encoder's output.
        quantizer: the anchor's, whose code space (that of its first codebook) is shared.
        start: optimizer step at which distillation begins (the paper: after 30 % of training).
        every: steps from one renewal of the labels to the next.
        num_codes: size of the codebook.
        layers: whose self-similarity is averaged; each counted from 1, or below 1 a fraction of the depth.
        scale: of the distillation loss.
        label_share: of this codebook's cross-entropy in the lower loss G; the anchor has the rest.

    Raises:
        ValueError: on a value out of range.
    """

    codebook: torch.Tensor  # (num_codes, code_dim)
    renewals: torch.Tensor  # () int64

    def __init__(
        self,
        encoder_dim: int,
        quantizer: Quantizer,
        start: int,
        every: int,
        num_codes: int = 256,
        layers: Sequence[int | float] = (0.42, 0.5, 0.58),
        scale: float = 0.5,
        label_share: float = 0.5,
    ) -> None:
        super().__init__()
        if start < 0 or every < 1 or num_codes < 1:
            raise ValueError(
                f"start must not be negative, every and num_codes at least 1, got {start}, {every}, {num_codes}"
            )
        if scale <= 0 or not 0 < label_share < 1:
            raise ValueError(f"scale must be positive and label_share in (0, 1), got {scale} and {label_share}")
        if not layers:
            raise ValueError("layers must name at least one layer")
        self.start = start
        self.every = every
        self.scale = scale
        self.label_share = label_share
        self.layers = tuple(layers)
        generator = torch.Generator().manual_seed(quantizer.seed + 1)
        drawn = unit_norm(torch.randn(num_codes, quantizer.codebook.size(-1), generator=generator))
        self.register_buffer("codebook", drawn)
        self.trained = nn.Parameter(drawn.clone())
        self.head = nn.Linear(encoder_dim, num_codes)
        self.register_buffer("renewals", torch.zeros((), dtype=torch.int64))

    def divided(self, weights: PenaltyWeights) -> PenaltyWeights:
        """The weights without the second codebook's share."""
        return weights._replace(anchoring=weights.anchoring * (1 - self.label_share))

    @torch.no_grad()
    def labels(self, features: torch.Tensor, quantizer: Quantizer) -> torch.Tensor:
        """Nearest codes of anchor features of any leading shape: (..., I) -> int64 (...)."""
        with torch.autocast(features.device.type, enabled=False):
            return nearest_codes(self._encode(features, quantizer).flatten(0, -2), self.codebook).view(
                features.shape[:-1]
            )

    def forward(
        self,
        encoded_BTD: torch.Tensor,
        anchor_BTI: torch.Tensor,
        layers_BTH: Sequence[torch.Tensor],
        masked_BT: torch.Tensor,
        valid_BT: torch.Tensor,
        quantizer: Quantizer,
        weights: PenaltyWeights,
        step: int,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What the second codebook adds to the loss, and statistics.

        That is its share of w2 times the cross-entropy of its labels at masked steps, plus the distillation loss.

        Args:
            encoded_BTD: encoder output on the masked input.
            anchor_BTI: unmasked input features at the encoder's rate.
            layers_BTH: outputs of ``layers`` on the masked input.
            masked_BT: true where masked.
            valid_BT: true inside utterances.
            quantizer: the anchor's.
            weights: of this step.
            step: optimizer step; before ``start`` the distillation loss counts for nothing.
        """
        if self.training:
            self._renew(step)
        logits_1SN = at_least_float32(self.head(encoded_BTD[masked_BT]))[None]
        labels_S1 = self.labels(anchor_BTI[masked_BT], quantizer)[:, None]
        loss_labels = hard_cross_entropy(logits_1SN, labels_S1)
        with torch.autocast(anchor_BTI.device.type, enabled=False):
            distillation = self.distillation(anchor_BTI, layers_BTH, valid_BT & ~masked_BT, quantizer)
        share_N = labels_S1[:, 0].bincount(minlength=len(self.codebook)) / len(labels_S1)
        stats = {
            "loss_distilled": loss_labels.detach(),
            "loss_distillation": distillation.detach(),
            "acc_distilled": (logits_1SN[0].argmax(-1) == labels_S1[:, 0]).float().mean(),
            "distilled_code_perplexity": torch.special.entr(share_N).sum().exp(),
        }
        scale = self.scale if step >= self.start else 0.0
        return weights.anchoring * self.label_share * loss_labels + scale * distillation, stats

    def distillation(
        self,
        anchor_BTI: torch.Tensor,
        layers_BTH: Sequence[torch.Tensor],
        usable_BT: torch.Tensor,
        quantizer: Quantizer,
    ) -> torch.Tensor:
        """Eq 8: sum over pairs of steps of |S_H - S_C|, divided by the number of steps that take part.

        S_C is the cosine similarity of the steps' nearest codes in training, S_H that of their hidden vectors,
        averaged over layers. Only unmasked steps take part.
        """
        trained = unit_norm(self.trained)
        with torch.no_grad():
            hidden_BTT = sum(_self_similarity(unit_norm(at_least_float32(h.detach()))) for h in layers_BTH)
            hidden_BTT = hidden_BTT / len(layers_BTH)
            encoded_BTC = self._encode(anchor_BTI, quantizer)
            nearest_BT = nearest_codes(encoded_BTC.flatten(0, 1), trained).view(usable_BT.shape)
        codes_BTT = _self_similarity(trained[nearest_BT])
        pairs_BTT = usable_BT[:, :, None] & usable_BT[:, None, :]
        difference_BTT = (hidden_BTT - codes_BTT).abs().masked_fill(~pairs_BTT, 0.0)
        return difference_BTT.sum() / usable_BT.sum().clamp_min(1)

    @torch.no_grad()
    def _renew(self, step: int) -> None:
        """Renew the labels' codes if that is due.

        A renewed code takes the index of the old code that it replaces at the least total distance, so that the head's
        predictions stay meaningful.
        """
        due = max(0, step - self.start) // self.every
        if due <= int(self.renewals):
            return
        from scipy.optimize import linear_sum_assignment

        trained = unit_norm(self.trained.detach())
        _, order = linear_sum_assignment(torch.cdist(self.codebook, trained).cpu().numpy())
        self.codebook.copy_(trained[torch.from_numpy(order).to(trained.device)])
        self.renewals.fill_(due)

    def _encode(self, features: torch.Tensor, quantizer: Quantizer) -> torch.Tensor:
        encoded_GSC = quantizer.encode(features.flatten(0, -2).to(exact_dtype(features.device)))
        return unit_norm(encoded_GSC[0]).view(*features.shape[:-1], -1)


def _self_similarity(vectors_BTC: torch.Tensor) -> torch.Tensor:
    return vectors_BTC @ vectors_BTC.transpose(1, 2)
