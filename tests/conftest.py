"""Shared by all tests: one thread, and tiny pretraining models built through the real task."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

torch.set_num_threads(1)

TINY_CONFIG: dict[str, Any] = {
    "frontend": "default",
    "frontend_conf": {"fs": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 80, "center": False},
    "normalize": "utterance_mvn",
    "encoder": "conformer",
    "encoder_conf": {
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 24,
        "num_blocks": 3,
        "cnn_module_kernel": 5,
        "input_layer": "conv2d",
        "macaron_style": True,
        "use_cnn_module": True,
        "rel_pos_type": "latest",
        "pos_enc_layer_type": "rel_pos",
        "selfattention_layer_type": "rel_selfattn",
        "dropout_rate": 0.1,
    },
    "quantizer_conf": {"num_codes": 64},
    "label_source_conf": {"layer": 2},
}


@pytest.fixture(scope="session")
def build_tiny() -> Callable[..., Any]:
    """``build_tiny(**overrides)``: the model of `TINY_CONFIG`, into which each ``<group>_conf`` is merged."""
    from espnet2_birq.tasks.birq import BiRQTask

    defaults = BiRQTask.get_parser().parse_args(["--output_dir", "unused"])

    def build(**overrides: Any) -> Any:
        config = {**TINY_CONFIG, **overrides}
        for key in overrides.keys() & TINY_CONFIG.keys():
            # A configuration of another class of the group has other keys and stands for itself.
            if key.endswith("_conf") and key.removesuffix("_conf") not in overrides:
                config[key] = {**TINY_CONFIG[key], **overrides[key]}
        torch.manual_seed(0)
        return BiRQTask.build_model(type(defaults)(**{**vars(defaults), **config}))

    return build


@pytest.fixture
def tiny_config() -> dict[str, Any]:
    """A copy of `TINY_CONFIG`."""
    return copy.deepcopy(TINY_CONFIG)


@pytest.fixture
def write_experiment(tmp_path: Path, tiny_config: dict[str, Any]) -> Callable[..., Path]:
    """``write_experiment(**overrides)``: folder with ``config.yaml`` and ``latest.pth`` of a random tiny model."""
    from espnet2_birq.tasks.birq import BiRQTask

    def write(name: str = "ssl_tiny", **overrides: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "user.yaml").write_text(yaml.safe_dump(tiny_config | overrides))
        arguments = ["--config", str(folder / "user.yaml"), "--output_dir", str(folder)]
        args = BiRQTask.get_parser().parse_args(arguments)
        torch.manual_seed(1)
        model = BiRQTask.build_model(args)
        (folder / "config.yaml").write_text(yaml.safe_dump(vars(args) | {"version": "202611"}))
        torch.save(model.state_dict(), folder / "latest.pth")
        return folder

    return write
