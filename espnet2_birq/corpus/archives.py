"""Unpack archives of others safely and whole."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path

from espnet2_birq.errors import BadInputError


def extract_tar(archive: Path, directory: Path) -> None:
    """Unpack a tar archive into ``directory``, whole or not at all; nothing to do when the directory exists.

    Members that would land outside of ``directory``, links that point outside, and devices are refused.

    Raises:
        BadInputError: the archive is missing, damaged or malicious.
    """
    if directory.is_dir():
        return
    if not archive.is_file():
        raise BadInputError(f"{archive}: no such archive; download it again")
    fresh = directory.with_name(f".{directory.name}.part")
    if fresh.exists():  # of a killed run
        shutil.rmtree(fresh)
    fresh.mkdir(parents=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(fresh, filter="data")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BadInputError(f"{archive}: cannot be unpacked ({error}); download it again") from error
    fresh.rename(directory)
