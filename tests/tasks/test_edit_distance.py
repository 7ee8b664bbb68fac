from __future__ import annotations

import importlib
import sys

import pytest

from espnet2_birq.tasks import asr


def test_espnet_finds_an_edit_distance_where_its_own_package_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "editdistance", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    asr.provide_edit_distance()
    module = importlib.import_module("editdistance")
    assert module.eval("kitten", "sitting") == 3
    assert module.eval(["one", "two"], ["one", "three", "two"]) == 1
    monkeypatch.delitem(sys.modules, "editdistance")
