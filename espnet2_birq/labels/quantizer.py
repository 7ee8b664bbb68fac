"""From features to codes: what all quantizers share, and the random projection of BEST-RQ (arXiv 2202.01855)."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import nn

from espnet2_birq.labels.refinement import CodebookRefinement
from espnet2_birq.labels.selection import at_least_float32, exact_dtype, nearest_codes

DISTANCES = ("raw", "l2")
UNIT_NORM_EPS = 1e-12


def unit_norm(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors of Euclidean length one along the last dimension (the code width, never time)."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(UNIT_NORM_EPS)


class Quantizer(nn.Module, ABC):
    """Maps every step's features to the index of the nearest code, in each of G codebooks (Eq 2).

    Codebooks are float32 buffers: saved with the model, never trained. Labels are decided in float64 whatever autocast
    says (see `exact_dtype`).

    Args:
        codebook: (G, N, code_dim).
        distance: ``raw`` is |u - c|^2 as printed in Eq 2; ``l2`` scales u to unit length first, as BEST-RQ.
        seed: of what is drawn at random around this codebook.
        refinement: moves the codes to the centroids of their features during training: options of
            `CodebookRefinement`. None: the codes are frozen.

    Raises:
        ValueError: on an unknown distance or a refinement that makes no sense.
    """

    codebook: torch.Tensor  # (G, N, code_dim)

    def __init__(
        self, codebook: torch.Tensor, distance: str = "raw", seed: int = 0, refinement: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(f"distance must be one of {DISTANCES}, got {distance!r}")
        self.distance = distance
        self.seed = seed
        self.register_buffer("codebook", codebook)
        self.refinement = None if refinement is None else CodebookRefinement(codebook.shape, **refinement)

    @property
    def num_codes(self) -> int:
        """N."""
        return self.codebook.size(1)

    @property
    def num_codebooks(self) -> int:
        """G."""
        return self.codebook.size(0)

    @abstractmethod
    def encode(self, features_SI: torch.Tensor) -> torch.Tensor:
        """Features in code space, where the nearest code is looked for: (S, I) -> (G, S, C)."""

    def project(self, features_SI: torch.Tensor, projection_GIC: torch.Tensor) -> torch.Tensor:
        """Project into code space, unit length if the distance asks for it: (S, I) -> float32 or 64 (G, S, C)."""
        features_SI = at_least_float32(features_SI)
        projected_GSC = torch.matmul(features_SI, projection_GIC.to(features_SI.dtype))
        return unit_norm(projected_GSC) if self.distance == "l2" else projected_GSC

    @torch.no_grad()
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Label features of any leading shape: (..., input_dim) -> int64 (..., G)."""
        with torch.autocast(features.device.type, enabled=False):
            features_SI = features.reshape(-1, features.size(-1)).to(exact_dtype(features.device))
            labels_SG = torch.stack(
                [nearest_codes(u_SC, c_NC) for u_SC, c_NC in zip(self.encode(features_SI), self.codebook, strict=True)],
                dim=-1,
            )
        return labels_SG.view(*features.shape[:-1], self.num_codebooks)

    @torch.no_grad()
    def advance(self, step: int) -> None:
        """Apply what is due at an optimizer step; to be called before the step's labels are made.

        Codes move only here and in place, so that a graph is never changed under a backward pass.
        """
        if self.refinement is not None:
            self.refinement.apply(step, self.codebook, unit_length=self.distance == "l2")

    @torch.no_grad()
    def observe(self, features_SI: torch.Tensor, labels_SG: torch.Tensor, step: int) -> None:
        """Learn from a training step's features and their labels, if anything here is learned."""
        if self.refinement is not None and self.refinement.collects(step):
            with torch.autocast(features_SI.device.type, enabled=False):
                self.refinement.observe(self.encode(features_SI), labels_SG)

    def frozen(self) -> dict[str, torch.Tensor]:
        """Buffers whose numbers the configuration alone decides, by name."""
        moving = {"codebook"} if self.refinement is not None else set()
        return {name: buffer for name, buffer in self.named_buffers(recurse=False) if name not in moving}

    def fingerprint(self) -> str:
        """SHA-256 over all numbers that make a label: equal on every rank, after every resume, and in every export."""
        return tensor_fingerprint(*self.buffers(recurse=False))


