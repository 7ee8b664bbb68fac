"""Speed perturbation (stage 2): copies of a set at other speeds.

No audio is written here: ``utt2speed`` gives the factor of each copy, and stage 3 applies it when it decodes. Ids are
Kaldi's: ``sp0.9-`` before utterance and speaker, so that copies count as other speakers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from espnet2_birq.corpus.data_dir import DataDir
from espnet2_birq.errors import BadInputError

# Kaldi and ESPnet use 0.9 to 1.1; outside of this range speech is no longer speech.
_SLOWEST, _FASTEST = 0.25, 4.0


def perturb_speed(data: DataDir, factors: Iterable[float]) -> DataDir:
    """Copies of a set at the given speeds, the original included where 1.0 is among them.

    Args:
        data: a set that was not perturbed yet.
        factors: 0.9 makes speech slower and lower by a tenth. Duplicates count once.

    Raises:
        BadInputError: a factor out of range, or a set that was perturbed before.
    """
    if "utt2speed" in data.companions:
        raise BadInputError("utt2speed: the set has other speeds already; perturb the original set")
    result = DataDir({}, {}, None if data.segments is None else {}, {"utt2speed": {}})
    for factor in dict.fromkeys(factors):
        if not _SLOWEST <= factor <= _FASTEST:
            raise BadInputError(f"--factors: {factor} is not between {_SLOWEST} and {_FASTEST}; usual are 0.9 1.0 1.1")
        prefix = "" if factor == 1 else f"sp{factor:g}-"
        result.utt2spk.update({prefix + name: prefix + speaker for name, speaker in data.utt2spk.items()})
        for companion, table in data.companions.items():
            result.companions.setdefault(companion, {}).update({prefix + name: value for name, value in table.items()})
        if data.segments is None or result.segments is None:
            result.recordings.update({prefix + name: path for name, path in data.recordings.items()})
        else:
            result.recordings.update(data.recordings)
            result.segments.update({prefix + name: segment for name, segment in data.segments.items()})
        if factor != 1:
            result.companions["utt2speed"].update({prefix + name: f"{factor:g}" for name in data.utt2spk})
    return result


def speed_factors(data: DataDir, directory: Path) -> dict[str, float]:
    """Speed factor of every utterance, 1.0 where ``utt2speed`` says nothing.

    Raises:
        BadInputError: a factor that is not a positive number.
    """
    factors = dict.fromkeys(data.utt2spk, 1.0)
    for number, (name, value) in enumerate(data.companions.get("utt2speed", {}).items(), 1):
        try:
            factor = float(value)
        except ValueError:
            factor = math.nan
        if not _SLOWEST <= factor <= _FASTEST:
            raise BadInputError(
                f"{directory / 'utt2speed'}:{number}: {value!r} is not a speed factor between {_SLOWEST} and {_FASTEST}"
            )
        factors[name] = factor
    return factors
