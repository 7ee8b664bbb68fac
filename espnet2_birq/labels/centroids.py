"""Anchoring labels of HuBERT: the nearest centroid of an offline k-means."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from espnet2_birq.labels.arrays import load_arrays
from espnet2_birq.labels.quantizer import Quantizer, unit_norm
from espnet2_birq.labels.selection import at_least_float32


class CentroidQuantizer(Quantizer):
    """Labels features by the nearest of given centroids, without a projection.

    Args:
        input_dim: width of the features.
        centroids: file with the centroids, written by ``birq_kmeans``.
        num_codes: how many centroids there must be; ``birq_kmeans`` takes it from here. None: as many as there are.
        distance: ``raw`` is k-means' own; ``l2`` compares directions.
        seed: of what is drawn around this codebook.
        refinement: see `Quantizer`.

    Raises:
        BadInputError: if the file cannot be used.
        ValueError: if the file is of other features.
    """

    def __init__(
        self,
        input_dim: int,
        centroids: str,
        num_codes: int | None = None,
        distance: str = "raw",
        seed: int = 0,
        refinement: Mapping[str, int] | None = None,
    ) -> None:
        codebook = torch.from_numpy(load_arrays(centroids, ("centroids",), "birq_kmeans")["centroids"]).float()
        if codebook.dim() != 2 or codebook.size(1) != input_dim:
            raise ValueError(
                f"centroids {centroids} are of shape {tuple(codebook.shape)}, the anchor's features are {input_dim} "
                "wide; run birq_kmeans with this configuration"
            )
        if num_codes is not None and num_codes != len(codebook):
            raise ValueError(f"num_codes is {num_codes}, but {centroids} holds {len(codebook)} centroids")
        super().__init__((unit_norm(codebook) if distance == "l2" else codebook)[None], distance, seed, refinement)

    def encode(self, features_SI: torch.Tensor) -> torch.Tensor:
        """The features themselves: (S, input_dim) -> (1, S, input_dim)."""
        features_SI = at_least_float32(features_SI)
        return (unit_norm(features_SI) if self.distance == "l2" else features_SI)[None]
