"""docs/method.md: every reference exists, every configuration builds, every number is in the benchmark's table."""

from __future__ import annotations

import csv
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from espnet2_birq.labels.arrays import save_arrays
from espnet2_birq.labels.statistics import FeatureMoments

ROOT = Path(__file__).parent.parent
METHOD = (ROOT / "docs/method.md").read_text(encoding="utf-8")
REFERENCES = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", METHOD)))
CONFIGURATIONS = re.findall(r"```yaml\n(.*?)```", METHOD, flags=re.DOTALL)


def test_every_reference_names_something_that_exists() -> None:
    assert len(REFERENCES) > 50
    for file, name in REFERENCES:
        assert re.search(rf"^(def|class) {name}\b", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE), name


@pytest.fixture
def experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build_tiny: Callable[..., Any], tiny_config: dict
) -> None:
    """The files that the configurations name, made for the tiny model, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("exp/ssl_stats").mkdir(parents=True)
    Path("exp/ssl_best_rq").mkdir()
    moments = FeatureMoments(320)
    moments.add(torch.randn(1000, 320))
    moments.principal_components().save("exp/ssl_stats/pca.npz")
    save_arrays("exp/ssl_stats/kmeans_mfcc.npz", centroids=np.random.default_rng(0).normal(size=(100, 39)))
    Path("exp/ssl_best_rq/config.yaml").write_text(
        yaml.safe_dump({"input_size": None, "normalize_conf": {}, **tiny_config})
    )
    torch.save(build_tiny().state_dict(), "exp/ssl_best_rq/valid.loss.ave.pth")


@pytest.mark.usefixtures("experiment")
@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_every_configuration_trains(text: str, build_tiny: Callable[..., Any]) -> None:
    config = yaml.safe_load(text)
    config["quantizer_conf"] = {"num_codes": 16, **config.get("quantizer_conf", {})}
    model = build_tiny(**config)
    loss, _, _ = model(torch.randn(2, 16000), torch.tensor([16000, 9000]))
    loss.backward()
    assert torch.isfinite(loss)


def test_every_number_on_sharpness_is_in_the_benchmark_s_table() -> None:
    with open(ROOT / "benchmarks/label_sharpness.csv", encoding="utf-8") as stream:
        measured = {
            (row["num_codes"], row["distance"], float(row["codebook_scale"])): row
            for row in csv.DictReader(stream)
            if row["tau"] == "0.5" and row["noise"] == "printed"
        }
    rows = re.findall(r"^\| (\d+) \| (raw|l2) \| (\d+) \| ([\d.]+) \| (\d+) % \|$", METHOD, flags=re.MULTILINE)
    assert len(rows) == 8
    for num_codes, distance, scale, perplexity, agreement in rows:
        row = measured[num_codes, distance, float(scale)]
        digits = len(perplexity.partition(".")[2])
        assert round(float(row["perplexity"]), digits) == float(perplexity)
        assert round(100 * float(row["agreement"])) == int(agreement)


def test_the_benchmark_s_table_is_what_the_benchmark_measures() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks/label_sharpness.py"))
    with open(ROOT / "benchmarks/label_sharpness.csv", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["num_codes"] == "128" and row["tau"] == "0.5"]
    for row in rows:
        choice = (128, row["distance"], float(row["codebook_scale"]), 0.5, row["noise"])
        for name, value in script["measure"](*choice, seeds=3).items():
            assert value == pytest.approx(float(row[name]), rel=0.01), choice
