"""The whole model, from waveform to loss: section 7's properties where they count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from espnet2_birq.errors import BadInputError
from espnet2_birq.espnet_model import ESPnetBiRQModel

Build = Callable[..., ESPnetBiRQModel]
BEST_RQ = {"w1": 0.0, "w2": 1.0}
FEATURES = {"input_size": 6, "frontend": None, "normalize": None}
SMALL = {
    **FEATURES,
    "encoder_conf": {"output_size": 8, "linear_units": 6, "input_layer": "linear", "dropout_rate": 0.0},
    "preencoder": "stacking",
    "quantizer_conf": {"num_codes": 7, "code_dim": 3},
    "masker_conf": {"start_probability": 0.2, "span": 2},
}


def waveforms(*lengths: int, seed: int = 0) -> list[torch.Tensor]:
    """Coloured noise, as uneven over time and frequency as speech."""
    generator = torch.Generator().manual_seed(seed)
    noise = [torch.randn(length, generator=generator) for length in lengths]
    return [0.05 * wave.cumsum(0).remainder(1.7) + 0.02 * wave for wave in noise]


def batch(waves: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), torch.tensor([len(wave) for wave in waves])


def all_labels(model: ESPnetBiRQModel, waves: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Anchoring labels and noiseless enhanced labels of every utterance, over its own steps."""
    features, lengths = model.features(*batch(waves))
    steps = model.subsampling.steps(lengths)
    anchoring = model.loss.quantizer(model.subsampling.stack(features, int(steps.max())))
    hidden = model.hidden(features, lengths)
    labels = []
    for b, length in enumerate(steps.tolist()):
        enhanced, _ = model.loss.enhanced(hidden[b, :length], model.loss.quantizer)
        labels.append((anchoring[b, :length], enhanced))
    return labels


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"encoder_conf": {"input_layer": "linear"}, "preencoder": "stacking"},
        {"normalize_conf": {"norm_vars": True}, "quantizer_conf": {"distance": "l2", "num_codes": 1024}},
    ],
)
def test_labels_do_not_depend_on_batch_mates_or_padding(build_tiny: Build, training: bool, overrides: dict) -> None:
    """Anchoring labels bit by bit, enhanced ones to 1e-5, in training mode too."""
    model = build_tiny(label_source_conf={"noise": "none", "layer": 2}, **overrides).train(training)
    waves = waveforms(16000, 24321, 9000, 40000, 31999)
    alone = [all_labels(model, [wave])[0] for wave in waves]
    for order in ([0, 1, 2, 3, 4], [4, 2], [3, 0], [2, 1, 0]):
        for utterance, (anchoring, enhanced) in zip(order, all_labels(model, [waves[i] for i in order]), strict=True):
            assert torch.equal(anchoring, alone[utterance][0])
            assert torch.allclose(enhanced, alone[utterance][1], atol=1e-5)


def test_features_are_bit_equal_in_every_batch(build_tiny: Build) -> None:
    """The mean of an utterance, too, whose rounding in float32 would depend on the padding."""
    model = build_tiny()
    for seed in range(5):
        waves = waveforms(16000, 70000, 100000, seed=seed)
        (alone, (frames,)), (together, _) = model.features(*batch(waves[:1])), model.features(*batch(waves))
        assert torch.equal(alone[0], together[0, :frames])


def test_features_and_labels_do_not_depend_on_autocast(build_tiny: Build) -> None:
    model = build_tiny()
    speech = batch(waveforms(16000, 12000))
    features, lengths = model.features(*speech)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, _ = model.features(*speech)
        labels, _ = model.loss.enhanced(model.hidden(cast, lengths)[0], model.loss.quantizer)
        loss, _, _ = model(*speech)
    assert torch.equal(features, cast)
    assert labels.dtype == torch.float32
    assert loss.dtype == torch.float32


def test_the_mask_hides_what_the_encoder_is_asked_for(build_tiny: Build) -> None:
    """Frames of unmasked steps enter unchanged, the labels come from the frames that were replaced."""
    model = build_tiny(masker_conf={"span": 4, "start_probability": 0.1}).eval()
    seen: list[torch.Tensor] = []
    handle = model.encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    speech = batch(waveforms(16000, 12000))
    model(*speech)
    handle.remove()
    features, lengths = model.features(*speech)
    masked_input, _ = seen  # the second is the label pass
    replaced = (masked_input != features).any(-1)
    share = replaced.sum() / lengths.sum()
    assert 0.05 < float(share) < 0.7
    for b, length in enumerate(lengths.tolist()):
        assert replaced[b, :length].any()
        assert not replaced[b, length:].any()


