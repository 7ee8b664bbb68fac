"""Get Debian packages (from a folder or with apt), verify and unpack them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet2_birq.errors import BadInputError


@dataclass(frozen=True)
class PinnedPackage:
    """A package, and the version whose content is known.

    Attributes:
        name: Debian's name of the package.
        version: the known version, without epoch.
        size: of the known ``.deb``, in bytes.
        sha256: of the known ``.deb``.
    """

    name: str
    version: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version}_all.deb"


def collect_packages(packages: Sequence[PinnedPackage], downloads: Path, mirror: Path | None) -> dict[str, Path]:
    """Have every package in ``downloads`` (or in ``mirror``) and verify it.

    Args:
        packages: what is needed.
        downloads: folder that keeps what apt downloads.
        mirror: folder that already holds the ``.deb`` files; nothing is downloaded then.

    Returns:
        Path of the ``.deb`` by package name.
    """
    folder = downloads
    if mirror is not None:
        if not mirror.is_dir():
            raise BadInputError(f"{mirror}: no such folder; give the folder that holds the .deb files")
        folder = mirror
    missing = [package for package in packages if _find(package, folder) is None]
    if missing and mirror is not None:
        names = " ".join(package.name for package in missing)
        raise BadInputError(f"{mirror}: packages are missing; add them there with: apt-get download {names}")
    if missing:
        _apt_get_download(missing, downloads)
    paths = {}
    for package in packages:
        path = _find(package, folder)
        if path is None:
            raise BadInputError(f"{downloads}: apt-get brought no .deb of {package.name}; download it there by hand")
        _verify(package, path)
        paths[package.name] = path
    return paths


def unpack(package: Path, directory: Path) -> None:
    """Unpack a ``.deb`` into ``directory``, whole or not at all; nothing to do when that was done before."""
    done = directory / f".{package.name}.unpacked"
    stamp = f"{package.stat().st_size} {package.stat().st_mtime_ns}\n"
    if done.is_file() and done.read_text() == stamp:
        return
    _require("dpkg-deb", "unpack packages")
    fresh = _emptied(directory.with_name(f".{directory.name}.part"))
    _run(["dpkg-deb", "-x", str(package), str(fresh)], f"{package}: cannot be unpacked; delete it and run again")
    (fresh / done.name).write_text(stamp)
    if directory.exists():
        shutil.rmtree(directory)
    fresh.rename(directory)


def _find(package: PinnedPackage, folder: Path) -> Path | None:
    known = folder / package.file_name
    if known.is_file():
        return known
    others = sorted(folder.glob(f"{package.name}_*.deb"))
    return others[-1] if others else None


def _verify(package: PinnedPackage, path: Path) -> None:
    """Compare with the pinned size and digest; another version is accepted with a warning when it is well-formed."""
    if path.name == package.file_name:
        size = path.stat().st_size
        if size != package.size:
            raise BadInputError(f"{path}: {size} bytes instead of {package.size}; delete it and run again")
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != package.sha256:
            raise BadInputError(f"{path}: SHA-256 is {digest} instead of {package.sha256}; delete it and run again")
        return
    _require("dpkg-deb", "examine packages")
    output = _run(
        ["dpkg-deb", "-f", str(path), "Package", "Version"], f"{path}: not a Debian package; delete it and run again"
    )
    fields = dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)
    if fields.get("Package") != package.name:
        raise BadInputError(f"{path}: is package {fields.get('Package')!r}, not {package.name!r}; delete or rename it")
    print(
        f"warning: {path.name}: version {fields.get('Version')}, while results were made with {package.version}",
        file=sys.stderr,
    )


def _apt_get_download(packages: Sequence[PinnedPackage], downloads: Path) -> None:
    """``apt-get download`` into ``downloads``, with the lists refreshed first where a package is unknown."""
    names = [package.name for package in packages]
    by_hand = f"on a Debian or Ubuntu machine run: apt-get download {' '.join(names)}; then give the folder as --mirror"
    if shutil.which("apt-get") is None or shutil.which("apt-cache") is None:
        raise BadInputError(f"apt-get is not installed, so the packages cannot be downloaded; {by_hand}")
    if not all(_is_known_to_apt(name) for name in names):
        _refresh_lists()
    unknown = [name for name in names if not _is_known_to_apt(name)]
    if unknown:
        raise BadInputError(
            f"apt does not know {', '.join(unknown)}; run 'apt-get update' as root (on Ubuntu enable 'universe'), "
            f"or {by_hand}"
        )
    downloads.mkdir(parents=True, exist_ok=True)
    part = _emptied(downloads / ".part")
    # As root, apt fetches as user _apt, which must be able to write here; otherwise it warns and goes on as root.
    part.chmod(0o777)
    megabytes = sum(package.size for package in packages) / 1e6
    print(f"downloading {len(names)} Debian packages into {downloads} (about {megabytes:.0f} MB)", flush=True)
    _run(["apt-get", "-q", "download", *names], f"apt-get download failed; {by_hand}", cwd=part)
    for path in part.glob("*.deb"):
        os.replace(path, downloads / path.name)
    part.rmdir()


def _emptied(directory: Path) -> Path:
    """``directory``, new and empty: what a killed run left in it is removed."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    return directory


def _is_known_to_apt(name: str) -> bool:
    result = subprocess.run(["apt-cache", "show", "--no-all-versions", name], capture_output=True, check=False)
    return result.returncode == 0 and bool(result.stdout.strip())


def _refresh_lists() -> None:
    """``apt-get update`` as root or through a password-less sudo; otherwise leave the lists as they are."""
    prefix: list[str] = []
    if os.geteuid() != 0:
        may_sudo = shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
        if not may_sudo or may_sudo.returncode != 0:
            return
        prefix = ["sudo", "-n"]
    print("refreshing the package lists: apt-get update", flush=True)
    _run(
        [*prefix, "apt-get", "-q", "update"],
        "apt-get update failed; check the network or give the packages with --mirror",
    )


def _require(program: str, purpose: str) -> None:
    if shutil.which(program) is None:
        raise BadInputError(f"{program} is needed to {purpose}; install the system package dpkg")


def _run(command: list[str], failure: str, cwd: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise BadInputError(f"{failure} ({reason})")
    return result.stdout
