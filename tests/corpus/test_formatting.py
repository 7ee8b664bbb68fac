from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_signals import pitch, tone

from espnet2_birq.corpus import format_recording, formatting
from espnet2_birq.corpus.data_dir import read_data_dir, validate_data_dir
from espnet2_birq.corpus.format_recording import FormatOptions, Outcome
from espnet2_birq.corpus.formatting import format_data_dir
from espnet2_birq.corpus.tables import read_table
from espnet2_birq.errors import BadInputError

MakeSet = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]

FIVE = {f"{speaker}-{number}": 0.2 + 0.05 * number for speaker in "ab" for number in range(5)}


def content_of(directory: Path) -> dict[str, str]:
    """Digest of every file under a folder, by relative path."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(
            path.read_bytes().replace(str(directory).encode(), b"HERE")
        ).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_the_formatted_set_has_every_file_of_the_contract(make_set: MakeSet, run: Run, tmp_path: Path) -> None:
    directory = make_set(FIVE, rate=22050)
    out = tmp_path / "dump"
    status, output, _ = run("birq_format", "--data_dir", directory, "--out_dir", out, "--fs", "16k", "--nj", 2)
    assert status == 0
    assert "10 utterances, 0.00 h" in output
    data = validate_data_dir(out, text=True)
    lengths = read_table(out / "utt2num_samples")
    assert data.utterances == sorted(FIVE)
    for name, path in data.recordings.items():
        assert Path(path).is_absolute()
        info = soundfile.info(path)
        assert (info.samplerate, info.subtype, info.format, info.channels) == (16000, "PCM_16", "FLAC", 1)
        assert info.frames == int(lengths[name])
        assert info.frames == pytest.approx(16000 * FIVE[name], abs=2)
    assert (out / "feats_type").read_text() == "raw\n"
    assert (out / "audio_format").read_text() == "flac\n"
    assert read_data_dir(directory).text == data.text


@pytest.mark.parametrize("num_jobs", [1, 2, 3])
def test_the_number_of_jobs_changes_nothing(make_set: MakeSet, tmp_path: Path, num_jobs: int) -> None:
    directory = make_set({f"a-{number:03d}": 0.05 for number in range(70)})
    format_data_dir(directory, tmp_path / "one", FormatOptions())
    format_data_dir(directory, tmp_path / "many", FormatOptions(num_jobs=num_jobs))
    assert content_of(tmp_path / "one") == content_of(tmp_path / "many")


def test_doing_it_again_decodes_nothing_and_changes_nothing(
    make_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = make_set(FIVE)
    format_data_dir(directory, tmp_path / "dump", FormatOptions())
    before = content_of(tmp_path / "dump")
    monkeypatch.setattr(format_recording, "decode", None)
    format_data_dir(directory, tmp_path / "dump", FormatOptions())
    assert content_of(tmp_path / "dump") == before
    assert "10 utterances, 10 of them already formatted" in capsys.readouterr().out


def test_a_stopped_run_keeps_its_files_and_goes_on_from_there(
    make_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_set(FIVE)
    format_data_dir(directory, tmp_path / "whole", FormatOptions())
    decode = format_recording.decode
    decoded: list[str] = []

    def stops_in_the_middle(path: Path) -> tuple[np.ndarray, int]:
        if len(decoded) == 4:
            raise KeyboardInterrupt
        decoded.append(path.name)
        return decode(path)

    monkeypatch.setattr(format_recording, "decode", stops_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        format_data_dir(directory, tmp_path / "dump", FormatOptions())
    assert len(list((tmp_path / "dump").rglob("*.flac"))) == 4
    assert not (tmp_path / "dump/wav.scp").exists()

    def counts(path: Path) -> tuple[np.ndarray, int]:
        decoded.append(path.name)
        return decode(path)

    monkeypatch.setattr(format_recording, "decode", counts)
    format_data_dir(directory, tmp_path / "dump", FormatOptions())
    assert sorted(decoded) == [f"{name}.wav" for name in sorted(FIVE)]  # each exactly once
    assert content_of(tmp_path / "dump") == content_of(tmp_path / "whole")


STOPS_AT_A_020 = """
import os
import signal

from espnet2_birq.corpus import audio

decode = audio.decode


def decode_or_stop(path):
    if path.name == "a-020.wav":
        os.write(1, b"reached")
        signal.pause()
    return decode(path)


