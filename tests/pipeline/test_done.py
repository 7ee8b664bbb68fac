from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espnet2_birq.bin import birq_done
from espnet2_birq.errors import BadInputError
from espnet2_birq.pipeline import done
from espnet2_birq.pipeline.fingerprint import SMALL_FILE, fingerprint_file, fingerprint_path, fingerprint_scp


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in").write_text("content")
    Path("out").write_text("made")
    return tmp_path


def step(stage: str = "3", option: str = "fs=16000", output: str = "out") -> done.Step:
    return done.Step(stage, (option,), (Path("in"),), (), (Path(output),))


def run_step(which: done.Step) -> bool:
    """Whether it had to run."""
    verdict = done.begin(Path(".done"), which)
    if not verdict.done:
        done.end(Path(".done"), which, verdict.key)
    return not verdict.done


def test_a_step_runs_once(here: Path) -> None:
    assert run_step(step())
    assert not run_step(step())


def test_a_changed_input_makes_the_step_run_again_and_is_named(here: Path) -> None:
    run_step(step())
    Path("in").write_text("other")
    verdict = done.begin(Path(".done"), step())
    assert not verdict.done
    assert verdict.reason == "in changed"


def test_a_changed_option_makes_the_step_run_again_and_is_named(here: Path) -> None:
    run_step(step())
    assert "option fs was '16000' and is '8000'" in done.begin(Path(".done"), step(option="fs=8000")).reason


def test_touching_an_input_changes_nothing(here: Path) -> None:
    run_step(step())
    os.utime("in", (1, 1))
    assert not run_step(step())


def test_a_lost_output_makes_the_step_run_again(here: Path) -> None:
    run_step(step())
    Path("out").unlink()
    verdict = done.begin(Path(".done"), step())
    assert not verdict.done
    assert verdict.reason == "out is gone"


def test_two_settings_with_outputs_of_their_own_are_finished_side_by_side(here: Path) -> None:
    Path("out2").write_text("made")
    assert run_step(step())
    assert run_step(step(option="fs=8000", output="out2"))
    assert not run_step(step())
    assert not run_step(step(option="fs=8000", output="out2"))


def test_going_back_to_settings_whose_output_was_overwritten_runs_again(here: Path) -> None:
    run_step(step())
    run_step(step(option="fs=8000"))
    assert run_step(step())


def test_a_killed_step_is_not_finished_even_with_its_old_output_there(here: Path) -> None:
    run_step(step())
    Path("in").write_text("other")
    done.begin(Path(".done"), step())  # and killed
    Path("in").write_text("content")
    assert not done.begin(Path(".done"), step()).done


def test_lost_audio_of_an_output_list_makes_the_step_run_again(here: Path) -> None:
    Path("a.wav").write_bytes(b"RIFF")
    Path("wav.scp").write_text("a a.wav\n")
    formatted = done.Step("3", output_scps=(Path("wav.scp"),))
    assert run_step(formatted)
    assert not run_step(formatted)
    Path("a.wav").unlink()
    assert done.begin(Path(".done"), formatted).reason == "a.wav is gone"


def test_a_missing_input_says_what_to_do(here: Path) -> None:
    Path("in").unlink()
    with pytest.raises(BadInputError, match="stage 3 needs in, which does not exist: run the earlier stages first"):
        done.begin(Path(".done"), step())


def test_a_step_that_made_nothing_is_not_marked(here: Path) -> None:
    Path("out").unlink()
    verdict = done.begin(Path(".done"), step())
    with pytest.raises(BadInputError, match="ended without making out"):
        done.end(Path(".done"), step(), verdict.key)
    assert not list(Path(".done").glob("3.*"))


def test_an_input_that_changed_meanwhile_is_noticed(here: Path) -> None:
    verdict = done.begin(Path(".done"), step())
    Path("in").write_text("other")
    with pytest.raises(BadInputError, match="changed while it ran"):
        done.end(Path(".done"), step(), verdict.key)


def test_the_hash_of_statistics_depends_on_the_named_part_of_the_configuration_only(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def key(config: str, arguments: str = "") -> str:
        Path("c.yaml").write_text(config)
        options = ["--config", "c.yaml", f"--args={arguments}", "--config_key", "frontend_conf"]
        birq_done.main(["hash", "--stage", "6", *options])
        return capsys.readouterr().out

    base = key("frontend_conf: {n_mels: 80}\nmax_epoch: 3\n")
    assert key("# a comment\nmax_epoch: 5\nfrontend_conf:\n  n_mels: 80\n") == base
    assert key("frontend_conf: {n_mels: 40}\n") != base
    assert key("frontend_conf: {n_mels: 80}\n", "--frontend_conf n_mels=40") == key("frontend_conf: {n_mels: 40}\n")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.binary(max_size=200), second=st.binary(max_size=200))
def test_fingerprints_of_small_files_are_equal_when_the_bytes_are(tmp_path: Path, first: bytes, second: bytes) -> None:
    (tmp_path / "a").write_bytes(first)
    (tmp_path / "b").write_bytes(second)
    same = fingerprint_file(tmp_path / "a") == fingerprint_file(tmp_path / "b")
    assert same == (first == second)


def test_large_audio_is_known_by_its_samples_not_by_its_time(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 800_000)
    for name in ("a.flac", "b.flac"):
        soundfile.write(tmp_path / name, samples, 16000)
    samples[400_000] += 0.01
    soundfile.write(tmp_path / "c.flac", samples, 16000)
    os.utime(tmp_path / "b.flac", (1, 1))
    assert (tmp_path / "a.flac").stat().st_size > SMALL_FILE
    assert fingerprint_file(tmp_path / "a.flac") == fingerprint_file(tmp_path / "b.flac")
    assert fingerprint_file(tmp_path / "a.flac") != fingerprint_file(tmp_path / "c.flac")


def test_a_large_checkpoint_is_known_by_its_content_not_by_its_time(tmp_path: Path) -> None:
    content = bytearray(3 * SMALL_FILE)
    for name in ("a", "b", "c"):
        if name == "c":
            content[SMALL_FILE] = 1
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(zipfile.ZipInfo("data"), bytes(content))
    os.utime(tmp_path / "b", (1, 1))
    assert fingerprint_file(tmp_path / "a") == fingerprint_file(tmp_path / "b")
    assert fingerprint_file(tmp_path / "a") != fingerprint_file(tmp_path / "c")


def test_other_large_files_are_known_by_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "big.wav"
    path.write_bytes(bytes(SMALL_FILE + 1))
    before = fingerprint_file(path)
    os.utime(path, (1, 1))
    assert fingerprint_file(path) != before


def test_a_folder_is_known_by_its_files_without_byte_code(tmp_path: Path) -> None:
    folder = tmp_path / "local"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "data.sh").write_text("a")
    before = fingerprint_path(folder)
    (folder / "__pycache__" / "x.pyc").write_text("b")
    assert fingerprint_path(folder) == before
    (folder / "more.sh").write_text("c")
    assert fingerprint_path(folder) != before


def test_missing_audio_of_a_list_is_named_with_its_utterance(tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text(f"utt1 {tmp_path}/no.flac\n")
    with pytest.raises(BadInputError, match=r"utterance utt1 does not exist: .*no\.flac"):
        fingerprint_scp(tmp_path / "wav.scp")
