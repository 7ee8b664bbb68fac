"""Whether a pretraining and an ASR configuration agree on everything that the encoder's weights depend on."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet2_birq.errors import BadInputError

GROUPS = ("frontend", "normalize", "preencoder", "encoder")
# Encoder options that change training or speed, not what the weights mean.
FREE_KEYS = {"layer_drop_rate", "stochastic_depth_rate", "use_sdpa", "use_flash_attn", "gradient_checkpoint_layers"}
# ESPnet's ASR task wants the width in preencoder_conf, the pretraining task derives it.
DERIVED_KEYS = {"preencoder": {"input_size"}}
NO_TOKENS = ["<blank>", "<unk>", "<sos/eos>"]


def parse_asr_config(path: Path, arguments: Sequence[str], statistics: Path | None) -> argparse.Namespace:
    """ESPnet's view of an ASR configuration, defaults included, ready to build the model.

    Args:
        path: configuration file.
        arguments: ESPnet options that override it.
        statistics: global mean and variance of the export, for a ``global_mvn`` whose file is not named.

    Raises:
        BadInputError: if ESPnet refuses the configuration.
    """
    from espnet2_birq.tasks.asr import BiRQASRTask

    if not path.is_file():
        raise BadInputError(f"{path}: no such ASR configuration; correct --asr_config")
    parser = BiRQASRTask.get_parser()

    def refuse(message: str) -> None:
        raise BadInputError(f"{path}: {' '.join(message.split())}")

    parser.error = refuse
    args = parser.parse_args(["--config", str(path), "--output_dir", "unused", *arguments])
    args.token_list = list(NO_TOKENS)
    if args.normalize == "global_mvn" and "stats_file" not in args.normalize_conf and statistics is not None:
        args.normalize_conf = {**args.normalize_conf, "stats_file": str(statistics)}
    return args


def compare_inputs(
    pretrained: Mapping[str, Any], asr: Mapping[str, Any], pretrained_path: Path, asr_path: Path, partial: bool
) -> None:
    """Compare input features, normalisation, pre-encoder and encoder, defaults filled in.

    Args:
        pretrained: configuration of the export.
        asr: configuration of the ASR model.
        pretrained_path: its file, for the error.
        asr_path: likewise.
        partial: whether only some layers are transferred, so that the number of layers may differ.

    Raises:
        BadInputError: naming every key that differs, and both values.
    """
    differences = []
    if pretrained.get("input_size") != asr.get("input_size"):
        differences.append(("input_size", pretrained.get("input_size"), asr.get("input_size")))
    for group in GROUPS:
        if pretrained.get(group) != asr.get(group):
            differences.append((group, pretrained.get(group), asr.get(group)))
            continue
        ours, theirs = (full_conf(group, settings) for settings in (pretrained, asr))
        for key in sorted(ours.keys() | theirs.keys()):
            if is_free(group, key, partial) or same_value(key, ours.get(key), theirs.get(key)):
                continue
            differences.append((f"{group}_conf {key}", ours.get(key), theirs.get(key)))
    if differences:
        listed = "; ".join(f"{key} is {mine!r} and {other!r}" for key, mine, other in differences)
        raise BadInputError(
            f"the encoder of {pretrained_path} does not fit {asr_path}: {listed}; make the ASR configuration agree"
        )


def full_conf(group: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """``<group>_conf`` with the defaults of the chosen class."""
    from espnet2.tasks import asr

    from espnet2_birq.tasks.asr import BiRQASRTask  # noqa: F401 - registers the plugin's classes

    name, conf = settings.get(group), dict(settings.get(f"{group}_conf") or {})
    cls = getattr(asr, f"{group}_choices").get_class(name) if name is not None else None
    if cls is None:
        return {}
    parameters = inspect.signature(cls).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    return defaults | conf


def is_free(group: str, key: str, partial: bool) -> bool:
    """Whether a difference in this key does not matter."""
    if key in DERIVED_KEYS.get(group, ()):
        return True
    if group != "encoder":
        return False
    return key in FREE_KEYS or "dropout" in key or key.startswith("interctc") or (partial and key == "num_blocks")


def same_value(key: str, mine: Any, other: Any) -> bool:
    """Whether two values mean the same: ``16k`` and ``16000``, a tuple and a list, two files of equal statistics."""
    if key == "fs" and mine is not None and other is not None:
        import humanfriendly

        return humanfriendly.parse_size(str(mine)) == humanfriendly.parse_size(str(other))
    if key == "stats_file" and mine is not None and other is not None:
        return equal_statistics(Path(mine), Path(other))
    if isinstance(mine, (list, tuple)) and isinstance(other, (list, tuple)):
        return list(mine) == list(other)
    return mine == other


def equal_statistics(mine: Path, other: Path) -> bool:
    """Whether two statistics files normalise alike.

    Raises:
        BadInputError: if one is missing.
    """
    from espnet2.layers.global_mvn import GlobalMVN

    for path in (mine, other):
        if not path.is_file():
            raise BadInputError(f"{path}: no such statistics file (normalize_conf stats_file)")
    ours, theirs = GlobalMVN(str(mine)), GlobalMVN(str(other))
    return ours.mean.shape == theirs.mean.shape and bool(
        ours.mean.allclose(theirs.mean, atol=1e-4) and ours.std.allclose(theirs.std, rtol=1e-4)
    )
