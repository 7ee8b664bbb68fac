"""Codebook distillation (arXiv 2606.30671, Eqs 6-8) against loops over pairs of steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from espnet2_birq.labels import RandomProjectionQuantizer
from espnet2_birq.loss import CodebookDistillation, PenaltyWeights

QUANTIZER = RandomProjectionQuantizer(9, code_dim=4, num_codes=11, num_codebooks=2)
WEIGHTS = PenaltyWeights(0.1, 2.0)


def build(**conf: Any) -> CodebookDistillation:
    torch.manual_seed(0)
    return CodebookDistillation(8, QUANTIZER, **{"start": 3, "every": 2, "num_codes": 6, **conf})


def inputs() -> dict[str, Any]:
    """Two utterances of seven and four steps, of which some are masked."""
    generator = torch.Generator().manual_seed(1)
    valid = torch.arange(7) < torch.tensor([7, 4])[:, None]
    return {
        "encoded_BTD": torch.randn(2, 7, 8, generator=generator, requires_grad=True),
        "anchor_BTI": torch.randn(2, 7, 9, generator=generator),
        "layers_BTH": [torch.randn(2, 7, 5, generator=generator, requires_grad=True) for _ in range(2)],
        "masked_BT": (torch.rand(2, 7, generator=generator) < 0.4) & valid,
        "valid_BT": valid,
        "quantizer": QUANTIZER,
    }


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(first @ second / (first.norm() * second.norm()))


def test_the_distillation_loss_equals_a_loop_over_pairs_of_unmasked_steps() -> None:
    distillation, given = build(), inputs()
    usable, total = given["valid_BT"] & ~given["masked_BT"], 0.0
    codes = distillation.trained.detach()
    for b in range(2):
        steps = usable[b].nonzero()[:, 0].tolist()
        nearest = {}
        for t in steps:
            projected = given["anchor_BTI"][b, t] @ QUANTIZER.projection[0]
            nearest[t] = max(range(6), key=lambda n, u=projected: cosine(u, codes[n]))
        for i in steps:
            for j in steps:
                hidden = sum(cosine(layer[b, i].detach(), layer[b, j].detach()) for layer in given["layers_BTH"]) / 2
                total += abs(hidden - cosine(codes[nearest[i]], codes[nearest[j]]))
    found = distillation.distillation(given["anchor_BTI"], given["layers_BTH"], usable, QUANTIZER)
    assert float(found.detach()) == pytest.approx(total / int(usable.sum()), rel=1e-5)


def test_the_distillation_loss_trains_the_codes_and_nothing_else() -> None:
    distillation, given = build(), inputs()
    usable = given["valid_BT"] & ~given["masked_BT"]
    distillation.distillation(given["anchor_BTI"], given["layers_BTH"], usable, QUANTIZER).backward()
    assert distillation.trained.grad.any()
    assert all(layer.grad is None for layer in given["layers_BTH"])
    assert distillation.head.weight.grad is None


def test_the_labels_train_the_encoder_and_the_head_and_not_the_codes() -> None:
    distillation, given = build(), inputs()
    loss, stats = distillation(**given, weights=WEIGHTS, step=0)
    loss.backward()
    assert given["encoded_BTD"].grad.any()
    assert distillation.head.weight.grad.any()
    assert not distillation.trained.grad.any()  # in the graph, as distributed training needs it
    logits = distillation.head(given["encoded_BTD"][given["masked_BT"]])
    labels = distillation.labels(given["anchor_BTI"][given["masked_BT"]], QUANTIZER)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert float(loss.detach()) == pytest.approx(2.0 * 0.5 * float(expected.detach()))
    assert distillation.divided(WEIGHTS) == (0.1, 1.0, None)
    assert set(stats) == set(distillation(**given, weights=WEIGHTS, step=9)[1])


def test_training_the_codes_makes_the_labels_resemble_the_layers() -> None:
    distillation, given = build(), inputs()
    optimizer = torch.optim.Adam([distillation.trained], lr=0.05)
    losses = []
    for step in range(3, 60):
        loss, stats = distillation(**given, weights=WEIGHTS, step=step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(stats["loss_distillation"]))
    assert losses[-1] < 0.8 * losses[0]


def test_labels_are_renewed_when_told_and_each_new_code_takes_the_nearest_old_one_s_index() -> None:
    distillation, given = build(), inputs()
    old = distillation.codebook.clone()
    with torch.no_grad():
        distillation.trained.copy_(3 * (old + 0.01 * torch.randn_like(old))[torch.tensor([5, 0, 1, 2, 3, 4])])
    renewed = []
    for step in range(9):
        for training in (False, True):
            before = distillation.codebook.clone()
            distillation.train(training)
            distillation(**given, weights=WEIGHTS, step=step)
            if not torch.equal(before, distillation.codebook):
                renewed.append((step, training))
        with torch.no_grad():
            distillation.trained += 1e-3
    assert renewed == [(5, True), (7, True)]
    assert torch.allclose(distillation.codebook, old, atol=0.1)
    assert torch.allclose(distillation.codebook.norm(dim=-1), torch.ones(6))


def test_an_utterance_masked_throughout_gives_no_distillation_loss() -> None:
    given = inputs()
    given["masked_BT"] = given["valid_BT"]
    loss, stats = build()(**given, weights=WEIGHTS, step=9)
    assert float(stats["loss_distillation"]) == 0
    assert torch.isfinite(loss)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"every": 0}, "every and num_codes at least 1"),
        ({"scale": 0}, "scale must be positive"),
        ({"label_share": 1.0}, r"label_share in \(0, 1\)"),
        ({"layers": []}, "layers must name at least one layer"),
    ],
)
def test_a_value_out_of_range_is_named(conf: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**conf)
