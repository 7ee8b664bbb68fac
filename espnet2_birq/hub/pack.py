"""Packs that ESPnet and espnet_model_zoo load: a zip of files with a ``meta.yaml`` that says what they are.

Members are named by their path from the recipe's folder, as in ESPnet's own packs, because unpacking rewrites every
value of a configuration that equals a member's name. The same files make the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2_birq.errors import BadInputError

_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Contents:
    """What goes into a pack.

    Attributes:
        yaml_files: configurations by the name that ESPnet's inference class gives them.
        files: parameters, likewise.
        extra: further files.
    """

    yaml_files: dict[str, Path]
    files: dict[str, Path]
    extra: tuple[Path, ...] = ()


def _existing(path: Path, stage: int) -> Path:
    if not path.exists():
        raise BadInputError(f"{path}: no such file to pack: run stage {stage} first")
    return path


def _followed(path: Path) -> Path:
    """The file that a link stands for, when both lie in one folder: ``valid.loss.ave.pth`` is such a link."""
    while path.is_symlink() and os.sep not in os.readlink(path):
        path = path.with_name(os.readlink(path))
    return path


def ssl_contents(exp: Path) -> Contents:
    """The exported encoder of a pretraining, with its diagnostics and the configuration it was trained by."""
    export = exp / "export"
    # Where the encoder comes from, and the statistics that its configuration names when it normalises by them.
    extra = [exp / "config.yaml", export / "export.json", export / "feats_stats.npz"]
    extra += [*sorted((exp / "diagnostics").glob("*")), *sorted((exp / "images").glob("*.png"))]
    return Contents(
        {"ssl_train_config": _existing(export / "config.yaml", 8)},
        {"ssl_model_file": _existing(export / "encoder.pth", 8)},
        tuple(path for path in extra if path.is_file()),
    )


def asr_contents(exp: Path, model: str) -> Contents:
    """An ASR model with what its configuration refers to, its results and its training curves."""
    config = _existing(exp / "config.yaml", 10)
    settings = read_yaml(config)
    extra = [exp / "RESULTS.md", *sorted((exp / "images").glob("*.png"))]
    extra = [path for path in extra if path.is_file()]
    for value in (settings.get("bpemodel"), (settings.get("normalize_conf") or {}).get("stats_file")):
        if value:
            extra.append(_existing(Path(value), 9))
    return Contents(
        {"asr_train_config": config}, {"asr_model_file": _followed(_existing(exp / model, 10))}, tuple(extra)
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        BadInputError: if the file holds no mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadInputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise BadInputError(f"{path}: expected 'key: value' lines, found none")
    return content


def member_name(path: Path) -> str:
    """Path from the current folder.

    Raises:
        BadInputError: if it leads out of the current folder, which nothing could unpack.
    """
    name = os.path.normpath(os.path.relpath(path))
    if name.startswith(os.pardir):
        raise BadInputError(f"{path}: outside the current folder: run birq_pack in the folder of the recipe")
    return name


def write_pack(contents: Contents, out: Path) -> list[str]:
    """Write the zip, whole or not at all, and return its members' names.

    The time in ``meta.yaml`` is when the newest of the model files was written, so that it is the same every time.
    """
    import yaml

    members = {member_name(path): path for path in (*contents.yaml_files.values(), *contents.files.values())}
    members |= {member_name(path): path for path in contents.extra}
    meta = {
        "yaml_files": {key: member_name(path) for key, path in contents.yaml_files.items()},
        "files": {key: member_name(path) for key, path in contents.files.items()},
        "timestamp": float(max(int(path.stat().st_mtime) for path in contents.files.values())),
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "espnet": importlib.metadata.version("espnet"),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            _add(archive, "meta.yaml", yaml.safe_dump(meta).encode())
            for name in sorted(members):
                _add(archive, name, members[name].read_bytes())
        os.replace(temporary, out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, error.filename or str(out)) from error
    return ["meta.yaml", *sorted(members)]


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = 0o644 << 16
    info.compress_type = zipfile.ZIP_STORED if name.endswith((".pth", ".png", ".npz")) else zipfile.ZIP_DEFLATED
    archive.writestr(info, content)


def open_pack(path: Path) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    """A pack opened for reading, and its ``meta.yaml``.

    Raises:
        BadInputError: if it is missing, damaged, or no pack.
    """
    import yaml

    if not path.exists():
        raise BadInputError(f"{path}: no such pack: run stage 13 first")
    try:
        archive = zipfile.ZipFile(path)
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")
        return archive, yaml.safe_load(archive.read("meta.yaml"))
    except zipfile.BadZipFile as error:
        raise BadInputError(f"{path}: not a readable zip file ({error}): make it again with stage 13") from None
    except KeyError:
        raise BadInputError(f"{path}: no pack of ESPnet: it has no meta.yaml") from None


def list_of(names: Sequence[str]) -> str:
    """Names below each other, for the log."""
    return "\n".join(f"  {name}" for name in names)
