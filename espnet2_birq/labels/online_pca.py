"""Principal components estimated while training, then frozen (arXiv 2606.30671): no pass over the data beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from espnet2_birq.labels.quantizer import RandomProjectionQuantizer, tensor_fingerprint
from espnet2_birq.labels.statistics import FeatureMoments


class OnlinePCAQuantizer(RandomProjectionQuantizer):
    """Starts as a random projection and turns into a PCA projection over the first optimizer steps.

    The components are those of all features seen so far, computed anew at steps 1, 2, 4, 8, ... and for the last time
    at ``pca_steps``; each time, labels change. Over several ranks the features of all count.

    Args:
        input_dim: width of the features.
        pca_steps: step at which the components are computed for the last time.
        whiten: give each projected dimension unit variance (true), all of them together (false), or a degree between
            0 and 1, see `PrincipalComponents.projection`.
        code_dim: number of components, and width of a code.
        num_codes: N, codes in a codebook.
        num_codebooks: G; once the components are known, all share the projection.
        distance: ``raw`` or ``l2``, see `Quantizer`.
        seed: of the codebooks and of the first, random projection.
        codebook_scale: standard deviation of the codes' entries; under ``l2`` the length of a code.
        refinement: see `Quantizer`; must not start before ``pca_steps``.

    Raises:
        ValueError: on a size out of range, or a refinement in a code space that still turns.
    """

    mean: torch.Tensor  # (input_dim,)
    count: torch.Tensor  # () int64, features seen
    sum: torch.Tensor  # (input_dim,) float64
    products: torch.Tensor  # (input_dim, input_dim) float64
    updates: torch.Tensor  # () int64, how often the components were due

    def __init__(
        self,
        input_dim: int,
        pca_steps: int,
        whiten: bool | float = True,
        code_dim: int = 16,
        num_codes: int = 8192,
        num_codebooks: int = 1,
        distance: str = "raw",
        seed: int = 0,
        codebook_scale: float = 1.0,
        refinement: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(input_dim, code_dim, num_codes, num_codebooks, distance, seed, codebook_scale, refinement)
        if pca_steps < 1:
            raise ValueError(f"pca_steps must be at least 1, got {pca_steps}")
        if code_dim > input_dim:
            raise ValueError(f"code_dim must be 1 to {input_dim}, the width of the features, got {code_dim}")
        if self.refinement is not None and self.refinement.start < pca_steps:
            raise ValueError(f"refinement: start must be at least pca_steps ({pca_steps}), got {self.refinement.start}")
        self.pca_steps = pca_steps
        self.whiten = whiten
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sum", torch.zeros(input_dim, dtype=torch.float64))
        self.register_buffer("products", torch.zeros(input_dim, input_dim, dtype=torch.float64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def encode(self, features_SI: torch.Tensor) -> torch.Tensor:
        """Centred and projected features: (S, input_dim) -> (G, S, code_dim)."""
        return self.project(features_SI - self.mean, self.projection)

    @torch.no_grad()
    def advance(self, step: int) -> None:
        """Compute the components if they are due, then what every quantizer does."""
        due = min(step, self.pca_steps).bit_length() + (step >= self.pca_steps)
        if due > int(self.updates):
            # Too few features for a component are left for the next time; they never are at the last.
            if step >= self.pca_steps or int(self.count) > 2 * self.projection.size(-1):
                self._update()
            self.updates.fill_(due)
        super().advance(step)

    @torch.no_grad()
    def observe(self, features_SI: torch.Tensor, labels_SG: torch.Tensor, step: int) -> None:
        """Count the features in, as long as the components are not final."""
        if step < self.pca_steps:
            features_SI = features_SI.to(self.sum.dtype)
            seen = [
                torch.tensor(len(features_SI), device=self.count.device),
                features_SI.sum(0),
                features_SI.t() @ features_SI,
            ]
            for total, part in zip((self.count, self.sum, self.products), seen, strict=True):
                if torch.distributed.is_available() and torch.distributed.is_initialized():
                    torch.distributed.all_reduce(part)
                total += part
        super().observe(features_SI, labels_SG, step)

    def frozen(self) -> dict[str, torch.Tensor]:
        """The codebook alone, unless it is refined."""
        return {name: buffer for name, buffer in super().frozen().items() if name == "codebook"}

    def fingerprint(self) -> str:
        """SHA-256 over projection, codebook and mean."""
        return tensor_fingerprint(self.projection, self.codebook, self.mean)

    def _update(self) -> None:
        moments = FeatureMoments(len(self.mean))
        moments.count, moments.sum, moments.products = int(self.count), self.sum.cpu(), self.products.cpu()
        components = moments.principal_components()
        self.projection.copy_(components.projection(self.projection.size(-1), self.whiten).expand_as(self.projection))
        self.mean.copy_(components.mean)
