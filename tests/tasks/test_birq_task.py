"""From configuration to model: what is wrong is named in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from espnet2_birq.errors import BadInputError

Build = Callable[..., Any]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"quantizer_conf": {"num_code": 8}}, "quantizer_conf: unknown key 'num_code'; did you mean 'num_codes'"),
        ({"quantizer_conf": {"distance": "cos"}}, "quantizer_conf .*distance must be one of"),
        ({"masker_conf": {"spam": 3}}, "masker_conf: unknown key 'spam'; did you mean 'span'"),
        ({"masker_conf": {"span": 0}}, "masker_conf .*span must be at least 1, got 0"),
        ({"penalty_conf": {"w1": -1}}, "penalty_conf .*w1=-1"),
        ({"label_source_conf": {"layer": 9}}, "label_source_conf: layer must be 1 to 3 .*got 9"),
        ({"anchor": "mfcc", "anchor_conf": {"num_cepstra": 99}}, "anchor_conf .*num_cepstra must be 1 to 80"),
        ({"quantizer": "pca_projection", "quantizer_conf": {"statistics": "no.npz"}}, "no.npz: no such file; birq_pca"),
        ({"quantizer_conf": {"refinement": {"evry": 3}}}, "quantizer_conf .*unexpected keyword argument 'evry'"),
        ({"penalty": "linear", "penalty_conf": {}}, "penalty_conf .*missing 1 required .*'steps'"),
        (
            {"distillation": "self_similarity", "distillation_conf": {"start": 1, "every": 1, "layers": [7]}},
            "distillation_conf: layer must be 1 to 3 .*got 7",
        ),
        ({"label_source_conf": {"tau": 0}}, "label_source_conf .*tau must be positive, got 0"),
        ({"encoder_conf": {"layer_drop_rate": 0.1}}, "layer_drop_rate must be 0"),
        ({"encoder_conf": {"input_layer": "embed"}}, "input_layer must be one of .*got 'embed'"),
        ({"encoder": "rnn", "encoder_conf": {}}, "encoder: must be one of conformer, .*got 'rnn'"),
        ({"specaug": "specaug"}, "specaug: not used by the BiRQ task"),
        ({"model": "espnet"}, "model: must be birq, got espnet"),
    ],
)
def test_a_wrong_choice_is_one_line_naming_the_key(build_tiny: Build, overrides: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        build_tiny(**overrides)
    assert "\n" not in str(caught.value)


def test_the_anchor_is_as_wide_as_the_frames_of_a_step(build_tiny: Build) -> None:
    assert build_tiny().loss.quantizer.projection.shape == (1, 320, 16)
    stacked = build_tiny(preencoder="stacking", encoder_conf={"input_layer": "linear"})
    assert stacked.loss.quantizer.projection.shape == (1, 160, 16)


@pytest.mark.parametrize("encoder", ["conformer", "e_branchformer", "transformer"])
def test_espnets_encoders_train_with_either_label(build_tiny: Build, encoder: str) -> None:
    sizes = {"output_size": 16, "attention_heads": 2, "linear_units": 24, "num_blocks": 3, "input_layer": "conv2d"}
    model = build_tiny(encoder=encoder, encoder_conf=sizes)
    loss, stats, _ = model(torch.randn(2, 16000), torch.tensor([16000, 9000]))
    loss.backward()
    assert torch.isfinite(loss)
    assert {"loss_anchoring", "loss_enhanced"} <= set(stats)


def test_a_config_file_builds_the_model_that_a_checkpoint_is_loaded_into(
    tmp_path: Path, build_tiny: Build, tiny_config: dict
) -> None:
    """ESPnet's ``build_model_from_file``: how every reader of an experiment folder gets its model."""
    from espnet2_birq.tasks.birq import BiRQTask

    config = {**vars(BiRQTask.get_parser().parse_args(["--output_dir", "unused"])), **tiny_config}
    del config["anchor"], config["anchor_conf"]  # as in an experiment made before the group existed
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    model = build_tiny()
    torch.save(model.state_dict(), tmp_path / "model.pth")
    loaded, _ = BiRQTask.build_model_from_file(tmp_path / "config.yaml", tmp_path / "model.pth", "cpu")
    for (name, mine), other in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(mine, other), name
