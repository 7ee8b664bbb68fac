"""What the anchoring label is made from."""

from __future__ import annotations

import pytest
import scipy.fft
import torch
import torchaudio

from espnet2_birq.features import CepstralFrames, StackedFrames, Subsampling

SUBSAMPLING = Subsampling.of([(2, 2)])


def test_stacked_frames_are_the_subsampling_s() -> None:
    frames = torch.randn(2, 11, 5)
    anchor = StackedFrames(SUBSAMPLING, 5)
    assert anchor.size == 10
    assert torch.equal(anchor(frames, torch.tensor([11, 7]), 5), SUBSAMPLING.stack(frames, 5))


def test_cepstra_equal_scipy_and_their_differences_torchaudio() -> None:
    frames, lengths = torch.randn(1, 30, 40), torch.tensor([30])
    found = CepstralFrames(SUBSAMPLING, 40)(frames, lengths, 15)
    cepstra = torch.from_numpy(scipy.fft.dct(frames.numpy(), norm="ortho"))[..., :13]
    first = torchaudio.functional.compute_deltas(cepstra.transpose(1, 2))
    second = torchaudio.functional.compute_deltas(first)
    expected = torch.cat([cepstra, first.transpose(1, 2), second.transpose(1, 2)], -1)
    assert found.shape == (1, 15, 39)
    assert torch.allclose(found, (expected[:, 0::2] + expected[:, 1::2]) / 2, atol=1e-5)


def test_cepstra_do_not_depend_on_padding() -> None:
    anchor, frames = CepstralFrames(SUBSAMPLING, 20, num_cepstra=5), torch.randn(2, 30, 20)
    together = anchor(frames, torch.tensor([30, 12]), 15)
    alone = anchor(frames[1:, :12], torch.tensor([12]), 6)
    assert torch.allclose(together[1, :6], alone[0], atol=1e-6)


def test_a_one_frame_utterance_has_no_differences() -> None:
    subsampling = Subsampling.of([])
    found = CepstralFrames(subsampling, 20, num_cepstra=5)(torch.randn(1, 1, 20), torch.tensor([1]), 1)
    assert found[0, 0, 5:].tolist() == [0.0] * 10


def test_more_cepstra_than_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="num_cepstra must be 1 to 12, .* got 13"):
        CepstralFrames(SUBSAMPLING, 12)


def test_nothing_is_trained_or_saved() -> None:
    anchor = CepstralFrames(SUBSAMPLING, 20)
    assert not list(anchor.parameters())
    assert not anchor.state_dict()
