"""From projected features to codes: nearest code (Eq 2) and Gumbel-softmax (Eq 4).

Distances come from one matrix product, ``|u - c|^2 = |u|^2 - 2 u.c + |c|^2``, so no tensor of size steps x codes x code
width ever exists. The term ``|u|^2`` is the same for all codes of a step: it changes neither the nearest code nor a
softmax over codes, and is left out.
"""

from __future__ import annotations

import torch

NOISE_KINDS = ("printed", "gumbel", "none")

# Rows of the steps x codes score matrix that exist at once in `nearest_codes`: 16 MB of float64 at 8192 codes.
CHUNK_STEPS = 256


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float32, or as it is when it is float64 (a model in double precision)."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def exact_dtype(device: torch.device) -> torch.dtype:
    """Precision of hard decisions: float64, where the device has it.

    A matrix product rounds a row differently when the number of rows beside it changes. In float32 that can turn the
    nearest code when two are nearly as near, and a label would depend on its batch mates.
    """
    return torch.float32 if device.type == "mps" else torch.float64


def code_scores(projected_SC: torch.Tensor, codebook_NC: torch.Tensor) -> torch.Tensor:
    """Negative squared distances up to a per-step constant: ``2 u.c - |c|^2``, (S, N)."""
    return torch.addmm(-codebook_NC.square().sum(-1), projected_SC, codebook_NC.t(), alpha=2.0)


@torch.no_grad()
def nearest_codes(projected_SC: torch.Tensor, codebook_NC: torch.Tensor) -> torch.Tensor:
    """Index of the nearest code of every step (Eq 2): (S, C), (N, C) -> int64 (S,), in chunks of `CHUNK_STEPS`.

    Decided in `exact_dtype`; of equally near codes the first.
    """
    if not projected_SC.size(0):
        return torch.zeros(0, dtype=torch.int64, device=projected_SC.device)
    exact = exact_dtype(projected_SC.device)
    codebook_NC = codebook_NC.to(exact)
    return torch.cat([code_scores(rows.to(exact), codebook_NC).argmax(-1) for rows in projected_SC.split(CHUNK_STEPS)])


def gumbel_softmax_labels(
    projected_SC: torch.Tensor,
    codebook_NC: torch.Tensor,
    tau: float = 0.5,
    noise: str = "printed",
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Soft labels over the codes (Eq 4), differentiable in ``projected_SC``: (S, C), (N, C) -> float32 (S, N).

    Args:
        projected_SC: projected features u.
        codebook_NC: the frozen codes.
        tau: temperature; divides distance and noise alike.
        noise: ``printed`` is the paper's Eq 4, ``softmax(-(|u - c|^2 + v) / tau)`` with Gumbel noise v, in which the
            noise carries a minus sign; ``gumbel`` adds v instead, which makes the argmax an exact Gumbel-max sample of
            ``softmax(-|u - c|^2)``; ``none`` leaves it out.
        generator: source of the noise; the global one by default.

    Raises:
        ValueError: on an unknown ``noise`` or a ``tau`` that is not positive.
    """
    if tau <= 0:
        raise ValueError(f"tau must be positive, got {tau}")
    if noise not in NOISE_KINDS:
        raise ValueError(f"noise must be one of {NOISE_KINDS}, got {noise!r}")
    return gumbel_softmax(code_scores(projected_SC, codebook_NC), tau, noise, generator)


def gumbel_softmax(
    scores_SN: torch.Tensor, tau: float, noise: str, generator: torch.Generator | None = None
) -> torch.Tensor:
    """The second half of `gumbel_softmax_labels`: from scores to labels, (S, N)."""
    if noise != "none":
        # An exponential draw e = -ln q gives v = -ln(-ln q) = -ln e without the infinities of q = 0 and q = 1.
        exponential_SN = torch.empty_like(scores_SN, requires_grad=False).exponential_(generator=generator)
        gumbel_SN = -exponential_SN.clamp_min_(torch.finfo(scores_SN.dtype).tiny).log_()
        scores_SN = scores_SN - gumbel_SN if noise == "printed" else scores_SN + gumbel_SN
    return torch.softmax(scores_SN / tau, dim=-1)
