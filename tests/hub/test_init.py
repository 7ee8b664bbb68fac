"""From an export to an ASR model: equal tensors, and every way of loading something else is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model

from espnet2_birq.errors import BadInputError
from espnet2_birq.hub.export import export_encoder
from espnet2_birq.hub.init import module_ranges, write_initial_encoder

SHARED = ("frontend", "frontend_conf", "normalize", "encoder", "encoder_conf")


@pytest.fixture
def export(write_experiment: Callable[..., Path], tmp_path: Path) -> Path:
    export_encoder(write_experiment(), "latest.pth", tmp_path / "export")
    return tmp_path / "export"


@pytest.fixture
def write_asr_config(tmp_path: Path, tiny_config: dict[str, Any]) -> Callable[..., Path]:
    """ASR configuration that fits the export, into which each ``<group>_conf`` is merged."""

    def write(**overrides: Any) -> Path:
        settings = {key: copy.deepcopy(tiny_config[key]) for key in SHARED} | {"model_conf": {"ctc_weight": 1.0}}
        for key, value in overrides.items():
            settings[key] = {**settings.get(key, {}), **value} if isinstance(value, dict) else value
        path = tmp_path / "asr.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write


def asr_model(config: Path) -> torch.nn.Module:
    args = ASRTask.get_parser().parse_args(["--config", str(config), "--output_dir", "unused"])
    args.token_list = ["<blank>", "<unk>", "a", "b", "<sos/eos>"]
    torch.manual_seed(2)
    return ASRTask.build_model(args)


def test_every_encoder_tensor_arrives_in_a_stock_asr_model(
    export: Path, write_asr_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_asr_config(encoder_conf={"dropout_rate": 0.3})
    transfer = write_initial_encoder(export, config, tmp_path / "init/encoder.pth")
    model = asr_model(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_pretrained_model(transfer.init_param, model, ignore_init_mismatch=False)
    exported = torch.load(export / "encoder.pth", weights_only=True)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, exported[name] if name.startswith("encoder.") else before[name])
    assert transfer.left == ()
    assert transfer.parameters == sum(p.numel() for p in model.encoder.parameters())
    assert f"{transfer.total} of {transfer.total} encoder tensors" in transfer.summary()


def test_the_export_itself_can_be_given_to_init_param(export: Path, write_asr_config: Callable[..., Path]) -> None:
    model = asr_model(write_asr_config())
    load_pretrained_model(f"{export}/encoder.pth:encoder:encoder", model, ignore_init_mismatch=False)
    exported = torch.load(export / "encoder.pth", weights_only=True)
    assert all(torch.equal(exported[f"encoder.{name}"], tensor) for name, tensor in model.encoder.state_dict().items())


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_the_lowest_layers_alone_can_be_transferred(
    layers: int, export: Path, write_asr_config: Callable[..., Path], tmp_path: Path
) -> None:
    """Higher layers and the last normalisation keep their random weights, in a model of another depth too."""
    config = write_asr_config(encoder_conf={"num_blocks": 5})
    transfer = write_initial_encoder(export, config, tmp_path / "F.pth", layers=layers)
    assert set(module_ranges(transfer.left)) == {f"encoder.encoders.{layers}-4", "encoder.after_norm"}
    model, fresh = asr_model(config), asr_model(config)
    load_pretrained_model(transfer.init_param, model, ignore_init_mismatch=False)
    exported, untouched = torch.load(export / "encoder.pth", weights_only=True), fresh.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, exported[name] if name in transfer.loaded else untouched[name]), name


def test_a_wrong_source_key_which_espnet_loads_nothing_from_is_refused(
    export: Path, write_asr_config: Callable[..., Path], tmp_path: Path
) -> None:
    """The trap: no error, no warning, random weights."""
    state = torch.load(export / "encoder.pth", weights_only=True)
    torch.save({f"model.{name}": tensor for name, tensor in state.items()}, export / "encoder.pth")
    config = write_asr_config()
    model, untouched = asr_model(config), asr_model(config).state_dict()
    load_pretrained_model(f"{export}/encoder.pth:encoder:encoder", model, ignore_init_mismatch=False)
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in model.state_dict().items())

    with pytest.raises(BadInputError, match="has no encoder"):
        write_initial_encoder(export, config, tmp_path / "F.pth")
    assert not (tmp_path / "F.pth").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"frontend_conf": {"hop_length": 128}}, "frontend_conf hop_length is 160 and 128"),
        ({"frontend_conf": {"fs": "8k"}}, "frontend_conf fs is 16000 and '8k'"),
        ({"frontend_conf": {"center": True}}, "frontend_conf center is False and True"),
        ({"normalize_conf": {"norm_vars": True}}, "normalize_conf norm_vars is False and True"),
        ({"normalize": None}, "normalize is 'utterance_mvn' and None"),
        ({"encoder": "e_branchformer"}, "encoder is 'conformer' and 'e_branchformer'"),
        ({"encoder_conf": {"linear_units": 32}}, "encoder_conf linear_units is 24 and 32"),
        ({"encoder_conf": {"num_blocks": 4}}, "encoder_conf num_blocks is 3 and 4"),
        ({"encoder_conf": {"activation_type": "relu"}}, "encoder_conf activation_type is 'swish' and 'relu'"),
        ({"encoder_conf": {"no_such_key": 1}}, "encoder_conf no_such_key is None and 1"),
        ({"preencoder": "stacking", "preencoder_conf": {"input_size": 80}}, "preencoder is None and 'stacking'"),
        ({"no_such_option": 1}, "no_such_option"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named_with_both_values(
    overrides: dict[str, Any], message: str, export: Path, write_asr_config: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        write_initial_encoder(export, write_asr_config(**overrides), tmp_path / "F.pth")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "F.pth").exists()


def test_options_override_the_asr_configuration(
    export: Path, write_asr_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_asr_config(frontend_conf={"fs": "8k"})
    write_initial_encoder(export, config, tmp_path / "F.pth", asr_arguments=["--frontend_conf", "fs=16k"])


@pytest.mark.parametrize("damage", ["shape", "name"])
def test_a_tensor_without_a_place_is_named(
    damage: str, export: Path, write_asr_config: Callable[..., Path], tmp_path: Path
) -> None:
    name = "encoder.after_norm.weight"
    state = torch.load(export / "encoder.pth", weights_only=True)
    state |= {name: torch.zeros(17)} if damage == "shape" else {"encoder.norm.weight": state.pop(name)}
    torch.save(state, export / "encoder.pth")
    expected = r"after_norm.weight: shape \(17,\) in .* \(16,\) in" if damage == "shape" else "norm.weight .* no place"
    with pytest.raises(BadInputError, match=expected):
        write_initial_encoder(export, write_asr_config(), tmp_path / "F.pth")


def test_stacking_goes_through_the_plugins_asr_task(write_experiment: Callable[..., Path], tmp_path: Path) -> None:
    encoder_conf = {"output_size": 16, "attention_heads": 2, "num_blocks": 2, "input_layer": "linear"}
    conf = {"preencoder": "stacking", "encoder_conf": encoder_conf}
    experiment = write_experiment(**conf)
    export_encoder(experiment, "latest.pth", tmp_path / "export")
    settings = yaml.safe_load((experiment / "user.yaml").read_text())
    asr = {key: settings[key] for key in SHARED} | conf | {"preencoder_conf": {"input_size": 80}}
    (tmp_path / "asr.yaml").write_text(yaml.safe_dump(asr | {"model_conf": {"ctc_weight": 1.0}}))
    transfer = write_initial_encoder(tmp_path / "export", tmp_path / "asr.yaml", tmp_path / "F.pth")
    assert transfer.left == ()


def test_global_statistics_must_be_those_of_the_pretraining(
    write_experiment: Callable[..., Path], write_asr_config: Callable[..., Path], tmp_path: Path
) -> None:
    for name, mean in (("ssl", 3.0), ("asr", 4.0)):
        frames = np.random.default_rng(0).normal(mean, 2.0, (50, 80))
        np.savez(tmp_path / f"{name}.npz", count=50, sum=frames.sum(0), sum_square=(frames**2).sum(0))
    conf = {"normalize": "global_mvn", "normalize_conf": {"stats_file": str(tmp_path / "ssl.npz")}}
    export_encoder(write_experiment(**conf), "latest.pth", tmp_path / "export")
    conf["normalize_conf"] = {"stats_file": str(tmp_path / "asr.npz")}
    with pytest.raises(BadInputError, match="normalize_conf stats_file is .*asr.npz"):
        write_initial_encoder(tmp_path / "export", write_asr_config(**conf), tmp_path / "F.pth")
    unnamed = write_asr_config(normalize="global_mvn", normalize_conf={})
    assert write_initial_encoder(tmp_path / "export", unnamed, tmp_path / "F.pth").left == ()
