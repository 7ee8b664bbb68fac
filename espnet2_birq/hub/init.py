"""What of an exported encoder an ASR model starts from, checked before training starts.

ESPnet's ``--init_param`` loads nothing, without a word, when names do not match, and cannot see that features differ.
Here inputs and encoder of both configurations are compared key by key, and every tensor by name and shape.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from espnet2_birq.errors import BadInputError
from espnet2_birq.hub.compare import compare_inputs, parse_asr_config
from espnet2_birq.hub.export import CONFIG, PARAMETERS, STATISTICS
from espnet2_birq.hub.pack import read_yaml

if TYPE_CHECKING:
    import torch

ENCODER, LAYERS, FINAL_NORMALIZATION = "encoder.", "encoder.encoders.", "encoder.after_norm."


@dataclass(frozen=True)
class Transfer:
    """What was written.

    Attributes:
        loaded: names of the tensors that will be loaded.
        total: number of tensors in the ASR model's encoder.
        parameters: trained values among the loaded tensors.
        left: names of encoder tensors that stay at random weights.
        init_param: the argument of ESPnet's ``--init_param``.
    """

    loaded: tuple[str, ...]
    total: int
    parameters: int
    left: tuple[str, ...]
    init_param: str

    def summary(self) -> str:
        """One line for the log."""
        left = ", ".join(module_ranges(self.left)) or "nothing"
        return (
            f"{len(self.loaded)} of {self.total} encoder tensors ({self.parameters} parameters) will be loaded; "
            f"left at random weights: {left}"
        )


def write_initial_encoder(
    export: Path, asr_config: Path, out: Path, layers: int | None = None, asr_arguments: Sequence[str] = ()
) -> Transfer:
    """Write the tensors that an ASR model starts from, and load them through ESPnet's own loader as a check.

    Args:
        export: folder that ``birq_export`` wrote.
        asr_config: configuration of the ASR training.
        out: file to write; keys are ``encoder.*``.
        layers: transfer the input layer and this many of the lowest layers only; None for the whole encoder.
        asr_arguments: ESPnet options that override the configuration.

    Raises:
        BadInputError: if anything differs between pretraining and ASR model, naming it and both values.
    """
    if ":" in str(out):
        raise BadInputError(f"--out {out}: a colon separates fields in ESPnet's --init_param; choose another path")
    for name in (CONFIG, PARAMETERS):
        if not (export / name).is_file():
            raise BadInputError(f"{export / name}: no such file; run stage 8 first or correct --export")
    pretrained = read_yaml(export / CONFIG)
    statistics = export / STATISTICS
    args = parse_asr_config(asr_config, asr_arguments, statistics if statistics.is_file() else None)
    compare_inputs(pretrained, vars(args), export / CONFIG, asr_config, partial=layers is not None)

    from espnet2_birq.tasks.pretrained import load_state

    state = {name: value for name, value in load_state(export / PARAMETERS).items() if name.startswith(ENCODER)}
    if not state:
        raise BadInputError(f"{export / PARAMETERS}: has no {ENCODER}* tensors; export the encoder again (stage 8)")
    chosen = choose_layers(state, layers)
    model = build_asr_model(args)
    check_tensors(chosen, model.state_dict(), export / PARAMETERS, asr_config)
    _write_and_load(chosen, out, model)

    trained = dict(model.named_parameters())
    encoder = [name for name in model.state_dict() if name.startswith(ENCODER)]
    return Transfer(
        loaded=tuple(chosen),
        total=len(encoder),
        parameters=sum(tensor.numel() for name, tensor in chosen.items() if name in trained),
        left=tuple(name for name in encoder if name not in chosen),
        init_param=f"{out}:encoder:encoder",
    )


def choose_layers(state: Mapping[str, torch.Tensor], layers: int | None) -> dict[str, torch.Tensor]:
    """The whole encoder, or the input layer and the lowest ``layers`` layers.

    Raises:
        BadInputError: if the encoder has not so many layers.
    """
    if layers is None:
        return dict(state)
    depth = 1 + max((layer_index(name) for name in state), default=-1)
    if not 0 <= layers <= depth:
        raise BadInputError(f"--layers {layers}: the exported encoder has {depth} layers; give 0 to {depth}")
    return {
        name: tensor
        for name, tensor in state.items()
        if layer_index(name) < layers and not name.startswith(FINAL_NORMALIZATION)
    }


def layer_index(name: str) -> int:
    """Index of the layer that a tensor belongs to; -1 outside of layers."""
    return int(name.removeprefix(LAYERS).split(".")[0]) if name.startswith(LAYERS) else -1


def build_asr_model(args: argparse.Namespace) -> torch.nn.Module:
    """The ASR model of a configuration; its output tokens have no part in the encoder."""
    if args.preencoder == "stacking":
        from espnet2_birq.tasks.asr import BiRQASRTask as Task
    else:
        from espnet2.tasks.asr import ASRTask as Task
    return Task.build_model(args)


def check_tensors(
    chosen: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], source: Path, asr_config: Path
) -> None:
    """Every chosen tensor must have a place of its shape.

    Raises:
        BadInputError: naming the first that has none.
    """
    for name, tensor in chosen.items():
        if name not in expected:
            raise BadInputError(f"{source}: {name} {tuple(tensor.shape)} has no place in the model of {asr_config}")
        if tensor.shape != expected[name].shape:
            raise BadInputError(
                f"{name}: shape {tuple(tensor.shape)} in {source}, but {tuple(expected[name].shape)} in the model of "
                f"{asr_config}"
            )


def _write_and_load(chosen: dict[str, torch.Tensor], out: Path, model: torch.nn.Module) -> None:
    """Write beside ``out``, load that file as ESPnet will, and rename it when every tensor has arrived."""
    import torch
    from espnet2.torch_utils.load_pretrained_model import load_pretrained_model

    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        torch.save(chosen, temporary)
        load_pretrained_model(f"{temporary}:encoder:encoder", model, ignore_init_mismatch=False)
        arrived = model.state_dict()
        for name, tensor in chosen.items():
            if not torch.equal(arrived[name], tensor):
                raise BadInputError(f"{name}: ESPnet did not load it from {out}; the export is of another version")
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def module_ranges(names: Sequence[str]) -> list[str]:
    """Modules that tensors belong to, runs of layers made one: ``encoder.encoders.4-7``, ``encoder.after_norm``."""
    layers = sorted({layer_index(name) for name in names} - {-1})
    others = dict.fromkeys(".".join(name.split(".")[:2]) for name in names if layer_index(name) < 0)
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][1] == layer - 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return [f"{LAYERS}{first}" + (f"-{last}" if last > first else "") for first, last in runs] + list(others)
