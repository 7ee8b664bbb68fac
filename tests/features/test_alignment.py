"""Labels, masks and predictions are aligned in time, checked against ESPnet's own input layers."""

from __future__ import annotations

import pytest
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from espnet2.asr.encoder.e_branchformer_encoder import EBranchformerEncoder
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_birq.features import Subsampling, input_layer_subsampling
from espnet2_birq.features.alignment import INPUT_LAYERS
from espnet2_birq.tasks.stacking import FrameStacking

WIDTH = 24
RELATIVE = {"pos_enc_layer_type": "rel_pos", "rel_pos_type": "latest"}
CONFORMER = {"macaron_style": False, "selfattention_layer_type": "rel_selfattn", "use_cnn_module": False}
CONV1D = [name for name in INPUT_LAYERS if str(name).startswith("conv1d")]
CONV2D = [name for name in INPUT_LAYERS if str(name).startswith("conv2d")]
CASES = [("linear", 1), ("linear", 2), ("linear", 4), *((name, 1) for name in CONV1D + CONV2D), ("conv1d2", 2)]


def embed(input_layer: str, stacking: int) -> torch.nn.Module:
    """Frames (1, F, WIDTH) to the embedded steps (1, T, 8) that enter ESPnet's first encoder layer."""
    sizes = {"output_size": 8, "attention_heads": 1, "linear_units": 8, "num_blocks": 1, "dropout_rate": 0.0}
    if input_layer in CONV1D:
        encoder = EBranchformerEncoder(
            WIDTH * stacking, input_layer=input_layer, **RELATIVE, attention_layer_type="rel_selfattn", **sizes
        )
    else:
        encoder = ConformerEncoder(WIDTH * stacking, input_layer=input_layer, **RELATIVE, **CONFORMER, **sizes)
    stack = FrameStacking(WIDTH, stacking)

    class Embed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = encoder.embed

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            frames, lengths = stack(frames, torch.tensor([frames.size(1)]))
            masks = torch.ones(1, 1, int(lengths), dtype=torch.bool)
            steps = self.embed(frames) if input_layer == "linear" else self.embed(frames, masks)
            while isinstance(steps, tuple):
                steps = steps[0]
            return steps

    return Embed().eval()


@pytest.mark.parametrize(("input_layer", "stacking"), CASES)
def test_each_step_sees_the_window_and_is_labelled_by_the_window_s_middle(input_layer: str, stacking: int) -> None:
    torch.manual_seed(0)
    module, subsampling = embed(input_layer, stacking), input_layer_subsampling(input_layer, stacking)
    frames = torch.randn(1, 80, WIDTH, requires_grad=True)
    steps = module(frames)
    assert steps.size(1) == int(subsampling.steps(torch.tensor(80)))
    for t in range(steps.size(1)):
        (gradient,) = torch.autograd.grad(steps[0, t].square().sum(), frames, retain_graph=True)
        seen = gradient[0].abs().sum(-1).nonzero()[:, 0]
        first, last = int(seen[0]), int(seen[-1])
        start = t * subsampling.factor
        assert start <= first
        assert last < start + subsampling.receptive_field
        central = torch.arange(start + subsampling.offset, start + subsampling.offset + subsampling.factor)
        # As many frames of the window before the labelled ones as behind them, up to one for odd differences.
        before, behind = subsampling.offset, subsampling.receptive_field - subsampling.factor - subsampling.offset
        assert behind - before in (0, 1)
        assert set(central.tolist()) <= set(range(first, last + 1))
        expected = frames[0, central].flatten()
        assert torch.equal(subsampling.stack(frames, steps.size(1))[0, t], expected)


@pytest.mark.parametrize(("input_layer", "stacking"), CASES)
def test_a_shifted_impulse_shifts_labels_and_predictions_alike(input_layer: str, stacking: int) -> None:
    torch.manual_seed(0)
    module, subsampling = embed(input_layer, stacking), input_layer_subsampling(input_layer, stacking)
    silence = torch.randn(1, 1, WIDTH).expand(1, 96, WIDTH)
    num_steps = int(subsampling.steps(torch.tensor(96)))
    middle = num_steps // 2

    def answer(frame: int) -> tuple[set[int], set[int]]:
        """Steps whose label features and whose embedding change when one frame does."""
        impulse = silence.clone()
        impulse[:, frame] += 10.0
        label = subsampling.stack(impulse, num_steps) - subsampling.stack(silence, num_steps)
        embedding = module(impulse) - module(silence)
        return tuple({int(t) for t in moved[0].abs().amax(-1).gt(1e-6).nonzero()} for moved in (label, embedding))

    for shift in range(3):
        frame = (middle + shift) * subsampling.factor + subsampling.offset
        labelled, embedded = answer(frame)
        assert labelled == {middle + shift}
        assert middle + shift in embedded
        masked = torch.zeros(1, num_steps, dtype=torch.bool)
        masked[0, middle + shift] = True
        hidden = subsampling.mask_frames(masked, 96)[0].nonzero()[:, 0].tolist()
        assert hidden == list(range(frame, frame + subsampling.factor))
        assert answer(frame + subsampling.factor) == ({t + 1 for t in labelled}, {t + 1 for t in embedded})


@given(
    frames=st.integers(1, 200),
    windows=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)).filter(lambda w: w[0] >= w[1]), max_size=3),
)
@settings(max_examples=100, deadline=None)
def test_masked_frames_are_those_that_the_masked_steps_are_labelled_by(
    frames: int, windows: list[tuple[int, int]]
) -> None:
    subsampling = Subsampling.of(windows)
    num_steps = int(subsampling.steps(torch.tensor(frames)))
    if num_steps < 1:
        return
    index = torch.arange(frames, dtype=torch.float32).view(1, frames, 1)
    stacked = subsampling.stack(index, num_steps)
    assert stacked.shape == (1, num_steps, subsampling.factor)
    masked = torch.rand(1, num_steps) < 0.5
    hidden = subsampling.mask_frames(masked, frames)
    assert hidden.shape == (1, frames)
    assert stacked[masked].flatten().tolist() == hidden[0].nonzero()[:, 0].tolist()


def test_an_unknown_input_layer_is_named() -> None:
    with pytest.raises(ValueError, match="got 'conv3d'"):
        input_layer_subsampling("conv3d")
