"""The shell side of the recipes: options, steps, backends."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from recipe_copy import ROOT, TEMPLATE, copy_recipe, environment

SCRIPT = """#!/usr/bin/env bash
# Does this and that.
set -euo pipefail

## First
count=3            # How many.
name=              # Which name.
ratio=0.5          # Which part.
## Second
use_it=true        # Whether to use it,
                   # or not.
kind=red           # {red|green} Which kind.
. utils/parse_options.sh
echo "${count} ${name} ${ratio} ${use_it} ${kind}"
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "utils").symlink_to(TEMPLATE / "utils")
    path = tmp_path / "script.sh"
    path.write_text(SCRIPT)
    return path


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", script.name, *arguments]
    return subprocess.run(command, cwd=script.parent, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "3  0.5 true red"),
        (["--count", "4", "--name=a b"], "4 a b 0.5 true red"),
        (["--use-it", "false", "--kind=green", "--ratio", "2"], "3  2 false green"),
        (["--count", "4", "--count", "5"], "5  0.5 true red"),
        (["--name", "--max_epoch 3", "--count=7"], "7 --max_epoch 3 0.5 true red"),
        (["--name="], "3  0.5 true red"),
        (["--name=x=y"], "3 x=y 0.5 true red"),
    ],
)
def test_options_are_understood_in_both_forms(script: Path, arguments: list[str], printed: str) -> None:
    result = run(script, *arguments)
    assert result.stdout.rstrip("\n") == printed, result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--cuont", "4"], "unknown option --cuont: did you mean --count?"),
        (["--used_it=true"], "unknown option --used_it: did you mean --use_it?"),
        (["--count"], "--count needs a value"),
        (["--count", "many"], "--count must be a whole number, not 'many'"),
        (["--ratio", "1e"], "--ratio must be a number, not '1e'"),
        (["--use_it", "yes"], "--use_it must be true or false, not 'yes'"),
        (["--kind", "blue"], "--kind must be one of red, green, not 'blue'"),
        (["7"], "unexpected argument '7'"),
    ],
)
def test_a_wrong_option_is_one_line_with_its_remedy(script: Path, arguments: list[str], complaint: str) -> None:
    result = run(script, *arguments)
    assert result.returncode == 2
    assert complaint in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_shows_every_option_with_its_default(script: Path) -> None:
    result = run(script, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("Does this and that.\n\nFirst\n")
    assert "--use_it                   Whether to use it, or not. (default: true)" in result.stdout
    assert "--name                     Which name. (default: none)" in result.stdout


def test_every_documented_option_of_the_pipeline_exists() -> None:
    recipe = ROOT / "egs2/mini_an4/birq1"
    result = subprocess.run(["./run.sh", "--help"], cwd=recipe, capture_output=True, text=True, check=True)
    options = {line.split()[0] for line in result.stdout.splitlines() if line.startswith("  --")}
    expected = """
        stage stop_stage skip_stages ngpu num_nodes nj inference_nj dumpdir expdir datadir train_set valid_set
        asr_train_set asr_valid_set test_sets speed_perturb_factors audio_format fs min_wav_duration max_wav_duration
        lang ssl_config ssl_tag ssl_args ssl_exp asr_config asr_tag asr_args asr_exp inference_config inference_args
        token_type nbpe use_ssl transfer_layers inference_ssl_model inference_asr_model download_model hf_repo python
        local_data_opts score_opts dry_run
    """
    assert {f"--{name}" for name in expected.split()} <= options


def test_a_dry_run_prints_the_commands_of_all_stages_and_makes_nothing(tmp_path: Path) -> None:
    recipe = copy_recipe(tmp_path)
    before = sorted(recipe.rglob("*"))
    result = subprocess.run(
        ["./run.sh", "--dry_run", "true"], cwd=recipe, capture_output=True, text=True, check=True, env=environment()
    )
    commands = (
        "data.sh birq_format birq_filter birq_tokens birq_train birq_export birq_diagnose birq_init birq_asr_train"
    )
    for command in [*commands.split(), "birq_decode", "birq_score", "birq_results", "birq_pack"]:
        assert command in result.stdout
    assert sorted(recipe.rglob("*")) == before
