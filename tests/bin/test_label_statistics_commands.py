"""birq_pca and birq_kmeans: from a formatted set to a model that labels with what they wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet2_birq.bin import birq_kmeans, birq_pca
from espnet2_birq.errors import BadInputError

Build = Callable[..., Any]


@pytest.fixture
def corpus(tmp_path: Path, tiny_config: dict) -> Path:
    """A formatted set of five utterances, one of them too short for a step, and a configuration."""
    generator, data_dir = np.random.default_rng(0), tmp_path / "train"
    data_dir.mkdir()
    lines = []
    for index, length in enumerate([20000, 16000, 600, 24000, 12000]):
        path = tmp_path / f"utt{index}.flac"
        soundfile.write(path, 0.1 * generator.normal(size=length), 16000)
        lines.append(f"utt{index} {path}\n")
    (data_dir / "wav.scp").write_text("".join(lines))
    (data_dir / "utt2spk").write_text("".join(f"utt{index} spk\n" for index in range(5)))
    (data_dir / "spk2utt").write_text("spk utt0 utt1 utt2 utt3 utt4\n")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(tiny_config))
    return tmp_path


def run(command: Any, corpus: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Path:
    out = corpus / "exp/stats/out.npz"
    arguments = ["--config", corpus / "train.yaml", "--data_dir", corpus / "train", "--out", out, *options]
    monkeypatch.setattr("sys.argv", ["birq", *map(str, arguments)])
    command.main()
    return out


def test_a_model_is_trained_behind_the_components(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, build_tiny: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    # The configuration may name the file that is only being made.
    options = ["--quantizer", "pca_projection", "--quantizer_conf", f"statistics={corpus}/exp/stats/out.npz"]
    out = run(birq_pca, corpus, monkeypatch, *options)
    printed = capsys.readouterr().out
    steps = sum((1 + (length - 512) // 160 - 3) // 4 for length in (20000, 16000, 24000, 12000))
    assert f"{out}: {steps} steps of width 320; of the variance, " in printed
    model = build_tiny(quantizer="pca_projection", quantizer_conf={"statistics": str(out), "num_codes": 16})
    model(torch.randn(2, 16000), torch.tensor([16000, 9000]))[0].backward()


def test_a_model_is_trained_on_the_centroids_of_cepstra(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, build_tiny: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run(birq_kmeans, corpus, monkeypatch, "--num_codes", "10", "--anchor", "mfcc", "--max_steps", "90")
    assert "10 centroids of 90 steps, " in capsys.readouterr().out
    # The number may also stand in the configuration, beside a file that is only being made.
    options = ["--quantizer", "centroids", "--quantizer_conf", f"{{centroids: {out}, num_codes: 10}}"]
    again = run(birq_kmeans, corpus, monkeypatch, "--anchor", "mfcc", "--max_steps", "90", *options)
    model = build_tiny(anchor="mfcc", quantizer="centroids", quantizer_conf={"centroids": str(again)})
    assert model.loss.quantizer.codebook.shape == (1, 10, 39)
    assert np.array_equal(np.load(out)["centroids"], np.load(again)["centroids"])
    model(torch.randn(2, 16000), torch.tensor([16000, 9000]))[0].backward()


def test_bad_input_is_one_line_and_leaves_nothing(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInputError, match="sampled at 16000 Hz, not 8000; format the set with stage 3"):
        run(birq_pca, corpus, monkeypatch, "--fs", "8000")
    with pytest.raises(BadInputError, match="--num_codes must be 1 to 20, the number of steps, got 21"):
        run(birq_kmeans, corpus, monkeypatch, "--num_codes", "21", "--max_steps", "20")
    (corpus / "utt0.flac").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"utt0.flac \(utt0 of .*train\): empty file"):
        run(birq_pca, corpus, monkeypatch)
    (corpus / "train.yaml").unlink()
    with pytest.raises(BadInputError, match="train.yaml: no such configuration file"):
        run(birq_pca, corpus, monkeypatch)
    assert not (corpus / "exp").exists()
