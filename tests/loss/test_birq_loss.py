"""Eq 9 on masked steps: values against the definition, gradient paths, memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from espnet2_birq.labels import EnhancedLabels, RandomProjectionQuantizer
from espnet2_birq.labels.selection import CHUNK_STEPS
from espnet2_birq.loss import BiRQLoss, PenaltyWeights

WEIGHTS = PenaltyWeights(0.1, 2.4)


def parts(num_codebooks: int = 2, **conf: Any) -> tuple[BiRQLoss, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A loss in float64, and the encoder output, anchor and hidden vectors of seven masked steps."""
    torch.manual_seed(0)
    quantizer = RandomProjectionQuantizer(9, code_dim=4, num_codes=11, num_codebooks=num_codebooks)
    loss = BiRQLoss(8, quantizer, EnhancedLabels(6, quantizer, **conf)).double()
    vectors = [torch.randn(7, width, dtype=torch.float64, requires_grad=True) for width in (8, 9, 6)]
    return loss, *vectors


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def test_the_value_is_the_weighted_sum_of_both_cross_entropies() -> None:
    loss, encoded, anchor, hidden = parts()
    value, stats = loss(encoded, anchor, hidden, WEIGHTS, generator=seeded())
    labels, _ = loss.enhanced(hidden, loss.quantizer, generator=seeded())
    log_p = torch.log_softmax((encoded @ loss.head.weight.T + loss.head.bias).view(7, 2, 11), -1)
    hard = loss.quantizer(anchor)
    terms_F = [-(labels[g, t] * log_p[t, g]).sum() for t in range(7) for g in range(2)]
    terms_G = [-log_p[t, g, hard[t, g]] for t in range(7) for g in range(2)]
    upper, lower = sum(terms_F).detach() / 14, sum(terms_G).detach() / 14
    assert float(value.detach()) == pytest.approx(float(0.1 * upper + 2.4 * lower), rel=1e-10)
    assert float(stats["loss_enhanced"]) == pytest.approx(float(upper), rel=1e-10)
    assert float(stats["loss_anchoring"]) == pytest.approx(float(lower), rel=1e-10)


def test_gradients_equal_finite_differences() -> None:
    loss, encoded, anchor, hidden = parts()
    anchor = anchor.detach()
    assert torch.autograd.gradcheck(
        lambda o, h: loss(o, anchor, h, WEIGHTS, generator=seeded())[0], (encoded, hidden), eps=1e-6
    )


def test_the_anchoring_loss_has_no_gradient_to_its_labels() -> None:
    loss, encoded, anchor, hidden = parts()
    value, _ = loss(encoded, anchor, hidden, PenaltyWeights(0.0, 1.0))
    grads = torch.autograd.grad(value, (encoded, anchor, hidden), allow_unused=True)
    assert grads[0] is not None
    assert grads[1] is None
    assert grads[2] is None


def test_the_enhanced_loss_has_a_gradient_through_its_labels_unless_switched_off() -> None:
    for gradient in (True, False):
        loss, encoded, anchor, hidden = parts(gradient=gradient)
        value, _ = loss(encoded, anchor, hidden, WEIGHTS, generator=seeded())
        through_labels = torch.autograd.grad(value, hidden, allow_unused=True)[0]
        assert (through_labels is not None and bool(through_labels.abs().max() > 0)) is gradient


def test_without_enhanced_weight_there_is_no_label_pass() -> None:
    quantizer = RandomProjectionQuantizer(9, code_dim=4, num_codes=11)
    loss = BiRQLoss(8, quantizer, None)
    value, stats = loss(torch.randn(7, 8), torch.randn(7, 9), None, PenaltyWeights(0.0, 1.0))
    assert torch.isfinite(value)
    assert not [name for name in stats if "enhanced" in name]
    with pytest.raises(ValueError, match="w1 is 0.1 but no enhanced labels can be made"):
        loss(torch.randn(7, 8), torch.randn(7, 9), None, WEIGHTS)


def test_accuracy_is_measured_against_the_majority_rate() -> None:
    loss, encoded, anchor, hidden = parts(num_codebooks=1)
    _, stats = loss(encoded, anchor, hidden, WEIGHTS)
    labels = loss.quantizer(anchor)[:, 0]
    assert float(stats["majority_anchoring"]) == pytest.approx(int(labels.bincount().max()) / 7)
    hits = (loss.head(encoded).argmax(-1) == labels).double().mean()
    assert float(stats["acc_anchoring"]) == pytest.approx(float(hits))


def test_a_separate_head_predicts_the_enhanced_label_alone() -> None:
    loss, encoded, anchor, hidden = parts(head="separate", codebook="separate", num_codes=5)
    assert loss.enhanced_head.out_features == 2 * 5
    value, stats = loss(encoded, anchor, hidden, WEIGHTS, generator=seeded())
    labels, _ = loss.enhanced(hidden, loss.quantizer, generator=seeded())
    log_p = torch.log_softmax(loss.enhanced_head(encoded).view(7, 2, 5), -1)
    terms = [-(labels[g, t] * log_p[t, g]).sum() for t in range(7) for g in range(2)]
    assert float(stats["loss_enhanced"]) == pytest.approx(float(sum(terms).detach()) / 14, rel=1e-10)
    value.backward()
    assert loss.head.weight.grad.any()
    assert loss.enhanced_head.weight.grad.any()


def test_a_scheduled_zero_weight_logs_the_same_numbers_and_leaves_the_gradient_to_the_anchor() -> None:
    loss, encoded, anchor, hidden = parts()
    _, with_enhanced = loss(encoded, anchor, hidden, WEIGHTS, generator=seeded())
    value, without = loss(encoded, anchor, hidden, PenaltyWeights(0.0, 2.4), generator=seeded())
    assert list(with_enhanced) == list(without)
    best_rq, _ = loss(encoded, anchor, None, PenaltyWeights(0.0, 2.4))
    assert torch.equal(value, best_rq)
    gradients = [torch.autograd.grad(part, encoded)[0] for part in (value, best_rq)]
    assert torch.equal(*gradients)


def test_a_scheduled_temperature_overrides_the_label_source_s_own() -> None:
    loss, encoded, anchor, hidden = parts(noise="none")
    perplexity = {
        tau: float(loss(encoded, anchor, hidden, PenaltyWeights(0.1, 2.4, tau))[1]["enhanced_perplexity"])
        for tau in (None, 0.5, 5.0)
    }
    assert perplexity[None] == perplexity[0.5] < perplexity[5.0]


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


@pytest.mark.parametrize("distance", ["raw", "l2"])
def test_no_tensor_of_steps_times_codes_times_code_width_is_ever_made(distance: str) -> None:
    steps, codes, groups = 900, 700, 2
    quantizer = RandomProjectionQuantizer(9, code_dim=16, num_codes=codes, num_codebooks=groups, distance=distance)
    loss = BiRQLoss(8, quantizer, EnhancedLabels(6, quantizer))
    encoded, hidden = torch.randn(steps, 8, requires_grad=True), torch.randn(steps, 6, requires_grad=True)
    with LargestTensor() as largest:
        loss(encoded, torch.randn(steps, 9), hidden, WEIGHTS)[0].backward()
    assert largest.elements == groups * steps * codes
    with LargestTensor() as largest:
        quantizer(torch.randn(steps, 9))
    assert largest.elements == CHUNK_STEPS * codes
