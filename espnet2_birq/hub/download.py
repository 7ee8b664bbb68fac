"""A packed model, from a file or the hub, laid out like an experiment of this recipe."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from pathlib import Path

from espnet2_birq.errors import BadInputError
from espnet2_birq.hub.pack import open_pack, read_yaml
from espnet2_birq.pipeline.fingerprint import fingerprint_file


def fetch(model: str, expdir: Path) -> dict[str, str]:
    """Paths of the unpacked files by the names in ``meta.yaml``.

    Args:
        model: a zip file, a URL, or a name on the Hugging Face hub.
        expdir: local packs are unpacked below ``expdir/downloaded``.

    Raises:
        BadInputError: if it cannot be had.
    """
    from espnet2.main_funcs.pack_funcs import unpack

    if model.endswith(".zip") and "://" not in model:
        path = Path(model)
        open_pack(path)[0].close()
        folder = expdir / "downloaded" / fingerprint_file(path)[:10]
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            unpack(path, folder)
            (folder / "complete").touch()
        return unpack(path, folder, use_cache=True)
    try:
        from espnet_model_zoo.downloader import ModelDownloader

        with contextlib.redirect_stdout(sys.stderr):
            return ModelDownloader().download_and_unpack(model)
    except (OSError, ValueError, RuntimeError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise BadInputError(
            f"--download_model {model}: cannot be downloaded ({reason}): check name and network"
        ) from None


def lay_out(model: str, expdir: Path) -> tuple[str, Path]:
    """Fetch a model and link its files to where the stages look for them.

    Returns:
        ``ssl`` or ``asr``, and the folder of the experiment: ``export/{config.yaml,encoder.pth}`` for the former,
        ``config.yaml``, ``model.pth`` and, where there is one, ``bpe.model`` for the latter.

    Raises:
        BadInputError: if the model cannot be had or is of another kind.
    """
    files = fetch(model, expdir)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", model.removesuffix(".zip").strip("/"))
    if "ssl_model_file" in files:
        folder = expdir / f"ssl_downloaded_{name}"
        links = {"export/config.yaml": files["ssl_train_config"], "export/encoder.pth": files["ssl_model_file"]}
        kind = "ssl"
    elif "asr_model_file" in files:
        folder = expdir / f"asr_downloaded_{name}"
        links = {"config.yaml": files["asr_train_config"], "model.pth": files["asr_model_file"]}
        bpemodel = read_yaml(Path(files["asr_train_config"])).get("bpemodel")
        if bpemodel:
            links["bpe.model"] = bpemodel
        kind = "asr"
    else:
        raise BadInputError(f"--download_model {model}: holds {', '.join(files)}: neither an ssl nor an asr model")
    for link, target in links.items():
        path = folder / link
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path(target).resolve())
        os.replace(temporary, path)
    return kind, folder
