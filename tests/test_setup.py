"""tools/setup.sh with stand-ins for Python, pip and uv: nothing is downloaded."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ["awk", "bash", "cat", "chmod", "cksum", "cp", "df", "dirname", "env", "grep", "mkdir", "rm", "tail"]

FAKE_PYTHON = """#!/usr/bin/env bash
# Python {version} as far as tools/setup.sh can tell; `-m venv` and `-m pip` only leave their marks.
case "$1 ${{2:-}}" in
--version*) echo "Python {version}" ;;
"-m venv")
    directory="${{*: -1}}"
    mkdir -p "$directory/bin"
    cp "$0" "$directory/bin/python"
    echo "VIRTUAL_ENV='$PWD/$directory'" >"$directory/bin/activate" ;;
"-m pip")
    echo "$*" >>"$FAKE_LOG"
    case "$*" in
    *" uv") cp "$FAKE_UV" .venv-tools/bin/uv ;;
    esac
    if [ -n "${{FAKE_PIP_ERROR:-}}" ]; then
        echo "ERROR: $FAKE_PIP_ERROR" >&2
        exit 1
    fi ;;
"-c "*espnet2*) ;;
"-c "*) exec "{real}" -c "import sys; sys.version_info = {info}; {extra}; exec(sys.argv[1])" "$2" ;;
esac
"""

FAKE_UV = """#!/usr/bin/env bash
case "$1 $2" in
"python install") [ -z "${FAKE_UV_ERROR:-}" ] || exit 1 ;;
"python find") echo "$FAKE_FETCHED" ;;
esac
"""


class Machine:
    """A copy of the set-up files on a machine that has only the given commands."""

    def __init__(self, place: Path) -> None:
        self.repository = place / "repository"
        self.commands = place / "bin"
        self.home = place / "home"
        for directory in (self.repository, self.commands, self.home):
            directory.mkdir()
        shutil.copytree(ROOT / "tools", self.repository / "tools")
        for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.repository)
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path
            (self.commands / tool).symlink_to(path)
        self.log = place / "pip.log"
        uv = self.write(place / "uv", FAKE_UV)
        fetched = self.python(place / "fetched/bin/python3", "3.12.9")
        self.environment = {
            "PATH": str(self.commands),
            "HOME": str(self.home),
            "FAKE_LOG": str(self.log),
            "FAKE_UV": str(uv),
            "FAKE_FETCHED": str(fetched),
        }

    def write(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def python(self, path: Path, version: str, *, ensurepip: bool = True) -> Path:
        info = tuple(int(part) for part in version.split("."))
        extra = "0" if ensurepip else "sys.modules['ensurepip'] = None"
        return self.write(path, FAKE_PYTHON.format(version=version, real=sys.executable, info=info, extra=extra))

    def setup(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.repository / "tools/setup.sh"],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def pip_calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of an expected failure."""
    assert result.returncode == 1, result.stdout + result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("setup: error: ")
    return lines[0]


def test_a_supported_python_on_the_path_is_used_and_the_pinned_versions_are_asked_for(machine: Machine) -> None:
    machine.python(machine.commands / "python3.12", "3.12.4")
    result = machine.setup()
    assert result.returncode == 0, result.stderr
    assert str(machine.commands / "python3.12") in result.stdout
    assert all("--constraint constraints.txt" in call for call in machine.pip_calls())
    assert not any("index" in call for call in machine.pip_calls())


def test_a_second_set_up_does_nothing_until_the_requirements_change(machine: Machine) -> None:
    machine.python(machine.commands / "python3", "3.13.0")
    machine.setup()
    calls = len(machine.pip_calls())
    again = machine.setup()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len(machine.pip_calls()) == calls
    with (machine.repository / "constraints.txt").open("a") as constraints:
        constraints.write("another-package==1.0\n")
    assert machine.setup().returncode == 0
    assert len(machine.pip_calls()) > calls


def test_a_set_up_that_pip_cut_short_is_named_and_not_taken_for_finished(machine: Machine) -> None:
    machine.python(machine.commands / "python3", "3.12.0")
    assert "No space left on device" in error_line(machine.setup(FAKE_PIP_ERROR="No space left on device"))
    assert machine.setup().returncode == 0
    assert machine.setup().stdout == ""


def test_a_python_whose_shim_fails_is_passed_over_for_the_one_behind_it(machine: Machine) -> None:
    machine.write(
        machine.commands / "python3.12", "#!/usr/bin/env bash\necho 'pyenv: command not found' >&2; exit 127\n"
    )
    machine.python(machine.commands / "python3", "3.11.2")
    real = machine.python(machine.home / ".pyenv/versions/3.12.1/bin/python3", "3.12.1")
    result = machine.setup()
    assert result.returncode == 0, result.stderr
    assert str(real) in result.stdout


