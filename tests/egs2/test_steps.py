"""Steps, locks, logs and backends of the pipeline, with commands that do next to nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from recipe_copy import TEMPLATE, environment

PIPELINE = """#!/usr/bin/env bash
set -euo pipefail
python=python3 dry_run=${DRY_RUN:-false} stage_now=3
. utils/step.sh
step "copying" log/copy.log --input in --output out -- utils/run_local.sh log/copy.log bash -c "${COMMAND:-cp in out}"
step "copying on" log/more.log --input out --output out2 -- utils/run_local.sh log/more.log cp out out2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "utils").symlink_to(TEMPLATE / "utils")
    (tmp_path / "pipeline.sh").write_text(PIPELINE)
    (tmp_path / "in").write_text("content")
    return tmp_path


def run(recipe: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command or ("bash", "pipeline.sh"),
        cwd=recipe,
        capture_output=True,
        text=True,
        check=False,
        env=environment(**variables),
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_steps_run_once_and_say_what_they_do_and_where_the_log_is(recipe: Path) -> None:
    first = run(recipe)
    assert first.returncode == 0, first.stderr
    assert "stage 3: copying (log: log/copy.log)" in first.stdout
    assert "stage 3: copying: done in " in first.stdout
    second = run(recipe)
    assert second.stdout.count("done before, nothing to do") == 2


def test_a_changed_input_runs_what_depends_on_it_again_and_nothing_else(recipe: Path) -> None:
    run(recipe)
    (recipe / "in").write_text("new")
    again = run(recipe)
    assert "stage 3: copying: again, because in changed" in again.stdout
    assert "stage 3: copying on: again, because out changed" in again.stdout
    assert (recipe / "out2").read_text() == "new"
    (recipe / "out2").unlink()
    last = run(recipe)
    assert "stage 3: copying: done before" in last.stdout
    assert "stage 3: copying on: again, because out2 is gone" in last.stdout


def test_a_failing_step_shows_the_end_of_its_log(recipe: Path) -> None:
    result = run(recipe, COMMAND="echo the reason; exit 7")
    assert result.returncode == 1
    assert "the reason" in result.stderr
    assert "stage 3 (copying) failed with status 7" in result.stderr
    assert "see log/copy.log" in result.stderr
    assert "copying on" not in result.stdout
    assert run(recipe).returncode == 0


def test_a_step_that_makes_nothing_fails(recipe: Path) -> None:
    result = run(recipe, COMMAND="true")
    assert result.returncode == 1
    assert "stage 3 ended without making out" in result.stderr


def test_warnings_of_a_command_are_shown(recipe: Path) -> None:
    result = run(recipe, COMMAND="cp in out; echo birq_x: warning: take care")
    assert "birq_x: warning: take care" in result.stderr
    assert "take care" not in run(recipe).stderr


def test_a_dry_run_prints_commands_and_does_nothing(recipe: Path) -> None:
    result = run(recipe, DRY_RUN="true")
    assert "utils/run_local.sh log/more.log cp out out2" in result.stdout
    assert sorted(path.name for path in recipe.iterdir()) == ["in", "pipeline.sh", "utils"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ending_the_pipeline_ends_its_command_and_the_next_run_completes(recipe: Path, how: signal.Signals) -> None:
    command = "echo $$ > pid; exec sleep 60"
    process = subprocess.Popen(
        ["bash", "pipeline.sh"],
        cwd=recipe,
        env=environment(COMMAND=command),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(recipe / "pid")
    while not (text := (recipe / "pid").read_text()):
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(30) == (130 if how == signal.SIGTERM else -how)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{text.strip()}").exists():
        assert time.monotonic() < deadline, "the command outlived the pipeline"
        time.sleep(0.02)
    assert run(recipe).returncode == 0


def test_a_step_that_still_runs_is_not_started_beside_itself(recipe: Path) -> None:
    process = subprocess.Popen(
        ["bash", "pipeline.sh"],
        cwd=recipe,
        env=environment(COMMAND="touch started; until [ -e go ]; do sleep 0.02; done; cp in out"),
        stdout=subprocess.DEVNULL,
    )
    wait_for(recipe / "started")
    result = run(recipe)
    (recipe / "go").touch()
    assert process.wait(30) == 0
    assert result.returncode == 1
    assert "still being run by another process" in result.stderr


def test_a_local_log_holds_command_host_and_status_and_is_continued(recipe: Path) -> None:
    for status in (0, 3):
        assert (
            run(recipe, "utils/run_local.sh", "--gpu", "1", "a/b.log", "bash", "-c", f"exit {status}").returncode
            == status
        )
    text = (recipe / "a/b.log").read_text()
    assert os.uname().nodename in text
    assert text.index("# ended with status 0") < text.index("# ended with status 3")


def test_several_nodes_need_a_cluster(recipe: Path) -> None:
    result = run(recipe, "utils/run_local.sh", "--num_nodes", "2", "log", "true")
    assert result.returncode == 1
    assert "set cmd_backend=slurm in cmd.sh" in result.stderr


@pytest.mark.parametrize(("lines", "parts"), [(1, 1), (5, 2), (7, 7), (10, 3)])
def test_a_list_is_cut_in_order_into_nearly_equal_parts(recipe: Path, lines: int, parts: int) -> None:
    content = [f"utt{number}\n" for number in range(lines)]
    (recipe / "keys").write_text("".join(content))
    assert run(recipe, "utils/split_lines.sh", "keys", str(parts), "k.", ".scp").returncode == 0
    pieces = [(recipe / f"k.{part}.scp").read_text() for part in range(1, parts + 1)]
    assert "".join(pieces) == "".join(content)
    sizes = [piece.count("\n") for piece in pieces]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


def test_parallel_jobs_show_the_log_of_the_one_that_failed(recipe: Path) -> None:
    command = ["utils/parallel_jobs.sh", "3", "utils/run_local.sh", "log/j.JOB.log"]
    result = run(recipe, *command, "bash", "-c", "echo job JOB of ${OMP_NUM_THREADS}; [ JOB != 2 ]", OMP_NUM_THREADS="")
    assert result.returncode == 8
    assert "job 2 of 1\n" in result.stdout
    assert "job 1 of 1\n" not in result.stdout
    assert "job 3 of 1\n" in (recipe / "log/j.3.log").read_text()


@pytest.fixture
def cluster(recipe: Path) -> dict[str, str]:
    """Programs of Slurm that run everything here, on PATH."""
    programs = {
        "sbatch": 'echo "$@" >> sbatch.txt; echo 77; export SLURM_JOB_ID=77 SLURM_JOB_NODELIST="n[1-2]"\n'
        'log=$(sed -n "s/#SBATCH --output=//p" "${@: -1}"); bash "${@: -1}" > "${log}" 2>&1',
        "srun": 'echo srun "$@"',
        "scontrol": "printf 'n1\\nn2\\n'",
    }
    (recipe / "bin").mkdir()
    for name, text in programs.items():
        (recipe / "bin" / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (recipe / "bin" / name).chmod(0o755)
    return {"PATH": f"{recipe}/bin:{os.environ['PATH']}"}


def test_slurm_runs_a_command_with_its_needs_and_status(recipe: Path, cluster: dict[str, str]) -> None:
    command = ["utils/run_slurm.sh", "--gpu", "2", "--cpus", "4", "log/a b.log", "bash", "-c", "echo 'x  y'; exit 5"]
    result = run(recipe, *command, **cluster, SLURM_OPTIONS="--partition=gpu")
    assert result.returncode == 5
    assert (recipe / "log/a b.log").read_text().startswith("x  y\n")
    assert (recipe / "sbatch.txt").read_text() == "--wait --parsable --partition=gpu log/a b.log.sbatch\n"
    script = (recipe / "log/a b.log.sbatch").read_text()
    for line in ("--nodes=1", "--cpus-per-task=4", "--gpus-per-node=2", "--output=log/a b.log"):
        assert f"#SBATCH {line}\n" in script


def test_no_sbatch_is_one_line(recipe: Path) -> None:
    result = run(recipe, "utils/run_slurm.sh", "log", "true", PATH="/usr/bin:/bin")
    assert result.returncode == 1
    assert result.stderr == "run_slurm.sh: error: no sbatch on this machine: set cmd_backend=local in cmd.sh\n"


def test_nodes_are_joined_by_one_torchrun_each(recipe: Path, cluster: dict[str, str]) -> None:
    launch = ["utils/launch.sh", "python3", "4", "2", "some.module", "--config", "c.yaml"]
    result = run(recipe, "utils/run_slurm.sh", "--num_nodes", "2", "--gpu", "4", "train.log", *launch, **cluster)
    assert result.returncode == 0
    assert (recipe / "train.log").read_text() == (
        "srun --ntasks-per-node=1 python3 -m torch.distributed.run --nnodes 2 --nproc_per_node 4 --rdzv_id 77 "
        "--rdzv_backend c10d --rdzv_endpoint n1:20077 -m some.module --ngpu 1 --multiprocessing_distributed false "
        "--config c.yaml\n"
    )


@pytest.mark.parametrize(
    ("ngpu", "expected"),
    [
        ("0", "-m some.module --ngpu 0 --lr 1"),
        ("1", "-m some.module --ngpu 1 --lr 1"),
        (
            "4",
            "-m torch.distributed.run --standalone --nproc_per_node 4 -m some.module --ngpu 1 "
            "--multiprocessing_distributed false --lr 1",
        ),
    ],
)
def test_a_training_starts_alone_or_by_torchrun(recipe: Path, ngpu: str, expected: str) -> None:
    result = run(recipe, "utils/launch.sh", "echo", ngpu, "1", "some.module", "--lr", "1")
    assert result.stdout == expected + "\n"


def test_an_unknown_backend_is_one_line(recipe: Path) -> None:
    result = run(recipe, "bash", "-c", f". {TEMPLATE}/cmd.sh", cmd_backend="sge")
    assert result.returncode == 1
    assert result.stderr == "cmd.sh: error: cmd_backend must be local or slurm, not 'sge'\n"
