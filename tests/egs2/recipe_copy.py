"""Copies of recipes for tests to run in."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "egs2/TEMPLATE/birq1"


def environment(**changes: str) -> dict[str, str]:
    """The environment with this package and its Python first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **changes}


def copy_recipe(tmp_path: Path, name: str = "mini_an4") -> Path:
    """The recipe and the template below ``tmp_path``, without what earlier runs left there."""
    ignore = shutil.ignore_patterns("data", "dump", "exp", "downloads", ".done")
    for part in ("TEMPLATE", name):
        shutil.copytree(ROOT / "egs2" / part, tmp_path / "egs2" / part, symlinks=True, ignore=ignore)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    return tmp_path / "egs2" / name / "birq1"
