"""Which feature frames belong to which encoder step.

An encoder step sees a window of frames. The label of the step must be made from the frames in the middle of that
window, and masking the step must hide exactly those frames; otherwise the model is asked for its neighbour's label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

# (kernel, stride) along time of every convolution in ESPnet's input layers, none of which pads.
INPUT_LAYERS: dict[str | None, tuple[tuple[int, int], ...]] = {
    None: (),
    "linear": (),
    "conv1d1": ((3, 1), (3, 1)),
    "conv1d2": ((3, 1), (3, 2)),
    "conv1d3": ((3, 1), (5, 3)),
    "conv2d": ((3, 2), (3, 2)),
    "conv2d1": ((3, 1), (3, 1)),
    "conv2d2": ((3, 2), (3, 1)),
    "conv2d6": ((3, 2), (5, 3)),
    "conv2d8": ((3, 2), (3, 2), (3, 2)),
}


@dataclass(frozen=True)
class Subsampling:
    """A chain of unpadded strided windows over time.

    Attributes:
        factor: frames between two steps.
        receptive_field: frames that one step sees.
    """

    windows: tuple[tuple[int, int], ...]
    factor: int
    receptive_field: int

    @classmethod
    def of(cls, windows: Sequence[tuple[int, int]]) -> Subsampling:
        """Compose (kernel, stride) pairs, first applied first."""
        factor, field = 1, 1
        for kernel, stride in windows:
            field += (kernel - 1) * factor
            factor *= stride
        return cls(tuple(windows), factor, field)

    @property
    def offset(self) -> int:
        """Frame at which the ``factor`` central frames of step 0 begin."""
        return (self.receptive_field - self.factor) // 2

    def steps(self, frames: torch.Tensor) -> torch.Tensor:
        """Number of steps that so many frames give; zero or less when they are too few for one."""
        for kernel, stride in self.windows:
            frames = torch.div(frames - kernel, stride, rounding_mode="floor") + 1
        return frames

    def stack(self, features_BFD: torch.Tensor, num_steps: int) -> torch.Tensor:
        """The ``factor`` central frames of every step, side by side: (B, F, D) -> (B, num_steps, factor * D)."""
        end = self.offset + num_steps * self.factor
        central = features_BFD[:, self.offset : end]
        return central.reshape(central.size(0), num_steps, self.factor * central.size(2))

    def mask_frames(self, masked_BT: torch.Tensor, num_frames: int) -> torch.Tensor:
        """Spread a step mask over the central frames of its steps: (B, T) -> (B, num_frames)."""
        spread = masked_BT.repeat_interleave(self.factor, dim=1)
        spread = torch.nn.functional.pad(spread, (self.offset, max(0, num_frames - self.offset - spread.size(1))))
        return spread[:, :num_frames]


def input_layer_subsampling(input_layer: str | None, stacking: int = 1) -> Subsampling:
    """Subsampling of an ESPnet input layer behind ``stacking`` consecutive frames made one.

    Raises:
        ValueError: if the input layer's alignment is not known.
    """
    if input_layer not in INPUT_LAYERS:
        known = ", ".join(str(name) for name in INPUT_LAYERS)
        raise ValueError(f"encoder_conf input_layer must be one of {known}, got {input_layer!r}")
    stack = ((stacking, stacking),) if stacking > 1 else ()
    return Subsampling.of(stack + INPUT_LAYERS[input_layer])
