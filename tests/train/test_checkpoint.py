"""Checkpoints survive a crash at any moment."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
import torch
from espnet2.train.reporter import Reporter

from espnet2_birq.errors import BadInputError
from espnet2_birq.train import checkpoint
from espnet2_birq.train.checkpoint import CHECKPOINT, PREVIOUS, atomic_torch_save, load_newest, repair_epoch_files

CRITERIA = [("valid", "loss", "min")]


def states(value: float, losses: list[float] = ()) -> dict:
    reporter = Reporter()
    for epoch, loss in enumerate(losses, 1):
        reporter.set_epoch(epoch)
        with reporter.observe("valid") as sub:
            sub.register({"loss": torch.tensor(loss)})
            sub.next()
    return {
        "model": {"weight": torch.full((3,), value)},
        "reporter": reporter.state_dict(),
        "optimizers": [],
        "schedulers": [],
        "scaler": None,
    }


def test_a_second_checkpoint_keeps_the_first_beside_it(tmp_path: Path) -> None:
    with atomic_torch_save():
        torch.save(states(1.0), tmp_path / CHECKPOINT)
        torch.save(states(2.0), tmp_path / CHECKPOINT)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["model"]["weight"][0] == 2.0
    assert torch.load(tmp_path / PREVIOUS, weights_only=True)["model"]["weight"][0] == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([CHECKPOINT, PREVIOUS])


def test_a_full_disk_leaves_the_old_checkpoint_and_no_debris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with atomic_torch_save():
        torch.save(states(1.0), tmp_path / CHECKPOINT)

        def full_disk(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / CHECKPOINT))

        monkeypatch.setattr(checkpoint.os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space left"):
            torch.save(states(2.0), tmp_path / CHECKPOINT)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["model"]["weight"][0] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_torch_save_is_the_plain_one_again_after_an_error() -> None:
    plain = torch.save
    with pytest.raises(RuntimeError), atomic_torch_save():
        raise RuntimeError
    assert torch.save is plain


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"junk" + data])
def test_a_damaged_newest_checkpoint_falls_back_to_the_previous_with_one_warning(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    with atomic_torch_save():
        torch.save(states(1.0), tmp_path / CHECKPOINT)
        torch.save(states(2.0), tmp_path / CHECKPOINT)
    newest = tmp_path / CHECKPOINT
    newest.write_bytes(damage(newest.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert load_newest(tmp_path)["model"]["weight"][0] == 1.0
    assert len(caplog.records) == 1
    assert str(newest) in caplog.text


def test_no_readable_checkpoint_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"junk")
    with pytest.raises(BadInputError, match=r"no readable checkpoint.*checkpoint\.pth.*remove"):
        load_newest(tmp_path)


def test_the_model_file_and_links_of_an_interrupted_epoch_are_completed(tmp_path: Path) -> None:
    with atomic_torch_save():
        torch.save(states(1.0)["model"], tmp_path / "1epoch.pth")
        torch.save(states(2.0, losses=[5.0, 4.0]), tmp_path / CHECKPOINT)
    repair_epoch_files(tmp_path, CRITERIA)
    assert torch.load(tmp_path / "2epoch.pth", weights_only=True)["weight"][0] == 2.0
    assert (tmp_path / "latest.pth").resolve().name == "2epoch.pth"
    assert (tmp_path / "valid.loss.best.pth").resolve().name == "2epoch.pth"


def test_the_best_link_points_at_the_best_epoch_not_the_last(tmp_path: Path) -> None:
    with atomic_torch_save():
        torch.save(states(1.0)["model"], tmp_path / "1epoch.pth")
        torch.save(states(2.0, losses=[4.0, 5.0]), tmp_path / CHECKPOINT)
    repair_epoch_files(tmp_path, CRITERIA)
    assert (tmp_path / "valid.loss.best.pth").resolve().name == "1epoch.pth"
