"""The input side of a configured model, alone: for teachers, and for statistics that labels are made with."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet2_birq.corpus.audio import AudioError, decode
from espnet2_birq.corpus.data_dir import read_data_dir
from espnet2_birq.errors import BadInputError
from espnet2_birq.espnet_model import ESPnetBiRQModel

# Labels that need nothing: the model only has to exist.
NO_LABELS: dict[str, Any] = {
    "quantizer": "random_projection",
    "quantizer_conf": {"num_codes": 1},
    "label_source": "enhanced",
    "label_source_conf": {},
    "penalty": "constant",
    "penalty_conf": {"w1": 0.0, "w2": 1.0},
    "distillation": None,
    "init": None,
}


def build_without_labels(args: argparse.Namespace, **overrides: Any) -> ESPnetBiRQModel:
    """The model of a configuration up to its anchor, without the files that its labels are made with."""
    from espnet2_birq.tasks.birq import BiRQTask

    defaults = vars(BiRQTask.get_parser().parse_args(["--output_dir", "unused"]))
    return BiRQTask.build_model(argparse.Namespace(**{**defaults, **vars(args), **NO_LABELS, **overrides}))


def configured_model(config_file: Path, arguments: Sequence[str]) -> tuple[ESPnetBiRQModel, argparse.Namespace]:
    """The model of a ``birq_train`` configuration and further options of that command, up to its anchor.

    Returns:
        the model in evaluation mode, and all options as they were given.

    Raises:
        BadInputError: if the file does not exist or the configuration cannot be used.
    """
    from espnet2_birq.tasks.birq import BiRQTask

    if not config_file.is_file():
        raise BadInputError(f"{config_file}: no such configuration file")
    command = ["--config", str(config_file), "--output_dir", "unused", *arguments]
    args = BiRQTask.get_parser().parse_args(command)
    return build_without_labels(args).eval(), args


def anchor_vectors(
    model: ESPnetBiRQModel, data_dir: Path, sampling_rate: int, max_steps: int, seed: int = 0
) -> Iterator[torch.Tensor]:
    """Anchor vectors (T, I) of a formatted set's utterances in random order, until ``max_steps`` are given.

    Raises:
        BadInputError: if the audio cannot be read, has another rate, or gives not a single step.
    """
    data = read_data_dir(data_dir)
    if data.segments is not None:
        raise BadInputError(f"{data_dir}: has segments; name the formatted set that stage 3 or 4 writes")
    given = 0
    for utterance in np.random.default_rng(seed).permutation(sorted(data.recordings)):
        path = Path(data.recordings[utterance])
        try:
            samples, rate = decode(path)
        except AudioError as error:
            raise BadInputError(f"{path} ({utterance} of {data_dir}): {error}") from error
        if rate != sampling_rate:
            raise BadInputError(f"{path}: sampled at {rate} Hz, not {sampling_rate}; format the set with stage 3")
        features, lengths = model.features(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        num_steps = int(model.subsampling.steps(lengths))
        if num_steps < 1:
            continue
        vectors = model.anchor_vectors(features, lengths, num_steps)[0, : max_steps - given]
        given += len(vectors)
        yield vectors
        if given >= max_steps:
            return
    if not given:
        raise BadInputError(f"{data_dir}: no utterance is long enough for an encoder step")
