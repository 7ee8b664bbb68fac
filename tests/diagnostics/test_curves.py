"""Training curves from what ESPnet leaves in an experiment folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from espnet2_birq.diagnostics.curves import training_curves
from espnet2_birq.errors import BadInputError


def write_checkpoint(folder: Path) -> None:
    epochs = {
        epoch: {
            "train": {"loss": 5.0 / epoch, "total_count": 20 * epoch},
            "valid": {"loss": 6.0 / epoch, "total_count": 3},
        }
        for epoch in (1, 2)
    }
    torch.save({"model": {}, "reporter": {"epoch": 2, "stats": epochs}}, folder / "checkpoint.pth")


def test_epochs_are_points_at_their_last_iteration(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    curves = training_curves(tmp_path)
    assert curves == {"train": {"loss": ([20, 40], [5.0, 2.5])}, "valid": {"loss": ([20, 40], [6.0, 3.0])}}


def test_training_is_shown_by_iteration_where_tensorboard_has_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    with SummaryWriter(str(tmp_path / "tensorboard/train")) as writer:
        for step in range(5, 45, 5):
            writer.add_scalar("loss", 100 / step, step)
    curves = training_curves(tmp_path)
    assert curves["train"]["loss"][0] == list(range(5, 45, 5))
    assert curves["valid"]["loss"] == ([20, 40], [6.0, 3.0])


def test_an_experiment_without_checkpoint_has_no_curves_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert training_curves(tmp_path) == {}
    (tmp_path / "checkpoint.pth").write_bytes(b"no checkpoint")
    with pytest.raises(BadInputError, match=r"checkpoint.pth: cannot be read") as caught:
        training_curves(tmp_path)
    assert "\n" not in str(caught.value)
