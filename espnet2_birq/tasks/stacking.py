"""Frame stacking as an ESPnet pre-encoder: the paper's input downsampling (section 1 of docs/method.md)."""

from __future__ import annotations

import torch
from espnet2.asr.preencoder.abs_preencoder import AbsPreEncoder


class FrameStacking(AbsPreEncoder):
    """Puts ``factor`` consecutive frames side by side; an incomplete last group is left out.

    Args:
        input_size: width of a frame.
        factor: frames per step (the paper: 2, which makes 20 ms steps of 10 ms frames).

    Raises:
        ValueError: if the factor is below one.
    """

    def __init__(self, input_size: int, factor: int = 2) -> None:
        super().__init__()
        if factor < 1:
            raise ValueError(f"factor must be at least 1, got {factor}")
        self.input_size = input_size
        self.factor = factor

    def forward(self, input: torch.Tensor, input_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, F, D) -> (B, F // factor, factor * D) and the new lengths."""
        steps = input.size(1) // self.factor
        stacked = input[:, : steps * self.factor].reshape(input.size(0), steps, self.factor * input.size(2))
        return stacked, torch.div(input_lengths, self.factor, rounding_mode="floor")

    def output_size(self) -> int:
        """Width of a step."""
        return self.input_size * self.factor
