"""The whole road on mini_an4, in a copy of the recipe: every stage, again, killed and resumed, and stock ESPnet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from recipe_copy import copy_recipe, environment

SSL = "exp/ssl_train_ssl_birq"
ASR = "exp/asr_train_asr_ctc_ssl_train_ssl_birq"

# ESPnet's command in a Python that cannot import the plugin.
STOCK = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "espnet2_birq":
            raise ImportError("no plugin here")

sys.meta_path.insert(0, Refuse())
module = sys.argv[1]
sys.argv[1:] = sys.argv[2:]
importlib.import_module(module).main()
"""


def run(recipe: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["./run.sh", *arguments], cwd=recipe, capture_output=True, text=True, check=False, env=environment()
    )


def succeed(recipe: Path, *arguments: str) -> str:
    result = run(recipe, *arguments)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def stock(recipe: Path, module: str, *arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", STOCK, module, *arguments],
        cwd=recipe,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe after all stages."""
    folder = copy_recipe(tmp_path_factory.mktemp("road"))
    output = succeed(folder)
    assert output.count("done in") >= 20
    return folder


def test_every_stage_leaves_what_the_next_needs(recipe: Path) -> None:
    for name in (
        "data/train_nodev/wav.scp",
        "dump/raw/org/train_dev/utt2num_samples",
        "dump/raw/train_nodev/text",
        "data/en_token_list/char/tokens.txt",
        f"{SSL}/latest.pth",
        f"{SSL}/export/encoder.pth",
        f"{SSL}/diagnostics/diagnostics.json",
        f"{ASR}/init/encoder.pth",
        f"{ASR}/valid.loss.ave.pth",
        f"{ASR}/decode_ctc_greedy/test/text",
        f"{ASR}/decode_ctc_greedy/test/score_wer/result.txt",
        f"{SSL}/ssl_train_ssl_birq.zip",
        f"{ASR}/asr_train_asr_ctc_ssl_train_ssl_birq_valid.loss.ave.zip",
    ):
        assert (recipe / name).exists(), name
    assert "|decode_ctc_greedy/test|2|" in (recipe / "exp/RESULTS.md").read_text()
    result = json.loads((recipe / ASR / "decode_ctc_greedy/test/score_cer/result.json").read_text())
    assert result["Snt"] == 2


def test_a_second_run_redoes_nothing(recipe: Path) -> None:
    def state() -> dict[str, int]:
        files = (path for path in recipe.rglob("*") if path.is_file() and "locks" not in path.parts)
        return {str(path): path.stat().st_mtime_ns for path in files}

    before = state()
    output = succeed(recipe)
    assert "done in" not in output
    assert output.count("done before, nothing to do") >= 20
    assert state() == before


def test_a_changed_option_runs_its_stage_and_those_that_depend_on_it(recipe: Path) -> None:
    output = succeed(recipe, "--stage", "1", "--stop_stage", "13", "--score_opts", "--ignore_case true")
    again = [line for line in output.splitlines() if "done in" in line]
    assert again
    assert all("scoring" in line or "table of results" in line or "pack of the ASR model" in line for line in again)


def test_other_settings_do_not_mix_with_a_training(recipe: Path) -> None:
    config = recipe / "conf/train_ssl_birq.yaml"
    original = config.read_text()
    config.write_text(original.replace("lr: 0.001", "lr: 0.002"))
    result = run(recipe, "--stage", "7", "--stop_stage", "7")
    config.write_text(original)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert f"{SSL} holds a training with other settings" in line
    assert "optim_conf.lr was 0.001 and is 0.002" in line
    # Its marker was withdrawn, so the stage starts, finds itself complete and is marked again.
    assert "resuming from" in succeed(recipe, "--stage", "7", "--stop_stage", "7")


def test_a_killed_pretraining_goes_on_behind_its_last_epoch(recipe: Path) -> None:
    arguments = ["--stage", "7", "--stop_stage", "7", "--ssl_args", "--max_epoch 200", "--ssl_tag", "killed"]
    process = subprocess.Popen(
        ["./run.sh", *arguments], cwd=recipe, env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
    )
    folder = recipe / "exp/ssl_killed"
    deadline = time.monotonic() + 900
    while not (folder / "3epoch.pth").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    succeed(recipe, *arguments[:-4], "--ssl_args", "--max_epoch 6", "--ssl_tag", "killed")
    log = (folder / "train.log").read_text()
    assert "Resumed behind epoch" in log
    assert log.count("1/200epoch started") == 1
    assert (folder / "latest.pth").exists()


def test_unmodified_espnet_trains_from_the_export_and_decodes(recipe: Path) -> None:
    [stats] = recipe.glob("exp/asr_stats_*")
    data = [
        f"--{part}_{key}"
        for part, folder in (("train", "train_nodev"), ("valid", "train_dev"))
        for key in (
            f"data_path_and_name_and_type=dump/raw/{folder}/wav.scp,speech,sound",
            f"data_path_and_name_and_type=dump/raw/{folder}/text,text,text",
            f"shape_file={stats}/{part}/speech_shape",
            f"shape_file={stats}/{part}/text_shape",
        )
    ]
    options = [
        "--config",
        "conf/train_asr_ctc.yaml",
        "--token_type",
        "char",
        "--max_epoch",
        "1",
        "--optim_conf",
        "lr=0",
    ]
    options += ["--token_list", "data/en_token_list/char/tokens.txt", "--output_dir", "exp/stock"]
    stock(recipe, "espnet2.bin.asr_train", *options, *data, "--init_param", f"{SSL}/export/encoder.pth:encoder:encoder")
    export = torch.load(recipe / SSL / "export/encoder.pth", weights_only=True)
    trained = torch.load(recipe / "exp/stock/1epoch.pth", weights_only=True)
    encoder = {key for key in trained if key.startswith("encoder.")}
    assert encoder <= export.keys()
    for key in encoder:
        if "running_" not in key and "num_batches" not in key:  # what batch normalisation sees in training
            assert torch.equal(trained[key], export[key]), key

    stock(
        recipe,
        "espnet2.bin.asr_inference",
        *("--data_path_and_name_and_type", "dump/raw/test/wav.scp,speech,sound", "--output_dir", "exp/stock/decode"),
        *("--asr_train_config", "exp/stock/config.yaml", "--asr_model_file", "exp/stock/1epoch.pth"),
        *("--ctc_weight", "1.0", "--beam_size", "1", "--maxlenratio", "0.1"),
    )
    assert len((recipe / "exp/stock/decode/1best_recog/text").read_text().splitlines()) == 2


def test_espnets_own_commands_can_take_stages_10_and_11(recipe: Path) -> None:
    (recipe / "conf/decode_espnet.yaml").write_text("beam_size: 2\nctc_weight: 1.0\nmaxlenratio: 0.1\n")
    options = ["--asr_trainer", "espnet", "--asr_tag", "by_espnet", "--asr_inference", "espnet"]
    succeed(
        recipe,
        *("--stage", "9", "--stop_stage", "12", *options, "--inference_config", "conf/decode_espnet.yaml"),
        *("--use_ssl", "false", "--test_sets", "test", "--inference_nj", "1"),
    )
    folder = recipe / "exp/asr_by_espnet/decode_espnet/test"
    assert (folder / "score_wer/result.txt").exists()
    assert len((folder / "score").read_text().splitlines()) == 2
