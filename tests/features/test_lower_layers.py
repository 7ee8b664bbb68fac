"""The encoder's lower layers as a label source."""

from __future__ import annotations

import pytest
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from espnet2.asr.encoder.e_branchformer_encoder import EBranchformerEncoder

from espnet2_birq.features import evaluation_mode, lower_layers, resolve_layer

SIZES = {"output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 3, "input_layer": "linear"}


@pytest.fixture(params=["conformer", "e_branchformer"])
def encoder(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    if request.param == "conformer":
        relative = {"pos_enc_layer_type": "rel_pos", "rel_pos_type": "latest"}
        return ConformerEncoder(6, selfattention_layer_type="rel_selfattn", cnn_module_kernel=3, **relative, **SIZES)
    return EBranchformerEncoder(6, **SIZES)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_view_gives_what_espnet_says_layer_k_gives(encoder: torch.nn.Module, k: int) -> None:
    frames, lengths = torch.randn(2, 9, 6), torch.tensor([9, 5])
    encoder.eval()
    (_, layers), *_ = encoder(frames, lengths, return_all_hs=True)
    hidden = lower_layers(encoder, k)(frames, lengths)[0]
    assert torch.equal(hidden[0], layers[k - 1][0])
    assert torch.equal(hidden[1, :5], layers[k - 1][1, :5])


def test_the_view_shares_the_parameters_and_reaches_no_layer_above(encoder: torch.nn.Module) -> None:
    view = lower_layers(encoder, 2)
    owned = {id(parameter) for parameter in encoder.parameters()}
    assert {id(parameter) for parameter in view.parameters()} <= owned
    encoder.eval()
    view(torch.randn(1, 9, 6), torch.tensor([9]))[0].square().sum().backward()
    for name, parameter in encoder.named_parameters():
        above = name.startswith(("encoders.2.", "after_norm."))
        assert (parameter.grad is None) == above, name
    assert len(encoder.encoders) == 3


def test_evaluation_mode_restores_each_flag() -> None:
    module = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout())
    module[1].eval()
    with evaluation_mode(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module.modules()] == [True, True, False]
    with pytest.raises(RuntimeError), evaluation_mode(module):
        raise RuntimeError
    assert [part.training for part in module.modules()] == [True, True, False]


@pytest.mark.parametrize(
    ("layer", "num_layers", "k"), [(3, 5, 3), (0.7, 10, 7), (0.7, 5, 4), (0.01, 5, 1), (0.99, 3, 3), (5, 5, 5)]
)
def test_a_layer_is_an_index_or_a_share_of_the_depth(layer: float, num_layers: int, k: int) -> None:
    assert resolve_layer(layer, num_layers) == k


@pytest.mark.parametrize("layer", [0, 6, -1, 1.5, 0.0, -0.5])
def test_a_layer_that_does_not_exist_is_named(layer: float) -> None:
    with pytest.raises(ValueError, match=f"got {layer}"):
        resolve_layer(layer, 5)