class RandomProjectionQuantizer(Quantizer):
    """Frozen random projection and frozen random codebook, BiRQ's anchoring labels (Eq 2).

    Everything is drawn from a generator of its own, on the CPU, so that the global random state is neither read nor
    moved and every rank holds the same numbers.

    Projections are N(0, 1 / input_dim), which keeps unit-variance input at unit variance.

    Args:
        input_dim: width of the features.
        code_dim: width of a code.
        num_codes: N, codes in a codebook.
        num_codebooks: G, independent projection-codebook pairs.
        distance: ``raw`` is |P'x - c|^2 as printed in Eq 2; ``l2`` scales both sides to unit length first, as BEST-RQ.
        seed: of the generator.
        codebook_scale: standard deviation of the codes' entries; under ``l2`` the length of a code.
        refinement: see `Quantizer`.

    Raises:
        ValueError: on a size below one, a scale that is not positive, or an unknown distance.
    """

    projection: torch.Tensor  # (G, input_dim, code_dim)

    def __init__(
        self,
        input_dim: int,
        code_dim: int = 16,
        num_codes: int = 8192,
        num_codebooks: int = 1,
        distance: str = "raw",
        seed: int = 0,
        codebook_scale: float = 1.0,
        refinement: Mapping[str, int] | None = None,
    ) -> None:
        sizes = {"input_dim": input_dim, "code_dim": code_dim, "num_codes": num_codes, "num_codebooks": num_codebooks}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        generator = torch.Generator().manual_seed(seed)
        projection = draw_projection(num_codebooks, input_dim, code_dim, generator)
        codebook = draw_codebook(num_codebooks, num_codes, code_dim, distance, codebook_scale, generator)
        super().__init__(codebook, distance, seed, refinement)
        self.codebook_scale = codebook_scale
        self.register_buffer("projection", projection)

    def encode(self, features_SI: torch.Tensor) -> torch.Tensor:
        """Projected features: (S, input_dim) -> (G, S, code_dim)."""
        return self.project(features_SI, self.projection)

    def fingerprint(self) -> str:
        """SHA-256 over projection and codebook."""
        return tensor_fingerprint(self.projection, self.codebook)

    def extra_repr(self) -> str:
        """Sizes for ``print(model)``."""
        groups, input_dim, code_dim = self.projection.shape
        return f"{groups} x ({input_dim} -> {code_dim}), {self.num_codes} codes, distance={self.distance}"


def draw_projection(groups: int, input_dim: int, code_dim: int, generator: torch.Generator) -> torch.Tensor:
    """(G, input_dim, code_dim) random projections that keep unit variance."""
    return torch.randn(groups, input_dim, code_dim, generator=generator) / input_dim**0.5


def draw_codebook(
    groups: int, num_codes: int, code_dim: int, distance: str, scale: float, generator: torch.Generator
) -> torch.Tensor:
    """(G, num_codes, code_dim) random codes: N(0, scale^2), or of length ``scale`` when the distance is l2.

    Raises:
        ValueError: if the scale, a quantizer's ``codebook_scale``, is not positive.
    """
    if scale <= 0:
        raise ValueError(f"codebook_scale must be positive, got {scale}")
    codebook = torch.randn(groups, num_codes, code_dim, generator=generator)
    return scale * (unit_norm(codebook) if distance == "l2" else codebook)


def tensor_fingerprint(*tensors: torch.Tensor) -> str:
    """SHA-256 of shapes and float32 values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
