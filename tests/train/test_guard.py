"""The guard on planted troubles, in real training of tiny models and in statistics that were recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from espnet2_birq.errors import BadInputError
from espnet2_birq.train.guard import START_STEPS, TrainingGuard, above_chance

HEALTHY = {
    "loss": 9.0,
    "anchoring_code_perplexity": 60.0,
    "majority_anchoring": 0.1,
    "loss_enhanced": 5.2,
    "acc_enhanced": 0.02,
    "enhanced_perplexity": 1.8,
    "enhanced_agreement": 0.7,
    "enhanced_code_perplexity": 100.0,
}
# Enough masked steps in a batch of one second's utterances.
MASKER = {"start_probability": 0.15, "span": 5}


def stats(**changes: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in (HEALTHY | changes).items()}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("guard:")]


def batches(count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        noise = torch.randn(4, 8000, generator=generator)
        yield 0.05 * noise.cumsum(1).remainder(1.7) + 0.02 * noise, torch.full((4,), 8000)


def train(model: Any, steps: int, learning_rate: float) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    model.train()
    for speech, lengths in batches(steps):
        loss, _, _ = model(speech, lengths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_a_planted_collapse_is_named_within_200_steps(
    build_tiny: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The enhanced label's loss alone, with gradients into the label: it becomes easy at once."""
    model = build_tiny(
        penalty_conf={"w1": 5.0, "w2": 0.1},
        label_source_conf={"normalization": "utterance", "gradient": True},
        masker_conf=MASKER,
        guard_conf={"check_every": 20},
    )
    train(model, 120, 3e-3)
    assert any("collapse of the enhanced labels" in line and "gradient: false" in line for line in lines(caplog))


