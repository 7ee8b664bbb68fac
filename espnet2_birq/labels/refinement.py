"""Iterative codebook refinement (arXiv 2606.30671): codes become the centroids of the features assigned to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class CodebookRefinement(nn.Module):
    """Sums up features by code over a number of optimizer steps, then moves each code to its centroid, and again.

    A code keeps its index, so that the head's prediction of it stays meaningful; a code that no feature was assigned
    to stays where it is. The sums are buffers, so that a resumed run goes on exactly; over several ranks they are the
    sums of all.

    Args:
        shape: (G, N, code_dim) of the codebook.
        every: steps from one move to the next.
        start: step at which the first collecting begins.
        stop: step of the last move at the latest; codes are frozen afterwards. 0: never.
        window: steps before each move that are summed up; 0: all of them.

    Raises:
        ValueError: if the numbers leave nothing to do or contradict each other.
    """

    sums: torch.Tensor  # (G, N, code_dim)
    counts: torch.Tensor  # (G, N)
    moves: torch.Tensor  # () int64, moves made so far

    def __init__(self, shape: Sequence[int], every: int, start: int = 0, stop: int = 0, window: int = 0) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"refinement: every must be at least 1, got {every}")
        if start < 0 or (stop and stop < start + every):
            raise ValueError(f"refinement: no move fits between start {start} and stop {stop} with every {every}")
        if not 0 <= window <= every:
            raise ValueError(f"refinement: window must be 0 to every ({every}), got {window}")
        self.every = every
        self.start = start
        self.stop = stop
        self.window = window or every
        self.register_buffer("sums", torch.zeros(*shape))
        self.register_buffer("counts", torch.zeros(*shape[:2]))
        self.register_buffer("moves", torch.zeros((), dtype=torch.int64))

    def collects(self, step: int) -> bool:
        """Whether the features of an optimizer step count for the next move."""
        done, position = divmod(step - self.start, self.every)
        if step < self.start or (self.stop and self.start + (done + 1) * self.every > self.stop):
            return False
        return position >= self.every - self.window

    def observe(self, encoded_GSC: torch.Tensor, labels_SG: torch.Tensor) -> None:
        """Add features in code space to the sums of their codes."""
        labels_GS = labels_SG.t()
        sums, counts = torch.zeros_like(self.sums), torch.zeros_like(self.counts)
        index_GSC = labels_GS[:, :, None].expand_as(encoded_GSC)
        sums.scatter_add_(1, index_GSC, encoded_GSC.to(sums.dtype))
        counts.scatter_add_(1, labels_GS, torch.ones_like(labels_GS, dtype=counts.dtype))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
            torch.distributed.all_reduce(counts)
        self.sums += sums
        self.counts += counts

    def apply(self, step: int, codebook_GNC: torch.Tensor, unit_length: bool) -> None:
        """Move the codes, in place, if a move is due at this step; several calls at one step move them once."""
        due = (step - self.start) // self.every
        if self.stop:
            due = min(due, (self.stop - self.start) // self.every)
        if due <= int(self.moves):
            return
        centroids_GNC = self.sums / self.counts.clamp_min(1)[..., None]
        if unit_length:
            # The mean of vectors of one length is shorter; a code's length is the quantizer's choice, not the data's.
            length = codebook_GNC.norm(dim=-1, keepdim=True)
            centroids_GNC = centroids_GNC * (length / centroids_GNC.norm(dim=-1, keepdim=True).clamp_min(1e-12))
        codebook_GNC.copy_(torch.where(self.counts[..., None] > 0, centroids_GNC, codebook_GNC))
        self.sums.zero_()
        self.counts.zero_()
        self.moves.fill_(due)

    def extra_repr(self) -> str:
        """When it moves, for ``print(model)``."""
        return f"every={self.every}, start={self.start}, stop={self.stop}, window={self.window}"
