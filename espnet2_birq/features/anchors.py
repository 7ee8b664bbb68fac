"""What the anchoring label is made from: one vector per encoder step, of the unmasked input."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import nn

from espnet2_birq.features.alignment import Subsampling


class AnchorFeatures(nn.Module, ABC):
    """Maps feature frames to the vectors that the quantizer labels. Nothing in it is trained.

    Attributes:
        size: width of a vector.
    """

    size: int

    @abstractmethod
    def forward(self, features_BFD: torch.Tensor, lengths_B: torch.Tensor, num_steps: int) -> torch.Tensor:
        """(B, F, D) frames of so many valid ones each -> (B, num_steps, size)."""


class StackedFrames(AnchorFeatures):
    """The frames in the middle of a step's window, side by side: the paper's anchor.

    Args:
        subsampling: frames per step.
        feature_size: width of a frame.
    """

    def __init__(self, subsampling: Subsampling, feature_size: int) -> None:
        super().__init__()
        self.subsampling = subsampling
        self.size = subsampling.factor * feature_size

    def forward(self, features_BFD: torch.Tensor, lengths_B: torch.Tensor, num_steps: int) -> torch.Tensor:
        """(B, F, D) -> (B, num_steps, factor * D)."""
        return self.subsampling.stack(features_BFD, num_steps)


class CepstralFrames(AnchorFeatures):
    """Mel-frequency cepstra with first and second differences, averaged over a step's frames: HuBERT's first anchor.

    Made from the log-mel features that the encoder sees. Their utterance mean is usually subtracted already; the
    transform is linear, so that is cepstral mean normalisation.

    Args:
        subsampling: frames per step.
        feature_size: width of a frame: number of mel bands.
        num_cepstra: coefficients kept, the zeroth included.

    Raises:
        ValueError: if there are fewer mel bands than cepstra.
    """

    DELTA_FRAMES = 2  # on either side, in the regression that gives the differences

    def __init__(self, subsampling: Subsampling, feature_size: int, num_cepstra: int = 13) -> None:
        super().__init__()
        if not 1 <= num_cepstra <= feature_size:
            raise ValueError(f"num_cepstra must be 1 to {feature_size}, the number of features, got {num_cepstra}")
        self.subsampling = subsampling
        self.size = 3 * num_cepstra
        self.register_buffer("transform", cosine_transform(feature_size, num_cepstra), persistent=False)

    def forward(self, features_BFD: torch.Tensor, lengths_B: torch.Tensor, num_steps: int) -> torch.Tensor:
        """(B, F, mel bands) -> (B, num_steps, 3 * num_cepstra)."""
        cepstra = torch.matmul(features_BFD, self.transform.to(features_BFD.dtype))
        first = self._differences(cepstra, lengths_B)
        frames = torch.cat([cepstra, first, self._differences(first, lengths_B)], dim=-1)
        stacked = self.subsampling.stack(frames, num_steps)
        return stacked.view(*stacked.shape[:2], self.subsampling.factor, self.size).mean(2)

    def _differences(self, frames_BFC: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Slope of a straight line through neighbouring frames; the first and the last frame go on beyond the ends."""
        position_F = torch.arange(frames_BFC.size(1), device=frames_BFC.device)
        last_B1 = (lengths_B - 1)[:, None].to(position_F.device)

        def shifted(offset: int) -> torch.Tensor:
            index_BF = (position_F + offset).clamp_min(0).minimum(last_B1)
            return frames_BFC.gather(1, index_BF[..., None].expand_as(frames_BFC))

        offsets = range(1, self.DELTA_FRAMES + 1)
        slope = sum(offset * (shifted(offset) - shifted(-offset)) for offset in offsets)
        return slope / (2 * sum(offset**2 for offset in offsets))


def cosine_transform(size: int, kept: int) -> torch.Tensor:
    """Orthonormal discrete cosine transform (type II) as a matrix (size, kept)."""
    position, order = torch.arange(size, dtype=torch.float64), torch.arange(kept, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * (position[:, None] + 0.5) * order) * math.sqrt(2 / size)
    matrix[:, 0] /= math.sqrt(2)
    return matrix.float()
