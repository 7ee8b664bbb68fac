"""Checkpoints that survive a crash at any moment.

ESPnet writes ``checkpoint.pth`` in place; a crash while it does loses the run. Here a file is written beside its place,
flushed to disk and renamed, and the checkpoint before it is kept.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from espnet2.train.reporter import Reporter

from espnet2_birq.errors import BadInputError

CHECKPOINT = "checkpoint.pth"
PREVIOUS = "checkpoint.previous.pth"

_plain_save = torch.save


def save_atomically(states: Any, path: str | os.PathLike[str]) -> None:
    """Write ``states`` so that ``path`` holds either the old or the new content, whatever happens.

    Raises:
        OSError: if the disk is full; the old file stays and the half-written one is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as stream:
            _plain_save(states, stream)
            stream.flush()
            os.fsync(stream.fileno())
        if path.name == CHECKPOINT and path.exists():
            keep = path.with_name(f".{PREVIOUS}.tmp")
            keep.unlink(missing_ok=True)
            os.link(path, keep)
            os.replace(keep, path.with_name(PREVIOUS))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_torch_save() -> Iterator[None]:
    """Let every ``torch.save`` to a path be atomic: ESPnet's trainer calls it by that name and offers no hook."""

    def save(states: Any, f: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(f, str | os.PathLike) and not args and not kwargs:
            save_atomically(states, f)
        else:
            _plain_save(states, f, *args, **kwargs)

    torch.save = save
    try:
        yield
    finally:
        torch.save = _plain_save


def load_newest(output_dir: Path) -> dict[str, Any]:
    """States of the newest readable checkpoint; a damaged one is passed over with one warning.

    Raises:
        BadInputError: if there are checkpoints and none can be read.
    """
    failures = []
    for name in (CHECKPOINT, PREVIOUS):
        path = output_dir / name
        if not path.exists():
            continue
        try:
            states = torch.load(path, map_location="cpu", weights_only=True)
            if missing := {"model", "reporter", "optimizers", "schedulers"} - states.keys():
                raise KeyError(f"no {', '.join(sorted(missing))}")
        except Exception as error:  # a damaged pickle can raise nearly anything
            failures.append(f"{path}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            continue
        if failures:
            logging.warning(f"Damaged checkpoint passed over ({failures[0]}); continuing from {path}")
        return states
    raise BadInputError(f"no readable checkpoint ({'; '.join(failures)}); remove the files to start again")


def repair_epoch_files(output_dir: Path, criteria: Sequence[Sequence[str]]) -> None:
    """Complete what a crash between two files left out: the epoch's model file and the links to it."""
    if not (output_dir / CHECKPOINT).exists():
        return
    states = load_newest(output_dir)
    reporter = Reporter()
    reporter.load_state_dict(states["reporter"])
    epoch = reporter.get_epoch()
    model_file = output_dir / f"{epoch}epoch.pth"
    if not model_file.exists():
        save_atomically(states["model"], model_file)
        _link(output_dir / "latest.pth", model_file.name)
    for phase, key, mode in criteria:
        if reporter.has(phase, key):
            best = f"{reporter.get_best_epoch(phase, key, mode)}epoch.pth"
            if (output_dir / best).exists():
                _link(output_dir / f"{phase}.{key}.best.pth", best)


def _link(link: Path, target: str) -> None:
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)
