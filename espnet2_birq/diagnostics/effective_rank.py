"""Effective rank of representations: how many dimensions a layer uses (RankMe, arXiv 2210.02885)."""

from __future__ import annotations

import torch


def rankme(vectors_SD: torch.Tensor) -> float:
    """exp(entropy of the singular values' shares) of (S, D): between 1 and min(S, D).

    RankMe adds 1e-7 to each share, for logarithms of zero; shares of zero are left out here instead. The singular
    values come from the D x D (or S x S) product in float64, which is much cheaper than decomposing the vectors.

    Raises:
        ValueError: if there are no vectors or they are not finite.
    """
    if not vectors_SD.numel():
        raise ValueError("no vectors to take the rank of")
    vectors = vectors_SD.double()
    product = vectors.T @ vectors if vectors.size(0) >= vectors.size(1) else vectors @ vectors.T
    if not torch.isfinite(product).all():
        raise ValueError("vectors are not finite")
    values = torch.linalg.eigvalsh(product).clamp_min(0).sqrt()
    # Rounding leaves eigenvalues of about 1e-16 of the largest where the rank is not full.
    values = values[values > 1e-7 * values.max()]
    if not values.numel():
        return 1.0
    return float(torch.special.entr(values / values.sum()).sum().exp())
