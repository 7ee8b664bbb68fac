"""Principal components, from gathering them to labels behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from espnet2_birq.errors import BadInputError
from espnet2_birq.labels import PCAProjectionQuantizer, RandomProjectionQuantizer
from espnet2_birq.labels.arrays import save_arrays
from espnet2_birq.labels.statistics import FeatureMoments, PrincipalComponents

WIDTH = 12


@pytest.fixture
def features() -> torch.Tensor:
    """Correlated features with a mean, some directions far stronger than others, as log-mel frames are."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(WIDTH, WIDTH, generator=generator) * torch.logspace(1, -2, WIDTH)
    return 3.0 + torch.randn(4000, WIDTH, generator=generator) @ mixing.t()


@pytest.fixture
def statistics(features: torch.Tensor, tmp_path: Path) -> str:
    moments = FeatureMoments(WIDTH)
    for batch in features.split(700):
        moments.add(batch)
    moments.principal_components().save(tmp_path / "pca.npz")
    return str(tmp_path / "pca.npz")


def test_components_gathered_in_batches_are_those_of_the_covariance(features: torch.Tensor, statistics: str) -> None:
    found = PrincipalComponents.load(statistics)
    covariance = np.cov(features.double().numpy().T)
    rebuilt = found.components * found.variances @ found.components.t()
    assert np.allclose(rebuilt.numpy(), covariance, atol=1e-8 * covariance.max())
    assert torch.allclose(found.mean, features.double().mean(0))
    assert (found.variances.diff() <= 0).all()
    assert (found.components.gather(0, found.components.abs().argmax(0, keepdim=True)) > 0).all()


def test_whitened_features_are_uncorrelated_with_unit_variance(features: torch.Tensor, statistics: str) -> None:
    encoded = PCAProjectionQuantizer(WIDTH, statistics, code_dim=6).encode(features.double())[0]
    assert torch.allclose(torch.cov(encoded.t()), torch.eye(6, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(encoded.mean(0), torch.zeros(6, dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize("degree", [0.25, 0.5, 0.75])
def test_a_degree_of_whitening_flattens_variances_to_that_power(
    features: torch.Tensor, statistics: str, degree: float
) -> None:
    plain = PCAProjectionQuantizer(WIDTH, statistics, whiten=False, code_dim=6).encode(features.double())[0]
    partly = PCAProjectionQuantizer(WIDTH, statistics, whiten=degree, code_dim=6).encode(features.double())[0]
    powers = plain.var(0, unbiased=False) ** (1 - degree)
    assert torch.allclose(partly.var(0, unbiased=False), powers / powers.mean(), rtol=1e-3)


@pytest.mark.parametrize("degree", [-0.1, 1.5])
def test_a_whitening_that_is_no_degree_is_refused(statistics: str, degree: float) -> None:
    with pytest.raises(ValueError, match="whiten must be true, false or a degree between 0 and 1"):
        PCAProjectionQuantizer(WIDTH, statistics, whiten=degree, code_dim=6)


def test_without_whitening_the_variance_is_one_on_average_and_falls(features: torch.Tensor, statistics: str) -> None:
    encoded = PCAProjectionQuantizer(WIDTH, statistics, whiten=False, code_dim=6).encode(features.double())[0]
    variance = encoded.var(0)
    assert float(variance.mean()) == pytest.approx(1.0, abs=1e-4)
    assert (variance.diff() < 0).all()


def test_more_codes_are_used_than_behind_a_random_projection(features: torch.Tensor, statistics: str) -> None:
    perplexity = {}
    for name, quantizer in {
        "pca": PCAProjectionQuantizer(WIDTH, statistics, code_dim=6, num_codes=64),
        "random": RandomProjectionQuantizer(WIDTH, code_dim=6, num_codes=64),
    }.items():
        share = quantizer(features - features.mean(0) * (name == "random"))[:, 0].bincount(minlength=64) / len(features)
        perplexity[name] = float(torch.special.entr(share).sum().exp())
    assert perplexity["pca"] > 2 * perplexity["random"]


def test_codebooks_differ_behind_the_one_projection(features: torch.Tensor, statistics: str) -> None:
    quantizer = PCAProjectionQuantizer(WIDTH, statistics, code_dim=6, num_codes=64, num_codebooks=3)
    labels = quantizer(features)
    assert labels.shape == (4000, 3)
    assert len({tuple(column.tolist()) for column in labels.t()}) == 3
    assert torch.equal(labels[5:6], quantizer(features[5:6]))


def test_nothing_is_drawn_from_the_global_random_state(statistics: str) -> None:
    before = torch.get_rng_state()
    first = PCAProjectionQuantizer(WIDTH, statistics, code_dim=6, num_codes=64)
    assert torch.equal(before, torch.get_rng_state())
    assert first.fingerprint() == PCAProjectionQuantizer(WIDTH, statistics, code_dim=6, num_codes=64).fingerprint()
    assert set(first.state_dict()) == set(first.frozen()) == {"projection", "codebook", "mean"}


def test_statistics_of_other_features_are_refused(statistics: str) -> None:
    with pytest.raises(ValueError, match=r"are of features 12 wide, the anchor's are 160; run birq_pca"):
        PCAProjectionQuantizer(160, statistics)
    with pytest.raises(ValueError, match="code_dim must be 1 to 12, .* got 16"):
        PCAProjectionQuantizer(WIDTH, statistics, code_dim=16)


def test_directions_without_variance_are_no_dimensions() -> None:
    moments = FeatureMoments(3)
    moments.add(torch.randn(50, 1) * torch.tensor([1.0, 2.0, 0.0]))
    with pytest.raises(ValueError, match="code_dim must be 1 to 1, .* got 2"):
        moments.principal_components().projection(2, whiten=True)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half a file", "other"])
def test_a_missing_or_damaged_file_is_named(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "pca.npz"
    if content == "other":
        save_arrays(path, centroids=np.zeros((2, 2)))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"pca\.npz: (no such file; birq_pca writes it|not a file that birq_pca)"):
        PCAProjectionQuantizer(WIDTH, str(path))
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []
