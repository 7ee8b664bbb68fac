"""The command of stage 8 on a tiny experiment and a synthetic set."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from espnet2_birq.bin import birq_diagnose
from espnet2_birq.errors import run_command

FIGURES = {"labels_over_spectrogram.png", "code_usage.png", "effective_rank.png", "layer_pnmi.png"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """``run(experiment, data_dir, *options)``: the command as a user calls it; what it wrote to diagnostics.json."""

    def call(experiment: Path, data_dir: Path, *options: object) -> dict[str, Any]:
        arguments = ["--ssl_exp", experiment, "--data_dir", data_dir, *options]
        monkeypatch.setattr(sys, "argv", ["birq_diagnose", *map(str, arguments)])
        run_command("birq_diagnose", birq_diagnose.main)
        return json.loads((experiment / "diagnostics/diagnostics.json").read_text())

    return call


def test_a_report_and_figures_are_written(
    write_experiment: Callable[..., Path],
    speech_set: Path,
    run: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    experiment = write_experiment(label_source_conf={"layer": 2, "normalization": "utterance"})
    report = run(experiment, speech_set, "--probe", "true")
    assert {path.name for path in (experiment / "diagnostics").iterdir()} == FIGURES | {"diagnostics.json"}
    assert (report["utterances"], report["milliseconds_per_step"]) == (6, 40.0)
    assert report["reference"]["kind"] == "uniform character alignment"
    assert report["reference"]["classes"] == 3
    assert report["anchoring"]["codes"] == 64
    assert report["anchoring"]["used"] + report["anchoring"]["dead"] == 64
    # Three sounds that differ as a tone, a higher tone and noise do are told apart by labels of any kind.
    assert report["anchoring"]["pnmi"] > report["anchoring"]["pnmi_of_shuffled_labels"] + 0.3
    assert report["enhanced"]["layer"] == 2
    assert 0 <= report["enhanced"]["nmi_with_anchoring"] <= 1
    assert [row["layer"] for row in report["layers"]] == ["0", "1", "2", "3", "output"]
    assert report["churn"] is None
    assert report["probe"]["train_utterances"] == 4
    printed = capsys.readouterr().out
    for word in ("anchoring labels", "enhanced labels (layer 2)", "gradients", "effective rank", "PNMI", "probe"):
        assert word in printed


def test_labels_are_compared_with_the_epoch_before(
    write_experiment: Callable[..., Path], speech_set: Path, run: Callable[..., dict[str, Any]]
) -> None:
    experiment = write_experiment()
    state = torch.load(experiment / "latest.pth", weights_only=True)
    torch.save(state, experiment / "2epoch.pth")
    torch.save(state, experiment / "12epoch.pth")
    (experiment / "latest.pth").unlink()
    (experiment / "latest.pth").symlink_to("12epoch.pth")
    assert run(experiment, speech_set)["churn"] == {"other_model": "2epoch.pth", "enhanced": 0.0, "enhanced_nmi": 1.0}
    changed = {name: -tensor if name.startswith("encoder.embed") else tensor for name, tensor in state.items()}
    torch.save(changed, experiment / "other.pth")
    report = run(experiment, speech_set, "--compare_model", "other.pth")
    assert report["churn"]["other_model"] == "other.pth"
    assert report["churn"]["enhanced"] > 0.1


def test_best_rq_without_transcripts_and_with_several_codebooks(
    write_experiment: Callable[..., Path], speech_set: Path, tmp_path: Path, run: Callable[..., dict[str, Any]]
) -> None:
    textless = tmp_path / "textless"
    textless.mkdir()
    for name in ("wav.scp", "utt2spk"):
        (textless / name).write_text((speech_set / name).read_text())
    conf = {"penalty_conf": {"w1": 0.0, "w2": 1.0}, "quantizer_conf": {"num_codes": 32, "num_codebooks": 4}}
    experiment = write_experiment(**conf)
    report = run(experiment, textless, "--max_utterances", 2)
    assert report["enhanced"] is None
    assert report["reference"] is None
    assert report["utterances"] == 2
    assert report["anchoring"]["codebooks"] == 4
    assert report["gradients"]["enhanced_share"] is None
    assert "pnmi" not in report["layers"][0]
    assert not (experiment / "diagnostics/layer_pnmi.png").exists()


def test_transcripts_can_be_aligned_by_a_fine_tuned_model(
    write_experiment: Callable[..., Path],
    speech_set: Path,
    tmp_path: Path,
    tiny_config: dict[str, Any],
    run: Callable[..., dict[str, Any]],
) -> None:
    from espnet2_birq.tasks.asr import BiRQASRTask

    asr = tmp_path / "asr"
    asr.mkdir()
    (asr / "tokens.txt").write_text("\n".join(["<blank>", "<unk>", "<space>", "a", "b", "c", "<sos/eos>"]) + "\n")
    shared = {key: tiny_config[key] for key in ("frontend", "frontend_conf", "normalize", "encoder", "encoder_conf")}
    settings = {
        **shared,
        "model_conf": {"ctc_weight": 1.0},
        "token_type": "char",
        "token_list": str(asr / "tokens.txt"),
    }
    (asr / "user.yaml").write_text(yaml.safe_dump(settings))
    args = BiRQASRTask.get_parser().parse_args(["--config", str(asr / "user.yaml"), "--output_dir", str(asr)])
    model = BiRQASRTask.build_model(args)
    (asr / "config.yaml").write_text(yaml.safe_dump(vars(args)))
    torch.save(model.state_dict(), asr / "valid.loss.ave.pth")
    report = run(write_experiment(), speech_set, "--asr_exp", asr)
    assert report["reference"]["kind"] == "CTC forced alignment of char tokens"
    assert 1 <= report["reference"]["classes"] <= 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "3epoch.pth"], "3epoch.pth: no such model file; there are: latest.pth"),
        (["--compare_model", "1epoch.pth"], "1epoch.pth: no such model file"),
        (["--max_utterances", "0"], "--max_utterances 0: at least one utterance"),
        (["--alignment", "nowhere.tsv"], "nowhere.tsv: no such file"),
        (["--asr_exp", "nowhere"], "nowhere/config.yaml: no such file"),
        (["--alignment", "a", "--asr_exp", "b"], "two sources of one reference"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(
    options: list[str],
    message: str,
    write_experiment: Callable[..., Path],
    speech_set: Path,
    run: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    experiment = write_experiment()
    with pytest.raises(SystemExit) as caught:
        run(experiment, speech_set, *options)
    assert caught.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("birq_diagnose: error: ")]
    assert message in line
    assert not (experiment / "diagnostics").exists()