def test_a_planted_noise_setting_is_named_within_200_steps(
    build_tiny: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Distances of unit vectors are small against the noise."""
    model = build_tiny(quantizer_conf={"distance": "l2", "num_codes": 256}, masker_conf=MASKER)
    train(model, START_STEPS, 1e-3)
    assert any("noise labels" in line and "distance: raw" in line for line in lines(caplog))


def test_a_planted_nan_is_named_and_stops_the_run_if_wanted(build_tiny: Callable[..., Any]) -> None:
    model = build_tiny(guard_conf={"action": "stop", "check_every": 3})
    with torch.no_grad():
        model.encoder.after_norm.weight[0] = float("nan")
    with pytest.raises(BadInputError, match=r"not finite at training step 3: 3 of the last 3 steps.*lr"):
        train(model, 3, 0.0)


def test_healthy_training_is_left_in_peace(build_tiny: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    model = build_tiny(
        label_source_conf={"normalization": "utterance", "gradient": False},
        masker_conf=MASKER,
        guard_conf={"check_every": 20},
    )
    train(model, 100, 1e-3)
    assert lines(caplog) == []
    assert model.guard.steps == 100


def test_validation_is_not_counted(build_tiny: Callable[..., Any]) -> None:
    model = build_tiny().eval()
    model(*next(batches(1)))
    assert model.guard.steps == 0


def test_best_rq_is_watched_without_enhanced_labels(
    build_tiny: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    model = build_tiny(penalty_conf={"w1": 0.0, "w2": 1.0}, masker_conf=MASKER)
    train(model, START_STEPS, 1e-3)
    assert lines(caplog) == []


def test_a_recorded_collapse_is_caught_and_recorded_healthy_runs_are_not(caplog: pytest.LogCaptureFixture) -> None:
    """Code perplexity and accuracy of enhanced labels on DebVox, N = 256, every 200 steps from about those of random
    weights on."""
    runs = {
        "gradients into shared soft labels": [(140.0, 0.004), (13.7, 0.248), (2.55, 0.668)],
        "labels without gradients": [(110.0, 0.004), (48.8, 0.033), (45.8, 0.014), (52.2, 0.012), (74.9, 0.006)],
    }
    caught = {}
    for name, course in runs.items():
        caplog.clear()
        guard = TrainingGuard(256, check_every=50)
        for (first, first_accuracy), (last, last_accuracy) in zip(course, course[1:], strict=False):
            for share in torch.linspace(0, 1, 200).tolist():
                guard.update(
                    stats(
                        enhanced_code_perplexity=first + share * (last - first),
                        acc_enhanced=first_accuracy + share * (last_accuracy - first_accuracy),
                    )
                )
        caught[name] = lines(caplog)
    healthy, collapsed = caught["labels without gradients"], caught["gradients into shared soft labels"]
    assert healthy == []
    assert "collapse of the enhanced labels at training step 200" in collapsed[0]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"enhanced_perplexity": 55.4, "enhanced_agreement": 0.115}, "noise labels"),
        ({"enhanced_perplexity": 5.2, "enhanced_agreement": 0.007}, "noise labels"),
        ({"enhanced_perplexity": 163.0, "enhanced_agreement": 1.0}, "flat labels"),
        ({"anchoring_code_perplexity": 1.2, "majority_anchoring": 0.97}, "dead anchoring codebook"),
        ({"enhanced_code_perplexity": 1.1}, "dead enhanced codebook"),
        ({"loss": float("inf")}, "loss that is not finite"),
    ],
)
def test_each_trouble_is_named_once_with_an_option_to_change(
    changes: dict[str, float], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Label perplexity and agreement were measured for l2 distances, N = 256, tau 0.5."""
    guard = TrainingGuard(256)
    for _ in range(200):
        guard.update(stats(**changes))
    (line,) = lines(caplog)
    assert line.startswith(f"guard: {name} at training step {START_STEPS}: ")
    assert "\n" not in line
    assert "_conf " in line


def test_labels_that_a_shared_head_cannot_predict_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """Recorded on DebVox with w1 : w2 = 0.1 : 2.4, one head and no label gradients: the loss rises above ln 256."""
    guard = TrainingGuard(256, check_every=50)
    for loss in (5.43, 5.47, 5.65, 5.80, 5.88):
        for _ in range(100):
            guard.update(stats(loss_enhanced=loss))
    (line,) = lines(caplog)
    assert "enhanced labels that are not predicted at training step 350" in line
    assert "head: separate" in line


def test_sharp_labels_of_every_codebook_size_pass(caplog: pytest.LogCaptureFixture) -> None:
    """Perplexity and agreement measured for raw distances and tau 0.5."""
    measured = {16: (1.31, 0.858), 128: (1.69, 0.75), 1024: (2.35, 0.595), 8192: (3.58, 0.345)}
    for num_codes, (perplexity, agreement) in measured.items():
        guard = TrainingGuard(num_codes, check_every=1)
        guard.update(stats(enhanced_perplexity=perplexity, enhanced_agreement=agreement, loss_enhanced=2.0))
    assert lines(caplog) == []


def test_single_bad_steps_do_not_spoil_the_averages(caplog: pytest.LogCaptureFixture) -> None:
    guard = TrainingGuard(256, check_every=20)
    for step in range(40):
        guard.update(stats(loss=float("nan"), enhanced_agreement=0.0) if step == 5 else stats())
    (line,) = lines(caplog)
    assert "1 of the last 10 steps" in line


def test_switched_off_it_does_nothing() -> None:
    guard = TrainingGuard(256, action="off", check_every=1)
    guard.update(stats(loss=float("nan")))
    assert guard.steps == 0


def test_options_are_checked(build_tiny: Callable[..., Any]) -> None:
    with pytest.raises(BadInputError, match="action must be one of .*'warn'.* got 'shout'"):
        build_tiny(guard_conf={"action": "shout"})
    with pytest.raises(BadInputError, match="check_evry.*check_every"):
        build_tiny(guard_conf={"check_evry": 5})
    with pytest.raises(ValueError, match="at least 1"):
        TrainingGuard(256, check_every=0)


def test_agreement_above_chance_is_zero_for_guessing_and_one_for_full_agreement() -> None:
    assert above_chance(1 / 64, 64) == pytest.approx(0)
    assert above_chance(1.0, 64) == pytest.approx(1)
    assert above_chance(1.0, 1) == 1.0
