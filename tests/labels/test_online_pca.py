"""Principal components that are estimated while training."""

from __future__ import annotations

import pytest
import torch

from espnet2_birq.labels import OnlinePCAQuantizer, RandomProjectionQuantizer
from espnet2_birq.labels.statistics import FeatureMoments

CONF = {"input_dim": 8, "code_dim": 3, "num_codes": 32, "num_codebooks": 2}


def batches(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(8, 8, generator=generator) * torch.logspace(1, -1, 8)
    return [2.0 + torch.randn(50, 8, generator=generator) @ mixing.t() for _ in range(count)]


def train(quantizer: OnlinePCAQuantizer, features: list[torch.Tensor], first: int = 0) -> list[int]:
    """Steps at which the projection changed."""
    changed = []
    for step, batch in enumerate(features, first):
        before = quantizer.projection.clone()
        quantizer.advance(step)
        changed += [] if torch.equal(before, quantizer.projection) else [step]
        quantizer.observe(batch, quantizer(batch), step)
    return changed


def test_it_begins_as_a_random_projection_and_turns_at_powers_of_two_and_the_last_step() -> None:
    quantizer = OnlinePCAQuantizer(pca_steps=11, **CONF)
    plain = RandomProjectionQuantizer(**CONF)
    features = batches(20)
    assert torch.equal(quantizer(features[0]), plain(features[0]))
    assert train(quantizer, features) == [1, 2, 4, 8, 11]
    assert torch.equal(quantizer.codebook, plain.codebook)


def test_the_last_components_are_those_of_all_features_until_then() -> None:
    quantizer, features = OnlinePCAQuantizer(pca_steps=6, **CONF), batches(10)
    train(quantizer, features)
    moments = FeatureMoments(8)
    moments.add(torch.cat(features[:6]))
    expected = moments.principal_components()
    assert torch.allclose(quantizer.mean.double(), expected.mean, atol=1e-5)
    for g in range(2):
        assert torch.allclose(quantizer.projection[g].double(), expected.projection(3, whiten=True), atol=1e-5)
    encoded = quantizer.encode(torch.cat(features[:6]).double())[0]
    assert torch.allclose(torch.cov(encoded.t()), torch.eye(3, dtype=torch.float64), atol=1e-4)


def test_a_resumed_run_ends_with_the_same_components() -> None:
    whole, first, second = (OnlinePCAQuantizer(pca_steps=7, **CONF) for _ in range(3))
    features = batches(10)
    train(whole, features)
    train(first, features[:5])
    second.load_state_dict(first.state_dict())
    train(second, features[5:], first=5)
    assert second.fingerprint() == whole.fingerprint()
    assert set(whole.frozen()) == {"codebook"}


def test_too_few_features_for_a_component_wait_for_more() -> None:
    quantizer = OnlinePCAQuantizer(pca_steps=4, **CONF)
    assert train(quantizer, [batch[:3] for batch in batches(6)]) == [4]


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"pca_steps": 0}, "pca_steps must be at least 1"),
        ({"pca_steps": 5, "code_dim": 9}, "code_dim must be 1 to 8, .* got 9"),
        ({"pca_steps": 5, "refinement": {"every": 2}}, r"start must be at least pca_steps \(5\), got 0"),
    ],
)
def test_contradictions_are_named(conf: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnlinePCAQuantizer(**{**CONF, **conf})
    OnlinePCAQuantizer(**CONF, pca_steps=5, refinement={"every": 2, "start": 5})
