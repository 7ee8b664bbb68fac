"""Span masks over encoder steps and the noise that replaces masked input (BEST-RQ's masking, BiRQ section 3)."""

from __future__ import annotations

import torch


class SpanMasker:
    """Draws span masks per utterance over its own length and fills masked input with noise.

    Every step starts a span with the given probability; spans may overlap and end at the utterance's end. An utterance
    without a start gets one at a random place, so each has at least one masked step. Padding is never masked.

    Args:
        start_probability: chance of a step to start a span (the paper: 0.02).
        span: length of a span in steps (the paper: 20, about a third of all steps masked in the end).
        noise_std: standard deviation of the fill N(0, noise_std^2). BEST-RQ says standard deviation 0.1; two papers of
            BiRQ's group say variance 0.1, which is 0.316 here.

    Raises:
        ValueError: on a value out of range.
    """

    def __init__(self, start_probability: float = 0.02, span: int = 20, noise_std: float = 0.1) -> None:
        if not 0.0 <= start_probability <= 1.0:
            raise ValueError(f"start_probability must lie in [0, 1], got {start_probability}")
        if span < 1:
            raise ValueError(f"span must be at least 1, got {span}")
        if noise_std < 0.0:
            raise ValueError(f"noise_std must not be negative, got {noise_std}")
        self.start_probability = start_probability
        self.span = span
        self.noise_std = noise_std

    def draw(self, lengths_B: torch.Tensor, max_length: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Mask of shape (B, max_length), true where masked.

        Args:
            lengths_B: steps of every utterance, each at least one.
            max_length: padded length.
            generator: random source (the global one by default).
        """
        device = lengths_B.device
        steps_T = torch.arange(max_length, device=device)
        valid_BT = steps_T < lengths_B[:, None]
        draws_BT = torch.rand(len(lengths_B), max_length, device=device, generator=generator)
        starts_BT = (draws_BT < self.start_probability) & valid_BT
        # The rescue start lies where a whole span fits, when one does; drawn for all to keep the draw count fixed.
        room_B = (lengths_B - self.span).clamp_min(0) + 1
        rescue_B = (torch.rand(len(lengths_B), device=device, generator=generator) * room_B).long()
        starts_BT |= (steps_T == rescue_B[:, None]) & ~starts_BT.any(1, keepdim=True)
        started_BT = starts_BT.int().cumsum(1)
        recent_BT = started_BT - torch.nn.functional.pad(started_BT, (self.span, 0))[:, :max_length]
        return (recent_BT > 0) & valid_BT

    def fill(
        self, features: torch.Tensor, masked: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """A copy of features (B, F, D) in which the frames marked in masked (B, F) are noise."""
        noise = torch.empty_like(features).normal_(0.0, self.noise_std, generator=generator)
        return torch.where(masked[:, :, None], noise, features)