audio.decode = decode_or_stop
"""


def test_a_killed_command_keeps_its_files_leaves_no_process_and_can_go_on(make_set: MakeSet, tmp_path: Path) -> None:
    directory = make_set({f"a-{number:03d}": 0.05 for number in range(40)})
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch/sitecustomize.py").write_text(STOPS_AT_A_020)
    out = tmp_path / "dump"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}/patch:{Path(__file__).parents[2]}", "PYTHONUNBUFFERED": "1"}
    command = ["birq_format", "--data_dir", str(directory), "--out_dir", str(out), "--nj", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", f"espnet2_birq.bin.{command[0]}", *command[1:]],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    printed = b""
    while b"reached" not in printed:
        block = os.read(process.stdout.fileno(), 1000)
        assert block, printed.decode()
        printed += block
    process.kill()
    # The pipe ends when the last process that holds it has ended, the stopped worker included.
    process.communicate(timeout=20)
    finished = {path.name: path.stat().st_mtime_ns for path in out.rglob("*.flac")}
    assert 20 <= len(finished) < 40
    assert not (out / "wav.scp").exists()

    format_data_dir(directory, out, FormatOptions())
    assert len(read_table(out / "wav.scp")) == 40
    assert {path.name: path.stat().st_mtime_ns for path in out.rglob("*.flac") if path.name in finished} == finished
    assert not [*out.rglob("*.tmp")]
    format_data_dir(directory, tmp_path / "whole", FormatOptions())
    assert content_of(out) == content_of(tmp_path / "whole")


def test_a_source_that_changed_is_decoded_again(make_set: MakeSet, tmp_path: Path) -> None:
    directory = make_set({"a-1": 0.2, "a-2": 0.2})
    format_data_dir(directory, tmp_path / "dump", FormatOptions())
    soundfile.write(tmp_path / "audio/a-1.wav", tone(0.3), 16000)
    format_data_dir(directory, tmp_path / "dump", FormatOptions())
    assert read_table(tmp_path / "dump/utt2num_samples") == {"a-1": "4800", "a-2": "3200"}


@pytest.mark.parametrize(
    "options",
    [FormatOptions(sampling_rate=8000), FormatOptions(audio_format="wav"), FormatOptions(expected_rate=16000)],
)
def test_other_options_are_not_served_from_old_files(make_set: MakeSet, tmp_path: Path, options: FormatOptions) -> None:
    directory = make_set({"a-1": 0.2})
    first = format_data_dir(directory, tmp_path / "dump", FormatOptions()).recordings
    second = format_data_dir(directory, tmp_path / "dump", options).recordings
    assert first != second
    assert soundfile.info(second["a-1"]).samplerate == options.sampling_rate


def test_a_damaged_output_file_is_made_again(make_set: MakeSet, tmp_path: Path) -> None:
    directory = make_set({"a-1": 0.2})
    path = Path(format_data_dir(directory, tmp_path / "dump", FormatOptions()).recordings["a-1"])
    whole = path.read_bytes()
    path.write_bytes(b"")
    format_data_dir(directory, tmp_path / "dump", FormatOptions())
    assert path.read_bytes() == whole


def test_a_subset_points_at_the_files_of_the_whole_set(
    make_set: MakeSet, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_set(FIVE)
    part = make_set({"a-1": FIVE["a-1"], "b-2": FIVE["b-2"]}, name="part")
    # make_set wrote the two files again, so the whole set comes after both.
    whole = format_data_dir(directory, tmp_path / "whole", FormatOptions())
    monkeypatch.setattr(format_recording, "decode", None)
    status, _, _ = run(
        "birq_format",
        "--data_dir",
        part,
        "--out_dir",
        tmp_path / "part",
        "--reuse",
        tmp_path / "none",
        tmp_path / "whole",
    )
    assert status == 0
    assert read_table(tmp_path / "part/wav.scp") == {name: whole.recordings[name] for name in ("a-1", "b-2")}
    assert not (tmp_path / "part/audio").exists()


def test_reuse_does_not_confuse_equal_ids_of_other_sources(make_set: MakeSet, tmp_path: Path) -> None:
    format_data_dir(make_set({"a-1": 0.2}), tmp_path / "one", FormatOptions())
    soundfile.write(tmp_path / "other.wav", tone(0.5), 16000)
    other = make_set({"a-1": 0.2}, name="other")
    (other / "wav.scp").write_text(f"a-1 {tmp_path}/other.wav\n")
    format_data_dir(other, tmp_path / "two", FormatOptions(), [tmp_path / "one"])
    assert read_table(tmp_path / "two/utt2num_samples") == {"a-1": "8000"}


@pytest.fixture
def set_with_bad_files(make_set: MakeSet, tmp_path: Path) -> Path:
    """Ten utterances, of which one is missing, one empty and one no audio."""
    directory = make_set(FIVE)
    (tmp_path / "audio/a-1.wav").unlink()
    (tmp_path / "audio/a-3.wav").write_bytes(b"")
    (tmp_path / "audio/b-0.wav").write_bytes(b"no audio" * 100)
    return directory


def test_all_unusable_files_are_named_before_the_command_fails(
    set_with_bad_files: Path, run: Run, tmp_path: Path
) -> None:
    status, _, error = run("birq_format", "--data_dir", set_with_bad_files, "--out_dir", tmp_path / "dump", "--nj", 2)
    assert status == 1
    lines = error.splitlines()
    audio = tmp_path / "audio"
    assert lines[0] == f"unusable: a-1: {audio}/a-1.wav: no such file"
    assert lines[1] == f"unusable: a-3: {audio}/a-3.wav: empty file"
    assert lines[2].startswith(f"unusable: b-0: {audio}/b-0.wav: cannot be decoded")
    assert lines[3].startswith(f"birq_format: error: {set_with_bad_files}: 3 utterance(s) with unusable audio")
    assert "--skip_bad true" in lines[3]
    assert len(lines) == 4
    assert not (tmp_path / "dump/wav.scp").exists()
    assert len([*(tmp_path / "dump").rglob("*.flac")]) == 7


def test_unusable_files_can_be_left_out_and_are_then_listed(set_with_bad_files: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "dump"
    status, _, error = run("birq_format", "--data_dir", set_with_bad_files, "--out_dir", out, "--skip_bad", "true")
    assert status == 0
    assert error.count("left out: ") == 3
    data = validate_data_dir(out, text=True)
    assert len(data.utt2spk) == 7
    dropped = (out / "dropped.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in dropped] == ["a-1", "a-3", "b-0"]
    assert dropped[1] == f"a-3\tunusable audio: {tmp_path}/audio/a-3.wav: empty file"


def test_a_set_of_only_unusable_files_is_an_error(make_set: MakeSet, run: Run, tmp_path: Path) -> None:
    directory = make_set({"a-1": 0.1})
    (tmp_path / "audio/a-1.wav").write_bytes(b"")
    out = tmp_path / "dump"
    status, _, error = run("birq_format", "--data_dir", directory, "--out_dir", out, "--skip_bad", "true")
    assert status == 1
    assert "no utterance could be formatted" in error


def test_an_unexpected_sampling_rate_is_refused(make_set: MakeSet, run: Run, tmp_path: Path) -> None:
    directory = make_set({"a-1": 0.1}, rate=8000)
    out = tmp_path / "dump"
    status, _, error = run("birq_format", "--data_dir", directory, "--out_dir", out, "--expect_fs", "16k")
    assert status == 1
    assert f"{tmp_path}/audio/a-1.wav: sampling rate 8000 Hz, expected 16000 Hz" in error
    assert run("birq_format", "--data_dir", directory, "--out_dir", out)[0] == 0


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "x" * 201])
def test_an_id_that_cannot_name_a_file_is_refused(make_set: MakeSet, run: Run, tmp_path: Path, name: str) -> None:
    directory = make_set({"a-1": 0.1}, text=False)
    for file in ("wav.scp", "utt2spk"):
        (directory / file).write_text((directory / file).read_text().replace("a-1", name, 1))
    status, _, error = run("birq_format", "--data_dir", directory, "--out_dir", tmp_path / "dump")
    assert status == 1
    assert "cannot name a file" in error


def test_segments_are_cut_out_of_their_recording(make_set: MakeSet, tmp_path: Path) -> None:
    directory = make_set({"rec": 1.0}, text=False, rate=8000)
    samples = np.concatenate([np.full(4000, 0.25), np.full(4000, -0.5)])
    soundfile.write(tmp_path / "audio/rec.wav", samples, 8000)
    (directory / "segments").write_text("a-1 rec 0.1 0.4\na-2 rec 0.6 1.0\n")
    (directory / "utt2spk").write_text("a-1 a\na-2 a\n")
    formatted = format_data_dir(directory, tmp_path / "dump", FormatOptions(sampling_rate=8000))
    first, _ = soundfile.read(formatted.recordings["a-1"])
    second, _ = soundfile.read(formatted.recordings["a-2"])
    assert (len(first), len(second)) == (2400, 3200)
    assert set(first) == {0.25}
    assert set(second) == {-0.5}
    assert not (tmp_path / "dump/segments").exists()


def test_a_segment_beyond_the_end_of_its_recording_is_named(make_set: MakeSet, run: Run, tmp_path: Path) -> None:
    directory = make_set({"rec": 1.0}, text=False)
    (directory / "segments").write_text("a-1 rec 0.0 0.5\na-2 rec 0.5 1.5\n")
    (directory / "utt2spk").write_text("a-1 a\na-2 a\n")
    status, _, error = run("birq_format", "--data_dir", directory, "--out_dir", tmp_path / "dump")
    assert status == 1
    assert f"unusable: a-2: {tmp_path}/audio/rec.wav: segment ends at 1.5 s, the recording at 1.000 s" in error


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_changes_length_and_pitch_together(make_set: MakeSet, run: Run, tmp_path: Path, factor: float) -> None:
    directory = make_set({"a-1": 1.0})
    assert run("birq_perturb", "--data_dir", directory, "--out_dir", tmp_path / "sp", "--factors", factor)[0] == 0
    formatted = format_data_dir(tmp_path / "sp", tmp_path / "dump", FormatOptions())
    samples, _ = soundfile.read(formatted.recordings[f"sp{factor}-a-1"])
    assert len(samples) == pytest.approx(16000 / factor, abs=1)
    assert pitch(samples, 16000) == pytest.approx(440 * factor, abs=2)
    assert not (tmp_path / "dump/utt2speed").exists()


def test_a_full_disk_is_one_line_and_keeps_finished_work(
    make_set: MakeSet, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_set(FIVE)
    write = Path.write_bytes
    written: list[Path] = []

    def full_after_three(path: Path, content: bytes) -> int:
        if len(written) == 3:
            write(path, content[:10])
            raise OSError(28, "No space left on device")
        written.append(path)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_after_three)
    status, _, error = run("birq_format", "--data_dir", directory, "--out_dir", tmp_path / "dump")
    assert status == 1
    assert error.count("\n") == 1
    assert "No space left on device; finished files are kept: free space" in error
    monkeypatch.undo()
    assert len([*(tmp_path / "dump").rglob("*.flac")]) == 3
    assert not [*(tmp_path / "dump").rglob("*.tmp")]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(disk)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("mounting a file system is not permitted")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("num_jobs", [1, 2])
def test_a_disk_that_is_really_full_can_be_freed_and_the_run_goes_on(
    make_set: MakeSet, run: Run, tmp_path: Path, tiny_disk: Path, num_jobs: int
) -> None:
    directory = make_set({f"a-{number}": 0.5 for number in range(9)})
    rng = np.random.default_rng(0)
    for number in range(9):  # noise does not compress: 16 kB each
        soundfile.write(tmp_path / f"audio/a-{number}.wav", rng.uniform(-0.9, 0.9, 8000), 16000)
    out = tiny_disk / "dump"
    status, _, error = run("birq_format", "--data_dir", directory, "--out_dir", out, "--nj", num_jobs)
    assert status == 1
    assert error.count("\n") == 1
    assert "No space left on device" in error
    assert len([*out.rglob("*.flac")]) >= 4
    assert not [*out.rglob("*.tmp")]
    subprocess.run(["mount", "-o", "remount,size=10m", str(tiny_disk)], check=True)
    status, output, _ = run("birq_format", "--data_dir", directory, "--out_dir", out)
    assert status == 0
    assert "0 of them already" not in output
    assert len(read_table(out / "wav.scp")) == 9


def test_a_worker_that_is_killed_is_reported_in_one_line(make_set: MakeSet, tmp_path: Path) -> None:
    directory = make_set({f"a-{number:02d}": 0.05 for number in range(66)})
    recordings = [
        format_recording.Recording(Path(path), (_EndsItsReader(name, None, 1.0, tmp_path / "x"),))
        for name, path in read_data_dir(directory).recordings.items()
    ]
    with pytest.raises(BadInputError, match="a worker process was killed .*finished files are kept: run again"):
        list(formatting.format_in_processes(recordings, FormatOptions(num_jobs=2), 0, 66))


class _EndsItsReader(format_recording.PlannedUtterance):
    """Ends the process that reads its segment, as the kernel does when memory is short."""

    def __getattribute__(self, name: str) -> object:
        if name == "segment":
            os._exit(9)
        return super().__getattribute__(name)


def test_progress_says_how_much_how_fast_and_how_long_to_go(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from espnet2_birq.corpus import format_processes

    clock = iter([0.0, 1.0, 6.0, 7.0])
    monkeypatch.setattr(format_processes.time, "monotonic", lambda: next(clock))
    progress = format_processes._Progress(num_done=10, num_total=40, sampling_rate=16000)
    for _ in range(3):
        progress.add(Outcome("a", num_samples=16000 * 360))
    assert capsys.readouterr().out == "  12/40 utterances, 0.20 h of audio, 120 times real time, about 84 s left\n"
