"""Mean and covariance of features, gathered batch by batch, and their principal components."""

from __future__ import annotations

import os

import torch

from espnet2_birq.errors import BadInputError
from espnet2_birq.labels.arrays import load_arrays, save_arrays

ARRAYS = ("mean", "components", "variances")


class FeatureMoments:
    """First and second moments of feature vectors, in float64.

    Args:
        width: of a vector.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.sum = torch.zeros(width, dtype=torch.float64)
        self.products = torch.zeros(width, width, dtype=torch.float64)

    def add(self, vectors_SI: torch.Tensor) -> None:
        """Count in (S, width) vectors."""
        vectors_SI = vectors_SI.to("cpu", torch.float64)
        self.count += len(vectors_SI)
        self.sum += vectors_SI.sum(0)
        self.products += vectors_SI.t() @ vectors_SI

    def principal_components(self) -> PrincipalComponents:
        """All components, by falling variance.

        Raises:
            BadInputError: if fewer than two vectors were counted.
        """
        if self.count < 2:
            raise BadInputError(f"principal components need at least two feature vectors, got {self.count}")
        mean = self.sum / self.count
        covariance = (self.products - self.count * torch.outer(mean, mean)) / (self.count - 1)
        variances, components = torch.linalg.eigh(covariance)
        components = components.flip(1)
        # The sign of a component is arbitrary; its largest entry is made positive, so that it is the same everywhere.
        signs = components.gather(0, components.abs().argmax(0, keepdim=True)).sign()
        return PrincipalComponents(mean, components * signs, variances.flip(0).clamp_min(0))


class PrincipalComponents:
    """Mean (I,), components (I, I) as columns by falling variance, and variances (I,), all float64."""

    def __init__(self, mean: torch.Tensor, components: torch.Tensor, variances: torch.Tensor) -> None:
        self.mean = mean
        self.components = components
        self.variances = variances

    def projection(self, dims: int, whiten: bool | float) -> torch.Tensor:
        """(I, dims) projection onto the first components, whose output has unit variance.

        Args:
            dims: number of components.
            whiten: 1 (true) gives each dimension unit variance; 0 (false) only their average, so that the first keeps
                its share of the variance; between them, variances are evened out to that degree.

        Raises:
            ValueError: if the features do not vary in so many dimensions, or ``whiten`` is not a degree.
        """
        if not 0 <= whiten <= 1:
            raise ValueError(f"whiten must be true, false or a degree between 0 and 1, got {whiten}")
        usable = int((self.variances > 1e-10 * self.variances[0]).sum()) if self.variances[0] > 0 else 0
        if not 1 <= dims <= usable:
            raise ValueError(f"code_dim must be 1 to {usable}, the dimensions that the features vary in, got {dims}")
        variances = self.variances[:dims]
        projection = self.components[:, :dims] * variances ** (-whiten / 2)
        return projection / (variances ** (1 - whiten)).mean().sqrt()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an ``.npz`` file: the whole file or none."""
        save_arrays(path, **{name: getattr(self, name).numpy() for name in ARRAYS})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PrincipalComponents:
        """Read what `save` wrote.

        Raises:
            BadInputError: if the file is missing or is not such a file.
        """
        arrays = load_arrays(path, ARRAYS, "birq_pca")
        return cls(*(torch.from_numpy(arrays[name]) for name in ARRAYS))
