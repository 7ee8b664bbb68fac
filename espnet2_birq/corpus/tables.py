"""Key-value text files in Kaldi style (``wav.scp``, ``text``, ``utt2spk``, ...): read with checks, written atomically.

One entry a line, ``<key> <value>``, UTF-8, sorted by the bytes of the key (``LC_ALL=C``), so that companions can be
merged line by line and every machine agrees on the order.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from espnet2_birq.errors import BadInputError

_BLANK = re.compile(r"[ \t]+")


def byte_order(key: str) -> bytes:
    """Sort key of ``LC_ALL=C``: the UTF-8 bytes. (Python's own order of strings is that of code points: the same for
    valid text, but this says what is meant and also covers surrogate escapes.)"""
    return key.encode("utf-8", "surrogateescape")


def write_text_atomically(path: Path, content: str) -> None:
    """Write ``content`` to a temporary neighbour of ``path`` and rename, so that a killed writer leaves old or new."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        # A failed write (full disk) names no file by itself.
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_table(path: Path, table: Mapping[str, str]) -> None:
    """Write ``table`` sorted by the bytes of its keys; a key without value gets a line of its own."""
    lines = [f"{key} {table[key]}".rstrip() + "\n" for key in sorted(table, key=byte_order)]
    write_text_atomically(path, "".join(lines))


def write_rows(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    """Write tab-separated rows in the order given."""
    write_text_atomically(path, "".join("\t".join(row) + "\n" for row in rows))


def read_rows(path: Path) -> list[tuple[str, ...]]:
    """The tab-separated rows of a file that ``write_rows`` wrote."""
    return [tuple(line.split("\t")) for line in read_lines(path)]


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, without line ends.

    Raises:
        BadInputError: the file is missing or is not UTF-8 (with the line where it stops being so).
    """
    if not path.is_file():
        raise BadInputError(f"{path}: no such file; create it or correct the path")
    content = path.read_bytes()
    try:
        decoded = content.decode("utf-8")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise BadInputError(f"{path}:{number}: not UTF-8; convert the file, for example with iconv") from error
    if decoded.startswith("\ufeff"):
        raise BadInputError(f"{path}:1: starts with a byte-order mark; save it as plain UTF-8 without one")
    lines = decoded.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return lines


def read_table(path: Path, allow_empty_values: bool = False) -> dict[str, str]:
    """Read ``<key> <value>`` lines and check them.

    Args:
        path: the file.
        allow_empty_values: accept keys without a value (an utterance with an empty transcript).

    Returns:
        The values by key, in file order.

    Raises:
        BadInputError: an empty file or line, a duplicate key, a key out of byte order, or an empty value; the line
            says which file and line and what to do.
    """
    table: dict[str, str] = {}
    previous: str | None = None
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}:{number}"
        if "\r" in line:
            raise BadInputError(f"{where}: carriage return (Windows line end); convert the file with dos2unix")
        if not line.strip():
            raise BadInputError(f"{where}: empty line; remove it")
        if line[0] in " \t":
            raise BadInputError(f"{where}: starts with a blank; start the line with the key")
        key, *rest = _BLANK.split(line, maxsplit=1)
        value = rest[0].strip() if rest else ""
        if key in table:
            raise BadInputError(
                f"{where}: duplicate key {key!r}; every utterance id may occur once: rename or remove one"
            )
        if previous is not None and byte_order(key) < byte_order(previous):
            raise BadInputError(
                f"{where}: not sorted: {key!r} comes after {previous!r}; "
                f"sort the file with: LC_ALL=C sort -o {path} {path}"
            )
        if not value and not allow_empty_values:
            missing = "transcript" if path.name == "text" else "value"
            raise BadInputError(f"{where}: {key!r} has an empty {missing}; fill it in, or remove the utterance")
        table[key] = value
        previous = key
    if not table:
        raise BadInputError(f"{path}: is empty; at least one line is needed")
    return table
