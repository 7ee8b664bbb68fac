"""The enhanced label (Eqs 3-4): the encoder's own lower layers, projected onto a codebook."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from espnet2_birq.labels.quantizer import Quantizer, draw_codebook, draw_projection
from espnet2_birq.labels.selection import NOISE_KINDS, at_least_float32, code_scores, gumbel_softmax

NORMALIZATIONS = ("layer", "utterance", "none")
FORMS = ("soft", "straight_through")
SHARING = ("shared", "separate")
NORMALIZATION_EPS = 1e-5
# Separates the enhanced projection's random stream from the anchoring one, which uses the seed itself.
SEED_OFFSET = 7919


def normalize_hidden(hidden: torch.Tensor, normalization: str) -> torch.Tensor:
    """Eq 3's normalisation of the layer output, which the paper leaves open; in float32 at least.

    ``layer`` gives every step zero mean and unit variance over the width, without trained parameters: it needs no
    other step, so a label depends on nothing but its own step's hidden vector. ``utterance`` is done before steps are
    selected, by `normalize_utterances`; here it changes nothing, like ``none``.
    """
    hidden = at_least_float32(hidden)
    if normalization != "layer":
        return hidden
    return nn.functional.layer_norm(hidden, hidden.shape[-1:], eps=NORMALIZATION_EPS)


def normalize_utterances(hidden_BTH: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit variance of every dimension over the steps of an utterance; padding counts for nothing."""
    hidden_BTH = at_least_float32(hidden_BTH)
    valid_BT1 = (torch.arange(hidden_BTH.size(1), device=hidden_BTH.device) < lengths_B[:, None])[..., None]
    count_B11 = lengths_B[:, None, None].to(hidden_BTH)
    mean_B1H = hidden_BTH.masked_fill(~valid_BT1, 0).sum(1, keepdim=True) / count_B11
    centred_BTH = (hidden_BTH - mean_B1H).masked_fill(~valid_BT1, 0)
    variance_B1H = centred_BTH.square().sum(1, keepdim=True) / count_B11
    return centred_BTH * (variance_B1H + NORMALIZATION_EPS).rsqrt()


@dataclass
class LabelStatistics:
    """What a batch of enhanced labels is worth; scalars on the device, averaged over codebooks.

    Attributes:
        perplexity: mean over steps of exp(entropy of the softmax): 1 is a hard label, N is pure noise.
        agreement: share of steps whose largest label entry is the nearest code without noise.
        code_perplexity: exp(entropy of the batch's mean label): how many codes are in use.
    """

    perplexity: torch.Tensor
    agreement: torch.Tensor
    code_perplexity: torch.Tensor


