"""The random-projection quantizer of BEST-RQ (arXiv 2202.01855), which makes BiRQ's anchoring labels (Eq 2)."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from espnet2_birq.labels.selection import at_least_float32, exact_dtype, nearest_codes

DISTANCES = ("raw", "l2")
UNIT_NORM_EPS = 1e-12


def unit_norm(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors of Euclidean length one along the last dimension (the code width, never time)."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(UNIT_NORM_EPS)


class RandomProjectionQuantizer(nn.Module):
    """Frozen random projection and frozen random codebook: features -> index of the nearest code.

    Everything is drawn from a generator of its own, on the CPU, so that the global random state is neither read nor
    moved and every rank holds the same numbers. Projection and codebook are float32 buffers: saved with the model,
    never trained. Labels are decided in float64 whatever autocast says (see `exact_dtype`).

    Projections are N(0, 1 / input_dim), which keeps unit-variance input at unit variance; codes are N(0, 1).

    Args:
        input_dim: width of the features.
        code_dim: width of a code.
        num_codes: N, codes in a codebook.
        num_codebooks: G, independent projection-codebook pairs.
        distance: ``raw`` is |P'x - c|^2 as printed in Eq 2; ``l2`` scales both sides to unit length first, as BEST-RQ.
        seed: of the generator.

    Raises:
        ValueError: on a size below one or an unknown distance.
    """

    projection: torch.Tensor  # (G, input_dim, code_dim)
    codebook: torch.Tensor  # (G, N, code_dim); of unit length when distance is l2

    def __init__(
        self,
        input_dim: int,
        code_dim: int = 16,
        num_codes: int = 8192,
        num_codebooks: int = 1,
        distance: str = "raw",
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"input_dim": input_dim, "code_dim": code_dim, "num_codes": num_codes, "num_codebooks": num_codebooks}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if distance not in DISTANCES:
            raise ValueError(f"distance must be one of {DISTANCES}, got {distance!r}")
        self.distance = distance
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("projection", draw_projection(num_codebooks, input_dim, code_dim, generator))
        codebook = torch.randn(num_codebooks, num_codes, code_dim, generator=generator)
        self.register_buffer("codebook", unit_norm(codebook) if distance == "l2" else codebook)

    @property
    def num_codes(self) -> int:
        """N."""
        return self.codebook.size(1)

    @property
    def num_codebooks(self) -> int:
        """G."""
        return self.codebook.size(0)

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
            projected_GSC = self.project(features_SI, self.projection)
            labels_SG = torch.stack(
                [nearest_codes(u_SC, c_NC) for u_SC, c_NC in zip(projected_GSC, self.codebook, strict=True)], dim=-1
            )
        return labels_SG.view(*features.shape[:-1], self.num_codebooks)

    def fingerprint(self) -> str:
        """SHA-256 over all frozen numbers: equal on every rank, after every resume, and in every export."""
        return tensor_fingerprint(self.projection, self.codebook)

    def extra_repr(self) -> str:
        """Sizes for ``print(model)``."""
        groups, input_dim, code_dim = self.projection.shape
        return f"{groups} x ({input_dim} -> {code_dim}), {self.num_codes} codes, distance={self.distance}"


def draw_projection(groups: int, input_dim: int, code_dim: int, generator: torch.Generator) -> torch.Tensor:
    """(G, input_dim, code_dim) random projections that keep unit variance."""
    return torch.randn(groups, input_dim, code_dim, generator=generator) / input_dim**0.5


def tensor_fingerprint(*tensors: torch.Tensor) -> str:
    """SHA-256 of shapes and float32 values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
