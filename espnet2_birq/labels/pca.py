"""Anchoring labels behind a PCA instead of a random projection (arXiv 2606.30671)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from espnet2_birq.labels.quantizer import Quantizer, draw_codebook
from espnet2_birq.labels.statistics import PrincipalComponents


class PCAProjectionQuantizer(Quantizer):
    """Frozen projection onto the principal components of the features, and frozen random codebooks.

    All codebooks share the projection. Projected features have zero mean and unit variance, as the codes do, so that
    far more codes are used than behind a random projection.

    Args:
        input_dim: width of the features.
        statistics: file with the features' principal components, written by ``birq_pca``.
        whiten: give each projected dimension unit variance (true), all of them together (false), or a degree between
            0 and 1, see `PrincipalComponents.projection`.
        code_dim: number of components, and width of a code.
        num_codes: N, codes in a codebook.
        num_codebooks: G.
        distance: ``raw`` or ``l2``, see `Quantizer`.
        seed: of the codebooks.
        codebook_scale: standard deviation of the codes' entries; under ``l2`` the length of a code.
        refinement: see `Quantizer`.

    Raises:
        BadInputError: if the file cannot be used.
        ValueError: on a size below one or above what the features offer, or if the file is of other features.
    """

    mean: torch.Tensor  # (input_dim,)
    projection: torch.Tensor  # (1, input_dim, code_dim)

    def __init__(
        self,
        input_dim: int,
        statistics: str,
        whiten: bool | float = True,
        code_dim: int = 16,
        num_codes: int = 8192,
        num_codebooks: int = 1,
        distance: str = "raw",
        seed: int = 0,
        codebook_scale: float = 1.0,
        refinement: Mapping[str, int] | None = None,
    ) -> None:
        if num_codes < 1 or num_codebooks < 1:
            raise ValueError(f"num_codes and num_codebooks must be at least 1, got {num_codes} and {num_codebooks}")
        components = PrincipalComponents.load(statistics)
        if len(components.mean) != input_dim:
            raise ValueError(
                f"statistics {statistics} are of features {len(components.mean)} wide, the anchor's are {input_dim}; "
                "run birq_pca with this configuration"
            )
        projection = components.projection(code_dim, whiten)
        generator = torch.Generator().manual_seed(seed)
        codebook = draw_codebook(num_codebooks, num_codes, code_dim, distance, codebook_scale, generator)
        super().__init__(codebook, distance, seed, refinement)
        self.register_buffer("projection", projection.float()[None])
        self.register_buffer("mean", components.mean.float())

    def encode(self, features_SI: torch.Tensor) -> torch.Tensor:
        """Centred and projected features: (S, input_dim) -> (G, S, code_dim)."""
        projected_1SC = self.project(features_SI - self.mean, self.projection)
        return projected_1SC.expand(self.num_codebooks, -1, -1)
