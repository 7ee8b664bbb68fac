from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from espnet2_birq.corpus import debian_packages
from espnet2_birq.corpus.debian_packages import PinnedPackage, collect_packages, unpack
from espnet2_birq.errors import BadInputError

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")


def build(folder: Path, name: str, version: str = "1.0", content: str = "speech") -> Path:
    """A Debian package with one file ``usr/share/<name>``, named as apt names it."""
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@localhost>\nDescription: test\n"
    )
    (tree / "usr/share").mkdir(parents=True)
    (tree / f"usr/share/{name}").write_text(content)
    path = folder / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, path], check=True, capture_output=True)
    shutil.rmtree(tree)
    return path


def pin(path: Path) -> PinnedPackage:
    name, version, _ = path.name.split("_")
    return PinnedPackage(name, version, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def no_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name.startswith("apt") else which(name))


def test_known_packages_are_taken_from_a_mirror_and_unpacked(tmp_path: Path) -> None:
    path = build(tmp_path, "voices")
    found = collect_packages([pin(path)], tmp_path / "downloads", tmp_path)
    assert found == {"voices": path}
    unpack(path, tmp_path / "unpacked/voices")
    assert (tmp_path / "unpacked/voices/usr/share/voices").read_text() == "speech"
    assert not (tmp_path / "downloads").exists()


def test_packages_that_are_there_are_not_downloaded_again(tmp_path: Path, no_apt: None) -> None:
    path = build(tmp_path, "voices")
    assert collect_packages([pin(path)], tmp_path, None) == {"voices": path}


def test_a_package_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    path = build(tmp_path, "voices")
    pinned = pin(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="SHA-256 is .* delete it and run again"):
        collect_packages([pinned], tmp_path, None)


def test_a_package_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = build(tmp_path, "voices")
    pinned = pin(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInputError, match=r"bytes instead of \d+; delete it and run again"):
        collect_packages([pinned], tmp_path, None)


def test_another_version_is_taken_with_one_line_of_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pinned = PinnedPackage("voices", "1.0", 1, "0")
    path = build(tmp_path, "voices", version="2.0")
    assert collect_packages([pinned], tmp_path, None) == {"voices": path}
    error = capsys.readouterr().err
    assert error == "warning: voices_2.0_all.deb: version 2.0, while results were made with 1.0\n"


def test_another_package_under_the_name_is_refused(tmp_path: Path) -> None:
    build(tmp_path, "noises").rename(tmp_path / "voices_2.0_all.deb")
    with pytest.raises(BadInputError, match="is package 'noises', not 'voices'"):
        collect_packages([PinnedPackage("voices", "1.0", 1, "0")], tmp_path, None)


def test_a_file_that_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "voices_2.0_all.deb").write_text("no package")
    with pytest.raises(BadInputError, match="not a Debian package; delete it and run again"):
        collect_packages([PinnedPackage("voices", "1.0", 1, "0")], tmp_path, None)


def test_an_incomplete_mirror_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="packages are missing; add them there with: apt-get download voices"):
        collect_packages([PinnedPackage("voices", "1.0", 1, "0")], tmp_path / "downloads", tmp_path)


def test_without_apt_one_line_says_what_to_do(tmp_path: Path, no_apt: None) -> None:
    with pytest.raises(
        BadInputError, match=r"apt-get is not installed.*run: apt-get download voices; then give .* --mirror"
    ):
        collect_packages([PinnedPackage("voices", "1.0", 1, "0")], tmp_path, None)


def test_apt_downloads_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for apt, which knows the package only after its lists were refreshed."""
    path = build(tmp_path, "voices")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "apt-cache").write_text(f"#!/bin/sh\n[ -e {tmp_path}/refreshed ] && echo Package: voices\n")
    (tools / "apt-get").write_text(
        f'#!/bin/sh\ncase "$2" in update) touch {tmp_path}/refreshed ;; download) cp {path} . ;; esac\n'
    )
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.setattr(debian_packages.os, "geteuid", lambda: 0)
    downloads = tmp_path / "downloads"
    assert collect_packages([pin(path)], downloads, None) == {"voices": downloads / path.name}
    assert [entry.name for entry in downloads.iterdir()] == [path.name]


def test_unpacking_again_does_nothing_until_the_package_changes(tmp_path: Path) -> None:
    path = build(tmp_path, "voices")
    target = tmp_path / "unpacked/voices"
    unpack(path, target)
    (target / "usr/share/voices").write_text("touched")
    unpack(path, target)
    assert (target / "usr/share/voices").read_text() == "touched"
    build(tmp_path, "voices", content="new speech")
    unpack(path, target)
    assert (target / "usr/share/voices").read_text() == "new speech"


def test_what_a_killed_run_left_half_unpacked_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = build(tmp_path, "voices")
    (tmp_path / "unpacked/.voices.part/usr").mkdir(parents=True)
    (tmp_path / "unpacked/voices").mkdir()
    unpack(path, tmp_path / "unpacked/voices")
    assert (tmp_path / "unpacked/voices/usr/share/voices").exists()
    assert [entry.name for entry in (tmp_path / "unpacked").iterdir()] == ["voices"]


def test_a_damaged_package_leaves_nothing(tmp_path: Path) -> None:
    path = build(tmp_path, "voices")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadInputError, match="cannot be unpacked; delete it and run again"):
        unpack(path, tmp_path / "unpacked/voices")
    assert not (tmp_path / "unpacked/voices").exists()
