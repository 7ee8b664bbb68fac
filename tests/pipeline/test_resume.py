from __future__ import annotations

from pathlib import Path

import pytest

from espnet2_birq.errors import BadInputError
from espnet2_birq.pipeline.resume import check_resume, settings


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    """A training that has written its first checkpoint."""
    (tmp_path / "c.yaml").write_text("max_epoch: 3\noptim_conf: {lr: 0.1}\n")
    start(tmp_path)
    (tmp_path / "exp" / "checkpoint.pth").write_text("weights")
    return tmp_path / "exp"


def start(root: Path, arguments: str = "", data: str = "data", restart: bool = False) -> str:
    return check_resume(root / "exp", root / "c.yaml", arguments.split(), {"wav.scp": data}, restart, "--ssl_tag NAME")


def test_the_same_training_goes_on(exp: Path) -> None:
    assert "resuming from" in start(exp.parent)


@pytest.mark.parametrize("arguments", ["--max_epoch 20", "--num_workers=4 --log_interval 7", "--optim_conf lr=0.1"])
def test_a_training_goes_on_when_only_its_length_or_its_watching_changed(exp: Path, arguments: str) -> None:
    assert "resuming from" in start(exp.parent, arguments)


def test_another_configuration_is_refused_in_one_line_that_names_the_change(exp: Path) -> None:
    (exp.parent / "c.yaml").write_text("max_epoch: 3\noptim_conf: {lr: 0.2}\n")
    with pytest.raises(
        BadInputError, match=r"optim_conf.lr was 0.1 and is 0.2.*--ssl_tag NAME.*--restart true"
    ) as caught:
        start(exp.parent)
    assert "\n" not in str(caught.value)
    assert (exp / "checkpoint.pth").read_text() == "weights"


def test_other_data_are_refused(exp: Path) -> None:
    with pytest.raises(BadInputError, match="wav.scp changed"):
        start(exp.parent, data="other")


def test_a_refusal_does_not_make_the_next_start_pass(exp: Path) -> None:
    for _ in range(2):
        with pytest.raises(BadInputError):
            start(exp.parent, data="other")


def test_restart_keeps_the_former_training_aside(exp: Path) -> None:
    assert "kept in" in start(exp.parent, data="other", restart=True)
    assert not (exp / "checkpoint.pth").exists()
    assert (exp.parent / "exp.1" / "checkpoint.pth").read_text() == "weights"


def test_without_a_checkpoint_anything_may_start(exp: Path) -> None:
    (exp / "checkpoint.pth").unlink()
    assert start(exp.parent, data="other") == ""


def test_settings_are_alike_in_yaml_and_on_the_command_line(tmp_path: Path) -> None:
    one, two = tmp_path / "1.yaml", tmp_path / "2.yaml"
    one.write_text("encoder: conformer\nencoder_conf:\n  num_blocks: 4\n  dropout_rate: 0.1\nseed: 1\n")
    two.write_text("encoder: transformer\nencoder_conf: {num_blocks: 2, dropout_rate: 0.1}\nseed: 1\n")
    assert settings(one, []) == settings(two, ["--encoder", "conformer", "--encoder_conf", "num_blocks=4"])


@pytest.mark.parametrize(("text", "complaint"), [("a: [1", "line"), ("", "expected 'key: value' lines")])
def test_a_damaged_configuration_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(BadInputError, match=complaint) as caught:
        settings(tmp_path / "c.yaml", [])
    assert "\n" not in str(caught.value)
