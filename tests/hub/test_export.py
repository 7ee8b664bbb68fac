"""The exported encoder in unmodified ESPnet, in a process that never imports the plugin."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from espnet2_birq.errors import BadInputError
from espnet2_birq.hub.export import export_encoder
from espnet2_birq.hub.pack import ssl_contents

STACKING = {
    "preencoder": "stacking",
    "encoder_conf": {"output_size": 16, "attention_heads": 2, "num_blocks": 2, "input_layer": "linear"},
}

STOCK_ESPNET = """
import sys
import torch
from espnet2.asr.frontend.espnet_ssl import ESPnetSSLFrontend

frontend = ESPnetSSLFrontend(frontend_conf={"path_or_url": sys.argv[1]})
stored = torch.load(sys.argv[1], weights_only=True)
loaded = frontend.upstream.state_dict()
assert stored.keys() == loaded.keys() - {"global_step"}, stored.keys() ^ loaded.keys()
assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items())
torch.manual_seed(0)
features, lengths = frontend.eval()(torch.randn(2, 16000), torch.tensor([16000, 9000]))
assert not any(name.startswith("espnet2_birq") for name in sys.modules)
torch.save(features, sys.argv[2])
"""


def test_stock_espnet_takes_the_export_as_its_ssl_frontend(
    write_experiment: Callable[..., Path], tmp_path: Path
) -> None:
    """All tensors arrive, and the features are those of the pretrained encoder on unmasked input."""
    from espnet2_birq.tasks.birq import BiRQTask

    experiment = write_experiment()
    export_encoder(experiment, "latest.pth", tmp_path / "export")
    command = [sys.executable, "-c", STOCK_ESPNET, tmp_path / "export/encoder.pth", tmp_path / "features.pth"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr

    model, _ = BiRQTask.build_model_from_file(experiment / "config.yaml", experiment / "latest.pth")
    torch.manual_seed(0)
    speech, lengths = torch.randn(2, 16000), torch.tensor([16000, 9000])
    with torch.no_grad():
        encoded = model.eval().encoder(*model.features(speech, lengths))[0]
    assert torch.allclose(torch.load(tmp_path / "features.pth", weights_only=True), encoded, atol=1e-5)


def test_the_export_says_which_model_and_which_quantizer_it_comes_from(
    write_experiment: Callable[..., Path], tmp_path: Path
) -> None:
    from espnet2_birq.tasks.birq import BiRQTask

    experiment = write_experiment()
    (experiment / "latest.pth").rename(experiment / "7epoch.pth")
    (experiment / "latest.pth").symlink_to("7epoch.pth")
    export = export_encoder(experiment, "latest.pth", tmp_path / "export")
    model, _ = BiRQTask.build_model_from_file(experiment / "config.yaml", experiment / "7epoch.pth")
    assert json.loads((tmp_path / "export/export.json").read_text())["model_file"] == "7epoch.pth"
    assert export.quantizer_fingerprint == model.loss.quantizer.fingerprint()
    assert export.encoder_parameters == sum(p.numel() for p in model.encoder.parameters())


def test_frame_stacking_is_exported_and_said_to_need_the_plugin(
    write_experiment: Callable[..., Path], tmp_path: Path
) -> None:
    export = export_encoder(write_experiment(**STACKING), "latest.pth", tmp_path / "export")
    assert export.needs_plugin
    assert not export_encoder(write_experiment("other"), "latest.pth", tmp_path / "export2").needs_plugin


def test_global_statistics_travel_with_the_encoder(
    write_experiment: Callable[..., Path], tmp_path: Path, tiny_config: dict[str, Any]
) -> None:
    frames = np.random.default_rng(0).normal(3.0, 2.0, (50, 80))
    path = tmp_path / "somewhere.npz"
    np.savez(path, count=50, sum=frames.sum(0), sum_square=(frames**2).sum(0))
    experiment = write_experiment(normalize="global_mvn", normalize_conf={"stats_file": str(path)})
    export_encoder(experiment, "latest.pth", experiment / "export")
    path.unlink()
    settings = yaml.safe_load((experiment / "export/config.yaml").read_text())
    assert settings["normalize_conf"]["stats_file"] == str(experiment / "export/feats_stats.npz")
    assert {experiment / "export/feats_stats.npz", experiment / "export/export.json"} <= set(
        ssl_contents(experiment).extra
    )
    with pytest.raises(BadInputError, match="somewhere.npz: no such file"):
        export_encoder(experiment, "latest.pth", tmp_path / "again")


def test_a_model_of_another_configuration_is_refused(write_experiment: Callable[..., Path], tmp_path: Path) -> None:
    experiment = write_experiment()
    other = write_experiment("other", encoder_conf={"output_size": 24, "attention_heads": 2, "num_blocks": 3})
    (other / "latest.pth").replace(experiment / "latest.pth")
    with pytest.raises(BadInputError, match="latest.pth: does not fit .*config.yaml"):
        export_encoder(experiment, "latest.pth", tmp_path / "export")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such model file; there are: 3epoch.pth"),
        (b"not a model", "cannot be read as a model file"),
        ({"model": {}, "reporter": {}}, "holds a trainer's state"),
        ({"ctc.weight": torch.zeros(1)}, "has no encoder"),
    ],
)
def test_what_is_no_pretrained_model_is_named_in_one_line(
    content: Any, message: str, write_experiment: Callable[..., Path], tmp_path: Path
) -> None:
    experiment = write_experiment()
    path = (experiment / "latest.pth").rename(experiment / "3epoch.pth").with_name("latest.pth")
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(BadInputError, match=message) as caught:
        export_encoder(experiment, "latest.pth", tmp_path / "export")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "export").exists()
