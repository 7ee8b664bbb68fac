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


def export_encoder(ssl_exp: Path, model_file: str, out_dir: Path) -> Export:
    """Write ``config.yaml``, ``encoder.pth`` and ``export.json``, once ESPnet has built a model that they fit.

    Args:
        ssl_exp: experiment folder of the pretraining.
        model_file: name of a model in it.
        out_dir: gets the files, and ``feats_stats.npz`` where the normalisation needs it.

    Raises:
        BadInputError: if configuration and model do not fit, naming the first tensor that differs.
    """
    from espnet2_birq.tasks.pretrained import load_pretrained
    from espnet2_birq.train.checkpoint import save_atomically

    model, settings = load_pretrained(ssl_exp, model_file)
    path = ssl_exp / model_file
    exported = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(EXPORTED_PARTS)}
    stock = stock_settings(settings)
    statistics = (stock.get("normalize_conf") or {}).get("stats_file")
    check_fit(stock, exported, path)
    out_dir.mkdir(parents=True, exist_ok=True)
    if statistics is not None:
        shutil.copyfile(statistics, out_dir / f".{STATISTICS}.tmp")
        (out_dir / f".{STATISTICS}.tmp").replace(out_dir / STATISTICS)
        stock["normalize_conf"] = {**stock["normalize_conf"], "stats_file": str(out_dir / STATISTICS)}
    export = Export(
        pretraining=ssl_exp.resolve().name,
        model_file=path.resolve().name,
        tensors=len(exported),
        encoder_parameters=sum(parameter.numel() for parameter in model.encoder.parameters()),
        needs_plugin=stock.get("preencoder") == "stacking",
        quantizer_fingerprint=model.loss.quantizer.fingerprint(),
    )
    save_atomically(exported, out_dir / PARAMETERS)
    write_text_atomically(out_dir / PROVENANCE, json.dumps(asdict(export), indent=2) + "\n")
    write_text_atomically(out_dir / CONFIG, to_yaml(stock))
    return export


def stock_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The part of a pretraining configuration that ESPnet's own SSL task knows, with a model it can build."""
    from espnet2.tasks.ssl import SSLTask

    parser = SSLTask.get_parser()
    known = {action.dest for action in parser._actions} | {"version", "distributed"}
    kept = {key: value for key, value in settings.items() if key in known}
    model_conf = {key: value for key, value in settings.get("model_conf", {}).items() if key in SHARED_MODEL_KEYS}
    return kept | {"model": "espnet", "model_conf": model_conf, "loss": [], "util": [], "token_list": []}


def check_fit(settings: dict[str, Any], exported: dict[str, torch.Tensor], source: Path) -> None:
    """Build the model through ESPnet's SSL task and compare it with the tensors by name and shape.

    Raises:
        BadInputError: naming the first tensor that differs.
    """
    from espnet2.tasks import ssl

    if settings.get("preencoder") == "stacking":
        from espnet2_birq.tasks.stacking import FrameStacking

        ssl.preencoder_choices.classes["stacking"] = FrameStacking
    model = ssl.SSLTask.build_model(argparse.Namespace(**copy.deepcopy(settings)))
    expected = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(EXPORTED_PARTS)}
    for name in sorted(expected.keys() | exported.keys()):
        ours, theirs = (tuple(tensors[name].shape) if name in tensors else None for tensors in (exported, expected))
        if ours != theirs:
            raise BadInputError(
                f"{source}: {name} has shape {ours}, but {theirs} in the model that ESPnet itself builds from the "
                "configuration; is the installed ESPnet of another version?"
            )


def to_yaml(settings: dict[str, Any]) -> str:
    """A configuration as ESPnet writes it."""
    import yaml

    return yaml.safe_dump(settings, indent=4, sort_keys=False, allow_unicode=True)