@pytest.mark.parametrize("version", ["3.11.9", "3.14.0"])
def test_without_a_supported_python_uv_is_installed_apart_and_fetches_one(machine: Machine, version: str) -> None:
    machine.python(machine.commands / "python3", version)
    result = machine.setup()
    assert result.returncode == 0, result.stderr
    assert machine.environment["FAKE_FETCHED"] in result.stdout
    assert (machine.repository / ".venv-tools/bin/uv").exists()


def test_a_uv_on_the_path_is_used_as_it_is(machine: Machine) -> None:
    machine.write(machine.commands / "uv", FAKE_UV)
    result = machine.setup()
    assert result.returncode == 0, result.stderr
    assert not (machine.repository / ".venv-tools").exists()


def test_a_fetch_that_fails_says_which_python_to_install(machine: Machine) -> None:
    machine.write(machine.commands / "uv", FAKE_UV)
    result = machine.setup(FAKE_UV_ERROR="1")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("setup: error: ")
    assert "install Python 3.12 or 3.13" in result.stderr


def test_a_machine_without_python_is_told_what_to_install(machine: Machine) -> None:
    assert "apt-get install python3 python3-venv" in error_line(machine.setup())


@pytest.mark.parametrize("version", ["3.11.2", "3.12.3"])
def test_a_debian_python_without_its_venv_package_is_told_what_to_install(machine: Machine, version: str) -> None:
    machine.python(machine.commands / "python3", version, ensurepip=False)
    assert "apt-get install python3-venv" in error_line(machine.setup())


def test_an_unsupported_python_given_by_name_is_refused(machine: Machine) -> None:
    path = machine.python(machine.commands / "python3.11", "3.11.2")
    assert f"PYTHON={path}" in error_line(machine.setup(PYTHON=str(path)))


def test_a_full_disk_is_noticed_before_anything_is_made(machine: Machine) -> None:
    machine.python(machine.commands / "python3", "3.12.0")
    (machine.commands / "df").unlink()
    machine.write(
        machine.commands / "df", "#!/usr/bin/env bash\necho header; echo /dev/sda 9000000 8000000 1048576 89% /\n"
    )
    assert "1 GB free" in error_line(machine.setup())
    assert not (machine.repository / ".venv").exists()


def test_a_repository_that_was_moved_gets_a_new_environment(machine: Machine) -> None:
    machine.python(machine.commands / "python3", "3.12.0")
    machine.setup()
    moved = machine.repository.with_name("moved")
    os.rename(machine.repository, moved)
    machine.repository = moved
    assert "Python 3.12.0" in machine.setup().stdout
    assert str(moved) in (moved / ".venv/bin/activate").read_text()


DISTRIBUTIONS = {"yaml": "pyyaml", "sklearn": "scikit-learn", "espnet2": "espnet", "huggingface_hub": "huggingface-hub"}
# ESPnet requires it in a version of its own choice.
OF_ESPNET = {"espnet_model_zoo"}


def imports_of(folder: str) -> set[str]:
    """Names of the modules outside the standard library and this repository that the files under ``folder`` import."""
    names: set[str] = set()
    files = list((ROOT / folder).rglob("*.py"))
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    own = {"espnet2_birq", "conftest"} | {file.stem for file in files}
    return {name.split(".")[0] for name in names} - own - set(sys.stdlib_module_names)


def requirements() -> set[str]:
    """Names of every package that setup.cfg asks for."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    names = {re.split(r"[\s<>=!;\[]", line)[0] for text in texts for line in text.split("\n") if line}
    return {name.replace("_", "-").lower() for name in names if name} - {"espnet2-birq"}


@pytest.mark.parametrize("folder", ["espnet2_birq", "tests"])
def test_every_imported_package_is_required(folder: str) -> None:
    imported = {DISTRIBUTIONS.get(name, name) for name in imports_of(folder) - OF_ESPNET}
    assert imported - requirements() == set()


def test_every_requirement_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert requirements() <= set(pins)
    assert (pins["torch"], pins["torchaudio"], pins["espnet"]) == ("2.11.0", "2.11.0", "202611")


@pytest.mark.parametrize(
    "name", ["Makefile", "constraints.txt", "setup.cfg", "pyproject.toml", "tools/setup.sh", ".ci/run"]
)
def test_no_package_index_is_written_down(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
