"""The pretrained encoder as unmodified ESPnet takes it: by ``--init_param`` and as ``frontend: espnet_ssl``."""

from __future__ import annotations

import argparse
import copy
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet2_birq.corpus.tables import write_text_atomically
from espnet2_birq.errors import BadInputError
from espnet2_birq.hub.pack import read_yaml

if TYPE_CHECKING:
    import torch

CONFIG, PARAMETERS, PROVENANCE, STATISTICS = "config.yaml", "encoder.pth", "export.json", "feats_stats.npz"
# What ESPnet's SSL model shares with its ASR model; heads, labels and codebooks stay behind.
EXPORTED_PARTS = ("frontend.", "normalize.", "preencoder.", "encoder.")
# Keys of the plugin's model that ESPnet's own SSL model knows as well.
SHARED_MODEL_KEYS = ("extract_feats_in_collect_stats",)


@dataclass(frozen=True)
class Export:
    """Where an exported encoder comes from.

    Attributes:
        pretraining: name of the experiment folder.
        model_file: which of its models; links are followed.
        tensors: number of exported tensors.
        encoder_parameters: number of trained values in the encoder.
        needs_plugin: whether ESPnet alone cannot build the input side (frame stacking).
        quantizer_fingerprint: SHA-256 of the codebooks that the encoder was trained with.
    """

    pretraining: str
    model_file: str
    tensors: int
    encoder_parameters: int
    needs_plugin: bool
    quantizer_fingerprint: str


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a model file by name.

    Raises:
        BadInputError: if the file is missing, damaged, or not a model's state.
    """
    import torch

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


def export_encoder(ssl_exp: Path, model_file: str, out_dir: Path) -> Export:
    """Write ``config.yaml``, ``encoder.pth`` and ``export.json``, once ESPnet has built a model that they fit.

    Args:
        ssl_exp: experiment folder of the pretraining.
        model_file: name of a model in it.
        out_dir: gets the files, and ``feats_stats.npz`` where the normalisation needs it.

    Raises:
        BadInputError: if configuration and model do not fit, naming the first tensor that differs.
    """
    from espnet2_birq.train.checkpoint import save_atomically

    if not (ssl_exp / CONFIG).is_file():
        raise BadInputError(f"{ssl_exp / CONFIG}: no such file; run stage 7 first or correct --ssl_exp")
    settings = read_yaml(ssl_exp / CONFIG)
    path = ssl_exp / model_file
    state = load_state(path)
    exported = {name: tensor for name, tensor in state.items() if name.startswith(EXPORTED_PARTS)}
    if not any(name.startswith("encoder.") for name in exported):
        example = next(iter(state), "nothing")
        raise BadInputError(f"{path}: has no encoder.* tensors (but {example}); it is not a model of stage 7")
    stock = stock_settings(settings)
    statistics = (stock.get("normalize_conf") or {}).get("stats_file")
    if statistics is not None and not Path(statistics).is_file():
        raise BadInputError(f"{statistics}: no such file, but normalize_conf of {ssl_exp / CONFIG} needs it")
    fingerprint = quantizer_fingerprint(settings, state, path)
    trained = check_fit(stock, exported, path)
    out_dir.mkdir(parents=True, exist_ok=True)
    if statistics is not None:
        shutil.copyfile(statistics, out_dir / f".{STATISTICS}.tmp")
        (out_dir / f".{STATISTICS}.tmp").replace(out_dir / STATISTICS)
        stock["normalize_conf"] = {**stock["normalize_conf"], "stats_file": str(out_dir / STATISTICS)}
    export = Export(
        pretraining=ssl_exp.resolve().name,
        model_file=path.resolve().name,
        tensors=len(exported),
        encoder_parameters=trained,
        needs_plugin=stock.get("preencoder") == "stacking",
        quantizer_fingerprint=fingerprint,
    )
    save_atomically(exported, out_dir / PARAMETERS)
    write_text_atomically(out_dir / PROVENANCE, json.dumps(asdict(export), indent=2) + "\n")
    write_text_atomically(out_dir / CONFIG, to_yaml(stock))
    return export


def quantizer_fingerprint(settings: dict[str, Any], state: dict[str, torch.Tensor], source: Path) -> str:
    """SHA-256 of the frozen codebooks in a pretraining's model.

    Raises:
        BadInputError: if the model is not of this configuration.
    """
    from espnet2_birq.tasks.birq import BiRQTask

    model = BiRQTask.build_model(argparse.Namespace(**copy.deepcopy(settings)))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise BadInputError(f"{source}: does not fit {source.with_name(CONFIG)}: {reason}") from error
    return model.loss.quantizer.fingerprint()


def stock_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The part of a pretraining configuration that ESPnet's own SSL task knows, with a model it can build."""
    from espnet2.tasks.ssl import SSLTask

    parser = SSLTask.get_parser()
    known = {action.dest for action in parser._actions} | {"version", "distributed"}
    kept = {key: value for key, value in settings.items() if key in known}
    model_conf = {key: value for key, value in settings.get("model_conf", {}).items() if key in SHARED_MODEL_KEYS}
    return kept | {"model": "espnet", "model_conf": model_conf, "loss": [], "util": [], "token_list": []}


def check_fit(settings: dict[str, Any], exported: dict[str, torch.Tensor], source: Path) -> int:
    """Build the model through ESPnet's SSL task and compare it with the tensors by name and shape.

    Returns:
        Number of trained values in its encoder.

    Raises:
        BadInputError: naming the first tensor that differs.
    """
    from espnet2.tasks import ssl

    if settings.get("preencoder") == "stacking":
        from espnet2_birq.tasks.stacking import FrameStacking

        ssl.preencoder_choices.classes["stacking"] = FrameStacking
    model = ssl.SSLTask.build_model(argparse.Namespace(**copy.deepcopy(settings)))
    expected = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(EXPORTED_PARTS)}
    for name in sorted(expected.keys() ^ exported.keys()):
        holder, other = (CONFIG, source) if name in expected else (source, CONFIG)
        raise BadInputError(f"{source}: {name} is in {holder} but not in {other}; they are of different runs")
    for name, tensor in exported.items():
        if tensor.shape != expected[name].shape:
            raise BadInputError(
                f"{source}: {name} has shape {tuple(tensor.shape)}, but {CONFIG} beside it makes "
                f"{tuple(expected[name].shape)}; they are of different runs"
            )
    return sum(parameter.numel() for parameter in model.encoder.parameters())


def to_yaml(settings: dict[str, Any]) -> str:
    """A configuration as ESPnet writes it."""
    import yaml

    return yaml.safe_dump(settings, indent=4, sort_keys=False, allow_unicode=True)
