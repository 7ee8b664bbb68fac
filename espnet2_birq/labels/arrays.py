"""Files of named arrays that labels are made with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from espnet2_birq.errors import BadInputError


def save_arrays(path: str | os.PathLike[str], **arrays: np.ndarray) -> None:
    """Write an ``.npz`` file: the whole file or none."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as stream:
            np.savez(stream, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_arrays(path: str | os.PathLike[str], names: tuple[str, ...], command: str) -> dict[str, np.ndarray]:
    """Float64 arrays of an ``.npz`` file.

    Args:
        path: of the file.
        names: of the arrays.
        command: that writes such files, for the error.

    Raises:
        BadInputError: if the file is missing or is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name].astype(np.float64) for name in names}
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file; {command} writes it") from error
    except Exception as error:  # a damaged archive can raise nearly anything
        raise BadInputError(f"{path}: not a file that {command} wrote (arrays {', '.join(names)})") from error
