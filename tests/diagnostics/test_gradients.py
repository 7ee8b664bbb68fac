"""Gradient norms against the gradient of the model's own loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from espnet2_birq.diagnostics.gradients import gradient_shares
from espnet2_birq.diagnostics.utterances import Utterance, padded


def norm_of_the_models_own_gradient(model: Any, batch: list[Utterance]) -> float:
    """In evaluation mode the model draws masks and noise from the same seed as the diagnosis."""
    model.zero_grad()
    loss, _, _ = model.eval()(*padded(batch))
    loss.backward()
    gradients = [p.grad.flatten() for p in model.encoder.parameters() if p.grad is not None]
    norm = float(torch.cat(gradients).norm())
    model.zero_grad()
    return norm


@pytest.mark.parametrize("overrides", [{}, {"label_source_conf": {"head": "separate", "codebook": "separate"}}])
def test_the_parts_add_up_to_the_models_own_gradient(
    overrides: dict[str, Any], build_tiny: Callable[..., Any], speech: list[Utterance]
) -> None:
    model = build_tiny(penalty_conf={"w1": 2.0, "w2": 1.0}, **overrides)
    shares = gradient_shares(model, [speech])
    squared = shares.enhanced**2 + shares.anchoring**2 + 2 * shares.cosine * shares.enhanced * shares.anchoring
    assert math.sqrt(squared) == pytest.approx(norm_of_the_models_own_gradient(model, speech), rel=1e-4)
    assert shares.enhanced_share == pytest.approx(shares.enhanced / (shares.enhanced + shares.anchoring))
    assert shares.label_path > 0
    assert shares.enhanced <= shares.label_path + shares.prediction_path
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_label_gradients_there_is_no_label_path(
    build_tiny: Callable[..., Any], speech: list[Utterance]
) -> None:
    shares = gradient_shares(build_tiny(label_source_conf={"gradient": False}), [speech[:2], speech[2:]])
    assert shares.batches == 2
    assert (shares.label_path, shares.label_path_share) == (0.0, 0.0)
    assert shares.prediction_path == pytest.approx(shares.enhanced)


def test_best_rq_has_the_anchoring_gradient_only(build_tiny: Callable[..., Any], speech: list[Utterance]) -> None:
    model = build_tiny(penalty_conf={"w1": 0.0, "w2": 3.0})
    shares = gradient_shares(model, [speech])
    assert shares.anchoring == pytest.approx(norm_of_the_models_own_gradient(model, speech), rel=1e-4)
    assert shares.enhanced is None
