"""A model of a finished or running pretraining, from its experiment folder."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import torch
import yaml

from espnet2_birq.errors import BadInputError
from espnet2_birq.espnet_model import ESPnetBiRQModel
from espnet2_birq.tasks.birq import BiRQTask

CONFIG = "config.yaml"


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a model file by name.

    Raises:
        BadInputError: if the file is missing, damaged, or not a model's state.
    """
    if not path.exists():
        others = sorted(other.name for other in path.parent.glob("*.pth") if not other.name.startswith("."))
        known = f"there are: {', '.join(others)}" if others else "the folder has no model; run stage 7 first"
        raise BadInputError(f"{path}: no such model file; {known}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(f"{path}: cannot be read as a model file ({reason})") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BadInputError(f"{path}: holds a trainer's state, not a model's; give an epoch's file such as latest.pth")
    return state


def load_pretrained(ssl_exp: Path, model_file: str) -> tuple[ESPnetBiRQModel, dict[str, Any]]:
    """The whole model, on the CPU in evaluation mode, and its configuration as saved.

    ESPnet's own loader passes over missing and unknown tensors; here every one must fit.

    Raises:
        BadInputError: if a file is missing or damaged, or configuration and parameters do not fit.
    """
    config, path = ssl_exp / CONFIG, ssl_exp / model_file
    if not config.is_file():
        raise BadInputError(f"{config}: no such file; run stage 7 first or correct --ssl_exp")
    try:
        settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadInputError(f"{config}: not valid YAML: {' '.join(str(error).split())}") from error
    state = load_state(path)
    if not any(name.startswith("encoder.") for name in state):
        example = next(iter(state), "nothing")
        raise BadInputError(f"{path}: has no encoder.* tensors (but {example}); it is not a model of stage 7")
    statistics = (settings.get("normalize_conf") or {}).get("stats_file")
    if statistics is not None and not Path(statistics).is_file():
        raise BadInputError(f"{statistics}: no such file, but normalize_conf of {config} needs it")
    model = BiRQTask.build_model(argparse.Namespace(**copy.deepcopy(settings)))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise BadInputError(f"{path}: does not fit {config}: {' '.join(str(error).split())[:300]}") from error
    return model.eval(), settings