def test_the_weight_is_the_number_of_masked_steps(build_tiny: Build) -> None:
    model = build_tiny().eval()
    loss, stats, weight = model(*batch(waveforms(16000, 12000)))
    steps = model.subsampling.steps(torch.tensor([98, 73])).sum()
    assert int(weight) == round(float(stats["masked_share"]) * int(steps))
    assert float(loss.detach()) == pytest.approx(
        0.1 * float(stats["loss_enhanced"]) + 2.4 * float(stats["loss_anchoring"])
    )


def test_utterances_of_one_step_can_be_trained_on(build_tiny: Build) -> None:
    """Two of them, since the Conformer's batch normalisation needs two values."""
    model = build_tiny(**SMALL)
    loss, _, weight = model(torch.randn(2, 2, 6), torch.tensor([2, 2]))
    loss.backward()
    assert int(weight) == 2
    assert torch.isfinite(loss.detach())


def test_an_utterance_too_short_for_a_step_is_named(build_tiny: Build) -> None:
    model = build_tiny()
    with pytest.raises(BadInputError, match="utterance short-one has 2 feature frames, too few .*7 needed"):
        model(*batch(waveforms(16000, 800)), utt_id=["long-one", "short-one"])


def test_validation_masks_are_the_same_every_time_and_training_masks_are_not(build_tiny: Build) -> None:
    model = build_tiny(encoder_conf={"dropout_rate": 0.0})
    speech = batch(waveforms(16000, 12000))
    model.eval()
    before = torch.get_rng_state()
    first, second = model(*speech)[0], model(*speech)[0]
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
    model.train()
    assert not torch.equal(model(*speech)[0], model(*speech)[0])


def best_rq_step(model: ESPnetBiRQModel, optimizer: torch.optim.Optimizer, speech: Any) -> torch.Tensor:
    """One BEST-RQ step (arXiv 2202.01855) written out: mask, encode, classify the nearest codes."""
    features, lengths = model.features(*speech)
    steps = model.subsampling.steps(lengths)
    mask = model.masker.draw(steps, int(steps.max()))
    noise = torch.empty_like(features).normal_(0.0, 0.1)
    frame_mask = torch.zeros(features.shape[:2], dtype=torch.bool)
    targets = []
    for b, t in mask.nonzero().tolist():
        start = t * model.subsampling.factor + model.subsampling.offset
        frames = slice(start, start + model.subsampling.factor)
        frame_mask[b, frames] = True
        projected = features[b, frames].flatten().double() @ model.loss.quantizer.projection[0].double()
        targets.append(torch.cdist(projected[None], model.loss.quantizer.codebook[0].double()).argmin())
    encoded = model.encoder(torch.where(frame_mask[:, :, None], noise, features), lengths)[0]
    loss = torch.nn.functional.cross_entropy(model.loss.head(encoded[mask]), torch.stack(targets))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def test_zero_enhanced_weight_is_best_rq_bit_for_bit(build_tiny: Build) -> None:
    ours, theirs = build_tiny(penalty_conf=BEST_RQ).train(), build_tiny(penalty_conf=BEST_RQ).train()
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-2) for model in (ours, theirs)]
    for step in range(3):
        speech = batch(waveforms(16000, 12000, 20000, seed=step))
        torch.manual_seed(step)
        loss = ours(*speech)[0]
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        torch.manual_seed(step)
        assert torch.equal(loss.detach().squeeze(), best_rq_step(theirs, optimizers[1], speech))
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other), name


@pytest.mark.parametrize(("penalty_conf", "passes"), [(BEST_RQ, [1, 1, 1]), ({}, [2, 2, 1])])
def test_only_the_first_k_layers_run_twice_and_only_with_enhanced_labels(
    build_tiny: Build, penalty_conf: dict, passes: list[int]
) -> None:
    model = build_tiny(penalty_conf=penalty_conf)
    calls = [0, 0, 0]
    for index, layer in enumerate(model.encoder.encoders):
        layer.register_forward_hook(lambda *_, index=index: calls.__setitem__(index, calls[index] + 1))
    model(*batch(waveforms(16000)))
    assert calls == passes


