"""A pretrained model with what is needed to give it audio."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import humanfriendly

from espnet2_birq.diagnostics.references import StepTimes
from espnet2_birq.errors import BadInputError
from espnet2_birq.espnet_model import ESPnetBiRQModel
from espnet2_birq.tasks.pretrained import CONFIG, load_pretrained

EPOCH_FILE = re.compile(r"(\d+)epoch\.pth")


@dataclass(frozen=True)
class Pretrained:
    """A model and its view of time.

    Attributes:
        name: of the model file, links followed.
        model: in evaluation mode, on the CPU.
        sampling_rate: in Hz.
        times: when its steps happen.
        shortest: samples that give one step.
    """

    name: str
    model: ESPnetBiRQModel
    sampling_rate: int
    times: StepTimes
    shortest: int


def read_pretrained(ssl_exp: Path, model_file: str) -> Pretrained:
    """Load one of the models of an experiment folder.

    Raises:
        BadInputError: if a file is missing, damaged, or does not fit, or the model takes no waveforms.
    """
    model, settings = load_pretrained(ssl_exp, model_file)
    stft = getattr(model.frontend, "stft", None)
    if stft is None:
        raise BadInputError(f"{ssl_exp / CONFIG}: diagnostics need frontend default, not {settings.get('frontend')}")
    rate = humanfriendly.parse_size(str(settings["frontend_conf"].get("fs", 16000)))
    first = 0 if stft.center else stft.n_fft / 2
    times = StepTimes(model.subsampling, stft.hop_length / rate, first / rate)
    window = 0 if stft.center else stft.n_fft
    shortest = window + model.subsampling.receptive_field * stft.hop_length
    return Pretrained((ssl_exp / model_file).resolve().name, model, rate, times, shortest)


def earlier_model(ssl_exp: Path, model_file: str) -> str | None:
    """Model file of the newest epoch before the given one, if there is one. An average counts as the newest epoch."""
    numbers = {path.name: int(match[1]) for path in ssl_exp.glob("*.pth") if (match := EPOCH_FILE.fullmatch(path.name))}
    current = numbers.get((ssl_exp / model_file).resolve().name, max(numbers.values(), default=0))
    earlier = {number: name for name, number in numbers.items() if number < current}
    return earlier[max(earlier)] if earlier else None
