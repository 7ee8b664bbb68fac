"""Frozen numbers are checked when a checkpoint is loaded."""

from __future__ import annotations

import pytest
import torch

from espnet2_birq.errors import BadInputError
from espnet2_birq.labels import RandomProjectionQuantizer
from espnet2_birq.labels.frozen import settle_frozen


def test_an_averaged_checkpoint_gets_the_exact_numbers_back() -> None:
    quantizer = RandomProjectionQuantizer(20, num_codes=100)
    averaged = {name: (3 * value + value + value) / 5 for name, value in quantizer.state_dict().items()}
    assert not torch.equal(averaged["codebook"], quantizer.codebook)
    settle_frozen(quantizer.frozen(), averaged)
    quantizer.load_state_dict(averaged)
    assert quantizer.fingerprint() == RandomProjectionQuantizer(20, num_codes=100).fingerprint()


@pytest.mark.parametrize("conf", [{"seed": 1}, {"codebook_scale": 2.0}, {"distance": "l2"}])
def test_other_numbers_are_refused(conf: dict) -> None:
    theirs = RandomProjectionQuantizer(20, num_codes=100, **conf).state_dict()
    with pytest.raises(BadInputError, match=r"checkpoint: .* has the fingerprint \w{12}, the configuration draws"):
        settle_frozen(RandomProjectionQuantizer(20, num_codes=100).frozen(), theirs)


def test_what_is_missing_or_of_another_shape_is_left_to_pytorch() -> None:
    frozen = RandomProjectionQuantizer(20, num_codes=100).frozen()
    state = {"codebook": torch.zeros(3)}
    settle_frozen(frozen, state)
    assert set(state) == {"codebook"}


def test_refined_codes_are_not_frozen() -> None:
    moving = RandomProjectionQuantizer(20, num_codes=100, refinement={"every": 5})
    assert set(moving.frozen()) == {"projection"}