@pytest.fixture
def double(build_tiny: Build) -> tuple[ESPnetBiRQModel, torch.Tensor, torch.Tensor]:
    """A model in float64 and evaluation mode (fixed masks and noise), and a batch of features."""
    model = build_tiny(**SMALL, label_source_conf={"layer": 2}).double().eval()
    features = torch.randn(2, 24, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return model, features, torch.tensor([24, 17])


def upper_loss(
    model: ESPnetBiRQModel, features: torch.Tensor, lengths: torch.Tensor, log_p: torch.Tensor | None = None
) -> torch.Tensor:
    """F alone, written out: -sum_n y_n log p_n. A fixed log_p leaves the label path only."""
    generator = torch.Generator().manual_seed(9)
    steps = model.subsampling.steps(lengths)
    mask = model.masker.draw(steps, int(steps.max()), generator)
    filled = model.masker.fill(features, model.subsampling.mask_frames(mask, features.size(1)), generator)
    if log_p is None:
        log_p = log_probabilities(model, filled, lengths, mask)
    labels, _ = model.loss.enhanced(model.hidden(features, lengths)[mask], model.loss.quantizer, generator=generator)
    return -(labels * log_p).sum(-1).mean()


def log_probabilities(
    model: ESPnetBiRQModel, filled: torch.Tensor, lengths: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    return torch.log_softmax(
        model.loss.logits(model.encoder(model.preencoder(filled, lengths)[0], lengths // 2)[0][mask]), -1
    )


def difference_quotient(function: Callable[[], torch.Tensor], at: torch.Tensor, direction: torch.Tensor) -> float:
    step = 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            at += sign * step * direction
            values.append(float(function()))
            at -= sign * step * direction
    return (values[0] - values[1]) / (2 * step)


def test_the_gradient_of_the_whole_step_equals_finite_differences(double: Any) -> None:
    model, features, lengths = double
    loss = model(features, lengths)[0]
    loss.backward()
    generator = torch.Generator().manual_seed(2)
    checked = {"encoders.0.": 0, "encoders.1.": 0, "encoders.2.": 0, "embed.": 0, "head.": 0}
    for name, parameter in model.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        found = difference_quotient(lambda: model(features, lengths)[0], parameter, direction)
        assert found == pytest.approx(float((parameter.grad * direction).sum()), rel=1e-4, abs=1e-8), name
        for group in checked:
            checked[group] += group in name
    assert all(checked.values())


def test_the_label_path_reaches_layers_up_to_k_only_and_equals_finite_differences(double: Any) -> None:
    model, features, lengths = double
    names, parameters = zip(*model.named_parameters(), strict=True)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(9)
        steps = model.subsampling.steps(lengths)
        mask = model.masker.draw(steps, int(steps.max()), generator)
        filled = model.masker.fill(features, model.subsampling.mask_frames(mask, features.size(1)), generator)
        log_p = log_probabilities(model, filled, lengths, mask)

    through_labels = torch.autograd.grad(upper_loss(model, features, lengths, log_p), parameters, allow_unused=True)
    whole = torch.autograd.grad(upper_loss(model, features, lengths), parameters)
    model.loss.enhanced.gradient = False
    through_prediction = torch.autograd.grad(upper_loss(model, features, lengths), parameters)
    assert not upper_loss(model, features, lengths, log_p).requires_grad
    model.loss.enhanced.gradient = True

    for name, parameter, part, other, total in zip(
        names, parameters, through_labels, through_prediction, whole, strict=True
    ):
        above = name.startswith(("encoder.encoders.2.", "encoder.after_norm.", "loss.head."))
        assert (part is None) == above, name
        assert torch.allclose(other if above else other + part, total, atol=1e-12), name
        if not above:
            direction = torch.randn(parameter.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
            found = difference_quotient(lambda: upper_loss(model, features, lengths, log_p), parameter, direction)
            assert found == pytest.approx(float((part * direction).sum()), rel=1e-4, abs=1e-9), name


def test_a_gradient_at_every_nth_step_costs_nothing_at_the_others(build_tiny: Build) -> None:
    model = build_tiny(label_source_conf={"gradient": 2})
    flows = []
    hidden = model.hidden
    model.hidden = lambda *args: flows.append(hidden(*args)) or flows[-1]
    for _ in range(4):
        model(*batch(waveforms(16000)))
    assert [made.requires_grad for made in flows] == [True, False, True, False]


def test_a_schedule_counts_optimizer_steps_and_logs_the_same_numbers_throughout(build_tiny: Build) -> None:
    ramp = {"w1": [0.0, 0.3], "w2": 2.0, "tau": [1.0, 0.5], "steps": 3}
    model = build_tiny(penalty="linear", penalty_conf=ramp, accum_grad=2)
    logged = [model(*batch(waveforms(16000)))[1] for _ in range(8)]
    assert len({tuple(stats) for stats in logged}) == 1
    assert [float(stats["w1"]) for stats in logged] == pytest.approx([0, 0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3])
    assert float(logged[-1]["tau"]) == pytest.approx(0.5)
    assert set(build_tiny(penalty_conf=BEST_RQ)(*batch(waveforms(16000)))[1]) < set(logged[0])


def test_a_scheduled_zero_weight_trains_as_best_rq(build_tiny: Build) -> None:
    gradients = []
    for penalty in (
        {"penalty_conf": {"w1": 0.0, "w2": 2.0}},
        {"penalty": "linear", "penalty_conf": {"w1": [0, 0.1], "w2": 2.0, "steps": 10}},
    ):
        model = build_tiny(encoder_conf={"dropout_rate": 0.0}, **penalty).eval()
        model(*batch(waveforms(16000, 12000)))[0].backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name


def test_utterance_normalised_labels_do_not_depend_on_batch_mates(build_tiny: Build) -> None:
    model = build_tiny(label_source_conf={"noise": "none", "layer": 2, "normalization": "utterance"})
    waves = waveforms(16000, 9000, 31999)
    together = all_labels(model, waves)
    for wave, (_, enhanced) in zip(waves, together, strict=True):
        assert torch.allclose(all_labels(model, [wave])[0][1], enhanced, atol=1e-5)


def test_the_codebook_is_refined_in_training_only(build_tiny: Build) -> None:
    model = build_tiny(quantizer_conf={"refinement": {"every": 2, "stop": 4}})
    prints = []
    for training in (False, False, False, True, True, True, True, True, True, True):
        model.train(training)
        model(*batch(waveforms(16000, 12000)))[0].backward()
        prints.append(model.loss.quantizer.fingerprint())
    assert [first != second for first, second in zip(prints, prints[1:], strict=False)] == [
        *[False] * 4,
        True,  # before the third training step
        False,
        True,  # before the fifth; frozen from then on
        False,
        False,
    ]


@pytest.mark.parametrize("label_source", [{"form": "straight_through"}, {"codebook": "separate", "head": "separate"}])
@pytest.mark.parametrize("anchor", ["stacked", "mfcc"])
def test_options_go_together(build_tiny: Build, anchor: str, label_source: dict) -> None:
    model = build_tiny(
        anchor=anchor, quantizer_conf={"num_codebooks": 2}, label_source_conf=label_source, normalize="utterance_mvn"
    )
    loss, stats, _ = model(*batch(waveforms(16000, 12000)))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert float(stats["acc_enhanced"]) <= 1


def test_a_second_codebook_is_distilled_from_the_layers_of_the_masked_pass(build_tiny: Build) -> None:
    conf = {"start": 1, "every": 2, "num_codes": 8, "layers": [1, 0.67]}
    model = build_tiny(distillation="self_similarity", distillation_conf=conf)
    assert model.distilled_layers == (1, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    logged = []
    for step in range(5):
        loss, stats, _ = model(*batch(waveforms(16000, 64000, seed=step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        logged.append({name: float(value) for name, value in stats.items()})
        assert all(parameter.grad is not None for parameter in model.parameters())
    first = logged[0]
    expected = 0.1 * first["loss_enhanced"] + 1.2 * first["loss_anchoring"] + 1.2 * first["loss_distilled"]
    assert first["loss"] == pytest.approx(expected, rel=1e-5)
    last = logged[-1]
    expected = 0.1 * last["loss_enhanced"] + 1.2 * last["loss_anchoring"] + 1.2 * last["loss_distilled"]
    assert last["loss"] == pytest.approx(expected + 0.5 * last["loss_distillation"], rel=1e-5)
    assert int(model.distillation.renewals) == 1
    assert len({tuple(stats) for stats in logged}) == 1


def test_everything_frozen_survives_saving_and_loading(build_tiny: Build, tmp_path: Any) -> None:
    model = build_tiny(quantizer_conf={"seed": 3})
    fingerprint = model.loss.quantizer.fingerprint()
    torch.save(model.state_dict(), tmp_path / "model.pth")
    again = build_tiny(quantizer_conf={"seed": 3})
    again.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True))
    assert again.loss.quantizer.fingerprint() == fingerprint
    assert torch.equal(again.loss.enhanced.projection, model.loss.enhanced.projection)


def test_a_checkpoint_with_other_label_numbers_is_refused(build_tiny: Build) -> None:
    theirs = build_tiny(quantizer_conf={"seed": 3}).state_dict()
    with pytest.raises(BadInputError, match=r"checkpoint: loss.quantizer.codebook has the fingerprint \w+, the conf"):
        build_tiny().load_state_dict(theirs)


def test_an_averaged_checkpoint_makes_the_same_labels_bit_for_bit(build_tiny: Build) -> None:
    model = build_tiny()
    averaged = {
        name: value if value.dtype == torch.int64 else (value + value + value) / 3
        for name, value in model.state_dict().items()
    }
    loaded = build_tiny()
    loaded.load_state_dict(averaged)
    assert loaded.loss.quantizer.fingerprint() == model.loss.quantizer.fingerprint()
    assert torch.equal(loaded.loss.enhanced.projection, model.loss.enhanced.projection)
