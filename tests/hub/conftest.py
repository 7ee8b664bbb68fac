"""A small pretraining experiment on disk, as stage 7 leaves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml


@pytest.fixture
def write_experiment(tmp_path: Path, tiny_config: dict[str, Any]) -> Callable[..., Path]:
    """``write_experiment(**overrides)``: folder with ``config.yaml`` and ``latest.pth`` of a random tiny model."""
    from espnet2_birq.tasks.birq import BiRQTask

    def write(name: str = "ssl_tiny", **overrides: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "user.yaml").write_text(yaml.safe_dump(tiny_config | overrides))
        arguments = ["--config", str(folder / "user.yaml"), "--output_dir", str(folder)]
        args = BiRQTask.get_parser().parse_args(arguments)
        torch.manual_seed(1)
        model = BiRQTask.build_model(args)
        (folder / "config.yaml").write_text(yaml.safe_dump(vars(args) | {"version": "202611"}))
        torch.save(model.state_dict(), folder / "latest.pth")
        return folder

    return write
