"""May a training go on from the checkpoint that lies in its folder?

ESPnet resumes from ``checkpoint.pth`` whatever the configuration says by then. So each training leaves a record of the
configuration, arguments and inputs that it was started with; a later start compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from espnet2_birq.errors import BadInputError
from espnet2_birq.pipeline.done import summary, write_json

RECORD = "started_with.json"

# Keys that may change between two parts of one training: how long, how it is watched, what is kept, on what machine.
HARMLESS = frozenset(
    """
    max_epoch patience early_stopping_criterion val_scheduler_criterion best_model_criterion keep_nbest_models
    nbest_averaging_interval log_interval log_level print_config num_workers num_att_plot use_tensorboard
    use_matplotlib create_graph_in_tensorboard use_wandb wandb_project wandb_id wandb_entity wandb_name
    wandb_model_log_interval ngpu detect_anomaly cudnn_enabled cudnn_benchmark cudnn_deterministic
    """.split()  # noqa: SIM905
)


def flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """Leaves of a configuration by their dotted name; lists are numbered: ``{"loss.0.name": "birq"}``."""
    if isinstance(tree, dict):
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        return {prefix: json.dumps(tree, ensure_ascii=False)}
    leaves = {}
    for key, value in items:
        leaves |= flatten(value, f"{prefix}.{key}" if prefix else key)
    return leaves


def settings(config: Path, arguments: list[str]) -> dict[str, str]:
    """Flat settings of an ESPnet training: the YAML ``config``, overridden by command line ``arguments``.

    ``--optim_conf lr=0.1`` and ``optim_conf: {lr: 0.1}`` come out alike.

    Raises:
        BadInputError: if the configuration is no YAML mapping.
    """
    import yaml

    try:
        tree = yaml.safe_load(config.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if isinstance(error, yaml.MarkedYAMLError) else ""
        reason = str(error.problem) if isinstance(error, yaml.MarkedYAMLError) else str(error)
        raise BadInputError(f"{config}{place}: not valid YAML: {reason}") from None
    if not isinstance(tree, dict):
        raise BadInputError(f"{config}: expected 'key: value' lines, found none")
    leaves = flatten(tree)
    name = ""
    for argument in arguments:
        if argument.startswith("--"):
            name, _, argument = argument[2:].partition("=")
            if not argument:
                continue
        key, separator, value = argument.partition("=")
        if separator and name.endswith("_conf"):
            leaves[f"{name}.{key}"] = json.dumps(yaml.safe_load(value))
        else:
            leaves[name] = json.dumps(yaml.safe_load(argument))
    return {key: value for key, value in leaves.items() if key.split(".")[0] not in HARMLESS}


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Settings that differ, each in words."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            found.append(f"{key} was {old.get(key, 'not set')} and is {new.get(key, 'not set')}")
    return found


def set_aside(folder: Path) -> Path:
    """Rename ``folder`` to the first free of ``folder.1``, ``folder.2``, ... and return that name."""
    number = 1
    while (target := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    return folder.rename(target)


def check_resume(
    folder: Path, config: Path, arguments: list[str], inputs: dict[str, str], restart: bool, advice: str
) -> str:
    """Compare a training about to start in ``folder`` with the one that was started there, and record the new one.

    Args:
        folder: experiment folder; may not exist yet.
        config: the training configuration.
        arguments: arguments that override it.
        inputs: fingerprints of the training's inputs, by name.
        restart: set a folder with other settings aside and start anew, instead of refusing.
        advice: what the message tells the user to give for another folder, e.g. ``--ssl_tag NAME``.

    Returns:
        One line for the user, or nothing.

    Raises:
        BadInputError: if the folder holds a checkpoint of a training with other settings and ``restart`` is off.
    """
    now = {"settings": settings(config, arguments), "inputs": inputs}
    record = folder / RECORD
    message = ""
    if (folder / "checkpoint.pth").exists() and record.exists():
        before = json.loads(record.read_text(encoding="utf-8"))
        found = changes(before["settings"], now["settings"])
        found += [
            f"{name} changed"
            for name in sorted(before["inputs"].keys() | inputs.keys())
            if before["inputs"].get(name) != inputs.get(name)
        ]
        if found and not restart:
            remedy = f"give {advice} for a new folder, or --restart true to set this one aside and start anew"
            raise BadInputError(
                f"{folder} holds a training with other settings, not resumed ({summary(found)}): {remedy}"
            )
        if found:
            message = f"its settings changed: the former training is kept in {set_aside(folder)}"
        else:
            message = f"resuming from {folder / 'checkpoint.pth'}"
    write_json(record, now)
    return message
