"""A short text that changes when the content of a file changes, without reading all of every file.

Three kinds of file say what they hold in a few bytes, so those bytes stand for the content, and copying a recipe or
making the same file again changes nothing:

* a FLAC file carries the MD5 of its samples in its header;
* a zip archive (which a PyTorch checkpoint is) carries the CRC-32 of every member in the directory at its end;
* a small file is simply read.

Any other large file is known by its size and time of modification. Standard library only: this runs at every stage.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from espnet2_birq.errors import BadInputError

SMALL_FILE = 1 << 20
_FLAC_HEADER = 42  # "fLaC", a 4-byte block header, 34 bytes of STREAMINFO that end with the MD5
_ZIP_TAIL = 1 << 20


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def fingerprint_file(path: Path) -> str:
    """Fingerprint of one file, links followed.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    with path.open("rb") as stream:
        stat = os.fstat(stream.fileno())
        head = stream.read(_FLAC_HEADER)
        if head.startswith(b"fLaC") and any(head[-16:]):
            return _digest(b"flac", head, str(stat.st_size).encode())
        if stat.st_size <= SMALL_FILE:
            return _digest(b"content", head + stream.read())
        if head.startswith(b"PK\x03\x04"):
            stream.seek(-_ZIP_TAIL, os.SEEK_END)
            return _digest(b"zip", str(stat.st_size).encode(), stream.read())
        return _digest(b"stat", str(stat.st_size).encode(), str(stat.st_mtime_ns).encode())


def fingerprint_path(path: Path) -> str:
    """Fingerprint of a file, or of every file below a folder together with its name.

    Python's byte code and hidden files are no part of a folder's content.
    """
    if not path.is_dir():
        return fingerprint_file(path)
    parts = []
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if file.is_file() and not hidden:
            parts += [str(relative).encode(), fingerprint_file(file).encode()]
    return _digest(b"folder", *parts)


def fingerprint_scp(path: Path) -> str:
    """Fingerprint of a ``wav.scp`` and of every audio file that it names (``key path``).

    Raises:
        BadInputError: if a file that it names does not exist.
    """
    parts = [path.read_bytes()]
    for line in parts[0].decode("utf-8").splitlines():
        key, _, audio = line.partition(" ")
        audio = audio.strip()
        try:
            parts.append(fingerprint_file(Path(audio)).encode())
        except FileNotFoundError:
            message = f"{path}: the audio file of utterance {key} does not exist: {audio}: restore it, or make it again"
            raise BadInputError(message) from None
    return _digest(b"scp", *parts)
