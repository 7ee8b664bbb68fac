"""Eqs 3 and 4 put together: soft labels from hidden vectors."""

from __future__ import annotations

import math

import pytest
import torch

from espnet2_birq.labels import EnhancedLabels, RandomProjectionQuantizer, gumbel_softmax_labels, normalize_hidden
from espnet2_birq.labels.enhanced import normalize_utterances


@pytest.fixture
def quantizer() -> RandomProjectionQuantizer:
    return RandomProjectionQuantizer(10, code_dim=4, num_codes=12, num_codebooks=2)


@pytest.mark.parametrize("distance", ["raw", "l2"])
def test_labels_equal_equations_3_and_4_done_by_hand(distance: str) -> None:
    quantizer = RandomProjectionQuantizer(10, code_dim=4, num_codes=12, num_codebooks=2, distance=distance).double()
    enhanced = EnhancedLabels(6, quantizer, tau=0.3).double()
    hidden = torch.randn(5, 6, dtype=torch.float64)
    labels, _ = enhanced(hidden, quantizer, generator=torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(1)
    for g in range(2):
        u = torch.empty(5, 4, dtype=torch.float64)
        for t, vector in enumerate(hidden.tolist()):
            mean = sum(vector) / 6
            deviation = math.sqrt(sum((value - mean) ** 2 for value in vector) / 6 + 1e-5)
            z = torch.tensor([(value - mean) / deviation for value in vector], dtype=torch.float64)
            u[t] = z @ enhanced.projection[g]
            if distance == "l2":
                u[t] /= math.sqrt(sum(value**2 for value in u[t].tolist()))
        assert torch.allclose(labels[g], gumbel_softmax_labels(u, quantizer.codebook[g], 0.3, "printed", noise))


def test_the_codebook_is_the_anchors_and_the_projection_its_own(quantizer: RandomProjectionQuantizer) -> None:
    enhanced = EnhancedLabels(10, quantizer)
    assert set(enhanced.state_dict()) == {"projection"}
    assert enhanced.projection.shape == quantizer.projection.shape
    assert not torch.equal(enhanced.projection, quantizer.projection)
    assert not list(enhanced.parameters())


def test_labels_are_float32_and_do_not_depend_on_autocast(quantizer: RandomProjectionQuantizer) -> None:
    enhanced, hidden = EnhancedLabels(6, quantizer), torch.randn(5, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, _ = enhanced(hidden, quantizer, generator=torch.Generator().manual_seed(1))
    plain, _ = enhanced(hidden, quantizer, generator=torch.Generator().manual_seed(1))
    assert cast.dtype == torch.float32
    assert torch.equal(cast, plain)
    half, _ = enhanced(hidden.bfloat16(), quantizer)
    assert half.dtype == torch.float32


def test_hidden_vectors_get_zero_mean_and_unit_variance_step_by_step() -> None:
    hidden = 5 + 3 * torch.randn(7, 64)
    normalized = normalize_hidden(hidden, "layer")
    assert torch.allclose(normalized.mean(-1), torch.zeros(7), atol=1e-6)
    assert torch.allclose(normalized.var(-1, unbiased=False), torch.ones(7), atol=1e-4)
    assert torch.allclose(normalize_hidden(hidden[2:3], "layer"), normalized[2:3])
    assert torch.equal(normalize_hidden(hidden, "none"), hidden)


@pytest.mark.parametrize(("gradient", "flows"), [(True, True), (False, False)])
def test_gradients_reach_the_hidden_vectors_by_option(
    quantizer: RandomProjectionQuantizer, gradient: bool, flows: bool
) -> None:
    hidden = torch.randn(5, 6, requires_grad=True)
    labels, _ = EnhancedLabels(6, quantizer, gradient=gradient)(hidden, quantizer)
    assert labels.requires_grad is flows


def test_statistics_tell_noise_from_sharp_labels() -> None:
    """The table of docs/method.md in two rows: raw distances are sharp, unit length with the paper's tau is noise."""
    hidden = torch.randn(400, 64)
    statistics = {}
    for distance in ("raw", "l2"):
        quantizer = RandomProjectionQuantizer(64, num_codes=1024, distance=distance)
        labels, found = EnhancedLabels(64, quantizer)(hidden, quantizer, generator=torch.Generator().manual_seed(0))
        entropy = -(labels * labels.clamp_min(1e-30).log()).sum(-1)
        assert float(found.perplexity) == pytest.approx(float(entropy.exp().mean()), rel=1e-3)
        statistics[distance] = found
    assert statistics["raw"].perplexity < 4
    assert statistics["raw"].agreement > 0.5
    assert statistics["l2"].perplexity > 100
    assert statistics["l2"].agreement < 0.1


def test_without_noise_every_label_agrees_with_the_nearest_code(quantizer: RandomProjectionQuantizer) -> None:
    _, statistics = EnhancedLabels(6, quantizer, noise="none")(torch.randn(50, 6), quantizer)
    assert statistics.agreement == 1
    assert 1 <= statistics.perplexity <= 12
    assert 1 <= statistics.code_perplexity <= 12


def test_straight_through_is_one_hot_with_the_soft_label_s_gradient(quantizer: RandomProjectionQuantizer) -> None:
    hidden, weights = torch.randn(5, 6, requires_grad=True), torch.randn(2, 5, 12)
    made = {}
    for form in ("soft", "straight_through"):
        labels, _ = EnhancedLabels(6, quantizer, form=form)(
            hidden, quantizer, generator=torch.Generator().manual_seed(1)
        )
        made[form] = labels, torch.autograd.grad((labels * weights).sum(), hidden)[0]
    hard, soft = made["straight_through"][0], made["soft"][0]
    assert torch.equal(hard, torch.nn.functional.one_hot(soft.argmax(-1), 12).float())
    assert torch.allclose(made["straight_through"][1], made["soft"][1])


def test_a_separate_codebook_is_drawn_anew_and_may_have_another_size(quantizer: RandomProjectionQuantizer) -> None:
    enhanced = EnhancedLabels(6, quantizer, codebook="separate", head="separate", num_codes=5)
    assert enhanced.codes(quantizer).shape == (2, 5, 4)
    assert set(enhanced.state_dict()) == {"projection", "codebook"}
    assert enhanced(torch.randn(7, 6), quantizer)[0].shape == (2, 7, 5)
    same_size = EnhancedLabels(6, quantizer, codebook="separate")
    assert not torch.equal(same_size.codes(quantizer), quantizer.codebook)
    assert torch.equal(same_size.projection, EnhancedLabels(6, quantizer).projection)
    assert EnhancedLabels(6, quantizer).codes(quantizer) is quantizer.codebook


def test_a_larger_codebook_scale_makes_sharper_labels() -> None:
    """The only way, besides tau, to sharpen labels of unit length."""
    hidden, perplexity = torch.randn(300, 64), []
    for scale in (1.0, 4.0, 16.0):
        codes = RandomProjectionQuantizer(64, num_codes=256, distance="l2", codebook_scale=scale)
        assert torch.allclose(codes.codebook.norm(dim=-1), torch.full((1, 256), scale))
        perplexity.append(float(EnhancedLabels(64, codes)(hidden, codes)[1].perplexity))
    assert perplexity == sorted(perplexity, reverse=True)
    assert perplexity[-1] < 0.1 * perplexity[0]


def test_gradients_flow_at_every_nth_step_by_option(quantizer: RandomProjectionQuantizer) -> None:
    flows = {
        gradient: [EnhancedLabels(6, quantizer, gradient=gradient).gradient_at(step) for step in range(7)]
        for gradient in (True, False, 3)
    }
    assert flows[True] == [True] * 7 == [not flow for flow in flows[False]]
    assert flows[3] == [True, False, False, True, False, False, True]


def test_utterances_are_normalised_over_their_own_steps() -> None:
    hidden, lengths = 3 + 2 * torch.randn(3, 9, 4), torch.tensor([9, 5, 1])
    normalized = normalize_utterances(hidden, lengths)
    for b, length in enumerate(lengths.tolist()):
        own = hidden[b, :length]
        expected = (own - own.mean(0)) / (own.var(0, unbiased=False) + 1e-5).sqrt()
        assert torch.allclose(normalized[b, :length], expected, atol=1e-5)
        assert not normalized[b, length:].any()


@pytest.mark.parametrize(
    "conf",
    [
        {"tau": 0},
        {"noise": "x"},
        {"normalization": "x"},
        {"form": "hard"},
        {"codebook": "own"},
        {"head": "own"},
        {"gradient": -1},
        {"gradient": "no"},
        {"num_codes": 5},
        {"num_codes": 0, "head": "separate", "codebook": "separate"},
    ],
)
def test_a_wrong_choice_is_named(quantizer: RandomProjectionQuantizer, conf: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(conf))):
        EnhancedLabels(6, quantizer, **conf)
