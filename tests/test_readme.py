"""Every example, name and option in README.md is tried against the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def shell_lines() -> list[str]:
    return [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]


@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_example_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_configuration_example_builds_a_model(text: str, build_tiny: Callable[..., Any]) -> None:
    config = yaml.safe_load(text)
    model = build_tiny(**config)
    assert model.loss.quantizer.num_codes == config["quantizer_conf"]["num_codes"]


def test_every_choice_of_a_class_is_one() -> None:
    from espnet2_birq.tasks.birq import BiRQTask

    rows = re.findall(r"^\| `(\w+)`[^|]*\| (`.*) \|$", README, flags=re.MULTILINE)
    classes = {choices.name: set(choices.classes) for choices in BiRQTask.class_choices_list}
    assert {"anchor", "quantizer", "penalty"} <= {group for group, _ in rows}
    for group, text in rows:
        if group in classes:
            assert set(re.findall(r"`(\w+)`", text)) <= classes[group]


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, flags=re.MULTILINE))
    assert {"test", "demo"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))


def test_every_option_of_the_recipe_is_one() -> None:
    usage = subprocess.run(
        ["./birq.sh", "--help"], cwd=ROOT / "egs2/mini_an4/birq1", capture_output=True, text=True, check=True
    ).stdout
    options = set(re.findall(r"^  --(\w+)", usage, flags=re.MULTILINE))
    own = [re.sub(r'"[^"]*"', "", line) for line in shell_lines() if line.startswith(("./run.sh", "./birq.sh"))]
    named = set(re.findall(r"--(\w+)", " ".join(own)))
    assert {"ssl_args", "stage"} <= named
    assert named <= options


def test_every_command_module_exists() -> None:
    named = set(re.findall(r"espnet2_birq\.bin\.(\w+)", README))
    assert "birq_train" in named
    assert all((ROOT / f"espnet2_birq/bin/{name}.py").exists() for name in named)


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"(?:^|[\s`])((?:egs2|conf|docs|tests|tools)/[\w./-]+)", README, flags=re.MULTILINE))
    named = {name.rstrip(".") for name in named if "mycorpus" not in name}
    assert {"docs/architecture.md", "egs2/debvox/birq1/demo.sh"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_stage_table_has_the_stages_of_the_recipe() -> None:
    script = (ROOT / "egs2/TEMPLATE/birq1/birq.sh").read_text()
    rows = re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)
    assert rows == re.findall(r"^stage_(\d+)\(\)", script, flags=re.MULTILINE)


def test_a_recipe_made_as_described_is_complete(tmp_path: Path) -> None:
    (tmp_path / "egs2").mkdir()
    for name in ("espnet2_birq", "conf", "egs2/TEMPLATE", "egs2/mini_an4"):
        (tmp_path / name).symlink_to(ROOT / name)
    make, run = (next(block for block in blocks("sh") if word in block) for word in ("mkdir", "birq_validate"))
    write = "\n".join(
        f"echo 'u1 s1' >data/{name}/utt2spk; echo 's1 u1' >data/{name}/spk2utt; "
        f"echo 'u1 a.wav' >data/{name}/wav.scp; echo 'u1 words' >data/{name}/text"
        for name in ("train", "valid", "test")
    )
    result = subprocess.run(
        ["bash", "-euc", f"{make}\n{write}\ntouch a.wav\n{run.rstrip()} --dry_run true"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "stages 3 to 14 are done" in result.stdout
