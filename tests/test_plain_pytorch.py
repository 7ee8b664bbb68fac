"""Labels, masks and losses in plain PyTorch: README's example where ESPnet cannot be imported."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WITHOUT_ESPNET = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"espnet", "espnet2", "espnet3", "torchaudio", "librosa", "typeguard", "scipy"}:
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
"""


def test_the_readme_s_example_needs_no_espnet() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    ending = "\nassert torch.isfinite(loss) and encoded.grad.any() and hidden.grad.any()\n"
    command = [sys.executable, "-c", WITHOUT_ESPNET + example + ending]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
