"""Layer by layer: effective rank, and how much of the reference classes k-means clusters tell."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch

from espnet2_birq.diagnostics.effective_rank import rankme
from espnet2_birq.diagnostics.label_statistics import worth

CLUSTERS = 100
# Steps for a cluster, so that clusters of a small set are not single steps.
STEPS_PER_CLUSTER = 20


def cluster_labels(vectors_RH: torch.Tensor, seed: int = 0) -> np.ndarray:
    """k-means labels of (R, H) vectors, each dimension scaled to unit variance: int (R,)."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    vectors = vectors_RH - vectors_RH.mean(0)
    vectors = (vectors / vectors.std(0).clamp_min(1e-6)).numpy()
    count = max(2, min(CLUSTERS, len(vectors) // STEPS_PER_CLUSTER))
    kmeans = KMeans(count, init="random", n_init=3, max_iter=20, random_state=seed)
    with warnings.catch_warnings():  # fewer distinct vectors than clusters is a finding, not a fault
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kmeans.fit_predict(vectors)


def layer_statistics(
    layers: Mapping[str, torch.Tensor], reference: np.ndarray | None
) -> list[dict[str, float | int | str | None]]:
    """One row for each layer: name, width, effective rank, and purity and PNMI of its clusters.

    Args:
        layers: vectors (R, H) by layer name, all at the same steps.
        reference: class of each step (R,), negative where there is none; None without reference.
    """
    rows: list[dict[str, float | int | str | None]] = []
    for name, vectors_RH in layers.items():
        row: dict[str, float | int | str | None] = {
            "layer": name,
            "width": vectors_RH.size(1),
            "effective_rank": rankme(vectors_RH),
        }
        if reference is not None:
            known = reference >= 0
            row |= worth(cluster_labels(vectors_RH[torch.from_numpy(known)]), reference[known])
        rows.append(row)
    return rows
