"""The bilevel objective in its first-order penalty form (Eqs 8-9, Algorithm 1)."""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import nn

from espnet2_birq.labels.enhanced import EnhancedLabels
from espnet2_birq.labels.quantizer import Quantizer
from espnet2_birq.labels.selection import at_least_float32
from espnet2_birq.loss.cross_entropy import hard_cross_entropy, soft_cross_entropy
from espnet2_birq.loss.penalty import PenaltyWeights


class BiRQLoss(nn.Module):
    """One linear head per codebook predicts anchoring and enhanced label from the same logits.

    Works on selected (masked) steps only: nothing is computed for steps that do not enter the loss.

    Args:
        encoder_dim: D, width of the encoder's output.
        quantizer: makes the anchoring labels and holds the codebook.
        enhanced: makes the enhanced labels; None for BEST-RQ. It decides whether they get a head of their own.
    """

    def __init__(self, encoder_dim: int, quantizer: Quantizer, enhanced: EnhancedLabels | None = None) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.enhanced = enhanced
        groups = quantizer.num_codebooks
        self.head = nn.Linear(encoder_dim, groups * quantizer.num_codes)
        self.enhanced_head = None
        if enhanced is not None and enhanced.separate_head:
            self.enhanced_head = nn.Linear(encoder_dim, groups * enhanced.num_codes)

    def logits(self, encoded_SD: torch.Tensor) -> torch.Tensor:
        """The head's output in float32 at least: (S, D) -> (G, S, N)."""
        return self._by_codebook(self.head(encoded_SD))

    def enhanced_logits(self, encoded_SD: torch.Tensor) -> torch.Tensor:
        """The output of the enhanced label's own head: (S, D) -> (G, S, N)."""
        return self._by_codebook(self.enhanced_head(encoded_SD))

    def forward(
        self,
        encoded_SD: torch.Tensor,
        anchor_SI: torch.Tensor,
        hidden_SH: torch.Tensor | None,
        weights: PenaltyWeights,
        tau: float | None = None,
        generator: torch.Generator | None = None,
        step: int | None = None,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """w1 F + w2 G, each a mean over the S masked steps, and statistics as device scalars.

        Args:
            encoded_SD: encoder output on the masked input, at masked steps.
            anchor_SI: unmasked input features, stacked to the encoder's rate, at the same steps.
            hidden_SH: output of layer k on the unmasked input, at the same steps. None needs w1 = 0 and leaves the
                enhanced label out (BEST-RQ); given with w1 = 0, it is counted in the statistics only.
            weights: of this step.
            tau: temperature of this step; by default that of the weights, if they have one.
            generator: source of the Gumbel noise.
            step: optimizer step, of which a quantizer that learns keeps count in training mode; None: it does not.

        Raises:
            ValueError: if w1 is not zero and there is nothing to make enhanced labels from.
        """
        logits_GSN = self.logits(encoded_SD)
        anchoring_SG = self.quantizer(anchor_SI)
        if self.training and step is not None:
            self.quantizer.observe(anchor_SI, anchoring_SG, step)
        loss_anchoring = hard_cross_entropy(logits_GSN, anchoring_SG)
        stats = {"loss_anchoring": loss_anchoring.detach(), **self._anchoring_statistics(logits_GSN, anchoring_SG)}
        if self.enhanced is None or hidden_SH is None:
            if weights.enhanced:
                raise ValueError(
                    f"w1 is {weights.enhanced} but no enhanced labels can be made: hidden vectors are missing"
                )
            return weights.anchoring * loss_anchoring, stats
        if self.enhanced_head is not None:
            logits_GSN = self.enhanced_logits(encoded_SD)
        hidden_SH = hidden_SH if weights.enhanced else hidden_SH.detach()
        tau = weights.tau if tau is None else tau
        labels_GSN, label_statistics = self.enhanced(hidden_SH, self.quantizer, tau, generator)
        loss_enhanced = soft_cross_entropy(logits_GSN, labels_GSN)
        with torch.no_grad():
            hit_GS = logits_GSN.argmax(-1) == labels_GSN.argmax(-1)
            stats["loss_enhanced"] = loss_enhanced.detach()
            stats["acc_enhanced"] = hit_GS.float().mean()
            stats |= {f"enhanced_{name}": value for name, value in asdict(label_statistics).items()}
        return weights.enhanced * loss_enhanced + weights.anchoring * loss_anchoring, stats

    def _by_codebook(self, logits: torch.Tensor) -> torch.Tensor:
        groups = self.quantizer.num_codebooks
        return at_least_float32(logits).view(len(logits), groups, logits.size(1) // groups).transpose(0, 1)

    @torch.no_grad()
    def _anchoring_statistics(self, logits_GSN: torch.Tensor, anchoring_SG: torch.Tensor) -> dict[str, torch.Tensor]:
        counts_GN = torch.zeros(logits_GSN.size(0), logits_GSN.size(2), device=logits_GSN.device)
        labels_GS = anchoring_SG.t()
        counts_GN.scatter_add_(1, labels_GS, torch.ones_like(labels_GS, dtype=counts_GN.dtype))
        share_GN = counts_GN / labels_GS.size(1)
        return {
            "acc_anchoring": (logits_GSN.argmax(-1) == labels_GS).float().mean(),
            "majority_anchoring": share_GN.max(-1).values.mean(),
            "anchoring_code_perplexity": torch.special.entr(share_GN).sum(-1).exp().mean(),
        }
