"""The enhanced label (Eqs 3-4): the encoder's own lower layers, projected onto the anchor's codebook."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from espnet2_birq.labels.quantizer import RandomProjectionQuantizer, draw_projection
from espnet2_birq.labels.selection import NOISE_KINDS, at_least_float32, gumbel_softmax_labels, nearest_codes

NORMALIZATIONS = ("layer", "none")
NORMALIZATION_EPS = 1e-5
# Separates the enhanced projection's random stream from the anchoring one, which uses the seed itself.
SEED_OFFSET = 7919


def normalize_hidden(hidden: torch.Tensor, normalization: str) -> torch.Tensor:
    """Eq 3's normalisation of the layer output, which the paper leaves open; in float32 at least.

    ``layer`` gives every step zero mean and unit variance over the width, without trained parameters: it needs no
    other step, so a label depends on nothing but its own step's hidden vector.
    """
    hidden = at_least_float32(hidden)
    if normalization == "none":
        return hidden
    return nn.functional.layer_norm(hidden, hidden.shape[-1:], eps=NORMALIZATION_EPS)


@dataclass
class LabelStatistics:
    """What a batch of enhanced labels is worth; scalars on the device, averaged over codebooks.

    Attributes:
        perplexity: mean over steps of exp(entropy of the soft label): 1 is a hard label, N is pure noise.
        agreement: share of steps whose largest label entry is the nearest code without noise.
        code_perplexity: exp(entropy of the batch's mean label): how many codes are in use.
    """

    perplexity: torch.Tensor
    agreement: torch.Tensor
    code_perplexity: torch.Tensor


class EnhancedLabels(nn.Module):
    """Soft labels from hidden vectors of layer k on the unmasked input.

    Args:
        hidden_dim: width of the encoder's layers.
        quantizer: whose codebook is shared (one C in the paper) and whose distance is used.
        layer: k, the layer whose output makes the label: counted from 1, or below 1 a fraction of the depth.
        tau: temperature of Eq 4.
        noise: ``printed``, ``gumbel`` or ``none``, see `gumbel_softmax_labels`.
        normalization: ``layer`` or ``none``, see `normalize_hidden`.
        gradient: whether gradients flow from the loss into the label (the paper: yes).

    Raises:
        ValueError: on an unknown choice, naming the allowed ones.
    """

    projection: torch.Tensor  # (G, hidden_dim, code_dim)

    def __init__(
        self,
        hidden_dim: int,
        quantizer: RandomProjectionQuantizer,
        layer: int | float = 0.7,
        tau: float = 0.5,
        noise: str = "printed",
        normalization: str = "layer",
        gradient: bool = True,
    ) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        if noise not in NOISE_KINDS:
            raise ValueError(f"noise must be one of {NOISE_KINDS}, got {noise!r}")
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}")
        self.layer = layer
        self.tau = tau
        self.noise = noise
        self.normalization = normalization
        self.gradient = gradient
        generator = torch.Generator().manual_seed(quantizer.seed + SEED_OFFSET)
        groups, code_dim = quantizer.num_codebooks, quantizer.codebook.size(-1)
        self.register_buffer("projection", draw_projection(groups, hidden_dim, code_dim, generator))

    def project(self, hidden_SH: torch.Tensor, quantizer: RandomProjectionQuantizer) -> torch.Tensor:
        """Normalise and project: (S, H) -> float32 (G, S, C)."""
        with torch.autocast(hidden_SH.device.type, enabled=False):
            return quantizer.project(normalize_hidden(hidden_SH, self.normalization), self.projection)

    def forward(
        self,
        hidden_SH: torch.Tensor,
        quantizer: RandomProjectionQuantizer,
        tau: float | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, LabelStatistics]:
        """Soft labels of the given steps: (S, H) -> float32 (G, S, N), and their statistics.

        Args:
            hidden_SH: output of layer k on the unmasked input, at the steps to be labelled.
            quantizer: holder of the shared codebook.
            tau: overrides the temperature (a schedule's value).
            generator: source of the Gumbel noise.
        """
        hidden_SH = hidden_SH if self.gradient else hidden_SH.detach()
        projected_GSC = self.project(hidden_SH, quantizer)
        with torch.autocast(hidden_SH.device.type, enabled=False):
            labels_GSN = torch.stack(
                [
                    gumbel_softmax_labels(u_SC, c_NC, self.tau if tau is None else tau, self.noise, generator)
                    for u_SC, c_NC in zip(projected_GSC, quantizer.codebook, strict=True)
                ]
            )
            return labels_GSN, self._statistics(labels_GSN, projected_GSC, quantizer.codebook)

    @staticmethod
    @torch.no_grad()
    def _statistics(
        labels_GSN: torch.Tensor, projected_GSC: torch.Tensor, codebook_GNC: torch.Tensor
    ) -> LabelStatistics:
        nearest_GS = torch.stack([nearest_codes(u, c) for u, c in zip(projected_GSC, codebook_GNC, strict=True)])
        return LabelStatistics(
            perplexity=torch.special.entr(labels_GSN).sum(-1).exp().mean(),
            agreement=(labels_GSN.argmax(-1) == nearest_GS).float().mean(),
            code_perplexity=torch.special.entr(labels_GSN.mean(1)).sum(-1).exp().mean(),
        )
