from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from espnet2_birq.corpus.archives import extract_tar
from espnet2_birq.corpus.data_dir import validate_data_dir
from espnet2_birq.errors import BadInputError

Run = Callable[..., tuple[int, str, str]]


def write_tar(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"data"))
    return path


def test_the_recordings_inside_espnet_become_three_sets(run: Run, tmp_path: Path) -> None:
    data, downloads = tmp_path / "data", tmp_path / "downloads"
    for _ in range(2):
        status, _, error = run("birq_mini_an4", "--data_dir", data, "--downloads", downloads)
        assert (status, error) == (0, "")
        sets = {name: validate_data_dir(data / name, text=True) for name in ("train_nodev", "train_dev", "test")}
        assert {name: len(data.utt2spk) for name, data in sets.items()} == {"train_nodev": 4, "train_dev": 1, "test": 2}
    assert sets["test"].text == {
        "fcaw-cen8-fcaw-b": "eleven twenty seven fifty seven",
        "mmxg-cen8-mmxg-b": "october twenty four nineteen seventy",
    }


def test_sphere_files_are_formatted(run: Run, tmp_path: Path) -> None:
    run("birq_mini_an4", "--data_dir", tmp_path / "data", "--downloads", tmp_path / "downloads")
    status, output, _ = run("birq_format", "--data_dir", tmp_path / "data/test", "--out_dir", tmp_path / "dump")
    assert status == 0
    assert (tmp_path / "dump/utt2num_samples").read_text() == "fcaw-cen8-fcaw-b 46400\nmmxg-cen8-mmxg-b 36800\n"


@pytest.mark.parametrize("name", ["../outside", "/tmp/birq_outside", "a/../../outside"])
def test_an_archive_does_not_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    archive = write_tar(tmp_path / "x.tar.gz", ["good", name])
    target = tmp_path / "deep/target"
    if name.startswith("/"):  # the leading slash is dropped
        extract_tar(archive, target)
        assert not Path(name).exists()
    else:
        with pytest.raises(BadInputError, match="cannot be unpacked"):
            extract_tar(archive, target)
        assert not target.exists()
    assert not [*tmp_path.rglob("outside")]


def test_a_damaged_archive_is_named_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar.gz", ["good"])
    archive.write_bytes(archive.read_bytes()[:-20])
    status, _, error = run("birq_mini_an4", "--downloads", tmp_path / "downloads", "--archive", archive)
    assert status == 1
    assert f"{archive}: cannot be unpacked" in error
    assert not (tmp_path / "downloads/mini_an4").exists()


def test_a_missing_archive_is_named(run: Run, tmp_path: Path) -> None:
    status, _, error = run("birq_mini_an4", "--downloads", tmp_path, "--archive", tmp_path / "none.tar.gz")
    assert status == 1
    assert "none.tar.gz: no such archive" in error
