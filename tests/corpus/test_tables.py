from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_birq.corpus.tables import byte_order, read_table, write_table
from espnet2_birq.errors import BadInputError

# No blanks, no control characters: what a key may be made of.
keys = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp", "Cn")), min_size=1, max_size=8)
values = st.lists(keys, min_size=1, max_size=4).map(" ".join)


@given(st.dictionaries(keys, values, min_size=1))
def test_a_table_survives_writing_and_reading(tmp_path_factory: pytest.TempPathFactory, table: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("table") / "text"
    write_table(path, table)
    assert read_table(path) == table


@given(st.lists(keys, min_size=1, unique=True))
def test_keys_are_sorted_as_their_bytes_are(names: list[str]) -> None:
    assert [key.encode() for key in sorted(names, key=byte_order)] == sorted(key.encode() for key in names)


@pytest.mark.skipif(shutil.which("sort") is None, reason="needs sort")
def test_the_order_is_that_of_sort_in_the_c_locale(tmp_path: Path) -> None:
    table = dict.fromkeys(["a-1", "a_1", "a1", "A1", "é", "z", "Ж", "a", "a-", "😀", "～", "10", "9"], "x")
    write_table(tmp_path / "text", table)
    written = (tmp_path / "text").read_bytes()
    keys_only = b"".join(line.split(b" ")[0] + b"\n" for line in written.splitlines())
    assert subprocess.run(["sort"], input=keys_only, env={"LC_ALL": "C"}, stdout=subprocess.PIPE).stdout == keys_only


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a x\na y\n", "text:2: duplicate key 'a'"),
        ("b x\na y\n", "text:2: not sorted: 'a' comes after 'b'; sort the file with: LC_ALL=C sort"),
        ("a x\nb\n", "text:2: 'b' has an empty transcript"),
        ("a x\n\nb y\n", "text:2: empty line; remove it"),
        (" a x\n", "text:1: starts with a blank"),
        ("a x\r\n", "text:1: carriage return"),
        ("\ufeffa x\n", "text:1: starts with a byte-order mark"),
        ("", "text: is empty"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "text").write_bytes(content.encode())
    with pytest.raises(BadInputError) as caught:
        read_table(tmp_path / "text")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a x\nb \xe9t\xe9\n")
    with pytest.raises(BadInputError, match="text:2: not UTF-8"):
        read_table(tmp_path / "text")


def test_unicode_blanks_do_not_divide_lines_or_keys(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a one\u2028two\nb\u00a0c three\n", encoding="utf-8")
    assert read_table(tmp_path / "text") == {"a": "one\u2028two", "b\u00a0c": "three"}


def test_a_writer_that_fails_leaves_the_old_file_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    write_table(path, {"a": "old"})

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space left") as caught:
        write_table(path, {"a": "new"})
    assert caught.value.filename == str(path)
    assert path.read_text() == "a old\n"
    assert list(tmp_path.iterdir()) == [path]