class EnhancedLabels(nn.Module):
    """Labels from hidden vectors of layer k on the unmasked input.

    Args:
        hidden_dim: width of the encoder's layers.
        quantizer: whose codebook is shared (one C in the paper), and whose distance and seed are used.
        layer: k, the layer whose output makes the label: counted from 1, or below 1 a fraction of the depth.
        tau: temperature of Eq 4; a penalty schedule may override it.
        noise: ``printed``, ``gumbel`` or ``none``, see `gumbel_softmax_labels`.
        normalization: ``layer``, ``utterance`` or ``none``, see `normalize_hidden`.
        gradient: whether gradients flow from the loss into the label (the paper: yes); a number n lets them flow at
            every n-th optimizer step only.
        form: ``soft`` labels (the paper), or ``straight_through``: one-hot at the largest entry, with the soft label's
            gradient.
        codebook: ``shared`` with the anchor, or ``separate``: drawn anew, as wide as the anchor's.
        head: ``shared`` prediction head, or ``separate``.
        num_codes: codes of the separate codebook; by default as many as the anchor has.

    Raises:
        ValueError: on an unknown choice, naming the allowed ones.
    """

    projection: torch.Tensor  # (G, hidden_dim, code_dim)

    def __init__(
        self,
        hidden_dim: int,
        quantizer: Quantizer,
        layer: int | float = 0.7,
        tau: float = 0.5,
        noise: str = "printed",
        normalization: str = "layer",
        gradient: bool | int = True,
        form: str = "soft",
        codebook: str = "shared",
        head: str = "shared",
        num_codes: int | None = None,
    ) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        choices = {
            "noise": (noise, NOISE_KINDS),
            "normalization": (normalization, NORMALIZATIONS),
            "form": (form, FORMS),
            "codebook": (codebook, SHARING),
            "head": (head, SHARING),
        }
        for name, (choice, allowed) in choices.items():
            if choice not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {choice!r}")
        if not isinstance(gradient, int) or gradient < 0:
            raise ValueError(f"gradient must be true, false or every how many steps, got {gradient!r}")
        if num_codes is not None and (num_codes < 1 or "shared" in (codebook, head)):
            raise ValueError(
                f"num_codes {num_codes} must be positive and needs a separate codebook and a separate head"
            )
        self.layer = layer
        self.tau = tau
        self.noise = noise
        self.normalization = normalization
        self.gradient = gradient
        self.form = form
        self.separate_head = head == "separate"
        self.num_codes = num_codes or quantizer.num_codes
        generator = torch.Generator().manual_seed(quantizer.seed + SEED_OFFSET)
        groups, code_dim = quantizer.num_codebooks, quantizer.codebook.size(-1)
        self.register_buffer("projection", draw_projection(groups, hidden_dim, code_dim, generator))
        own = None
        if codebook == "separate":
            scale = getattr(quantizer, "codebook_scale", 1.0)
            own = draw_codebook(groups, self.num_codes, code_dim, quantizer.distance, scale, generator)
        self.register_buffer("codebook", own)

    def gradient_at(self, step: int) -> bool:
        """Whether gradients flow into the labels at an optimizer step, counted from zero."""
        return bool(self.gradient) and step % int(self.gradient) == 0

    def codes(self, quantizer: Quantizer) -> torch.Tensor:
        """The codebook in use, (G, N, C)."""
        return quantizer.codebook if self.codebook is None else self.codebook

    def project(self, hidden_SH: torch.Tensor, quantizer: Quantizer) -> torch.Tensor:
        """Normalise and project (Eq 3): (S, H) -> float32 (G, S, C)."""
        with torch.autocast(hidden_SH.device.type, enabled=False):
            return quantizer.project(normalize_hidden(hidden_SH, self.normalization), self.projection)

    def forward(
        self,
        hidden_SH: torch.Tensor,
        quantizer: Quantizer,
        tau: float | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, LabelStatistics]:
        """Labels of the given steps (Eq 4): (S, H) -> float32 (G, S, N), and their statistics.

        Args:
            hidden_SH: output of layer k on the unmasked input, at the steps to be labelled. Gradients reach it unless
                they are switched off for all steps.
            quantizer: holder of the shared codebook.
            tau: overrides the temperature (a schedule's value).
            generator: source of the Gumbel noise.
        """
        hidden_SH = hidden_SH if self.gradient else hidden_SH.detach()
        projected_GSC = self.project(hidden_SH, quantizer)
        with torch.autocast(hidden_SH.device.type, enabled=False):
            made = [
                self._labels(code_scores(u_SC, c_NC.to(u_SC.dtype)), self.tau if tau is None else tau, generator)
                for u_SC, c_NC in zip(projected_GSC, self.codes(quantizer), strict=True)
            ]
        labels, statistics = zip(*made, strict=True)
        return torch.stack(labels), LabelStatistics(*torch.stack(statistics).mean(0).unbind())

    def _labels(
        self, scores_SN: torch.Tensor, tau: float, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Labels (S, N) of one codebook, and a vector of the three `LabelStatistics`."""
        soft_SN = gumbel_softmax(scores_SN, tau, self.noise, generator)
        with torch.no_grad():
            largest_S = soft_SN.argmax(-1)
            hard_SN = None
            if self.form == "straight_through":
                hard_SN = nn.functional.one_hot(largest_S, soft_SN.size(-1)).to(soft_SN.dtype)
            use_N = (soft_SN if hard_SN is None else hard_SN).mean(0)
            statistics = [
                torch.special.entr(soft_SN).sum(-1).exp().mean(),
                (largest_S == scores_SN.argmax(-1)).to(soft_SN.dtype).mean(),
                torch.special.entr(use_N).sum().exp(),
            ]
        labels_SN = soft_SN if hard_SN is None else hard_SN + (soft_SN - soft_SN.detach())
        return labels_SN, torch.stack(statistics)
